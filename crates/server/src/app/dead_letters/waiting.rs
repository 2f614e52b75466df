// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Which dead letters of a function wait.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use fnstream_core::batch::Batch;
use fnstream_core::broker::PollLimit;
use fnstream_core::dead_letter::DeadLetter;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::{FunctionEntry, FunctionSpec};
use fnstream_core::tasks::{Standing, Tasks};
use fnstream_core::topic::Topic;
use fnstream_core::topics::Topics;
use fnstream_core::{Error, ErrorCode, Result};

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

    pub(super) fn to_owned(&self) -> WaitingDeadLetter {
        WaitingDeadLetter { batch: self.batch.clone(), index: self.index, dead_letter: self.dead_letter.clone() }
    }
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

    /// Visits the dead letters that wait, partition by partition in order, until the visitor breaks off.
    pub(super) fn each(&self, mut visit: impl FnMut(&Found<'_>) -> ControlFlow<()>) -> Result<()> {
        let info = self.topics.describe(&self.topic)?;
        for marks in &info.partitions {
            let Some(first) = self.places.first(marks.partition, self.partitions) else { continue };
            let at = TopicPartition::new(self.topic.clone(), marks.partition);
            let mut from = first.max(marks.earliest);
            while from < marks.end
                && let Some(batch) = self.topics.read(&at, from, READ)?
            {
                for (index, (position, record)) in batch.iter().enumerate() {
                    let dead_letter = DeadLetter::read(record.headers);
                    if let Some(dead_letter) =
                        dead_letter.filter(|of| self.places.waits(&self.entry.spec, of, position))
                        && visit(&Found { batch: &batch, index, dead_letter }).is_break()
                    {
                        return Ok(());
                    }
                }
                from = batch.end().unwrap_or(marks.end);
            }
        }
        Ok(())
    }

    /// Where each partition of them ends for the oldest `count`; empty when there are none.
    pub(super) fn up_to(&self, count: Option<u64>) -> Result<BTreeMap<u32, Position>> {
        let (mut until, mut left) = (BTreeMap::new(), count.unwrap_or(u64::MAX));
        if left == 0 {
            return Ok(until);
        }
        self.each(|found| {
            left -= 1;
            let (partition, position) = found.at();
            until.insert(partition, position.next());
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(until)
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
