// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Orders about a function's dead letters, and reports of what came of them.
//!
//! A task keeps its place in the topic of dead letters like its place in any input: everything before it was replayed or
//! dropped, and it moves in the epoch that does so. So a dead letter is replayed exactly once, whatever dies meanwhile. One
//! that fails again goes to the end of the topic, behind the place up to which the order reads.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use fnstream_core::ErrorCode;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::runtime::Program;
use fnstream_core::waker::Waker;
use parking_lot::Mutex;

/// The thing to do with dead letters.
#[derive(Clone)]
pub enum DeadLetterAction {
    /// The function is given them again, as the records that they were, before further input.
    Replay,
    /// They are passed over.
    Drop,
    /// Those at these positions are passed over. The others move to the end of the topic, as they are and in their order, since a
    /// task has one place in its dead letters.
    DropOnly(Arc<BTreeSet<Position>>),
    /// Another program is given them, and only what it makes of them is reported: nothing that it emits or writes is kept,
    /// and the dead letters stay.
    Try(Arc<dyn Program>),
}

impl DeadLetterAction {
    pub(crate) fn is_replay(&self) -> bool {
        matches!(self, DeadLetterAction::Replay)
    }
}

impl fmt::Debug for DeadLetterAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeadLetterAction::Replay => "Replay",
            DeadLetterAction::Drop => "Drop",
            DeadLetterAction::DropOnly(_) => "DropOnly",
            DeadLetterAction::Try(_) => "Try",
        })
    }
}

/// The outcome of an order.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterReport {
    /// Dead letters that the function processed.
    pub replayed: u64,
    /// Dead letters that it failed at once more: they are dead letters again.
    pub failed_again: u64,
    /// Dead letters that were passed over.
    pub dropped: u64,
    /// Dead letters that went to the end, because others were passed over.
    pub moved: u64,
    /// The outcome for each dead letter that another program was given.
    pub tried: Vec<TriedDeadLetter>,
    /// Tasks that ended or stopped before they had done it all.
    pub unfinished_tasks: u32,
}

/// The outcome of trying another program on a dead letter.
#[derive(Debug, Clone)]
pub struct TriedDeadLetter {
    /// The place of the dead letter.
    pub at: (TopicPartition, Position),
    /// The place that the record came from.
    pub source: (TopicPartition, Position),
    /// The number of records that it emitted, or why it failed.
    pub outcome: Result<u64, (ErrorCode, String)>,
}

/// Called with the report when no task has anything to do for the order any more.
pub type DeadLettersDone = Box<dyn FnOnce(DeadLetterReport) + Send>;

/// An order that was given, for whoever gave it. Keeps nothing alive.
#[derive(Clone)]
pub struct DeadLettersOrdered {
    tally: Weak<Tally>,
    tasks: Vec<Waker>,
}

impl DeadLettersOrdered {
    pub(crate) fn new(tally: &Arc<Tally>, tasks: Vec<Waker>) -> Self {
        DeadLettersOrdered { tally: Arc::downgrade(tally), tasks }
    }

    /// Reports whether no task has it any more.
    pub fn is_over(&self) -> bool {
        self.tally.strong_count() == 0
    }

    /// The number of dead letters that another program was given so far.
    pub fn tried(&self) -> u64 {
        self.tally.upgrade().map_or(0, |tally| tally.tried.load(Ordering::Relaxed))
    }

    /// Has the tasks begin nothing more for it. What they have begun they finish; then the report tells what was done. A trial
    /// that is cut off reports nothing of what it tried.
    pub fn cancel(&self) {
        if let Some(tally) = self.tally.upgrade() {
            tally.cancelled.store(true, Ordering::Relaxed);
            drop(tally);
            self.tasks.iter().for_each(Waker::wake);
        }
    }
}

/// The report of an order, to which all tasks of a function add.
pub(crate) struct Tally {
    report: Mutex<DeadLetterReport>,
    done: Mutex<Option<DeadLettersDone>>,
    cancelled: AtomicBool,
    /// The dead letters that were tried by trials that are under way.
    tried: AtomicU64,
}

impl Tally {
    /// A tally of an order to so many tasks; `done` is called when all of them have dropped it.
    pub(crate) fn new(tasks: u32, done: DeadLettersDone) -> Arc<Self> {
        let report = DeadLetterReport { unfinished_tasks: tasks, ..DeadLetterReport::default() };
        Arc::new(Tally {
            report: Mutex::new(report),
            done: Mutex::new(Some(done)),
            cancelled: AtomicBool::new(false),
            tried: AtomicU64::new(0),
        })
    }

    /// So many more dead letters were tried; fewer, when they are to be tried again.
    pub(crate) fn tried(&self, more: i64) {
        self.tried.fetch_add(more as u64, Ordering::Relaxed);
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut DeadLetterReport)) {
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
pub(crate) struct DeadLetterOrder {
    pub(crate) action: DeadLetterAction,
    /// Up to here, exclusive.
    pub(crate) until: Position,
    pub(crate) tally: Arc<Tally>,
}

impl DeadLetterOrder {
    /// Reports whether carrying it out moves the task's place in its dead letters.
    pub(crate) fn moves(&self) -> bool {
        !matches!(self.action, DeadLetterAction::Try(_))
    }

    /// Reports whether nothing more is to be begun for it.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.tally.cancelled.load(Ordering::Relaxed)
    }

    /// The task has done its part.
    pub(crate) fn finish(self) {
        self.tally.note(|report| report.unfinished_tasks -= 1);
    }
}
