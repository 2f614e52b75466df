// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam to producers that number their records, so that what is sent again is not appended again.
//!
//! A producer has a name of its own and numbers its records of a topic 0, 1, 2 and so on, however many partitions there are.
//! The log keeps the next number of each producer and topic, and writes it with the records. A client that got no answer sends
//! the same numbers again.
//!
//! ```text
//!  next = 5     first  count
//!                 5      3     appended                 next = 8
//!                 2      3     there already: nothing   next = 5
//!                 3      4     5 and 6 are appended     next = 7
//!                 6      1     refused: 5 is missing    next = 5
//! ```

use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, ErrorCode, Result};
use crate::spec::check_name;
use crate::topic::Topic;
use crate::topics::Appended;

/// The longest that an implementation remembers where the records of an append went: so many appends of each producer.
pub const REMEMBERED: usize = 5;

/// The numbers of the records of an append: whose they are, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered {
    producer: Arc<str>,
    first: u64,
}

impl Numbered {
    /// The records of a producer from that number on. Its name has the form of the names of functions.
    pub fn new(producer: &str, first: u64) -> Result<Self> {
        check_name("producer", producer)?;
        Ok(Numbered { producer: producer.into(), first })
    }

    /// The producer's name.
    pub fn producer(&self) -> &Arc<str> {
        &self.producer
    }

    /// The number of the first record.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// How many of `count` records are there already, if the next number of the producer is `next`; `None` stands for a
    /// producer that is not known.
    pub fn known(&self, topic: &Topic, count: u32, next: Option<u64>) -> Result<u32> {
        let end = self.first.checked_add(count.into()).ok_or_else(|| {
            Error::new(ErrorCode::InvalidRequest, "the numbers of the events pass the largest number that there is")
        })?;
        match next {
            None if self.first > 0 => Err(self.unknown(topic)),
            None => Ok(0),
            Some(next) if self.first > next => Err(Error::new(
                ErrorCode::SequenceGap,
                format!(
                    "the events of producer '{}' from number {next} on are missing in topic '{topic}', these begin at {}",
                    self.producer, self.first
                ),
            )
            .advising(format!("send the events from number {next} on"))),
            // Not more than `count`.
            Some(next) => Ok((next.min(end) - self.first) as u32),
        }
    }

    /// The error of a producer that is not known and does not begin.
    pub fn unknown(&self, topic: &Topic) -> Error {
        let (producer, first) = (&self.producer, self.first);
        let what = format!("topic '{topic}' knows no producer '{producer}', whose events begin at number {first}");
        Error::new(ErrorCode::ProducerUnknown, what)
    }
}

/// What became of numbered records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedAppend {
    /// Where the records went that were appended. If all were there already: where they went when they came in the same
    /// append, as long as that is one of the last [`REMEMBERED`] of the producer, and nothing otherwise.
    pub appended: Appended,
    /// How many of them were there already.
    pub duplicates: u32,
    /// The number that the producer's next record has.
    pub next: u64,
}

/// A producer of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerPlace {
    /// The number that its next record has: as many of its records are in the topic, or were dropped by retention.
    pub next: u64,
    /// When its last ones came, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// Called exactly once with what became of an append, as [`crate::topics::AppendDone`] is.
pub type NumberedDone = Box<dyn FnOnce(Result<NumberedAppend>) + Send>;

/// The producers of a cluster's topics.
///
/// Contract:
/// - **Once**: of each number of a producer at most one record is ever appended to a topic, also if appends of the same numbers
///   are under way at once, fail, or come after a crash. A producer that begins anew after it was forgotten is another one.
/// - **Together**: the records of an append that lack are appended to all their partitions, and the next number moves, in one
///   step or not at all.
/// - **No gap**: an append behind the next number is [`ErrorCode::SequenceGap`], and one of an unknown producer that does not
///   begin at 0 is [`ErrorCode::ProducerUnknown`]. Both change nothing.
/// - **Of a topic**: producers of other topics, and of a topic of the same name that was deleted, are others. What retention
///   drops still counts as appended.
/// - **Forgetting** is allowed after a long silence, or when there are very many.
///
/// In all else an append is like that of [`crate::topics::Topics::append`].
pub trait Producers: Send + Sync {
    /// Appends those of the records that are not there yet; returns at once.
    fn append_numbered(
        &self,
        topic: &Topic,
        numbered: Numbered,
        partition: Option<u32>,
        frame: Bytes,
        done: NumberedDone,
    );

    /// Where a producer stands in a topic; `None` if it is not known. May block.
    fn producer(&self, topic: &Topic, producer: &str) -> Result<Option<ProducerPlace>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(first: u64, count: u32, next: Option<u64>) -> std::result::Result<u32, ErrorCode> {
        Numbered::new("p", first).and_then(|of| of.known(&Topic::own("t"), count, next)).map_err(|e| e.code)
    }

    #[test]
    fn each_number_counts_once() {
        for (first, count, appended) in [(5, 3, 3), (2, 3, 0), (3, 4, 2), (0, 9, 4), (4, 1, 0), (5, 0, 0)] {
            assert_eq!(known(first, count, Some(5)), Ok(count - appended), "{first} {count}");
        }
        assert_eq!(known(0, 3, None), Ok(0));
    }

    #[test]
    fn a_gap_is_told_from_a_producer_that_is_unknown() {
        assert_eq!(known(6, 1, Some(5)), Err(ErrorCode::SequenceGap));
        assert_eq!(known(1, 1, None), Err(ErrorCode::ProducerUnknown));
        assert_eq!(known(u64::MAX, 1, Some(u64::MAX)), Err(ErrorCode::InvalidRequest));
        for name in ["", "a/b", "a b"] {
            assert_eq!(Numbered::new(name, 0).map_err(|e| e.code), Err(ErrorCode::InvalidName), "{name}");
        }
    }
}
