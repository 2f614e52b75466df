// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Where a bench runs: in this process, or on a server.

use std::time::Duration;

use bytes::Bytes;

use crate::failure::Result;

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

    /// Waits until there are so many outputs. Fails when nothing moves any more.
    fn await_outputs(&mut self, count: u64) -> Result;

    /// A reader of the outputs from the first on.
    fn outputs(&mut self) -> Result<Box<dyn Outputs>>;

    /// Whether the CPU time of this process is that of the function.
    fn is_this_process(&self) -> bool;

    /// Whether the outputs are the inputs themselves.
    fn copies(&self) -> bool;

    /// Ends orderly and removes what was made.
    fn finish(&mut self) -> Result;
}

/// Reads outputs.
pub(super) trait Outputs: Send {
    /// The next ones; waits for them. `None` when nothing came within the time.
    fn next(&mut self, patience: Duration) -> Result<Option<Bytes>>;
}
