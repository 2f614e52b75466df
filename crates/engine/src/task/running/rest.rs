// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A batch that is processed in parts, because records of it failed and were dealt with where they are.
//!
//! Each part is a call of its own, which has a cost, and so has what a part holds behind a record that fails: it was passed in
//! vain. So parts are as large as the records between two failures suggest: twice as many as were good before the last one, and
//! twice as many again after each part without a failure.

use fnstream_core::batch::Batch;
use fnstream_core::record::Position;

use crate::task::dead_letters::DeadLetters;

/// See the module.
pub(super) struct Rest {
    batch: Batch,
    /// Where the records come from, if they are dead letters.
    dead_letters: Option<DeadLetters>,
    /// The first record that is still to be processed.
    next: usize,
    /// The most records of the next part.
    most: usize,
}

impl Rest {
    /// A batch of input.
    pub(super) fn of_input(batch: Batch) -> Self {
        Rest { most: batch.len(), batch, dead_letters: None, next: 0 }
    }

    /// A batch of dead letters.
    pub(super) fn of_dead_letters(found: DeadLetters) -> Self {
        let batch = found.records.clone();
        Rest { dead_letters: Some(found), ..Rest::of_input(batch) }
    }

    pub(super) fn is_of_dead_letters(&self) -> bool {
        self.dead_letters.is_some()
    }

    pub(super) fn dead_letters(&self) -> Option<&DeadLetters> {
        self.dead_letters.as_ref()
    }

    /// Reports whether there is nothing left.
    pub(super) fn is_empty(&self) -> bool {
        self.next == self.batch.len()
    }

    /// The records that are processed next.
    pub(super) fn part(&self) -> Batch {
        self.batch.slice(self.next..self.batch.len().min(self.next.saturating_add(self.most)))
    }

    /// Takes so many records off the front; answers them, with the position at which reading goes on after them.
    pub(super) fn take(&mut self, records: usize) -> (Batch, Position) {
        let taken = self.batch.slice(self.next..self.next + records);
        self.next += records;
        let end = taken.end().unwrap_or_default();
        // Behind the last of a task's own dead letters there may be others'.
        let end = self.dead_letters.as_ref().filter(|_| self.is_empty()).map_or(end, |found| found.end);
        (taken, end)
    }

    /// A part was processed: the next one is larger.
    pub(super) fn went_well(&mut self) {
        self.most = self.most.saturating_mul(2);
    }

    /// A record failed and was given up, after so many good ones.
    pub(super) fn gave_up_after(&mut self, good: usize) {
        self.most = good.saturating_mul(2).max(1);
    }

    /// The next record is processed alone: it failed and is tried again, or the one before it did.
    pub(super) fn one(&mut self) {
        self.most = 1;
    }
}

#[cfg(test)]
mod tests {
    use fnstream_core::batch::BatchPositions;
    use fnstream_core::record::TopicPartition;
    use fnstream_frame::{FrameBuilder, RecordRef};

    use super::*;

    #[test]
    fn parts_are_as_large_as_the_distance_of_failures_suggests() {
        let mut frame = FrameBuilder::new();
        (0..100).for_each(|_| frame.push(RecordRef::new(b"x")));
        let positions = BatchPositions::Contiguous(Position(10));
        let batch = Batch::new(TopicPartition::new("in", 0), positions, frame.to_bytes().into()).unwrap();
        let mut rest = Rest::of_input(batch);
        assert_eq!(rest.part().len(), 100);
        let (good, end) = rest.take(3);
        assert_eq!((good.len(), end), (3, Position(13)));
        rest.one();
        assert_eq!((rest.part().len(), rest.part().position(0)), (1, Position(13)));
        rest.take(1);
        rest.gave_up_after(3);
        assert_eq!((rest.part().len(), rest.part().position(0)), (6, Position(14)));
        rest.take(6);
        rest.went_well();
        assert_eq!(rest.part().len(), 12);
        rest.gave_up_after(0);
        assert_eq!(rest.part().len(), 1);
        assert_eq!(rest.take(90).1, Position(110));
        assert!(rest.is_empty());
    }
}
