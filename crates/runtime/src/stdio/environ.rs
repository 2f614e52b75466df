// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Arguments, of which there are none, and the environment variables that a module was granted.

use fnstream_core::runtime::InstanceSpec;
use wasmtime::Linker;

use super::Stdio;
use super::errno::Errno;
use super::memory::split;
use super::wasi::{Cx, MODULE, code};

/// The variables as a module gets them: `NAME=value`, each with a zero at its end.
pub(super) fn environ(spec: &InstanceSpec) -> Vec<Vec<u8>> {
    spec.env.iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

pub(super) fn add_to_linker(linker: &mut Linker<Stdio>) -> wasmtime::Result<()> {
    linker.func_wrap(MODULE, "args_get", |_: u32, _: u32| 0u32)?;
    linker.func_wrap(MODULE, "args_sizes_get", |mut cx: Cx<'_>, count: u32, size: u32| {
        code(split(&mut cx).and_then(|(mut memory, _)| {
            memory.put_u32(count, 0)?;
            memory.put_u32(size, 0)
        }))
    })?;
    linker.func_wrap(MODULE, "environ_get", |mut cx: Cx<'_>, list: u32, bytes: u32| code(get(&mut cx, list, bytes)))?;
    linker.func_wrap(MODULE, "environ_sizes_get", |mut cx: Cx<'_>, count: u32, size: u32| {
        code(split(&mut cx).and_then(|(mut memory, data)| {
            let environ = &data.granted.environ;
            memory.put_u32(count, environ.len() as u32)?;
            memory.put_u32(size, environ.iter().map(Vec::len).sum::<usize>() as u32)
        }))
    })?;
    Ok(())
}

fn get(cx: &mut Cx<'_>, mut list: u32, mut bytes: u32) -> Result<(), Errno> {
    let (mut memory, data) = split(cx)?;
    for variable in &data.granted.environ {
        memory.put_u32(list, bytes)?;
        memory.put(bytes, variable)?;
        list = list.saturating_add(4);
        bytes = bytes.saturating_add(variable.len() as u32);
    }
    Ok(())
}
