// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Consumers that wait, and how many may.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use fnstream_core::topic::Topic;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;
use tokio::time::Instant;

/// The places for those who wait for something that may never come. There are fewer of them than connections, so that who waits
/// leaves some to those who bring what they wait for.
pub(crate) struct WaitingRoom {
    most: usize,
    taken: AtomicUsize,
    told: AtomicBool,
}

/// A place, for as long as this lives.
pub(in crate::app) struct Place(Arc<WaitingRoom>);

impl WaitingRoom {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(WaitingRoom { most, taken: AtomicUsize::new(0), told: AtomicBool::new(false) })
    }

    pub(in crate::app) fn enter(self: &Arc<Self>) -> Result<Place> {
        let entered = self.taken.fetch_update(Relaxed, Relaxed, |taken| (taken < self.most).then_some(taken + 1));
        if entered.is_ok() {
            return Ok(Place(self.clone()));
        }
        if !self.told.swap(true, Relaxed) {
            tracing::warn!(most = self.most, "as many clients wait as may, further ones are refused");
        }
        Err(Error::new(ErrorCode::WaitingFull, format!("{} clients wait already, which is the most", self.most)))
    }

    /// How many have a place.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// How many may.
    pub(crate) fn most(&self) -> usize {
        self.most
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let left = self.0.taken.fetch_sub(1, Relaxed) - 1;
        if left < self.0.most / 4 * 3 {
            self.0.told.store(false, Relaxed);
        }
    }
}

/// How many consumers of this process wait at each topic.
#[derive(Default)]
pub(in crate::app) struct Waiting(Mutex<HashMap<Topic, u64>>);

/// A consumer that waits, for as long as this lives.
pub(super) struct OneWaiting<'a> {
    waiting: &'a Waiting,
    topic: Topic,
}

impl Waiting {
    pub(super) fn begin(&self, topic: &Topic) -> OneWaiting<'_> {
        *self.0.lock().entry(topic.clone()).or_default() += 1;
        OneWaiting { waiting: self, topic: topic.clone() }
    }

    pub(super) fn count(&self, topic: &Topic) -> u64 {
        self.0.lock().get(topic).copied().unwrap_or_default()
    }
}

impl Drop for OneWaiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.waiting.0.lock();
        if let Some(count) = waiting.get_mut(&self.topic) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.topic);
            }
        }
    }
}

/// Waits until a moment; for ever without one.
pub(in crate::app) async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
