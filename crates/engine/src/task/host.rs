// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What user code reaches while one of its calls runs: the open epoch.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::delta::{Delta, Write};
use fnstream_core::error::{Error, ErrorCode, Result};
use fnstream_core::interrupt::Interrupt;
use fnstream_core::runtime::{Host, Limits};
use fnstream_core::state::Visit;
use fnstream_core::timer::{TimeDomain, Timer, check_timer_key, decode_place, encode_place, key_in_state};
use fnstream_frame::{Frame, RecordRef};
use parking_lot::Mutex;

use super::outbox::Outbox;
use super::quota::{Quota, StateAccount};
use super::timers::{Reached, Timers};
use crate::state::Layers;

/// The open epoch's outbox and state, within the function's limits.
pub(crate) struct TaskHost {
    pub(crate) layers: Layers,
    pub(crate) outbox: Outbox,
    quota: Quota,
    state: Option<StateAccount>,
    timers: Timers,
    /// Timers that the call at hand has set for a time that had come already.
    set_due: u64,
    /// See [`Self::calls`].
    calls: u64,
    interrupt: Interrupt,
}

/// The writes of a trial that was set aside.
#[derive(Default)]
pub(crate) struct Aside {
    kept: Delta,
    /// The bytes that they add to the state.
    growth: Option<i64>,
}

/// A host that a task and its instance share.
pub(crate) type SharedTaskHost = Arc<Mutex<TaskHost>>;

impl TaskHost {
    /// A host; counts the state that is there when it is limited.
    pub(crate) fn new(layers: Layers, outbox: Outbox, limits: Limits, interrupt: &Interrupt) -> Result<Self> {
        let state = match limits.state_bytes {
            Some(limit) => Some(StateAccount::new(limit, size_of(&layers, &[], None, interrupt)?)),
            None => None,
        };
        let (quota, timers, interrupt) = (Quota::new(limits), Timers::default(), interrupt.clone());
        Ok(TaskHost { layers, outbox, quota, state, timers, set_due: 0, calls: 0, interrupt })
    }

    /// Ends the open epoch: its state writes. The caller takes the outbox.
    pub(crate) fn freeze(&mut self) -> Delta {
        let delta = self.layers.freeze();
        if let Some(state) = &mut self.state {
            state.freeze();
        }
        delta
    }

    /// The epoch in flight is committed.
    pub(crate) fn committed(&mut self, log_end: Bytes) {
        self.layers.settle(log_end);
        if let Some(state) = &mut self.state {
            state.commit();
        }
    }

    /// Drops everything that is not committed. The next call belongs to another instance.
    pub(crate) fn abandon(&mut self) {
        self.layers.abandon();
        self.outbox.clear();
        self.timers.forget();
        if let Some(state) = &mut self.state {
            state.abandon();
        }
    }

    /// Empties the open epoch.
    pub(crate) fn clear(&mut self) {
        self.clear_calls();
        self.outbox.clear();
    }

    /// Empties the open epoch of what the instance did in it; dead letters stay.
    pub(crate) fn clear_calls(&mut self) {
        self.layers.clear_overlay();
        self.outbox.clear_emitted();
        self.timers.forget();
        if let Some(state) = &mut self.state {
            state.clear();
        }
    }

    /// Gives back the memory that an empty epoch keeps for what comes into it: after a rush that may be as much as an epoch holds.
    pub(crate) fn shrink(&mut self) {
        if self.layers.is_clean() {
            self.layers.clear_overlay();
        }
        self.outbox.shrink();
    }

    /// Keeps what the call of a trial wrote, for its later calls to see.
    pub(crate) fn keep_writes(&mut self) {
        self.layers.keep_overlay();
    }

    /// The bytes of the state, if they are limited.
    pub(crate) fn used(&self) -> Option<u64> {
        self.state.as_ref().map(StateAccount::used)
    }

    /// Takes back what the call of a trial wrote, before which the state had so many bytes.
    pub(crate) fn take_back(&mut self, used: Option<u64>) {
        self.layers.clear_overlay();
        self.timers.forget();
        if let (Some(state), Some(used)) = (&mut self.state, used) {
            state.put_back(used);
        }
    }

    /// Empties the open epoch, and gives what a trial has written in it, to go on with it later although others have committed
    /// meanwhile.
    pub(crate) fn set_aside(&mut self) -> Aside {
        let growth = self.state.as_ref().map(StateAccount::growth);
        let kept = self.layers.swap_kept(Delta::new());
        self.clear();
        Aside { kept, growth }
    }

    /// Goes on in an empty epoch with what was set aside.
    pub(crate) fn take_up(&mut self, aside: Aside) {
        self.layers.swap_kept(aside.kept);
        self.timers.forget();
        if let (Some(state), Some(growth)) = (&mut self.state, aside.growth) {
            state.grow(growth);
        }
    }

    /// When the next timer of a domain is due that is not queued.
    pub(crate) fn next_timer(&mut self, domain: TimeDomain) -> Result<Option<i64>> {
        self.timers.next(domain, &self.layers)
    }

    /// The turn of the first timer in the queue of a domain.
    pub(crate) fn queued_timer(&mut self, domain: TimeDomain) -> Result<Option<u64>> {
        self.timers.queued(domain, &self.layers)
    }

    /// Ends the turn of a domain's queue that is being filled, and answers its number.
    pub(crate) fn end_turn(&mut self, domain: TimeDomain) -> Result<u64> {
        self.timers.end_turn(domain, &self.layers)
    }

