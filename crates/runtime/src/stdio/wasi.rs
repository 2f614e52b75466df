// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! WASI preview 1 as far as a filter needs it: a function from a record to a result has no use for more.
//!
//! No arguments and no sockets; of variables and folders what was granted; real clocks and random numbers. What is not here
//! answers `ENOSYS` and what would change a file `EROFS`, so a program that merely links it still runs.

use fnstream_core::{Error, ErrorCode};
use wasmtime::{Caller, Linker, Store, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::random::random::Host as _;
use wasmtime_wasi::random::WasiRandomCtx;

use super::Stdio;
use super::errno::{self, Errno};
use super::files::{FileType, Files, Stat, WriteError};
use super::memory::split;
use super::poll::poll_oneoff;
use super::{environ, paths};
use crate::fault::raise;

/// The module that all of these are imported from.
pub(super) const MODULE: &str = "wasi_snapshot_preview1";

/// Bytes that are written between two looks at the clock.
const LOOK: usize = 1 << 20;

/// Random bytes are made this many at a time.
const RANDOM_CHUNK: u32 = 64 << 10;

/// Functions that answer only that: what is not here, and what would change a file.
const REFUSED: &[(&str, Errno)] = &[
    ("fd_advise", errno::NOSYS),
    ("fd_allocate", errno::ROFS),
    ("fd_datasync", errno::NOSYS),
    ("fd_fdstat_set_rights", errno::NOSYS),
    ("fd_filestat_set_size", errno::ROFS),
    ("fd_filestat_set_times", errno::ROFS),
    ("fd_pwrite", errno::ROFS),
    ("fd_renumber", errno::NOSYS),
    ("fd_sync", errno::NOSYS),
    ("path_create_directory", errno::ROFS),
    ("path_filestat_set_times", errno::ROFS),
    ("path_link", errno::ROFS),
    ("path_readlink", errno::NOSYS),
    ("path_remove_directory", errno::ROFS),
    ("path_rename", errno::ROFS),
    ("path_symlink", errno::ROFS),
    ("path_unlink_file", errno::ROFS),
    ("proc_raise", errno::NOSYS),
    ("sock_accept", errno::NOSYS),
    ("sock_recv", errno::NOSYS),
    ("sock_send", errno::NOSYS),
    ("sock_shutdown", errno::NOSYS),
];

/// Functions that do what they should.
const PRESENT: &[&str] = &[
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_close",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_filestat_get",
    "fd_pread",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_read",
    "fd_readdir",
    "fd_seek",
    "fd_tell",
    "fd_write",
    "path_filestat_get",
    "path_open",
    "poll_oneoff",
    "proc_exit",
    "random_get",
    "sched_yield",
];

/// Reports whether a function of that name can be imported.
pub(crate) fn is_known(name: &str) -> bool {
    PRESENT.contains(&name) || refusal(name).is_some()
}

/// The answer of a function that does nothing. It has to be defined with the importer's own type, see [`define_refused`].
pub(super) fn refusal(name: &str) -> Option<Errno> {
    REFUSED.iter().find(|(refused, _)| *refused == name).map(|(_, errno)| *errno)
}

/// Defines one of the functions that do nothing.
pub(super) fn define_refused(
    linker: &mut Linker<Stdio>,
    name: &str,
    ty: &wasmtime::FuncType,
    errno: Errno,
) -> wasmtime::Result<()> {
    linker.func_new(MODULE, name, ty.clone(), move |_, _, results| {
        if let [result] = results {
            *result = wasmtime::Val::I32(errno.0.into());
        }
        Ok(())
    })?;
    Ok(())
}

pub(super) type Cx<'a> = Caller<'a, Stdio>;

/// The number that a function answers.
pub(super) fn code(result: Result<(), Errno>) -> u32 {
    result.err().map_or(0, |errno| errno.0.into())
}

/// The same of a function that may take long; `Ok(false)` when the call had no time left for it.
pub(super) fn in_time(cx: &Cx<'_>, result: Result<bool, Errno>) -> wasmtime::Result<u32> {
    match result {
        Ok(false) => Err(raise(cx.data().meter.timer().over())),
        done => Ok(code(done.map(drop))),
    }
}

/// Defines the functions that do what they should.
pub(super) fn add_to_linker(linker: &mut Linker<Stdio>) -> wasmtime::Result<()> {
    environ::add_to_linker(linker)?;
    paths::add_to_linker(linker)?;
    linker.func_wrap(MODULE, "clock_res_get", |mut cx: Cx<'_>, clock: u32, at: u32| {
        code(clock_res(&mut cx, clock, at))
    })?;
    linker.func_wrap(MODULE, "clock_time_get", |mut cx: Cx<'_>, clock: u32, _: u64, at: u32| {
        code(clock_time(&mut cx, clock, at))
    })?;
    linker.func_wrap(MODULE, "fd_close", |mut cx: Cx<'_>, fd: u32| code(cx.data_mut().files.close(fd)))?;
    linker.func_wrap(MODULE, "fd_fdstat_get", |mut cx: Cx<'_>, fd: u32, at: u32| code(fdstat(&mut cx, fd, at)))?;
    linker.func_wrap(MODULE, "fd_fdstat_set_flags", |cx: Cx<'_>, fd: u32, _: u32| {
        code(cx.data().files.stat(fd).map(drop))
    })?;
    linker.func_wrap(MODULE, "fd_filestat_get", |mut cx: Cx<'_>, fd: u32, at: u32| {
        let stat = cx.data().files.stat(fd);
        code(stat.and_then(|stat| put_stat(&mut cx, at, &stat)))
    })?;
    linker.func_wrap(MODULE, "fd_prestat_get", |mut cx: Cx<'_>, fd: u32, at: u32| code(prestat(&mut cx, fd, at)))?;
    linker.func_wrap(MODULE, "fd_prestat_dir_name", |mut cx: Cx<'_>, fd: u32, at: u32, len: u32| {
        code(split(&mut cx).and_then(|(mut memory, data)| {
            let name = data.files.preopen(fd)?.as_bytes();
            if name.len() > len as usize { Err(errno::INVAL) } else { memory.put(at, name) }
        }))
    })?;
    linker.func_wrap(MODULE, "fd_read", |mut cx: Cx<'_>, fd: u32, list: u32, count: u32, read: u32| {
        let done = fd_read(&mut cx, fd, list, count, read);
        in_time(&cx, done)
    })?;
    linker.func_wrap(MODULE, "fd_pread", |mut cx: Cx<'_>, fd: u32, list: u32, count: u32, from: u64, read: u32| {
        let done = fd_pread(&mut cx, fd, list, count, from, read);
        in_time(&cx, done)
    })?;
    linker.func_wrap(
        MODULE,
        "fd_write",
        |mut cx: Cx<'_>, fd: u32, list: u32, count: u32, written: u32| match fd_write(&mut cx, fd, list, count, written)
        {
            Err(NotWritten::TooLarge) => Err(too_large(&mut cx)),
            Err(NotWritten::Late) => Err(raise(cx.data().meter.timer().over())),
            Err(NotWritten::Errno(errno)) => Ok(u32::from(errno.0)),
            Ok(()) => Ok(0),
        },
    )?;
    linker.func_wrap(MODULE, "fd_seek", |mut cx: Cx<'_>, fd: u32, offset: i64, whence: u32, at: u32| {
        code(seek(&mut cx, fd, offset, whence, at))
    })?;
    linker.func_wrap(MODULE, "fd_tell", |mut cx: Cx<'_>, fd: u32, at: u32| code(seek(&mut cx, fd, 0, 1, at)))?;
    linker.func_wrap(MODULE, "poll_oneoff", poll_oneoff)?;
    linker
        .func_wrap(MODULE, "proc_exit", |cx: Cx<'_>, status: i32| -> wasmtime::Result<()> { Err(exit(&cx, status)) })?;
    linker.func_wrap(MODULE, "random_get", random_get)?;
    linker.func_wrap(MODULE, "sched_yield", || 0u32)?;
    Ok(())
}

fn clock_res(cx: &mut Cx<'_>, clock: u32, at: u32) -> Result<(), Errno> {
    if clock > 3 {
        return Err(errno::INVAL);
    }
    split(cx)?.0.put_u64(at, 1)
}

fn clock_time(cx: &mut Cx<'_>, clock: u32, at: u32) -> Result<(), Errno> {
    let (mut memory, data) = split(cx)?;
    memory.put_u64(at, now(data, clock)?)
}

/// Nanoseconds on that clock: real time, time since the module began, or (for the clocks of the processor) the latter too.
pub(super) fn now(data: &Stdio, clock: u32) -> Result<u64, Errno> {
    let time = match clock {
        0 => data.wall_clock.since_epoch(),
        1..=3 => data.born.elapsed(),
        _ => return Err(errno::INVAL),
    };
    // After the year 2554 the number is too small for it.
    Ok(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

fn fdstat(cx: &mut Cx<'_>, fd: u32, at: u32) -> Result<(), Errno> {
    /// Reading, writing, asking and waiting: all that a stream can do. The bits for seeking would make it a file.
    const STREAM: u64 = 1 << 1 | 1 << 3 | 1 << 6 | 1 << 21 | 1 << 27;
    const EVERYTHING: u64 = (1 << 30) - 1;
    let (mut memory, data) = split(cx)?;
    let stat = data.files.stat(fd)?;
    let rights = if stat.kind == FileType::Unknown { STREAM } else { EVERYTHING };
    let mut out = [0; 24];
    out[0] = stat.kind as u8;
    out[8..16].copy_from_slice(&rights.to_le_bytes());
    out[16..24].copy_from_slice(&rights.to_le_bytes());
    memory.put(at, &out)
}

pub(super) fn put_stat(cx: &mut Cx<'_>, at: u32, stat: &Stat) -> Result<(), Errno> {
    let mut out = [0; 64];
    out[8..16].copy_from_slice(&stat.inode.to_le_bytes());
    out[16] = stat.kind as u8;
    out[24] = 1;
    out[32..40].copy_from_slice(&stat.size.to_le_bytes());
    for time in [40, 48, 56] {
        out[time..time + 8].copy_from_slice(&stat.modified.to_le_bytes());
    }
    split(cx)?.0.put(at, &out)
}

fn prestat(cx: &mut Cx<'_>, fd: u32, at: u32) -> Result<(), Errno> {
    let (mut memory, data) = split(cx)?;
    let name = data.files.preopen(fd)?;
    memory.put_u32(at, 0)?;
    memory.put_u32(at.saturating_add(4), name.len() as u32)
}

fn fd_read(cx: &mut Cx<'_>, fd: u32, list: u32, count: u32, read: u32) -> Result<bool, Errno> {
    scatter(cx, list, count, read, |files, _, into| files.read(fd, into))
}

fn fd_pread(cx: &mut Cx<'_>, fd: u32, list: u32, count: u32, from: u64, read: u32) -> Result<bool, Errno> {
    scatter(cx, list, count, read, |files, before, into| files.read_at(fd, into, from.saturating_add(before)))
}

/// Fills buffers one after the other by what reads, given the bytes before them. They may all be the same one, so the clock is
/// looked at meanwhile.
fn scatter(
    cx: &mut Cx<'_>,
    list: u32,
    count: u32,
    read: u32,
    mut fill: impl FnMut(&mut Files, u64, &mut [u8]) -> Result<usize, Errno>,
) -> Result<bool, Errno> {
    let (mut memory, data) = split(cx)?;
    let mut total = 0u32;
    for index in 0..count {
        if data.meter.timer().check(index as usize).is_err() {
            return Ok(false);
        }
        let (at, len) = memory.iovec(list, index)?;
        // More than the answer can tell is read the next time.
        if total.checked_add(len).is_none() {
            break;
        }
        let n = fill(&mut data.files, total.into(), memory.slice_mut(at, len)?)?;
        total += n as u32;
        if n < len as usize {
            break;
        }
    }
    memory.put_u32(read, total).map(|()| true)
}

/// Why nothing was written.
enum NotWritten {
    Errno(Errno),
    TooLarge,
    Late,
}

impl From<Errno> for NotWritten {
    fn from(errno: Errno) -> Self {
        NotWritten::Errno(errno)
    }
}

impl From<WriteError> for NotWritten {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Errno(errno) => NotWritten::Errno(errno),
            WriteError::TooLarge => NotWritten::TooLarge,
        }
    }
}

/// All buffers of a list may be the same one, so a short list can be very long to write: the clock is looked at meanwhile.
fn fd_write(cx: &mut Cx<'_>, fd: u32, list: u32, count: u32, written: u32) -> Result<(), NotWritten> {
    let (mut memory, data) = split(cx)?;
    let mut total = 0u32;
    for index in 0..count {
        let (at, len) = memory.iovec(list, index)?;
        for piece in memory.slice(at, len)?.chunks(LOOK) {
            if data.meter.timer().look().is_none() {
                return Err(NotWritten::Late);
            }
            data.files.write(fd, piece)?;
        }
        total = total.checked_add(len).ok_or(errno::INVAL)?;
    }
    Ok(memory.put_u32(written, total)?)
}

fn seek(cx: &mut Cx<'_>, fd: u32, offset: i64, whence: u32, at: u32) -> Result<(), Errno> {
    let (mut memory, data) = split(cx)?;
    let to = data.files.seek(fd, offset, whence)?;
    memory.put_u64(at, to)
}

fn random_get(mut cx: Cx<'_>, mut at: u32, mut len: u32) -> wasmtime::Result<u32> {
    while len > 0 {
        if cx.data().meter.timer().look().is_none() {
            return Err(raise(cx.data().meter.timer().over()));
        }
        let n = len.min(RANDOM_CHUNK);
        let random = cx.data_mut().random.get_or_insert_with(WasiRandomCtx::default);
        let bytes = random.get_random_bytes(n.into())?;
        if let Err(errno) = split(&mut cx).and_then(|(mut memory, _)| memory.put(at, &bytes)) {
            return Ok(errno.0.into());
        }
        at = at.saturating_add(n);
        len -= n;
    }
    Ok(0)
}

/// Ends the module. Status 0 is a way to return that some programs take for every record: it carries an empty backtrace,
/// since the engine would else make one, of all frames.
fn exit(cx: &Cx<'_>, status: i32) -> wasmtime::Error {
    let error = wasmtime::Error::from(I32Exit(status));
    if status != 0 {
        return error;
    }
    error.context(WasmBacktrace::force_capture(Store::new(cx.engine(), ())))
}

fn too_large(cx: &mut Cx<'_>) -> wasmtime::Error {
    let largest = cx.data().files.largest();
    let message = format!("the result of one record is larger than its limit 'record' of {largest} bytes");
    raise(Error::new(ErrorCode::OutputTooLarge, message))
}
