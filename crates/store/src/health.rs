// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How the database fares, over all its openings, and who is told.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};
use fnstream_core::{Error, ErrorCode, Result, upkeep};
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::damage::{Damage, Extent};

/// Damaged files that are told apart. More of them are no more news.
const MOST_DAMAGES: usize = 64;

/// The reason to look after the database.
#[derive(Debug)]
pub(crate) enum Alarm {
    /// It takes no writes any more.
    Broken(Error),
    /// The disk is full.
    Full,
    /// The store is given up.
    End,
}

/// Called once, with the reason, when the store cannot recover in the time that it was given.
type GiveUp = Box<dyn FnOnce(Error) + Send>;

/// See the module.
pub(crate) struct Health {
    alarms: Sender<Alarm>,
    /// The damage that was met since the store was opened, each file once.
    damages: RwLock<Vec<Damage>>,
    scrubbed: AtomicU64,
    broken: AtomicU64,
    reopened: AtomicU64,
    /// The last write of the database that was closed last.
    last_write: AtomicU64,
    given_up: Mutex<GivenUp>,
    pub(crate) hooks: Hooks,
}

#[derive(Default)]
enum GivenUp {
    #[default]
    Not,
    /// Who wants to know of it.
    Told(GiveUp),
    /// Nobody has asked yet.
    Yes(Error),
}

impl Health {
    pub(crate) fn new() -> (Self, Receiver<Alarm>) {
        let (alarms, heard) = unbounded();
        let health = Health {
            alarms,
            damages: RwLock::default(),
            scrubbed: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            reopened: AtomicU64::new(0),
            last_write: AtomicU64::new(0),
            given_up: Mutex::default(),
            hooks: Hooks::default(),
        };
        (health, heard)
    }

    pub(crate) fn sound(&self, alarm: Alarm) {
        if let Alarm::Broken(error) = &alarm {
            self.broken.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "the database takes no writes any more, it is opened anew as soon as the disk works");
        }
        // Nobody looks after a store that is given up.
        let _ = self.alarms.send(alarm);
    }

    /// Damage was met, in that range of keys if it is known.
    pub(crate) fn damaged(&self, error: &Error, extent: impl FnOnce() -> Option<Extent>) {
        if self.damages.read().iter().any(|known| known.error.message == error.message) {
            return;
        }
        let extent = extent();
        let mut damages = self.damages.write();
        let is_known = damages.iter().any(|known| extent.is_some() && known.extent == extent);
        if !is_known && damages.len() < MOST_DAMAGES {
            tracing::error!(%error, "the database is damaged");
            damages.push(Damage { error: error.clone(), extent });
        }
    }

    /// The damage that was met.
    pub(crate) fn damages(&self) -> Vec<Damage> {
        self.damages.read().clone()
    }

    /// So much was read to look for damage.
    pub(crate) fn scrubbed(&self, bytes: u64) {
        self.scrubbed.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Checks that no damage was met since the store was opened. Whoever met it was told; this is for everybody else.
    pub(crate) fn check_undamaged(&self) -> Result<()> {
        self.damages.read().first().map_or(Ok(()), |damage| Err(damage.error.clone()))
    }

    pub(crate) fn reopened(&self) {
        self.reopened.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted.
    pub(crate) fn counts(&self, is_recovering: bool) -> upkeep::Health {
        upkeep::Health {
            is_recovering,
            failures: self.broken.load(Ordering::Relaxed),
            recoveries: self.reopened.load(Ordering::Relaxed),
            damages: self.damages.read().len() as u64,
            scrubbed_bytes: self.scrubbed.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn closing_at(&self, last_write: u64) {
        self.last_write.store(last_write, Ordering::Release);
    }

    pub(crate) fn last_write(&self) -> u64 {
        self.last_write.load(Ordering::Acquire)
    }

    /// The store could not recover in time.
    pub(crate) fn give_up(&self, error: Error) {
        let told = {
            let mut given_up = self.given_up.lock();
            match std::mem::replace(&mut *given_up, GivenUp::Yes(error.clone())) {
                GivenUp::Not => None,
                GivenUp::Told(told) => Some(told),
                GivenUp::Yes(_) => return,
            }
        };
        tracing::error!(%error, "the store is given up");
        if let Some(told) = told {
            told(error);
        }
    }

    /// Has it called when the store is given up, or at once if it was.
    pub(crate) fn on_give_up(&self, told: GiveUp) {
        let mut given_up = self.given_up.lock();
        match &*given_up {
            GivenUp::Yes(error) => {
                let error = error.clone();
                drop(given_up);
                told(error);
            }
            _ => *given_up = GivenUp::Told(told),
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("counts", &self.counts(false)).finish_non_exhaustive()
    }
}

/// What tests make of writes.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    /// What every write answers, after so many that succeed.
    fault: Mutex<Option<(u32, ErrorCode)>>,
    /// While it is held, writes wait.
    stalled: RwLock<()>,
}

impl Hooks {
    /// Lets a write pass, or not.
    pub(crate) fn pass(&self) -> Result<RwLockReadGuard<'_, ()>> {
        let not_stalled = self.stalled.read();
        match &mut *self.fault.lock() {
            Some((0, code)) => return Err(Error::new(*code, "cannot write: a fault was injected")),
            Some((left, _)) => *left -= 1,
            None => {}
        }
        Ok(not_stalled)
    }

    pub(crate) fn stall(&self) -> RwLockWriteGuard<'_, ()> {
        self.stalled.write()
    }

    pub(crate) fn inject_fault(&self, fault: Option<(u32, ErrorCode)>) {
        *self.fault.lock() = fault;
    }
}
