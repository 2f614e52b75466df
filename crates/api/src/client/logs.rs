// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Calls about the logs of functions.

use std::time::Duration;

use reqwest::Method;

use super::{Client, ClientError};
use crate::logs::LogPage;

/// Which lines of a log.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// At most so many of the newest; the server's own number without it.
    pub tail: Option<u64>,
    /// All behind that place, the `next` of an earlier page. Not together with `tail`.
    pub after: Option<String>,
    /// When there is none, wait so long for the next one.
    pub wait: Option<Duration>,
}

impl Client {
    /// Reads the log of a function.
    pub async fn function_logs(&self, name: &str, options: &LogOptions) -> Result<LogPage, ClientError> {
        let wait = options.wait.map(|wait| format!("{}ms", wait.as_millis()));
        let query =
            [("tail", options.tail.map(|tail| tail.to_string())), ("after", options.after.clone()), ("wait", wait)];
        let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        self.json(self.function(Method::GET, name, &["logs"])?.query(&query)).await
    }
}
