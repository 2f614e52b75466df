// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Safe start: a server that dies of its functions at each start comes up without them, so that somebody can do something
//! about them.
//!
//! The kernel's memory killer ends a process without a word. So each start notes in the file `RUN` of the data folder what it
//! is about to start, and how many starts in a row have died before; and it notes that all is well when it has lived on with its
//! functions for a while, or is asked to end.
//!
//! ```text
//!            functions to be started        30 s later             asked to end
//! no note ──────────► 1 death ─────────► no deaths ──────────────► no note
//!                        │ dies: the next start makes it 2, 3
//!                        ▼
//!                     3 deaths: the next start holds back those that were started each time
//!                        │ dies too: the next start holds back all
//!                        │ start, stop, delete, update of one: it is held back no more; 30 s later that is noted
//!                        ▼
//!                     none is held back: as any other server
//! ```
//!
//! What is held back looks like a function that could not be started, with FS-1709 and with what is known of it ([`words`]).
//! After a safe start that has lived on for a while, the next one holds back the same functions, those excepted that were let
//! go; a server that is ended orderly lets all of them run.

mod note;
mod plan;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::dir::Dir;
use fnstream_core::spec::{DesiredState, FunctionEntry};
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;

use self::note::Note;
use self::plan::{Plan, plan, settled};
use super::ops::{Ops, blocking};
use super::reconcile::Reconciler;
use crate::config::SafeStart as Choice;

/// The file.
const RUN: &str = "RUN";

/// The most names in a line of the log.
const NAMED: usize = 20;

/// See the module.
pub(crate) struct SafeStart {
    pub(super) dir: Arc<Dir>,
    pub(super) choice: Choice,
    /// How long the process has to live with its functions.
    pub(super) stable_after: Duration,
    pub(super) stage: Mutex<Stage>,
}

/// How far this process is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Stage {
    /// No function was started.
    #[default]
    Opening,
    /// Functions were started, and this note was found before.
    Running(Note),
    /// It was asked to end: nothing is to be noted any more.
    Ending,
}

impl SafeStart {
    /// Notes which functions are about to be started, the first time that it is called; answers those that are not to be, each
    /// with the reason. Blocks.
    pub(super) fn begin(&self, entries: &[FunctionEntry]) -> BTreeMap<String, Error> {
        let mut stage = self.stage.lock();
        if *stage != Stage::Opening {
            return BTreeMap::new();
        }
        let running = entries.iter().filter(|entry| entry.desired == DesiredState::Running);
        let wanted: BTreeSet<_> = running.map(|entry| entry.spec.name.clone()).collect();
        let found = self.found();
        let Plan { held, note } = plan(self.choice, &found, &wanted);
        if let Some(note) = note {
            self.put(&note);
        }
        if !held.is_empty() {
            let (count, functions) = (held.len(), listed(&held));
            let why = match self.choice {
                Choice::Always => "service.safe_start is 'always'".to_owned(),
                _ => words::died(&found),
            };
            tracing::warn!(code = %ErrorCode::HeldBack, count, functions, "safe start, functions are held back: {why}");
        }
        let reasons = held.into_iter().map(|name| {
            let reason = self.reason(&found, &name);
            (name, reason)
        });
        let reasons = reasons.collect();
        *stage = Stage::Running(found);
        reasons
    }

    /// Why a function is held back.
    fn reason(&self, found: &Note, name: &str) -> Error {
        let why = match self.choice {
            Choice::Always => "the server was started so".to_owned(),
            _ => words::reason(found, name),
        };
        let message = format!("it is held back, since {why}: start, stop, update or delete it");
        Error::new(ErrorCode::HeldBack, message)
    }

    /// Notes how it fares when the process has lived on with its functions, until the server closes.
    pub(super) async fn watch(self: Arc<Self>, reconciler: Arc<Reconciler>, ops: Arc<Ops>) {
        let mut booted = reconciler.booted();
        tokio::select! {
            _ = booted.wait_for(|booted| *booted) => {}
            () = ops.closing().cancelled() => return,
        }
        let mut held = reconciler.held_back();
        loop {
            // Each one that is let go may be the one that ends the process.
            let changed = reconciler.until_held_back_is_not(&held);
            let settled_down = tokio::select! {
                within = tokio::time::timeout(self.stable_after, changed) => within.is_err(),
                () = ops.closing().cancelled() => return,
            };
            if settled_down {
                self.settle(held.clone()).await;
                if held.is_empty() {
                    return;
                }
                tokio::select! {
                    () = reconciler.until_held_back_is_not(&held) => {}
                    () = ops.closing().cancelled() => return,
                }
            }
            held = reconciler.held_back();
        }
    }

    async fn settle(self: &Arc<Self>, held: BTreeSet<String>) {
        let start = self.clone();
        let noted = blocking(move || {
            // Nothing was counted, or nothing is to be any more.
            if let Stage::Running(found) = &*start.stage.lock()
                && start.choice != Choice::Always
            {
                start.put(&settled(found, held));
            }
            Ok(())
        });
        if let Err(error) = noted.await {
            tracing::warn!(code = %error.code, error = error.message, "it is not noted that the functions run");
        }
    }

    /// The process was asked to end: whatever becomes of it now is not its functions' doing. Blocks.
    pub(crate) fn asked_to_end(&self) {
        *self.stage.lock() = Stage::Ending;
        match self.dir.remove(RUN) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(error = %e, file = RUN, "the note of starts cannot be removed");
            }
            _ => {}
        }
    }

    /// What the start before has left.
    fn found(&self) -> Note {
        let read = || -> Result<Note> {
            match self.dir.read(RUN) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Note::default()),
                read => Note::decode(&read.map_err(|e| Error::new(ErrorCode::Storage, e.to_string()))?),
            }
        };
        read().unwrap_or_else(|error| {
            tracing::warn!(code = %error.code, error = error.message, file = RUN, "it is not known how the last starts ended");
            Note::default()
        })
    }

    fn put(&self, note: &Note) {
        let put = || -> Result<()> {
            let bytes = note.encode()?;
            self.dir.put(RUN, &bytes).map_err(|e| Error::new(ErrorCode::Storage, e.to_string()))
        };
        // A disk that is full must not keep functions from running.
        if let Err(error) = put() {
            tracing::warn!(code = %error.code, error = error.message, file = RUN, "the note of starts cannot be written");
        }
    }
}

/// Names for a line of the log.
fn listed(names: &BTreeSet<String>) -> String {
    let mut text = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        text += &format!(" and {} more", names.len() - NAMED);
    }
    text
}
