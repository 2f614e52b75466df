// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Which dead letters of a function wait.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use fnstream_core::batch::{Batch, BatchPositions};
use fnstream_core::broker::PollLimit;
use fnstream_core::dead_letter::DeadLetter;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::{FunctionEntry, FunctionSpec};
use fnstream_core::tasks::{Standing, Tasks};
use fnstream_core::topic::Topic;
use fnstream_core::topics::{PartitionInfo, Topics};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::FrameBuilder;

/// How much of the dead letters is read at once.
const READ: PollLimit = PollLimit { records: 1024, bytes: 1 << 20 };

/// A dead letter that waits, as it is stored.
pub(crate) struct WaitingDeadLetter {
    /// Records of the topic.
    pub(crate) batch: Batch,
    /// Its index in the batch.
    pub(crate) index: usize,
    /// What it says of itself.
    pub(crate) dead_letter: DeadLetter,
}

/// The same, as it is found.
pub(super) struct Found<'a> {
    batch: &'a Batch,
    index: usize,
    dead_letter: DeadLetter,
}

impl Found<'_> {
    /// Its partition and its position.
    pub(super) fn at(&self) -> (u32, Position) {
        (self.batch.from().partition, self.batch.position(self.index))
    }

    /// How large it is.
    pub(super) fn bytes(&self) -> usize {
        self.batch.frame().packed_len(self.index..self.index + 1)
    }

    /// The letter by itself: what it was read with is not kept for its sake.
    pub(super) fn to_owned(&self) -> Result<WaitingDeadLetter> {
        let mut frame = FrameBuilder::new();
        frame.push(self.batch.frame().record(self.index));
        let positions = BatchPositions::Each(vec![self.batch.position(self.index)]);
        let batch = Batch::new(self.batch.from().clone(), positions, frame.to_bytes().into())?;
        Ok(WaitingDeadLetter { batch, index: 0, dead_letter: self.dead_letter.clone() })
    }
}

/// A partition of the topic, and a position in it.
pub(super) type Place = (u32, Position);

/// Before the first of them.
pub(super) const START: Place = (0, Position::START);

/// How much may be read for one answer, and what was missed on the way.
pub(super) struct Budget {
    records: usize,
    bytes: usize,
    /// Records that retention dropped before they were read.
    pub(super) dropped: u64,
}

impl Budget {
    pub(super) fn new() -> Self {
        Budget { records: 10_000, bytes: 16 << 20, dropped: 0 }
    }

    fn take(&mut self, batch: &Batch) {
        self.records = self.records.saturating_sub(batch.len());
        self.bytes = self.bytes.saturating_sub(batch.bytes().len());
    }

    fn is_spent(&self) -> bool {
        self.records == 0 || self.bytes == 0
    }
}

/// How many dead letters wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    /// Their number; when there are too many to be counted, that of the records that the function has not gone past. Where the
    /// topic is shared, those of others are among them.
    pub(crate) waiting: u64,
    /// Whether they were counted.
    pub(crate) exact: bool,
}

/// The dead letters of one function, and how far each of its tasks has gone.
pub(super) struct Waiting<'a> {
    topics: &'a dyn Topics,
    entry: FunctionEntry,
    topic: Topic,
    partitions: u32,
    places: Places,
}

/// How far each task has gone, by its index; one that is missing has none.
struct Places(BTreeMap<u32, Position>);

impl Places {
    fn of(topic: &Topic, partitions: u32, standing: &Standing) -> Self {
        let place = |(index, progress): (&u32, &fnstream_core::epoch::Progress)| {
            let at = TopicPartition::new(topic.clone(), FunctionSpec::dead_letter_partition(*index, partitions));
            Some((*index, progress.positions.get(&at).copied()?))
        };
        // A task that was never opened has no dead letters: whatever is there is of a former function of the name.
        Places(standing.iter().filter_map(place).collect())
    }

    /// Whether the task that wrote a dead letter has not gone past it.
    fn waits(&self, spec: &FunctionSpec, dead_letter: &DeadLetter, position: Position) -> bool {
        let task = || spec.task_of(dead_letter.input, dead_letter.source.partition);
        dead_letter.function == spec.name && self.0.get(&task()).is_some_and(|place| position >= *place)
    }

    /// The first place of those whose dead letters go to a partition.
    fn first(&self, partition: u32, partitions: u32) -> Option<Position> {
        let theirs = |task: &u32| FunctionSpec::dead_letter_partition(*task, partitions) == partition;
        self.0.iter().filter(|(task, _)| theirs(task)).map(|(_, place)| *place).min()
    }
}

