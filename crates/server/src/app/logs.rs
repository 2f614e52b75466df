// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The log of a function, read and written.
//!
//! Whoever waits for lines is woken by the next one, by the deletion of the function, by the shutdown or at its own
//! deadline; nothing is polled.

use std::sync::Arc;
use std::time::Duration;

use fnstream_api::LogPage;
use fnstream_core::spec::{FunctionEntry, check_name};
use fnstream_core::{Error, ErrorCode, Result};
use tokio::time::Instant;

use super::App;
use super::consume::at;
use crate::logs::Reading;

impl App {
    /// Reads a function's log. When there is nothing and `wait` is given, waits so long for the next line.
    pub async fn logs(self: &Arc<Self>, name: String, reading: Reading, wait: Option<Duration>) -> Result<LogPage> {
        self.check_open()?;
        check_name("function", &name)?;
        let asked = name.clone();
        self.blocking(move |app| app.entry(&asked).map(drop)).await?;
        let deadline = Instant::now().checked_add(wait.unwrap_or_default());
        let mut reading = reading;
        // Before reading, so that no line falls between the two.
        let mut news = self.logs.watch(&name);
        loop {
            let page = self.logs.read(&name, reading).await?;
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
                () = self.closing.cancelled() => self.check_open()?,
            }
        }
    }

    /// Writes into a function's log what the server did with it.
    pub(super) fn note(&self, entry: &FunctionEntry, text: &str) {
        self.logs.note(entry.id, &entry.spec.name, text);
    }
}
