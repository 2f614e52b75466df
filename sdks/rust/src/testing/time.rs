// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Timers and watermarks: what is due, and in which order.

use std::rc::Rc;

use fnstream_frame::{FrameBuilder, RecordRef};

use super::Harness;
use super::epoch::Input;
use super::memory::SetTimer;
use crate::{Error, Function, TimeDomain};

/// The most calls for timers that may follow each other. On a server there is no such limit, but a test would not end.
const MOST_CALLS: u32 = 10_000;

fn millis(watermark: u64) -> i64 {
    i64::try_from(watermark).unwrap_or(i64::MAX)
}

/// Timers as the function gets them.
pub(super) fn frame_of(due: &[SetTimer]) -> Vec<u8> {
    let mut frame = FrameBuilder::new();
    for (domain, at, key) in due {
        frame.push(RecordRef::new(b"").with_key(Some(key)).on(domain.channel()).at(*at));
    }
    frame.to_bytes()
}

impl<F: Function> Harness<F> {
    /// The watermark that the function is to be told, with the input group that held it back until now.
    fn rise(&self) -> Option<(u32, u64)> {
        if self.watermarks.len() < self.inputs as usize {
            return None;
        }
        let least = self.watermarks.iter().min_by_key(|(_, watermark)| **watermark);
        least.map(|(group, watermark)| (*group, *watermark)).filter(|(_, watermark)| self.told < Some(*watermark))
    }

    /// Fires what is due, then tells the watermark that made it so, until there is nothing to tell.
    pub(super) fn advance(&mut self) -> Result<(), Error> {
        if self.stopped {
            return Ok(());
        }
        for _ in 0..MOST_CALLS {
            let rise = self.rise();
            let due = self.next(rise.map(|(_, watermark)| millis(watermark)));
            if !due.is_empty() {
                self.fire(&due)?;
            } else if let Some((group, watermark)) = rise {
                self.memory.world.borrow_mut().reached.insert(TimeDomain::Event, millis(watermark));
                self.run(|driver| driver.process_watermark(group, watermark))
                    .map_err(|failure| Error::new(self.give_up(failure, 0).message))?;
                self.keep(Input::Watermark(group, watermark));
                self.told = Some(watermark);
                self.queued = None;
            } else {
                return Ok(());
            }
        }
        Err(Error::new(format!(
            "{MOST_CALLS} calls for timers, and there is still one due: timers set timers that are due already, without end"
        )))
    }

    /// The timers that fire next, in one call; those that are set from now on know what time it is.
    fn next(&mut self, rise: Option<i64>) -> Vec<SetTimer> {
        let world = &mut *self.memory.world.borrow_mut();
        let told = self.told.map(|told| (TimeDomain::Event, millis(told)));
        world.reached = told.into_iter().chain(self.time.map(|now| (TimeDomain::Processing, now))).collect();
        if let Some(now) = self.time {
            let due = world.due(TimeDomain::Processing, now);
            if !due.is_empty() {
                return due;
            }
            let queued = world.queued(TimeDomain::Processing, world.turn);
            if !queued.is_empty() {
                world.turn += 1;
                return queued;
            }
        }
        if rise.is_some() && self.queued.is_none() {
            self.queued = Some(world.turn);
            world.turn += 1;
        }
        let queued = world.queued(TimeDomain::Event, self.queued.unwrap_or(world.turn));
        if !queued.is_empty() {
            world.turn += 1;
            return queued;
        }
        let due = rise.map(|until| world.due(TimeDomain::Event, until)).unwrap_or_default();
        if let Some((_, first, _)) = due.first() {
            let reached = world.reached.entry(TimeDomain::Event).or_insert(*first);
            *reached = (*first).max(*reached);
        }
        due
    }

    /// Fires timers in one call, or those before one that fails, which stays set.
    fn fire(&mut self, due: &[SetTimer]) -> Result<(), Error> {
        let memory = Rc::clone(&self.memory);
        let fired = self.run(|driver| {
            let due = memory.world.borrow_mut().unset(due);
            driver.on_timers(&frame_of(&due))
        });
        let Err(failure) = fired else {
            self.keep(Input::Timers(due.to_vec()));
            return Ok(());
        };
        let failed = self.give_up(failure, due.len());
        match failed.record {
            None if due.len() > 1 && self.driver.is_some() => {
                let (first, rest) = due.split_at(due.len() / 2);
                self.fire(first)?;
                self.fire(rest)
            }
            index => {
                let (before, (_, at, key)) = (&due[..index.unwrap_or(0)], &due[index.unwrap_or(0)]);
                if !before.is_empty() && self.driver.is_some() {
                    self.fire(before)?;
                }
                let key = String::from_utf8_lossy(key);
                Err(Error::new(failed.message).context(format_args!("the timer '{key}' of {at}")))
            }
        }
    }
}
