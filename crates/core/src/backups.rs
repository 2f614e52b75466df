// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam to backups of all that is kept.

use std::path::Path;
use std::time::Duration;

use crate::error::Result;

/// Makes backups of a place where data is kept, while it is in use.
///
/// A backup is one moment: what tasks have consumed, their state and what they have emitted agree in it, as after a crash at that
/// moment. Everything that was acknowledged before the call is in it.
pub trait Backups: Send + Sync {
    /// Makes a backup at a path where nothing is yet, copying at most `rate` bytes a second if there is a rate. Blocks.
    ///
    /// The path appears when the backup is whole and durable. After an error, also one of the watch, nothing is left of it.
    /// One backup is made at a time: [`BackupUnderWay`](crate::ErrorCode::BackupUnderWay).
    fn make(&self, to: &Path, rate: Option<u64>, watch: &dyn Watch) -> Result<Made>;
}

/// Whoever has a backup made, or reads one.
pub trait Watch: Send + Sync {
    /// Waits so long, perhaps not at all; an error, at once, if it is not wanted any more.
    fn rest(&self, time: Duration) -> Result<()>;

    /// Hears how far it is, after each piece. Must not block for long.
    fn hear(&self, progress: Progress);
}

/// Wants it to its end.
pub struct Patient;

impl Watch for Patient {
    fn rest(&self, _: Duration) -> Result<()> {
        Ok(())
    }

    fn hear(&self, _: Progress) {}
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes that are done.
    pub bytes: u64,
    /// Bytes in all.
    pub of: u64,
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its moment, in milliseconds since the Unix epoch.
    pub at_unix_ms: i64,
    /// The topics in it, those of dead letters included.
    pub topics: u64,
    /// The functions in it.
    pub functions: u64,
    /// Its files, without the list of them.
    pub files: u64,
    /// The bytes of its files.
    pub bytes: u64,
}
