// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam to what is to be done from time to time where data is kept.

use crate::error::{Error, Result};
use crate::spec::FunctionEntry;
use crate::topics::Retention;

/// The upkeep of a place where data is kept.
///
/// Methods may block, unless they say otherwise.
pub trait Upkeep: Send + Sync {
    /// Drops what retention does not keep at that moment, in milliseconds since the Unix epoch; the defaults are for topics that
    /// do not say otherwise, whenever they were made. To be called again and again;
    /// what fails is done at the next call.
    fn tidy(&self, now_unix_ms: i64, defaults: &Retention) -> Result<()>;

    /// Whether what is written now would be kept: tries it. An error, too, if any of what was kept was found damaged since the
    /// start, until somebody has looked at it and starts anew.
    fn probe(&self) -> Result<()>;

    /// The damage that was found since the start in what a function reads, keeps or runs, if any was. Does not block.
    fn damage_to(&self, function: &FunctionEntry) -> Option<Error>;

    /// How the place fares. Does not block.
    fn health(&self) -> Health;
}

/// How a place fares where data is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Nothing can be written, because of an error of the disk, until it has recovered.
    pub is_recovering: bool,
    /// How often an error of the disk did that since the start.
    pub failures: u64,
    /// How often it has recovered from one.
    pub recoveries: u64,
    /// Damaged places that were found since the start, artifacts not among them.
    pub damages: u64,
    /// What was read to look for damage.
    pub scrubbed_bytes: u64,
}
