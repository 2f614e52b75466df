// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Waiting until a function is up. The server waits, so that every client learns the same, and an update that does not come up
//! is taken back although the client is gone.

use std::time::Duration;

use fnstream_api::units::parse_duration;
use fnstream_api::{Client, ClientError, FunctionDescription, UpWait};
use fnstream_core::ErrorCode;

use crate::failure::Result;
use crate::output;

/// How long is waited when nothing is said.
const WAIT: &str = "30s";

#[derive(clap::Args)]
pub(super) struct Waiting {
    /// Wait at most so long until every task has started, or one says why not, at most 10m
    #[arg(long, value_name = "DURATION", default_value = WAIT, value_parser = parse_duration)]
    wait: Duration,
    /// Answer as soon as the function was given to the engine
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
}

impl Waiting {
    /// A client whose calls wait so.
    pub(super) fn of(&self, client: &Client, keep_failed: bool) -> Client {
        match self.no_wait {
            true => client.clone(),
            false => client.waiting(UpWait { time: self.wait, keep_failed }),
        }
    }

    /// Prints how a function is that was waited for.
    pub(super) fn tell(&self, function: &FunctionDescription) -> Result {
        match self.no_wait {
            true => Ok(()),
            false => status(function),
        }
    }
}

/// Prints how a function is.
pub(super) fn status(function: &FunctionDescription) -> Result {
    output::line(format!("Function {} is {}", function.name, function.status.as_str()))
}

/// Reports whether what was asked for was done, and the function is not up.
pub(super) fn is_done(error: &ClientError) -> bool {
    error.is(ErrorCode::NotUp) || error.is(ErrorCode::NotUpYet)
}
