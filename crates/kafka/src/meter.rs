// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is counted of transactions.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Transactions by their outcome, since the connection was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transactions {
    /// Those that are visible.
    pub committed: u64,
    /// Those of which nothing happened: they are made again, or without the record that was refused.
    pub aborted: u64,
    /// Those that another producer has prevented.
    pub fenced: u64,
    /// Those of which it was not known whether they had happened: what was committed is read then.
    pub unknown: u64,
    /// The time that those took that were committed.
    pub time: Duration,
    /// How often the tasks of a server group were shared out anew, as this process was told.
    pub rebalances: u64,
}

impl Transactions {
    /// These and others.
    #[must_use]
    pub fn with(self, others: Transactions) -> Transactions {
        Transactions {
            committed: self.committed + others.committed,
            aborted: self.aborted + others.aborted,
            fenced: self.fenced + others.fenced,
            unknown: self.unknown + others.unknown,
            time: self.time + others.time,
            rebalances: self.rebalances + others.rebalances,
        }
    }
}

/// Counts them.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    committed: AtomicU64,
    aborted: AtomicU64,
    fenced: AtomicU64,
    unknown: AtomicU64,
    micros: AtomicU64,
    rebalances: AtomicU64,
}

impl Meter {
    pub(crate) fn committed(&self, took: Duration) {
        self.committed.fetch_add(1, Relaxed);
        self.micros.fetch_add(took.as_micros() as u64, Relaxed);
    }

    pub(crate) fn aborted(&self) {
        self.aborted.fetch_add(1, Relaxed);
    }

    pub(crate) fn fenced(&self) {
        self.fenced.fetch_add(1, Relaxed);
    }

    pub(crate) fn unknown(&self) {
        self.unknown.fetch_add(1, Relaxed);
    }

    pub(crate) fn rebalanced(&self) {
        self.rebalances.fetch_add(1, Relaxed);
    }

    pub(crate) fn counted(&self) -> Transactions {
        Transactions {
            committed: self.committed.load(Relaxed),
            aborted: self.aborted.load(Relaxed),
            fenced: self.fenced.load(Relaxed),
            unknown: self.unknown.load(Relaxed),
            time: Duration::from_micros(self.micros.load(Relaxed)),
            rebalances: self.rebalances.load(Relaxed),
        }
    }
}
