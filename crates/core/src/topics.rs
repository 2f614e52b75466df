// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam to the topics of a cluster, for those who produce, consume and look on; tasks read through
//! [`crate::broker::Source`].

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::batch::Batch;
use crate::broker::PollLimit;
use crate::error::{Error, ErrorCode, Result};
use crate::record::{Position, TopicPartition};
use crate::spec::MAX_PARTITIONS;
use crate::topic::Topic;
use crate::units::counted;
use crate::waker::Waker;

/// How long the records of a topic are kept. Without any limit they are kept for ever.
///
/// Records are dropped from the old end only, in the units in which they were stored. A topic keeps only what it was asked for:
/// a limit that is not given is that of the place's defaults at the time when it is applied ([`Retention::or`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// A run of records is dropped when it is older than this.
    pub max_age: Option<Duration>,
    /// The oldest records of a partition are dropped as long as so many bytes are left, counted before compression. What was
    /// appended last is never dropped for its size.
    pub max_bytes: Option<u64>,
    /// What the age of a run is counted from.
    pub time: RetentionTime,
}

impl Retention {
    /// With the limits of the defaults where it has none.
    #[must_use]
    pub fn or(self, defaults: &Retention) -> Self {
        Retention {
            max_age: self.max_age.or(defaults.max_age),
            max_bytes: self.max_bytes.or(defaults.max_bytes),
            time: self.time,
        }
    }
}

/// What the age of records is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RetentionTime {
    /// The time at which they were appended, by the clock of the place that keeps them: old events that are written now stay for
    /// the whole time.
    #[default]
    Arrival,
    /// The newest of their own timestamps.
    Event,
}

/// A change of a topic; what is `None` stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TopicChange {
    /// The number of partitions: not fewer than there are.
    pub partitions: Option<u32>,
    /// The age; `Some(None)` is the default's.
    pub max_age: Option<Option<Duration>>,
    /// The size; `Some(None)` is the default's.
    pub max_bytes: Option<Option<u64>>,
    /// What the age is counted from.
    pub time: Option<RetentionTime>,
}

impl TopicChange {
    /// The retention that a topic has after the change.
    pub fn retention(&self, before: Retention) -> Retention {
        Retention {
            max_age: self.max_age.unwrap_or(before.max_age),
            max_bytes: self.max_bytes.unwrap_or(before.max_bytes),
            time: self.time.unwrap_or(before.time),
        }
    }

    /// The number of partitions that a topic has after the change.
    pub fn partitions(&self, topic: &Topic, before: u32) -> Result<u32> {
        let Some(wanted) = self.partitions else { return Ok(before) };
        check_partitions(wanted)?;
        if wanted < before {
            return Err(Error::new(
                ErrorCode::PartitionsShrink,
                format!("topic '{topic}' has {}, and cannot have {wanted}", counted(before, "partition")),
            ));
        }
        Ok(wanted)
    }
}

/// Refuses a number of partitions that no topic has.
pub fn check_partitions(partitions: u32) -> Result<()> {
    match partitions {
        1..=MAX_PARTITIONS => Ok(()),
        _ => Err(Error::new(
            ErrorCode::InvalidRequest,
            format!("a topic has 1 to {MAX_PARTITIONS} partitions, not {partitions}"),
        )),
    }
}

/// A topic and how full it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub topic: Topic,
    /// Its partitions in order.
    pub partitions: Vec<PartitionInfo>,
    /// How long it was asked to keep its records.
    pub retention: Retention,
    /// The time of its creation in milliseconds since the Unix epoch; `None` if the place does not tell it.
    pub created_ms: Option<i64>,
}

/// A partition of a topic and how full it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Its number, counted from 0.
    pub partition: u32,
    /// The oldest record's position; the end when there is none.
    pub earliest: Position,
    /// The position that the next record will get, or one before it when the log leaves gaps.
    pub end: Position,
    /// The size of its records before compression; `None` if the place does not tell it.
    pub bytes: Option<u64>,
}

/// How far it is from a position in a partition to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// The end: see [`PartitionInfo::end`].
    pub end: Position,
    /// The number of records up to there, those included that retention has dropped since; `None` when the log does not know it,
    /// since the difference of two positions is no number of records.
    pub lag: Option<u64>,
}

/// Reads from a position, or from the earliest record if retention has dropped the position, however often it drops more meanwhile.
/// Answers where the reader stood in that case.
pub fn read_on<T>(
    from: Position,
    mut earliest: impl FnMut() -> Result<Position>,
    mut read: impl FnMut(Position) -> Result<T>,
) -> Result<(T, Option<Position>)> {
    let mut at = from;
    loop {
        match read(at) {
            Err(error) if error.code == ErrorCode::PositionDropped => {
                at = Some(earliest()?).filter(|next| *next > at).ok_or(error)?;
            }
            read => return Ok((read?, (at > from).then_some(from))),
        }
    }
}

/// The places of appended records: partition, first position and number of each run.
pub type Appended = Vec<(u32, Position, u32)>;

/// Called exactly once with what became of an append, from any thread, also while `append` still runs. It does not block.
pub type AppendDone = Box<dyn FnOnce(Result<Appended>) + Send>;

/// Keeps a waker registered; dropping it ends that.
pub trait Watch: Send + Sync {}

/// Whether a topic is one that a pattern stands for.
pub type TopicMatcher = Box<dyn Fn(&Topic) -> bool + Send + Sync>;

