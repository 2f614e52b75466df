// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Reading: from a position, at most a limit, merged over small stored batches.
//!
//! A whole stored batch is handed out as it is: merging stops at a batch's end once half of the limit is reached, so that
//! readers keep to the boundaries at which records were stored and the common case needs no rebuilding.

use bytes::Bytes;
use fnstream_core::batch::{Batch, BatchPositions};
use fnstream_core::broker::PollLimit;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::{Frame, FrameBuilder};

use super::cut::fitting;
use super::partition::{Marks, Partition, Topic};
use crate::db::Db;
use crate::error::corrupt;
use crate::formats::StoredBatch;
use crate::keys;

/// The most bytes that one read gives, whatever was asked for: a frame has a largest size.
const MAX_READ: usize = 1 << 30;

/// The part of a partition to read, and the labels of its records.
pub(crate) struct Reading<'a> {
    pub db: &'a Db,
    pub topic: &'a Topic,
    pub partition: &'a TopicPartition,
    /// The input group that the records get as their channel.
    pub group: u32,
}

/// The records that were taken so far.
enum Taken {
    Nothing,
    /// One whole stored batch, not copied again.
    Whole(Bytes),
    Merged(FrameBuilder),
}

impl Reading<'_> {
    /// The records from `from` on; `None` at the end.
    pub(crate) fn read(&self, from: Position, limit: PollLimit) -> Result<Option<Batch>> {
        let partition = self.topic.partition(self.partition.partition)?;
        let marks = partition.marks();
        let Some(at) = check(self.partition, &marks, from)? else {
            return Ok(None);
        };
        let frame = match self.take(at, marks.end.position, limit) {
            Ok(taken) => taken,
            // Retention or a deletion came between the check and the read.
            Err(e) => return Err(self.overtaken(partition, from).err().unwrap_or(e)),
        };
        Batch::new(self.partition.clone(), BatchPositions::Contiguous(from), frame).map(Some)
    }

    fn overtaken(&self, partition: &Partition, from: Position) -> Result<()> {
        self.topic.partition(self.partition.partition)?;
        check(self.partition, &partition.marks(), from).map(drop)
    }

    fn take(&self, from: u64, end: u64, limit: PollLimit) -> Result<Bytes> {
        let (topic, number) = (self.topic.id, self.partition.partition);
        let mut iterator = self.db.iterate(keys::TOPICS, keys::batch(topic, number, end).to_vec());
        let key = keys::batch(topic, number, from);
        // Readers mostly go from batch to batch. Only for one that begins within a batch the iterator turns around.
        iterator.seek(key);
        if iterator.key() != Some(&key) {
            iterator.seek_for_prev(key);
        }
        let mut taken = Taken::Nothing;
        let mut next = from;
        let limit = PollLimit { records: limit.records.max(1), bytes: limit.bytes.min(MAX_READ) };
        let mut left = limit;
        while let Some((key, value)) = iterator.item() {
            let base = self.base_of(key)?;
            let stored = StoredBatch::decode(value).map_err(|e| e.context(self.partition))?;
            let count = stored.frame.len();
            let skip = usize::try_from(next.wrapping_sub(base)).unwrap_or(usize::MAX);
            if skip >= count || (!matches!(taken, Taken::Nothing) && skip > 0) {
                return Err(corrupt(format_args!("{} has no record at {next}", self.partition)));
            }
            let first = matches!(taken, Taken::Nothing);
            let fits = fitting(&stored.frame, skip, left).max(usize::from(first));
            let enough = !first && (left.records <= limit.records / 2 || left.bytes <= limit.bytes / 2);
            if fits == 0 || (skip + fits < count && enough) {
                break;
            }
            left.records -= fits;
            left.bytes = left.bytes.saturating_sub(stored.frame.packed_len(skip..skip + fits));
            taken = taken.add(&stored, skip..skip + fits, self.group);
            next += fits as u64;
            if skip + fits < count || next == end {
                break;
            }
            iterator.next();
        }
        self.db.ended(&iterator)?;
        match taken {
            Taken::Nothing => Err(corrupt(format_args!("{} has no record at {from}", self.partition))),
            Taken::Whole(frame) => Ok(frame),
            Taken::Merged(builder) => Ok(builder.to_bytes().into()),
        }
    }

    /// The base position in a key, which must be one of this partition.
    fn base_of(&self, key: &[u8]) -> Result<u64> {
        let prefix = keys::batch(self.topic.id, self.partition.partition, 0);
        keys::batch_base(key)
            .filter(|_| key[..8] == prefix[..8])
            .ok_or_else(|| corrupt(format_args!("{} has a hole where records should be", self.partition)))
    }
}

impl Taken {
    fn add(self, stored: &StoredBatch<'_>, range: std::ops::Range<usize>, group: u32) -> Taken {
        let whole = range == (0..stored.frame.len());
        let mut builder = match self {
            // Stored records are on channel 0.
            Taken::Nothing if whole && group == 0 => return Taken::Whole(Bytes::copy_from_slice(stored.bytes)),
            Taken::Nothing => FrameBuilder::new(),
            Taken::Whole(first) => {
                let mut builder = FrameBuilder::new();
                let frame = Frame::of_checked(&first);
                builder.extend(&frame, 0..frame.len(), Some(group));
                builder
            }
            Taken::Merged(builder) => builder,
        };
        builder.extend(&stored.frame, range, Some(group));
        Taken::Merged(builder)
    }
}

/// Checks that a position can be read: returns the position in the log, or `None` at the end.
pub(crate) fn check(partition: &TopicPartition, marks: &Marks, from: Position) -> Result<Option<u64>> {
    let (earliest, end) = (marks.earliest(), marks.end());
    if from < earliest {
        return Err(Error::new(
            ErrorCode::PositionDropped,
            format!("{partition} begins at {earliest}: position {from} was dropped by retention"),
        ));
    }
    if from > end {
        return Err(Error::new(
            ErrorCode::PositionUnknown,
            format!("{partition} ends at {end}, before position {from}"),
        ));
    }
    Ok((from < end).then_some(from.0 as u64))
}
