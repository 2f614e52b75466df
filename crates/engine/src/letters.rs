// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Orders about a function's dead letters, and what came of them.
//!
//! A task keeps its place in the topic of dead letters like its place in any input: what is before it was replayed or
//! dropped, and it moves in the epoch that does so. So a letter is replayed exactly once, whatever dies meanwhile. A letter
//! that fails again goes to the end of the topic, behind the place up to which the order reads.

use std::fmt;
use std::sync::Arc;

use fnstream_core::ErrorCode;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::runtime::Program;
use parking_lot::Mutex;

/// What is to be done with dead letters.
#[derive(Clone)]
pub enum LetterAction {
    /// The function is given them again, as the records that they were, before further input.
    Replay,
    /// They are passed over.
    Drop,
    /// Another program is given them, and only what it makes of them is reported: nothing that it emits or writes is kept,
    /// and the letters stay.
    Try(Arc<dyn Program>),
}

impl fmt::Debug for LetterAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LetterAction::Replay => "Replay",
            LetterAction::Drop => "Drop",
            LetterAction::Try(_) => "Try",
        })
    }
}

/// What came of an order.
#[derive(Debug, Clone, Default)]
pub struct LetterReport {
    /// Letters that the function processed.
    pub replayed: u64,
    /// Letters that it failed at once more: they are dead letters again.
    pub failed_again: u64,
    /// Letters that were passed over.
    pub dropped: u64,
    /// What another program made of each letter.
    pub tried: Vec<TriedLetter>,
    /// Tasks that ended or stopped before they had done it all.
    pub unfinished_tasks: u32,
}

/// What another program made of a letter.
#[derive(Debug, Clone)]
pub struct TriedLetter {
    /// Where the letter is.
    pub letter: (TopicPartition, Position),
    /// Where the record came from.
    pub source: (TopicPartition, Position),
    /// How many records it emitted, or why it failed.
    pub outcome: Result<u64, (ErrorCode, String)>,
}

/// Called with the report when no task has anything to do for the order any more.
pub type LettersDone = Box<dyn FnOnce(LetterReport) + Send>;

/// What the tasks of a function know of an order, together.
pub(crate) struct Tally {
    report: Mutex<LetterReport>,
    done: Mutex<Option<LettersDone>>,
}

impl Tally {
    /// A tally of an order to so many tasks; `done` is called when all of them have dropped it.
    pub(crate) fn new(tasks: u32, done: LettersDone) -> Arc<Self> {
        let report = LetterReport { unfinished_tasks: tasks, ..LetterReport::default() };
        Arc::new(Tally { report: Mutex::new(report), done: Mutex::new(Some(done)) })
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut LetterReport)) {
        change(&mut self.report.lock());
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if let Some(done) = self.done.get_mut().take() {
            done(std::mem::take(self.report.get_mut()));
        }
    }
}

/// One task's part of an order. Dropping it tells the tally that the task does no more for it.
#[derive(Clone)]
pub(crate) struct LetterOrder {
    pub(crate) action: LetterAction,
    /// Up to here, exclusive.
    pub(crate) until: Position,
    pub(crate) tally: Arc<Tally>,
}

impl LetterOrder {
    /// Whether the place of the task in its dead letters is to move.
    pub(crate) fn moves(&self) -> bool {
        matches!(self.action, LetterAction::Replay | LetterAction::Drop)
    }

    /// The task has done its part.
    pub(crate) fn finish(self) {
        self.tally.note(|report| report.unfinished_tasks -= 1);
    }
}
