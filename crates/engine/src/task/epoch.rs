// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The open epoch: the work of a task since it last handed one in.

use std::time::Duration;

use fnstream_core::batch::Batch;
use fnstream_core::epoch::Progress;
use fnstream_core::record::{Position, TopicPartition};

/// Numbers of an epoch that are reported when it is committed.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Records that the function emitted.
    pub(super) emitted: u64,
    pub(super) dead_lettered: u64,
    pub(super) skipped: u64,
    /// Dead letters that the function processed.
    pub(super) replayed: u64,
    /// Dead letters that became ones again.
    pub(super) failed_again: u64,
    /// Dead letters that were passed over.
    pub(super) dropped: u64,
    /// Dead letters that went to the end as they are.
    pub(super) moved: u64,
    /// Records whose timestamps were too far ahead of the clock to move the watermark.
    pub(super) ahead: u64,
}

/// The open epoch. Its state writes and emitted records are in the task's host.
#[derive(Debug, Default)]
pub(super) struct OpenEpoch {
    /// The task's progress, this epoch included.
    pub(super) progress: Progress,
    /// Records consumed.
    pub(super) records: u64,
    /// Timers and watermarks that the instance was given.
    pub(super) time_calls: u64,
    /// Bytes consumed.
    pub(super) bytes: usize,
    pub(super) counts: Counts,
    /// When the first record or timer came; unset in an empty epoch.
    begun: Option<Duration>,
    /// The last record that was consumed.
    pub(super) last: Option<(TopicPartition, Position)>,
    /// Records of it that were given up.
    pub(super) given_up: u64,
    /// An instance failed in it and was replaced: what comes before is dear to do again.
    pub(super) replaced: bool,
    /// It is to be committed soon, whatever is in it.
    pub(super) urgent: bool,
    /// When a gap was first passed over; that alone is worth a commit after a while only.
    pub(super) skipped: Option<Duration>,
}

impl OpenEpoch {
    /// An empty epoch after that progress.
    pub(super) fn after(progress: Progress) -> Self {
        OpenEpoch { progress, ..OpenEpoch::default() }
    }

    /// Records, timers and watermarks that the instance was given.
    pub(super) fn size(&self) -> u64 {
        self.records + self.time_calls
    }

    /// Time since the first record or timer.
    pub(super) fn age(&self, now: Duration) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| now.saturating_sub(begun))
    }

    /// Records of the input that it consumed: each counts once, whatever is done with its dead letter later.
    pub(super) fn input_records(&self) -> u64 {
        self.records - self.counts.replayed - self.counts.failed_again
    }

    /// Reports whether all its records were given up: what fails in it is none of theirs.
    pub(super) fn gave_up_all(&self) -> bool {
        self.given_up > 0 && self.given_up == self.records
    }

    /// Reports whether a record that is processed now is as good as alone: all before it were given up.
    pub(super) fn is_at_first_call(&self) -> bool {
        self.time_calls == 0 && self.records == self.given_up
    }

    /// A call begins.
    pub(super) fn begin(&mut self, now: Duration) {
        if self.size() == 0 {
            self.begun = Some(now);
        }
    }

    /// A batch was processed, or given up.
    pub(super) fn consumed(&mut self, batch: &Batch, end: Position) {
        self.progress.positions.insert(batch.from().clone(), end);
        self.records += batch.len() as u64;
        self.bytes += batch.bytes().len();
        self.last = Some((batch.from().clone(), batch.position(batch.len() - 1)));
    }

    /// Ends the epoch and begins the next one.
    pub(super) fn end(&mut self) -> OpenEpoch {
        let next = OpenEpoch::after(self.progress.clone());
        std::mem::replace(self, next)
    }
}
