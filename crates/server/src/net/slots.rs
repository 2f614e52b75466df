// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The places for connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::connection::Watch;

/// How long a client counts as being at work after each answer.
const AT_WORK: Duration = Duration::from_secs(10);

/// Places for connections, and who has them.
pub(crate) struct Slots {
    most: usize,
    open: Mutex<Open>,
    /// A connection ended.
    freed: Notify,
    /// Whether it was told that all places are taken, and that the process has no descriptor left.
    told: AtomicBool,
    short: AtomicBool,
    refused: Counter,
    /// Those who are refused, or wait for the place of an idle one.
    at_the_door: Arc<Semaphore>,
}

#[derive(Default)]
struct Open {
    next: u64,
    connections: BTreeMap<u64, Arc<Watch>>,
}

/// A place, for as long as this lives.
pub(super) struct Slot {
    slots: Arc<Slots>,
    number: u64,
}

impl Slots {
    pub(super) fn new(most: usize, refused: usize) -> Arc<Self> {
        Arc::new(Slots {
            most,
            open: Mutex::default(),
            freed: Notify::new(),
            told: AtomicBool::new(false),
            short: AtomicBool::new(false),
            refused: Counter::default(),
            at_the_door: Arc::new(Semaphore::new(refused)),
        })
    }

    /// A place for a connection, if there is one.
    pub(super) fn enter(self: &Arc<Self>, watch: &Arc<Watch>) -> Option<Slot> {
        let mut open = self.open.lock();
        if open.connections.len() >= self.most {
            return None;
        }
        let number = open.next;
        open.next += 1;
        open.connections.insert(number, watch.clone());
        Some(Slot { slots: self.clone(), number })
    }

    /// Asks the connection to leave that has been idle for longest, of those on which nothing was ever asked if there are any.
    /// One that was in use just now stays: its client is at work.
    pub(super) fn make_room(&self) {
        let open = self.open.lock();
        let idle = open.connections.values().filter_map(|watch| Some(((watch.was_used(), watch.idle_since()?), watch)));
        let longest = idle.min_by_key(|(order, _)| *order);
        if let Some(((was_used, since), watch)) = longest
            && (!was_used || since.elapsed() > AT_WORK)
        {
            watch.ask_to_leave();
        }
    }

    /// All places are taken: told once until there is room again.
    pub(super) fn tell_full(&self) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                connections = self.most,
                "all connections are taken, new ones take the place of idle ones or are refused"
            );
        }
    }

    /// The system has none to give: told once until there is room again.
    pub(super) fn tell_short(&self, error: &std::io::Error) {
        if !self.short.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "a connection cannot be accepted, new ones are closed until others end");
        }
    }

    pub(super) fn count_refused(&self) {
        self.refused.inc();
    }

    /// A permit to have a connection open that has no place; few may.
    pub(super) fn door(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        self.at_the_door.clone().try_acquire_owned().ok()
    }

    /// Waits until a connection ends, at most until `until`.
    pub(super) async fn freed(&self, until: Instant) {
        let _ = tokio::time::timeout_at(until, self.freed.notified()).await;
    }

    /// Connections that have a place.
    pub(crate) fn open(&self) -> usize {
        self.open.lock().connections.len()
    }

    /// The most of them.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Connections that were refused.
    pub(crate) fn refused(&self) -> &Counter {
        &self.refused
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.slots.open.lock();
        open.connections.remove(&self.number);
        if open.connections.len() < self.slots.most / 4 * 3 {
            self.slots.told.store(false, Ordering::Relaxed);
            self.slots.short.store(false, Ordering::Relaxed);
        }
        drop(open);
        self.slots.freed.notify_one();
    }
}
