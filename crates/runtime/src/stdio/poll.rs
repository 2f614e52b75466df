// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `poll_oneoff` of WASI preview 1: waiting, but never past the call's own time or the task's end.

use std::time::Duration;

use wasmtime::Caller;

use super::Stdio;
use super::errno::{self, Errno};
use super::memory::{GuestMemory, split};
use super::wasi::now;
use crate::fault::raise;

const SUBSCRIPTION: u32 = 48;
const EVENT: u32 = 32;
/// The most things waited for at once.
const MOST: u32 = 1_024;

/// One thing that is waited for.
struct Subscription {
    userdata: u64,
    /// 0 = a clock, 1 = reading, 2 = writing.
    tag: u8,
    /// Until a clock is there; files are always ready.
    left: Duration,
}

pub(super) fn poll_oneoff(
    mut cx: Caller<'_, Stdio>,
    list: u32,
    out: u32,
    count: u32,
    stored: u32,
) -> wasmtime::Result<u32> {
    let wanted = match read(&mut cx, list, count) {
        Ok(wanted) => wanted,
        Err(errno) => return Ok(errno.0.into()),
    };
    let shortest = wanted.iter().map(|wanted| wanted.left).min().unwrap_or_default();
    let timer = cx.data().meter.timer();
    let until_end = timer.wall_left();
    if timer.interrupt().wait(shortest.min(until_end)) || shortest > until_end {
        return Err(raise(cx.data().meter.timer().waited()));
    }
    let ready = wanted.iter().filter(|wanted| wanted.left <= shortest);
    let result = split(&mut cx).and_then(|(mut memory, _)| answer(&mut memory, out, stored, ready));
    Ok(super::wasi::code(result))
}

fn read(cx: &mut Caller<'_, Stdio>, list: u32, count: u32) -> Result<Vec<Subscription>, Errno> {
    if count == 0 || count > MOST {
        return Err(errno::INVAL);
    }
    let (memory, data) = split(cx)?;
    memory.slice(list, count * SUBSCRIPTION)?;
    (0..count).map(|index| subscription(&memory, data, list + index * SUBSCRIPTION)).collect()
}

fn subscription(memory: &GuestMemory<'_>, data: &Stdio, at: u32) -> Result<Subscription, Errno> {
    let tag = memory.u8(at + 8)?;
    let left = if tag == 0 {
        let timeout = memory.u64(at + 24)?;
        let absolute = memory.u16(at + 40)? & 1 != 0;
        let clock = now(data, memory.u32(at + 16)?)?;
        Duration::from_nanos(if absolute { timeout.saturating_sub(clock) } else { timeout })
    } else {
        Duration::ZERO
    };
    Ok(Subscription { userdata: memory.u64(at)?, tag, left })
}

fn answer<'a>(
    memory: &mut GuestMemory<'_>,
    mut out: u32,
    stored: u32,
    ready: impl Iterator<Item = &'a Subscription>,
) -> Result<(), Errno> {
    let mut count = 0;
    for event in ready {
        let mut bytes = [0; EVENT as usize];
        bytes[..8].copy_from_slice(&event.userdata.to_le_bytes());
        bytes[10] = event.tag;
        memory.put(out, &bytes)?;
        out = out.checked_add(EVENT).ok_or(errno::FAULT)?;
        count += 1;
    }
    memory.put_u32(stored, count)
}
