// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Consumers that wait.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How many consumers of this process wait at each topic.
#[derive(Default)]
pub(in crate::app) struct Waiting(Mutex<HashMap<Arc<str>, u64>>);

/// A consumer that waits, for as long as this lives.
pub(super) struct OneWaiting<'a> {
    waiting: &'a Waiting,
    topic: Arc<str>,
}

impl Waiting {
    pub(super) fn begin(&self, topic: &Arc<str>) -> OneWaiting<'_> {
        *self.0.lock().entry(topic.clone()).or_default() += 1;
        OneWaiting { waiting: self, topic: topic.clone() }
    }

    pub(super) fn count(&self, topic: &str) -> u64 {
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
