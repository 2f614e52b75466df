// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Open files as a budget: what the process may have open, and who may have how much of it.
//!
//! The operating system counts sockets, tables of the store, logs and pipes together, and refuses whichever comes last. A
//! store that cannot open a file is worse than a client that is refused, so the store's share is kept free: connections are
//! bounded below the limit, and consumers that wait are bounded below the connections, so that there is always one left for
//! whoever produces.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What one connection takes of the memory of the process while nothing is asked on it.
const CONNECTION_BYTES: usize = 16 << 10;

/// More connections than these are a matter of choice.
const CONNECTIONS: usize = 12_000;

/// Fewer connections, or files of the store, are not worth starting for.
const LEAST: usize = 16;

/// Raises the soft limit of open files to the hard one. Returns the limit that holds then; no limit is a large number.
pub fn raise_limit() -> usize {
    let limits = getrlimit(Resource::Nofile);
    if limits.current != limits.maximum {
        // Some systems have a bound of their own below the hard limit: then it stays as it was.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, maximum: limits.maximum });
    }
    limit()
}

/// The limit of open files of this process; no limit is a large number.
pub fn limit() -> usize {
    let current = getrlimit(Resource::Nofile).current;
    current.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// The files that this process has open, where the system tells. Blocks.
pub(crate) fn open() -> Option<usize> {
    // One of them is the folder that is being read.
    Some(std::fs::read_dir("/dev/fd").ok()?.count().saturating_sub(1))
}

/// The shares of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// The limit of the process.
    pub limit: usize,
    /// Files of the store.
    pub store: usize,
    /// Connections of both interfaces together.
    pub connections: usize,
    /// Consumers that wait for an event.
    pub waiting: usize,
    /// Refused connections that are still told why.
    pub refused: usize,
}

impl Descriptors {
    /// Divides a limit. `connections` and `waiting` are what was chosen, if anything was; `memory` is what the process may use.
    pub fn divide(limit: usize, memory: usize, connections: Option<usize>, waiting: Option<usize>) -> Self {
        let store = (limit / 4).clamp(LEAST, 4096);
        let refused = (limit / 16).clamp(4, 64);
        // Logs of the store and files that it writes, logs of functions, folders that they were granted, pipes, listeners.
        let others = 96 + (limit / 16).min(1024);
        let left = limit.saturating_sub(store + refused + others).max(LEAST);
        let usual = (memory / 8 / CONNECTION_BYTES).clamp(LEAST, CONNECTIONS);
        let connections = connections.unwrap_or(usual).min(left);
        // One in ten is for those who don't wait.
        let most = connections - connections.div_ceil(10);
        let waiting = waiting.unwrap_or(most).min(most);
        Descriptors { limit, store, connections, waiting, refused }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_stay_below_the_limit_and_leave_a_connection_for_producers() {
        for limit in [256, 512, 1024, 4096, 20_000, 1 << 20, usize::MAX] {
            for chosen in [None, Some(16), Some(100_000)] {
                let shares = Descriptors::divide(limit, 2 << 30, chosen, chosen);
                let taken = shares.store + shares.connections + shares.refused;
                assert!(taken + 64 < limit, "{shares:?}");
                assert!(shares.waiting < shares.connections, "{shares:?}");
            }
        }
    }

    #[test]
    fn what_is_chosen_holds_where_there_is_room() {
        let shares = Descriptors::divide(1 << 20, 2 << 30, Some(50_000), Some(7));
        assert_eq!((shares.connections, shares.waiting), (50_000, 7));
        let shares = Descriptors::divide(1 << 20, 2 << 30, None, None);
        assert_eq!((shares.connections, shares.waiting, shares.store), (12_000, 10_800, 4096));
        // Memory bounds them, too.
        assert_eq!(Descriptors::divide(1 << 20, 256 << 20, None, None).connections, 2048);
    }

    #[test]
    fn the_limit_is_raised_and_files_are_counted() {
        let raised = raise_limit();
        assert_eq!(raised, limit());
        let before = open().unwrap();
        let files: Vec<_> = (0..8).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        // Other tests open and close files at the same time.
        assert!(open().unwrap() + 100 > before + files.len());
    }
}
