// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The host's side, in memory.

use std::cell::RefCell;
use std::collections::BTreeMap;

use fnstream_frame::{Frame, FrameError, OpList, StateOp};

use super::Emitted;
use crate::TimeDomain;
use crate::boundary::{Boundary, Page};

/// The longest key of a timer in bytes.
const MOST_TIMER_KEY: usize = 64 << 10;

/// A timer that is set: domain, time, key.
pub(super) type SetTimer = (TimeDomain, i64, Vec<u8>);

/// The outside of a function.
#[derive(Default)]
pub(super) struct Memory {
    stores: RefCell<Vec<String>>,
    pub(super) world: RefCell<World>,
}

/// What goes back to the last checkpoint when the function dies.
#[derive(Default, Clone)]
pub(super) struct World {
    pub(super) output: Told<Emitted>,
    pub(super) watermarks: Told<(u32, u64)>,
    /// When each timer is due, and its turn in the queue if its time had come when it was set.
    timers: BTreeMap<(TimeDomain, Vec<u8>), (i64, Option<u64>)>,
    /// The time of each domain that has come: a timer that is set for it or an earlier one waits in the queue.
    pub(super) reached: BTreeMap<TimeDomain, i64>,
    /// The turn of those that are queued now.
    pub(super) turn: u64,
    state: BTreeMap<(u32, Vec<u8>), Vec<u8>>,
}

/// What the function told the world, of which the test has taken some. What is told again, after the way back, is not taken again.
#[derive(Clone)]
pub(super) struct Told<T> {
    all: Vec<T>,
    taken: usize,
}

impl<T> Default for Told<T> {
    fn default() -> Self {
        Told { all: Vec::new(), taken: 0 }
    }
}

impl<T: Clone> Told<T> {
    /// What was told since the last call.
    pub(super) fn take(&mut self) -> Vec<T> {
        let new = self.all.get(self.taken..).unwrap_or_default().to_vec();
        self.taken = self.taken.max(self.all.len());
        new
    }

    /// Nothing of it can be told again.
    pub(super) fn forget_taken(&mut self) {
        self.all.drain(..self.taken.min(self.all.len()));
        self.taken = 0;
    }
}

impl World {
    /// Goes back to a checkpoint, but for what the test has taken since.
    pub(super) fn go_back_to(&mut self, checkpoint: &World) {
        let taken = (self.output.taken, self.watermarks.taken);
        self.clone_from(checkpoint);
        (self.output.taken, self.watermarks.taken) = taken;
    }

    /// The timers of a domain that are due at a time and not queued, in the order of their times.
    pub(super) fn due(&self, domain: TimeDomain, now: i64) -> Vec<SetTimer> {
        self.find(domain, |at, turn| turn.is_none() && at <= now)
    }

    /// The timers of the queue of a domain up to a turn, in the order of their times.
    pub(super) fn queued(&self, domain: TimeDomain, last: u64) -> Vec<SetTimer> {
        self.find(domain, |_, turn| turn.is_some_and(|turn| turn <= last))
    }

    fn find(&self, domain: TimeDomain, wanted: impl Fn(i64, Option<u64>) -> bool) -> Vec<SetTimer> {
        let of_domain = self.timers.iter().filter(|((of, _), (at, turn))| *of == domain && wanted(*at, *turn));
        let mut found: Vec<_> = of_domain.map(|((_, key), (at, _))| (domain, *at, key.clone())).collect();
        found.sort();
        found
    }

    /// Deletes timers, and gives those of them that were set.
    pub(super) fn unset(&mut self, timers: &[SetTimer]) -> Vec<SetTimer> {
        let mut unset = timers.to_vec();
        unset.retain(|(domain, at, key)| {
            let timer = (*domain, key.clone());
            let is_set = self.timers.get(&timer).is_some_and(|(set_for, _)| set_for == at);
            is_set && self.timers.remove(&timer).is_some()
        });
        unset
    }

