// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is done from time to time: retention, and the removal of artifacts that nobody needs.

use std::sync::Arc;

use fnstream_core::Result;
use tokio::time::MissedTickBehavior;

use super::App;

impl App {
    /// Does maintenance at once and then at each interval, until the server closes.
    pub async fn maintain(self: Arc<Self>) {
        let mut timer = tokio::time::interval(self.config.maintenance_interval);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.closing.cancelled() => return,
                _ = timer.tick() => {}
            }
            // As an operation, so that the store is not closed below it.
            let done = self.detached(|app| async move { app.blocking(|app| app.maintain_once()).await }).await;
            if let Err(error) = done
                && !self.closing.is_cancelled()
            {
                tracing::warn!(code = %error.code, error = error.message, "maintenance failed, it is tried again");
            }
        }
    }

    fn maintain_once(&self) -> Result<()> {
        self.store.enforce_retention(self.clock.unix_ms())?;
        let removed = self.sweep_artifacts()?;
        if removed > 0 {
            tracing::info!(removed, "removed artifacts that no function uses");
        }
        Ok(())
    }
}