/// The topics of a cluster.
///
/// Contract:
/// - **Names**: of two creations of one topic one succeeds, the other fails with [`crate::ErrorCode::TopicExists`]. A topic that
///   is not there is [`crate::ErrorCode::TopicNotFound`], a partition that it does not have
///   [`crate::ErrorCode::PartitionNotFound`].
/// - **Append**: when `done` is called with `Ok`, all records of the frame are readable and as durable as was configured, in
///   their order within each partition. After an error none of those of one partition is ever readable. Keyed records go to
///   the partition of their key ([`crate::record::partition_for_key`]), keyless ones of one call together to one partition.
/// - **Read**: from a position on come exactly the records at and after it, in their order. A position that was dropped is
///   [`crate::ErrorCode::PositionDropped`], one past the end [`crate::ErrorCode::PositionUnknown`]; never a silent jump.
/// - **Watch**: after an append became readable, and when the topic is deleted, each waker that was registered before is called
///   at least once; it may be called without cause, and not after its guard was dropped and the call that was under way ended.
/// - **Alteration**: partitions are added behind those that there are, empty, and never removed
///   ([`crate::ErrorCode::PartitionsShrink`]); records stay where they are. Keyed records that are appended after it go to the
///   partition of their key among all, which may be another than before. A change that is refused changes nothing.
/// - **Deletion** takes the records and the places of groups; a topic of the same name that is made later is empty.
/// - **Patterns** ([`crate::topic::TopicRef::is_pattern`]) stand for the topics whose names match them; which place has them, and what they
///   mean, it says itself. One that cannot be read, or a place that has none, is [`crate::ErrorCode::InvalidSpec`]. What the place keeps for
///   itself never matches.
///
/// All methods but `append` and `watch` may block; callers keep them off threads that serve others.
pub trait Topics: Send + Sync {
    /// Makes a topic of 1 to [`crate::spec::MAX_PARTITIONS`] partitions.
    fn create(&self, topic: &Topic, partitions: u32, retention: Retention) -> Result<()>;

    /// All topics in the order of their names.
    fn list(&self) -> Result<Vec<TopicInfo>>;

    /// At most `limit` topics in the order of their names: the first that come after the topic `after`, which need not be one
    /// that is there.
    fn page(&self, after: Option<&Topic>, limit: usize) -> Result<Vec<Topic>>;

    /// The topic of a name.
    fn describe(&self, topic: &Topic) -> Result<TopicInfo>;

    /// Changes a topic.
    fn alter(&self, topic: &Topic, change: TopicChange) -> Result<()>;

    /// Removes a topic. Whether somebody uses it is the caller's to know.
    fn delete(&self, topic: &Topic) -> Result<()>;

    /// Appends the records of a packed frame, whatever their channels, to one partition or to those that their keys choose;
    /// returns at once.
    fn append(&self, topic: &Topic, partition: Option<u32>, frame: Bytes, done: AppendDone);

    /// At most `limit` records from a position on; `None` when there is none now.
    fn read(&self, partition: &TopicPartition, from: Position, limit: PollLimit) -> Result<Option<Batch>>;

    /// Has the waker called when there is something to read in a partition, for as long as the guard lives.
    fn watch(&self, partition: &TopicPartition, waker: Waker) -> Result<Box<dyn Watch>>;

    /// How far it is from a position to the end, for those who look on: a place that does not answer within a few seconds is
    /// [`crate::ErrorCode::Unavailable`].
    fn look(&self, partition: &TopicPartition, from: Position) -> Result<Ahead>;

    /// Reads a pattern. Asks nobody.
    fn matcher(&self, pattern: &Topic) -> Result<TopicMatcher> {
        Err(no_patterns(pattern))
    }

    /// The topics that match a pattern now, with the number of partitions of each.
    fn matching(&self, pattern: &Topic) -> Result<BTreeMap<Topic, u32>> {
        Err(no_patterns(pattern))
    }

    /// Has the waker called once soon, and then whenever [`Topics::matching`] may give something else, for as long as the guard lives.
    fn watch_matching(&self, pattern: &Topic, _waker: Waker) -> Result<Box<dyn Watch>> {
        Err(no_patterns(pattern))
    }
}

fn no_patterns(pattern: &Topic) -> Error {
    let message = format!("'{pattern}' is a pattern of topics, which only topics of Apache Pulsar can be named by");
    Error::new(ErrorCode::InvalidSpec, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader of a log of which retention drops that much before each of its reads.
    fn reads_on(from: u128, drops: &[u128]) -> Result<(Position, Option<Position>)> {
        let (earliest, mut drops) = (std::cell::Cell::new(0), drops.iter());
        let read = |at: Position| {
            earliest.set(drops.next().copied().unwrap_or(earliest.get()));
            match at.0 < earliest.get() {
                true => Err(Error::new(ErrorCode::PositionDropped, "dropped")),
                false => Ok(at),
            }
        };
        read_on(Position(from), || Ok(Position(earliest.get())), read)
    }

    #[test]
    fn who_reads_on_is_given_what_is_left_and_told_where_it_stood() {
        for (from, drops, expected) in [
            (3, &[3][..], (Position(3), None)),
            (3, &[4], (Position(4), Some(Position(3)))),
            (3, &[4, 6, 9], (Position(9), Some(Position(3)))),
        ] {
            assert_eq!(reads_on(from, drops).unwrap(), expected, "{drops:?}");
        }
    }

    #[test]
    fn a_log_that_drops_what_it_says_is_there_ends_the_reading() {
        let refused = || Error::new(ErrorCode::PositionDropped, "dropped");
        let read = read_on(Position(2), || Ok(Position(5)), |_| Err::<(), _>(refused()));
        assert_eq!(read.unwrap_err().code, ErrorCode::PositionDropped);
        let other =
            read_on(Position(2), || Ok(Position(5)), |_| Err::<(), _>(Error::new(ErrorCode::Unavailable, "away")));
        assert_eq!(other.unwrap_err().code, ErrorCode::Unavailable);
    }
}