impl<'a> Waiting<'a> {
    pub(super) fn of(entry: FunctionEntry, topics: &'a dyn Topics, tasks: &dyn Tasks) -> Result<Self> {
        let topic = entry.spec.dead_letter_topic().ok_or_else(|| {
            let name = &entry.spec.name;
            let message = format!("function '{name}' keeps no dead letters: its policy is another");
            Error::new(ErrorCode::NoDeadLetters, message)
        })?;
        let partitions = topics.describe(&topic)?.partitions.len() as u32;
        let places = Places::of(&topic, partitions, &tasks.progress(entry.id)?);
        Ok(Waiting { topics, entry, topic, partitions, places })
    }

    pub(super) fn topic(&self) -> &Topic {
        &self.topic
    }

    pub(super) fn entry(&self) -> &FunctionEntry {
        &self.entry
    }

    /// Visits the dead letters that wait from a place on, partition by partition in order, until the visitor breaks off or the
    /// budget is spent. Answers where it goes on; nothing when there are no more. What retention drops meanwhile is passed over.
    pub(super) fn visit(
        &self,
        from: Place,
        budget: &mut Budget,
        mut visit: impl FnMut(&Found<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Place>> {
        for marks in &self.topics.describe(&self.topic)?.partitions {
            let Some(mut position) = self.first(marks, from) else { continue };
            let at = TopicPartition::new(self.topic.clone(), marks.partition);
            if marks.partition == from.0 && from.1 > Position::START {
                budget.dropped += self.between(&at, from.1, marks.earliest)?;
            }
            while position < marks.end {
                if budget.is_spent() {
                    return Ok(Some((marks.partition, position)));
                }
                let limit = PollLimit { records: READ.records.min(budget.records), ..READ };
                let batch = match self.topics.read(&at, position, limit) {
                    Err(error) if error.code == ErrorCode::PositionDropped => {
                        let earliest = self.earliest(marks.partition)?.max(position.next());
                        budget.dropped += self.between(&at, position, earliest)?;
                        position = earliest;
                        continue;
                    }
                    read => read?,
                };
                let Some(batch) = batch else { break };
                budget.take(&batch);
                for (index, (found_at, record)) in batch.iter().enumerate() {
                    position = found_at.next();
                    let dead_letter = DeadLetter::read(record.headers);
                    if let Some(dead_letter) =
                        dead_letter.filter(|of| self.places.waits(&self.entry.spec, of, found_at))
                        && visit(&Found { batch: &batch, index, dead_letter }).is_break()
                    {
                        return Ok(Some((marks.partition, position)));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The dead letter that waits at a place.
    pub(super) fn at(&self, (partition, position): Place) -> Result<Option<WaitingDeadLetter>> {
        let info = self.topics.describe(&self.topic)?;
        let Some(marks) = info.partitions.get(partition as usize) else { return Ok(None) };
        if self.first(marks, (partition, position)) != Some(position) || position >= marks.end {
            return Ok(None);
        }
        let at = TopicPartition::new(self.topic.clone(), partition);
        let batch = match self.topics.read(&at, position, PollLimit { records: 1, ..READ }) {
            Err(error) if error.code == ErrorCode::PositionDropped => None,
            read => read?,
        };
        let Some(batch) = batch else { return Ok(None) };
        let Some((found_at, record)) = batch.iter().next() else { return Ok(None) };
        let dead_letter = DeadLetter::read(record.headers).filter(|_| found_at == position);
        let dead_letter = dead_letter.filter(|of| self.places.waits(&self.entry.spec, of, position));
        Ok(dead_letter.map(|dead_letter| WaitingDeadLetter { batch: batch.clone(), index: 0, dead_letter }))
    }

    /// How many wait, or may wait: see [`Count`].
    pub(super) fn count(&self) -> Result<Count> {
        let (mut budget, mut waiting) = (Budget::new(), 0);
        let more = self.visit(START, &mut budget, |_| {
            waiting += 1;
            ControlFlow::Continue(())
        })?;
        match more {
            None => Ok(Count { waiting, exact: true }),
            Some(_) => Ok(Count { waiting: self.records()?.unwrap_or(waiting).max(waiting), exact: false }),
        }
    }

    /// The number of records that the tasks have not gone past, if the log knows it.
    pub(super) fn records(&self) -> Result<Option<u64>> {
        self.lag(&self.firsts()?)
    }

    /// The number of records between places and those that the tasks have now, if the log knows it.
    pub(super) fn passed(&self, from: &BTreeMap<u32, Position>) -> Result<Option<u64>> {
        let now = self.firsts()?.into_iter().filter(|(partition, _)| from.contains_key(partition)).collect();
        Ok(self.lag(from)?.zip(self.lag(&now)?).map(|(before, now)| before.saturating_sub(now)))
    }

    /// The number of records from places to the ends of their partitions, if the log knows it.
    fn lag(&self, from: &BTreeMap<u32, Position>) -> Result<Option<u64>> {
        let mut sum = Some(0);
        for (partition, position) in from {
            let at = TopicPartition::new(self.topic.clone(), *partition);
            let lag = self.topics.look(&at, *position)?.lag;
            sum = sum.zip(lag).map(|(sum, lag): (u64, u64)| sum.saturating_add(lag));
        }
        Ok(sum)
    }

    /// The first position of a partition that retention has left.
    fn earliest(&self, partition: u32) -> Result<Position> {
        let info = self.topics.describe(&self.topic)?;
        let marks = info.partitions.iter().find(|marks| marks.partition == partition);
        Ok(marks.map_or(Position::START, |marks| marks.earliest))
    }

    /// The number of records from one position to a later one; 0 when the log does not know it.
    fn between(&self, at: &TopicPartition, from: Position, to: Position) -> Result<u64> {
        if to <= from {
            return Ok(0);
        }
        let lags = self.topics.look(at, from)?.lag.zip(self.topics.look(at, to)?.lag);
        Ok(lags.map_or(0, |(from, to)| from.saturating_sub(to)))
    }

    /// The first place of each partition at which a letter may wait.
    pub(super) fn firsts(&self) -> Result<BTreeMap<u32, Position>> {
        let info = self.topics.describe(&self.topic)?;
        Ok(info.partitions.iter().filter_map(|marks| Some((marks.partition, self.first(marks, START)?))).collect())
    }

    /// Where each partition of them ends now; those are missing of which the tasks have gone past everything.
    pub(super) fn ends(&self) -> Result<BTreeMap<u32, Position>> {
        let info = self.topics.describe(&self.topic)?;
        let ends =
            info.partitions.iter().filter(|marks| self.first(marks, START).is_some_and(|first| first < marks.end));
        Ok(ends.map(|marks| (marks.partition, marks.end)).collect())
    }

    /// The first position of a partition at which a letter from `from` on may wait.
    fn first(&self, marks: &PartitionInfo, (partition, position): Place) -> Option<Position> {
        let first = self.places.first(marks.partition, self.partitions)?.max(marks.earliest);
        match marks.partition.cmp(&partition) {
            Ordering::Less => None,
            Ordering::Equal => Some(first.max(position)),
            Ordering::Greater => Some(first),
        }
    }
}

#[cfg(test)]
mod tests {
    use fnstream_core::epoch::Progress;
    use fnstream_core::spec::InputSelector;

    use super::*;

    #[test]
    fn each_dead_letter_is_judged_by_the_place_of_the_task_that_wrote_it() {
        let spec = FunctionSpec {
            name: "f".into(),
            inputs: vec![vec!["a".into()], vec!["b".into()]],
            selector: InputSelector::GroupParallel,
            ..FunctionSpec::default()
        };
        let standing = |index, place| {
            let at = TopicPartition::new("f.dlq", FunctionSpec::dead_letter_partition(index, 1));
            (index, Progress { positions: [(at, Position(place))].into(), ..Progress::default() })
        };
        // One partition, two groups: task 0 has passed all of its dead letters, task 1 stopped midway.
        let (first, second) = (spec.task_of(0, 0), spec.task_of(1, 0));
        assert_ne!(first, second);
        let places = Places::of(&"f.dlq".into(), 1, &[standing(first, 10), standing(second, 4)].into());
        let dead_letter = |input| DeadLetter {
            code: "FS-1402".into(),
            message: "trap".into(),
            backtrace: None,
            function: "f".into(),
            revision: 1,
            source: TopicPartition::new("a", 0),
            position: Position(0),
            input,
            attempts: 1,
            failed_at_ms: 0,
        };
        let waits = |input, position| places.waits(&spec, &dead_letter(input), Position(position));
        assert_eq!((waits(0, 6), waits(1, 6), waits(1, 3), waits(0, 10)), (false, true, false, true));
        assert_eq!(places.first(0, 1), Some(Position(4)));
        let of_another = DeadLetter { function: "g".into(), ..dead_letter(1) };
        assert!(!places.waits(&spec, &of_another, Position(6)));
        // Anybody may write such headers.
        let mut absurd = dead_letter(1);
        absurd.source.partition = u32::MAX;
        assert!(!places.waits(&spec, &absurd, Position(6)));
        let unopened = Places::of(&"f.dlq".into(), 1, &[standing(first, 0)].into());
        assert!(!unopened.waits(&spec, &dead_letter(1), Position(6)), "it is of a former function of the name");
    }
}
