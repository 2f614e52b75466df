// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Where a bench runs: in this process, on a server, or in a program on a cluster.

use std::time::Duration;

use bytes::Bytes;

use super::report::Report;
use crate::failure::{Failure, Result};

/// How long nothing may move before a run is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// An input topic, a function that can be started, and its output topic.
pub(super) trait Target {
    /// Sends a frame of records without waiting until it is durable; waits only while too much is under way.
    fn send(&mut self, frame: Vec<u8>) -> Result;

    /// Waits until everything that was sent is durable.
    fn flush(&mut self) -> Result;

    /// Starts the function and returns; it comes up by itself.
    fn start_function(&mut self) -> Result;

    /// Kills what runs the function, and starts it again without waiting for it.
    fn kill_and_start(&mut self) -> Result {
        Err(Failure::Usage("--kill needs a program of its own: see --backend".into()))
    }

    /// Waits until there are so many outputs. Fails when nothing moves any more.
    fn await_outputs(&mut self, count: u64) -> Result;

    /// A reader of the outputs from the first on.
    fn outputs(&mut self) -> Result<Box<dyn Outputs>>;

    /// The CPU time so far of the process that runs the function, if it is known.
    fn cpu(&self) -> Option<Duration>;

    /// Whether the outputs are the inputs themselves.
    fn copies(&self) -> bool;

    /// Puts into the report what was seen besides, when everything is done.
    fn observe(&mut self, _report: &mut Report) -> Result {
        Ok(())
    }

    /// Ends orderly and removes what was made.
    fn finish(&mut self) -> Result;
}

/// Reads outputs.
pub(super) trait Outputs: Send {
    /// The next ones; waits for them. `None` when nothing came within the time.
    fn next(&mut self, patience: Duration) -> Result<Option<Bytes>>;
}
