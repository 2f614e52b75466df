// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The log of a function, read where it was written.
//!
//! Whoever waits for lines is woken by the next one, by the deletion of the function, by the shutdown or at its own
//! deadline; nothing is polled.

use std::sync::Arc;
use std::time::Duration;

use fnstream_api::LogPage;
use fnstream_core::{Error, ErrorCode, Result};
use tokio::time::Instant;

use super::ops::Ops;
use super::records::at;
use crate::logs::{FunctionLogs, Reading};

/// The logs of this process.
pub(crate) struct LocalLogs {
    pub(super) ops: Arc<Ops>,
    pub(super) logs: Arc<FunctionLogs>,
}

impl LocalLogs {
    /// Reads a function's log. When there is nothing and `wait` is given, waits so long for the next line.
    pub(super) async fn read(&self, name: &str, reading: Reading, wait: Option<Duration>) -> Result<LogPage> {
        let deadline = Instant::now().checked_add(wait.unwrap_or_default());
        let mut reading = reading;
        // Before reading, so that no line falls between the two.
        let mut news = self.logs.watch(name);
        loop {
            let page = self.logs.read(name, reading).await?;
            if wait.is_none() || !page.lines.is_empty() {
                return Ok(page);
            }
            // From now on everything that comes, also when no line of the past was asked for.
            if let (Reading::Tail(_), Ok(next)) = (reading, page.next.parse()) {
                reading = Reading::After(next);
            }
            tokio::select! {
                changed = news.changed() => changed.map_err(|_| {
                    Error::new(ErrorCode::FunctionNotFound, format!("function '{name}' was deleted"))
                })?,
                () = at(deadline) => return Ok(page),
                () = self.ops.closing().cancelled() => self.ops.check_open()?,
            }
        }
    }
}
