// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is done from time to time: retention, and the removal of artifacts that nobody needs.

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::Result;
use fnstream_core::clock::Clock;
use fnstream_core::topics::Retention;
use fnstream_core::upkeep::Upkeep;
use tokio::time::MissedTickBehavior;

use super::ops::{Ops, blocking};
use super::shelf::Shelf;

/// See the module.
pub(crate) struct Maintenance {
    pub(super) ops: Arc<Ops>,
    pub(super) upkeep: Arc<dyn Upkeep>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) clock: Arc<dyn Clock>,
    /// What holds for topics that don't say otherwise.
    pub(super) retention: Retention,
    pub(super) interval: Duration,
}

impl Maintenance {
    /// Does maintenance at once and then at each interval, until the server closes.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut timer = tokio::time::interval(self.interval);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.ops.closing().cancelled() => return,
                _ = timer.tick() => {}
            }
            // As an operation, so that the store is not closed below it.
            let maintenance = self.clone();
            let done = self.ops.detached(|| blocking(move || maintenance.once())).await;
            if let Err(error) = done
                && !self.ops.closing().is_cancelled()
            {
                tracing::warn!(code = %error.code, error = error.message, "maintenance failed, it is tried again");
            }
        }
    }

    fn once(&self) -> Result<()> {
        self.upkeep.tidy(self.clock.unix_ms(), &self.retention)?;
        let removed = self.shelf.sweep()?;
        if removed > 0 {
            tracing::info!(removed, "removed artifacts that no function uses");
        }
        Ok(())
    }
}
