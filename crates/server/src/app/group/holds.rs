// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Keeping a function from running in all processes, while it is changed.

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::Result;
use fnstream_core::peers::PeerId;
use fnstream_core::spec::FunctionEntry;

use super::Fellows;
use super::ask::Ask;
use crate::app::caller;
use crate::app::reconcile::{Hold, Reconciler};

/// How much longer than its tasks have to finish a process may take to say that they did.
const ANSWER: Duration = Duration::from_secs(5);

/// Keeps a function from running anywhere, while it lives.
pub(in crate::app) struct Holds {
    fellows: Arc<Fellows>,
    name: String,
    peers: Vec<PeerId>,
    here: Option<Hold>,
}

impl Holds {
    /// Answers when none of the function's tasks runs anywhere: they finish what they began, and those that take too long are
    /// ended. A process that cannot be reached, or does not answer, does not count: it is fenced before the function's state is read.
    pub(in crate::app) async fn take(
        fellows: &Arc<Fellows>,
        reconciler: &Arc<Reconciler>,
        entry: &FunctionEntry,
    ) -> Result<Holds> {
        let name = entry.spec.name.clone();
        let ask = Ask::Hold { name: name.clone(), by: fellows.me() };
        // From here on a hold that was taken is released, also when this is abandoned.
        let peers = fellows.others()?;
        let mut holds = Holds { fellows: fellows.clone(), name: name.clone(), peers, here: None };
        let patience = reconciler.patience().saturating_add(ANSWER);
        let (here, there) = tokio::join!(reconciler.hold(&name), fellows.ask_others::<()>(ask, Some(patience)));
        holds.here = Some(here?);
        for (peer, held) in there? {
            if let Err(error) = held {
                tracing::warn!(peer = &*peer.0, code = %error.code, error = error.message, "a peer does not answer: its tasks are fenced");
            }
        }
        Ok(holds)
    }
}

impl Drop for Holds {
    fn drop(&mut self) {
        for peer in std::mem::take(&mut self.peers) {
            let (fellows, caller) = (self.fellows.clone(), caller::current());
            let ask = Ask::Release { name: self.name.clone(), by: fellows.me() };
            tokio::spawn(caller::scope(caller, async move {
                if let Err(error) = fellows.ask::<()>(&peer, &ask).await {
                    tracing::debug!(peer = &*peer.0, code = %error.code, "a peer that is gone holds nothing");
                }
            }));
        }
    }
}