    /// Takes timers that are due at `now_ms`, so many at most, in the order of their times: they are not set any more.
    pub(crate) fn take_due(&mut self, domain: TimeDomain, now_ms: i64, most: usize) -> Result<Vec<Timer>> {
        let due = self.timers.due(domain, &self.layers, now_ms, most)?;
        self.unset(due)
    }

    /// The same with the queue, through a turn.
    pub(crate) fn take_turn(&mut self, domain: TimeDomain, through: u64, most: usize) -> Result<Vec<Timer>> {
        let due = self.timers.take_turn(domain, &self.layers, through, most)?;
        self.unset(due)
    }

    fn unset(&mut self, due: Vec<Timer>) -> Result<Vec<Timer>> {
        for timer in &due {
            self.delete_timer(timer.domain, &timer.key)?;
        }
        Ok(due)
    }

    /// What time it is in the calls from now on.
    pub(crate) fn reach(&mut self, domain: TimeDomain, reached: Reached) {
        self.timers.reach(domain, reached);
    }

    /// Timers that the last call has set for a time that had come already.
    pub(crate) fn set_due(&self) -> u64 {
        self.set_due
    }

    /// A call begins that is given so many records.
    pub(crate) fn begin_call(&mut self, inputs: usize) {
        self.quota.begin(inputs);
        self.set_due = 0;
        self.calls += 1;
    }

    /// How many calls have begun.
    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }
}

/// The bytes of the keys and values of a range, which may be all of a large state.
fn size_of(layers: &Layers, start: &[u8], end: Option<&[u8]>, interrupt: &Interrupt) -> Result<u64> {
    let mut sum = 0;
    layers.scan(start, end, &mut |key, value| {
        sum += (key.len() + value.len()) as u64;
        if interrupt.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    interrupt.check()?;
    Ok(sum)
}

impl Host for TaskHost {
    fn emit_frame(&mut self, frame: &[u8]) -> Result<()> {
        let frame =
            Frame::parse(frame).map_err(|e| Error::new(ErrorCode::GuestProtocol, format!("emitted records: {e}")))?;
        let uniform = self.outbox.check_targets(&frame)?;
        let bytes = frame.packed_len(0..frame.len());
        // Most frames are smaller than one record may be: then none of theirs is too large.
        let largest = match self.quota.could_be_too_large(bytes) {
            true => frame.iter().map(|record| size_of_record(&record)).max().unwrap_or(0),
            false => 0,
        };
        self.outbox.check_sizes(&frame, bytes)?;
        self.quota.take(frame.len() as u64, bytes, largest)?;
        self.outbox.push_frame(&frame, uniform);
        Ok(())
    }

    fn emit(&mut self, record: RecordRef<'_>) -> Result<()> {
        self.outbox.check_target(record.channel)?;
        let bytes = record.packed_len();
        self.outbox.check_size(record.channel, bytes)?;
        self.quota.take(1, bytes, size_of_record(&record))?;
        self.outbox.push(record);
        Ok(())
    }

    fn emit_watermark(&mut self, target: u32, watermark: u64) -> Result<()> {
        self.outbox.check_target(target)?;
        self.outbox.push_watermark(target, watermark);
        Ok(())
    }

    fn set_timer(&mut self, timer: Timer) -> Result<()> {
        check_timer_key(&timer.key)?;
        self.delete_timer(timer.domain, &timer.key)?;
        let (place, is_due) = self.timers.place(&timer, &self.layers)?;
        self.write(&timer.by_key(), Write::Put(encode_place(timer.at_ms, place)))?;
        self.write(&timer.by_place(place), Write::Put(Bytes::new()))?;
        self.timers.set(&timer, place);
        self.set_due += u64::from(is_due);
        Ok(())
    }

    fn delete_timer(&mut self, domain: TimeDomain, key: &[u8]) -> Result<()> {
        let kept = self.layers.get(&key_in_state(domain, key))?;
        let Some((at_ms, place)) = kept.and_then(|kept| decode_place(&kept)) else { return Ok(()) };
        let timer = Timer { domain, key: Bytes::copy_from_slice(key), at_ms };
        self.write(&timer.by_key(), Write::Delete)?;
        self.write(&timer.by_place(place), Write::Delete)?;
        self.timers.deleted(&timer, place);
        Ok(())
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>> {
        self.layers.get(key)
    }

    fn write(&mut self, key: &[u8], write: Write) -> Result<()> {
        if let Some(state) = &mut self.state {
            let present = self.layers.get(key)?;
            let sized = |value: usize| (key.len() + value) as u64;
            let before = present.as_ref().map_or(0, |value| sized(value.len()));
            let after = match &write {
                Write::Put(value) => sized(value.len()),
                Write::Merge(operand) => sized(present.map_or(0, |value| value.len()) + operand.len()),
                Write::Delete => 0,
            };
            state.replace(before, after)?;
        }
        self.layers.write(key, write);
        Ok(())
    }

    fn delete_range(&mut self, start: &[u8], end: Option<&[u8]>) -> Result<()> {
        if let Some(state) = &mut self.state {
            state.replace(size_of(&self.layers, start, end, &self.interrupt)?, 0)?;
        }
        self.layers.delete_range(start, end);
        Ok(())
    }

    fn scan(&mut self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        self.layers.scan(start, end, visit)
    }
}

fn size_of_record(record: &RecordRef<'_>) -> usize {
    record.key.map_or(0, <[u8]>::len) + record.headers.as_bytes().len() + record.bytes().len()
}
