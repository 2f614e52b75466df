// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What other clusters keep of functions that were deleted, such as internal topics.
//!
//! It is noted before the function is deleted and removed after. Where that fails, since the cluster is away or the server is killed in
//! between, it is tried again: after waits that grow, and when the server starts anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::Result;
use fnstream_core::error::internal;
use fnstream_core::metadata::Metadata;
use fnstream_core::notes::Notes;
use fnstream_core::spec::FunctionEntry;
use tokio::sync::Notify;

use super::Foreign;
use crate::app::ops::{Ops, blocking};

/// What the names of the notes begin with.
const PREFIX: &str = "left-behind.";

/// The waits between two tries.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);

/// See the module.
pub(crate) struct Leftovers {
    pub(crate) notes: Arc<dyn Notes>,
    pub(crate) foreign: Arc<dyn Foreign>,
    pub(crate) register: Arc<dyn Metadata>,
    /// Told when a function was deleted.
    pub(crate) deleted: Notify,
}

impl Leftovers {
    /// Notes a function that is about to be deleted. Blocks.
    pub(super) fn note(&self, entry: &FunctionEntry) -> Result<()> {
        let note = serde_json::to_vec(entry).map_err(|e| internal(format!("a function that cannot be noted: {e}")))?;
        self.notes.put(&name(entry), &note)
    }

    /// `has_heir` says that another function has its name now, and so its subscriptions.
    fn try_remove(&self, entry: &FunctionEntry, has_heir: bool) -> bool {
        let foreign: BTreeSet<_> = entry.spec.places().map(|topic| topic.cluster).filter(|of| !of.is_own()).collect();
        let removed = foreign.iter().map(|cluster| {
            self.foreign.forget(cluster, entry, has_heir).inspect_err(|error| {
                let function = &entry.spec.name;
                tracing::warn!(function, %cluster, %error, "what the cluster keeps of a deleted function is removed later");
            })
        });
        // Each cluster is asked.
        let removed: Vec<Result<()>> = removed.collect();
        let removed = removed.into_iter().collect::<Result<()>>().and_then(|()| self.notes.remove(&name(entry)));
        removed.is_ok()
    }

    /// Removes what is noted, until the server closes.
    pub(crate) async fn run(self: Arc<Self>, ops: Arc<Ops>) {
        let mut wait = FIRST;
        loop {
            let leftovers = self.clone();
            // As an operation, so that the store is not closed below it.
            let left = ops.detached(|| blocking(move || leftovers.once())).await;
            let left = left.unwrap_or_else(|error| {
                tracing::debug!(%error, "what deleted functions have left behind could not be looked at");
                true
            });
            let closing = ops.closing();
            tokio::select! {
                () = closing.cancelled() => return,
                () = self.deleted.notified() => wait = FIRST,
                // Nothing tells when a cluster is back.
                _ = tokio::time::timeout(wait, std::future::pending::<()>()), if left => wait = (wait * 2).min(LONGEST),
            }
        }
    }

    /// Tries to remove all that is noted; whether something is left. Blocks.
    fn once(&self) -> Result<bool> {
        let noted = self.notes.list()?.into_iter().filter(|(name, _)| name.starts_with(PREFIX));
        let noted = noted.filter_map(|(name, note)| match serde_json::from_slice::<FunctionEntry>(&note) {
            Ok(entry) => Some(entry),
            Err(error) => {
                tracing::warn!(note = name, %error, "a note of a deleted function cannot be read");
                None
            }
        });
        let noted: Vec<_> = noted.collect();
        if noted.is_empty() {
            return Ok(false);
        }
        // One that is still there was not deleted, or is about to be.
        let there: BTreeMap<_, _> =
            self.register.list()?.into_iter().map(|entry| (entry.id, entry.spec.name)).collect();
        let mut left = false;
        for entry in noted.iter().filter(|entry| !there.contains_key(&entry.id)) {
            let has_heir = there.values().any(|name| *name == entry.spec.name);
            if self.try_remove(entry, has_heir) {
                tracing::info!(function = entry.spec.name, "what other clusters kept of a deleted function is removed");
            } else {
                left = true;
            }
        }
        Ok(left)
    }
}

fn name(entry: &FunctionEntry) -> String {
    format!("{PREFIX}{}", entry.id.0)
}
