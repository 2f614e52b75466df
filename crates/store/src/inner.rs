// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The parts that all handles of a store share.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use fnstream_core::Result;
use fnstream_core::epoch::FunctionId;
use fnstream_core::waker::Waker;
use parking_lot::{Mutex, RwLock};

use crate::base::Base;
use crate::commit::ledger::Ledger;
use crate::commit::thread::Queue;
use crate::db::{Db, Sync};
use crate::log::claims::Claims;
use crate::log::producers::Looked;
use crate::log::topics::Topics;
use crate::options::{Durability, StoreOptions};

/// Locks are taken in the order in which they stand here.
pub(crate) struct Inner {
    pub options: StoreOptions,
    /// One backup at a time.
    pub backup: Mutex<()>,
    /// One run of retention at a time.
    pub retention: Mutex<()>,
    /// Held while the register of functions is changed: compare and set in one step.
    pub functions: Mutex<()>,
    /// Held by the committer while it prepares and writes a group.
    pub ledger: Mutex<Ledger>,
    pub topics: Topics,
    /// What groups of consumers have taken and nobody has accepted yet.
    pub claims: Mutex<Claims>,
    /// Which producers are to be looked at.
    pub producers: Looked,
    /// Functions that were removed since the store was opened; held for reading while state is applied, so that nothing
    /// is applied after its function is gone.
    pub removed: RwLock<HashSet<FunctionId>>,
    /// The watchers of the register of functions.
    pub function_watchers: Mutex<Vec<Waker>>,
    pub queue: Queue,
    /// Last, so that the folder is given up only when all else is.
    pub base: Base,
}

impl Inner {
    /// The database, for one operation; an error while it is closed.
    pub(crate) fn db(&self) -> Result<Arc<Db>> {
        self.base.db()
    }

    /// The way to write what users were promised.
    pub(crate) fn sync(&self) -> Sync {
        if self.options.durability == Durability::Os { Sync::No } else { Sync::Yes }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("options", &self.options).finish_non_exhaustive()
    }
}
