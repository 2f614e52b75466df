// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What can be chosen when a store is opened. A choice never changes what is on disk.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::clock::{Clock, SystemClock};
use fnstream_core::dir::Access;

/// The point at which a write counts as done.
///
/// ```text
///            merged with others   synced to the disk   survives kill -9   survives a power cut
/// Sync               no                  yes                  yes                 yes
/// Group              yes                 yes                  yes                 yes
/// Os                 yes                 no                   yes        as a prefix of what was done
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// One synced write for each epoch and each append.
    Sync,
    /// All that waits is merged into one synced write.
    #[default]
    Group,
    /// All that waits is merged into one write, which the operating system writes back when it likes.
    Os,
}

/// The settings of a store.
#[derive(Clone)]
pub struct StoreOptions {
    /// The point at which a write counts as done.
    pub durability: Durability,
    /// Who may read the files, beside the user that this process runs as. What RocksDB makes has the rights that the process's
    /// umask leaves.
    pub access: Access,
    /// The largest record that a topic takes, with its key, headers and 28 bytes of bookkeeping.
    pub max_record_bytes: usize,
    /// Memory for blocks of the log and the state, for indexes and for filters: one cache for all.
    pub block_cache_bytes: usize,
    /// Memory for what is written but not yet in a sorted file, over all column families. A flush begins when it is
    /// nearly full, so for a moment there may be about twice as much.
    pub write_buffer_bytes: usize,
    /// The most tables that are kept open.
    pub max_open_files: usize,
    /// How long the store tries to recover from an error of the disk before it is given up, if it ever is.
    pub recovery_timeout: Option<Duration>,
    /// How many bytes a second are read to look for damage, if any are.
    pub scrub_rate: Option<u64>,
    /// How long a producer that numbers its records may be silent before its numbers are forgotten.
    pub producers_max_age: Duration,
    /// The most producers of a topic that are remembered: of more, those that were silent for longest are forgotten.
    pub producers_max_count: usize,
    /// Where creation times come from.
    pub clock: Arc<dyn Clock>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            durability: Durability::default(),
            access: Access::default(),
            max_record_bytes: 16 << 20,
            block_cache_bytes: 64 << 20,
            write_buffer_bytes: 64 << 20,
            // More than a log of tens of gigabytes has.
            max_open_files: 1024,
            recovery_timeout: None,
            scrub_rate: None,
            producers_max_age: Duration::from_secs(7 * 24 * 3600),
            producers_max_count: 100_000,
            clock: Arc::new(SystemClock::new()),
        }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("durability", &self.durability)
            .field("access", &self.access)
            .field("max_record_bytes", &self.max_record_bytes)
            .field("block_cache_bytes", &self.block_cache_bytes)
            .field("write_buffer_bytes", &self.write_buffer_bytes)
            .field("max_open_files", &self.max_open_files)
            .field("recovery_timeout", &self.recovery_timeout)
            .field("scrub_rate", &self.scrub_rate)
            .field("producers_max_age", &self.producers_max_age)
            .field("producers_max_count", &self.producers_max_count)
            .finish_non_exhaustive()
    }
}