    /// All timers that are set, in the order of their times.
    pub(super) fn timers(&self) -> Vec<SetTimer> {
        TimeDomain::ALL.into_iter().flat_map(|domain| self.find(domain, |_, _| true)).collect()
    }
}

impl Boundary for Memory {
    fn emit_frame(&self, frame: &[u8]) -> Result<(), String> {
        let frame = Frame::parse(frame).map_err(|e| e.to_string())?;
        self.world.borrow_mut().output.all.extend(frame.iter().map(|record| Emitted {
            target: record.channel,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            headers: record.headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
            value: record.value.map(<[u8]>::to_vec),
        }));
        Ok(())
    }

    fn emit_watermark(&self, target: u32, watermark: u64) -> Result<(), String> {
        self.world.borrow_mut().watermarks.all.push((target, watermark));
        Ok(())
    }

    fn set_timer(&self, domain: TimeDomain, key: &[u8], at: i64) -> Result<(), String> {
        check_timer_key(key)?;
        let world = &mut *self.world.borrow_mut();
        let has_come = world.reached.get(&domain).is_some_and(|reached| at <= *reached);
        world.timers.insert((domain, key.to_vec()), (at, has_come.then_some(world.turn)));
        Ok(())
    }

    fn delete_timer(&self, domain: TimeDomain, key: &[u8]) -> Result<(), String> {
        check_timer_key(key)?;
        self.world.borrow_mut().timers.remove(&(domain, key.to_vec()));
        Ok(())
    }

    fn open(&self, name: &str) -> Result<u32, String> {
        if name.is_empty() || name.len() > 255 {
            return Err(format!("a store name has {} bytes, not 1 to 255", name.len()));
        }
        let mut stores = self.stores.borrow_mut();
        let known = stores.iter().position(|known| known == name);
        Ok(known.unwrap_or_else(|| {
            stores.push(name.to_owned());
            stores.len() - 1
        }) as u32)
    }

    fn get(&self, store: u32, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        Ok(self.world.borrow().state.get(&(store, key.to_vec())).cloned())
    }

    fn write(&self, store: u32, ops: &[u8]) -> Result<(), String> {
        let state = &mut self.world.borrow_mut().state;
        let at = |key: &[u8]| (store, key.to_vec());
        OpList::read::<FrameError>(ops, |op| {
            match op {
                StateOp::Put(key, value) => {
                    state.insert(at(key), value.to_vec());
                }
                StateOp::Delete(key) => {
                    state.remove(&at(key));
                }
                StateOp::Merge(key, operand) => state.entry(at(key)).or_default().extend_from_slice(operand),
                StateOp::DeleteRange(start, end) => {
                    state.retain(|(of, key), _| {
                        *of != store || &key[..] < start || end.is_some_and(|end| &key[..] >= end)
                    });
                }
            }
            Ok(())
        })
        .map_err(|e| e.to_string())
    }

    fn scan(&self, store: u32, start: &[u8], end: Option<&[u8]>, max_bytes: u32) -> Result<Page, String> {
        let world = self.world.borrow();
        let mut pairs = Vec::new();
        let mut bytes = 0;
        for ((of, key), value) in world.state.range((store, start.to_vec())..) {
            if *of != store || end.is_some_and(|end| &key[..] >= end) {
                break;
            }
            if !pairs.is_empty() && bytes + key.len() + value.len() > max_bytes as usize {
                return Ok((pairs, Some(key.clone())));
            }
            bytes += key.len() + value.len();
            pairs.push((key.clone(), value.clone()));
        }
        Ok((pairs, None))
    }
}

fn check_timer_key(key: &[u8]) -> Result<(), String> {
    if key.len() > MOST_TIMER_KEY {
        return Err(format!("a timer's key has {} bytes, more than {MOST_TIMER_KEY}", key.len()));
    }
    Ok(())
}
