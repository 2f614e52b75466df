// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The part of WASI preview 1 that names files: opening, asking, listing.

use wasmtime::{Caller, Linker};

use super::Stdio;
use super::errno::Errno;
use super::files::Wanted;
use super::memory::split;
use super::wasi::{Cx, MODULE, code, in_time, put_stat};

/// The right to write to a file.
const RIGHT_WRITE: u64 = 1 << 6;

pub(super) fn add_to_linker(linker: &mut Linker<Stdio>) -> wasmtime::Result<()> {
    linker.func_wrap(MODULE, "path_open", path_open)?;
    linker.func_wrap(
        MODULE,
        "path_filestat_get",
        |mut cx: Cx<'_>, folder: u32, lookup: u32, path: u32, len: u32, at: u32| {
            let stat = split(&mut cx)
                .and_then(|(memory, data)| data.files.stat_path(folder, memory.str(path, len)?, lookup & 1 != 0));
            code(stat.and_then(|stat| put_stat(&mut cx, at, &stat)))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_readdir",
        |mut cx: Cx<'_>, fd: u32, buffer: u32, len: u32, cookie: u64, used: u32| {
            let done = readdir(&mut cx, fd, buffer, len, cookie, used);
            in_time(&cx, done)
        },
    )?;
    Ok(())
}

#[allow(clippy::too_many_arguments, reason = "the signature is WASI's")]
fn path_open(
    mut cx: Caller<'_, Stdio>,
    folder: u32,
    lookup: u32,
    path: u32,
    len: u32,
    flags: u32,
    rights: u64,
    _inherited: u64,
    _fdflags: u32,
    opened: u32,
) -> u32 {
    code(split(&mut cx).and_then(|(mut memory, data)| {
        let wanted = Wanted {
            create: flags & 1 != 0,
            directory: flags & 2 != 0,
            exclusive: flags & 4 != 0,
            truncate: flags & 8 != 0,
            write: rights & RIGHT_WRITE != 0,
            follow: lookup & 1 != 0,
        };
        let fd = data.files.open(folder, memory.str(path, len)?, wanted)?;
        memory.put_u32(opened, fd)
    }))
}

/// Fills a buffer with entries from the `cookie`th on. The last one may be there in part: that there is more is told by a
/// buffer that is full. `false` when the call has no time left.
fn readdir(cx: &mut Cx<'_>, fd: u32, buffer: u32, len: u32, cookie: u64, used: u32) -> Result<bool, Errno> {
    let (mut memory, data) = split(cx)?;
    let out = memory.slice_mut(buffer, len)?;
    let (mut filled, mut index, mut late) = (0, 0u64, false);
    data.files.list(fd, &mut |name, stat| {
        // A folder may have millions of entries, and each call begins with the first.
        late = late || data.meter.timer().check(index as usize).is_err();
        if late {
            return false;
        }
        index += 1;
        if index <= cookie {
            return true;
        }
        let mut head = [0; 24];
        head[..8].copy_from_slice(&index.to_le_bytes());
        head[8..16].copy_from_slice(&stat.inode.to_le_bytes());
        head[16..20].copy_from_slice(&(name.len() as u32).to_le_bytes());
        head[20] = stat.kind as u8;
        for part in [&head[..], name.as_bytes()] {
            let n = part.len().min(out.len() - filled);
            out[filled..filled + n].copy_from_slice(&part[..n]);
            filled += n;
        }
        filled < out.len()
    })?;
    memory.put_u32(used, filled as u32)?;
    Ok(!late)
}
