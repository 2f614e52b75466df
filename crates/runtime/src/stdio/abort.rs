// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `env.abort`, which AssemblyScript calls when an assertion fails: a trap with the guest's own words.

use fnstream_core::{Error, ErrorCode};
use wasmtime::{Caller, Linker};

use super::Stdio;
use super::errno::Errno;
use super::memory::{GuestMemory, split};
use crate::fault::{bounded, raise};

pub(super) const MODULE: &str = "env";
pub(super) const NAME: &str = "abort";

/// The longest part of a message that is kept.
const LONGEST: u32 = 4 << 10;

pub(super) fn add_to_linker(linker: &mut Linker<Stdio>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        NAME,
        |mut cx: Caller<'_, Stdio>, message: u32, file: u32, line: u32, column: u32| -> wasmtime::Result<()> {
            let (message, file) = split(&mut cx)
                .map(|(memory, _)| {
                    (text(&memory, message).unwrap_or_default(), text(&memory, file).unwrap_or_default())
                })
                .unwrap_or_default();
            Err(raise(Error::new(
                ErrorCode::GuestTrap,
                bounded(format!("aborted: {message} ({file}:{line}:{column})")),
            )))
        },
    )?;
    Ok(())
}

/// A string object: UTF-16 with its length in bytes just before it.
fn text(memory: &GuestMemory<'_>, at: u32) -> Result<String, Errno> {
    if at < 4 {
        return Ok(String::new());
    }
    let len = memory.u32(at - 4)?.min(LONGEST) & !1;
    let units: Vec<_> =
        memory.slice(at, len)?.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    Ok(String::from_utf16_lossy(&units))
}
