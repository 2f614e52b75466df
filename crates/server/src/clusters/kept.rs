// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Connections to clusters, of which some are kept that nobody uses.

use std::collections::HashMap;

use fnstream_core::Result;
use fnstream_core::topic::Cluster;
use parking_lot::Mutex;

use super::Properties;

/// So many clusters stay connected when nobody uses them.
const KEPT: usize = 16;

/// Connections by the cluster and the properties of the client. Some are kept that nobody uses.
pub(super) struct Kept<T> {
    pub(super) all: HashMap<(Cluster, Properties), (T, u64)>,
    /// Counts the times that a cluster was reached.
    turn: u64,
}

/// What is used by others, or not.
pub(super) trait Idle {
    fn is_idle(&self) -> bool;
}

impl<T: Idle> Kept<T> {
    pub(super) fn new() -> Mutex<Self> {
        Mutex::new(Kept { all: HashMap::new(), turn: 0 })
    }

    /// What there is of that key, made if there is none. Answers what is not kept any more, to be dropped without the lock.
    pub(super) fn reach<R>(
        &mut self,
        key: (Cluster, Properties),
        make: impl FnOnce() -> Result<T>,
        take: impl FnOnce(&T) -> R,
    ) -> Result<(R, Vec<T>)> {
        self.turn += 1;
        if !self.all.contains_key(&key) {
            self.all.insert(key.clone(), (make()?, 0));
        }
        let Some((kept, turn)) = self.all.get_mut(&key) else {
            return Err(fnstream_core::error::internal("a cluster that was just reached is none"));
        };
        *turn = self.turn;
        let taken = take(kept);
        Ok((taken, self.surplus()))
    }

    /// Those that were not reached for the longest time and that nobody uses: they are connected to anew for whoever names them again.
    fn surplus(&mut self) -> Vec<T> {
        let mut surplus = Vec::new();
        while self.all.len() > KEPT {
            let idle = self.all.iter().filter(|(_, (kept, _))| kept.is_idle());
            let Some(oldest) = idle.min_by_key(|(_, (_, turn))| *turn).map(|(key, _)| key.clone()) else { break };
            surplus.extend(self.all.remove(&oldest).map(|(kept, _)| kept));
        }
        surplus
    }
}
