// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A run of records of one partition, as a source hands it to a task.

use std::ops::Range;

use bytes::Bytes;
use fnstream_frame::{Frame, FrameBuilder, RecordView};

use crate::error::{Error, ErrorCode, Result};
use crate::record::{Position, TopicPartition};

/// Records of one input partition in order, packed in one frame, with their positions beside it.
#[derive(Debug, Clone)]
pub struct Batch {
    from: TopicPartition,
    positions: BatchPositions,
    frame: Bytes,
    len: usize,
}

/// The positions of a batch's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchPositions {
    /// Record `i` is at `first + i`.
    Contiguous(Position),
    /// One for each record, ascending.
    Each(Vec<Position>),
}

impl Batch {
    /// A batch from a frame; `Err` when the bytes are not a frame or the positions do not match it.
    ///
    /// The records' channel must be the input group that the partition belongs to.
    pub fn new(from: TopicPartition, positions: BatchPositions, frame: Bytes) -> Result<Self> {
        let len = Frame::parse(&frame)
            .map_err(|e| Error::new(ErrorCode::DataCorrupt, format!("a batch of {from}: {e}")))?
            .len();
        if let BatchPositions::Each(each) = &positions {
            let corrupt = |why: String| Err(Error::new(ErrorCode::DataCorrupt, format!("a batch of {from} has {why}")));
            if each.len() != len {
                return corrupt(format!("{len} records but {} positions", each.len()));
            }
            if !each.is_sorted_by(|a, b| a < b) {
                return corrupt("positions that do not ascend".to_owned());
            }
        }
        Ok(Batch { from, positions, frame, len })
    }

    /// The partition that the records come from.
    pub fn from(&self) -> &TopicPartition {
        &self.from
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The packed bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.frame
    }

    /// A view of the records.
    pub fn frame(&self) -> Frame<'_> {
        Frame::of_checked(&self.frame)
    }

    /// The position of record `index`.
    pub fn position(&self, index: usize) -> Position {
        match &self.positions {
            BatchPositions::Contiguous(first) => Position(first.0 + index as u128),
            BatchPositions::Each(each) => each[index],
        }
    }

    /// The record at a position, if it is one of these.
    pub fn record_at(&self, position: Position) -> Option<RecordView<'_>> {
        let index = match &self.positions {
            BatchPositions::Contiguous(first) => {
                position.0.checked_sub(first.0).and_then(|i| usize::try_from(i).ok())?
            }
            BatchPositions::Each(each) => each.binary_search(&position).ok()?,
        };
        (index < self.len).then(|| self.frame().record(index))
    }

    /// The position after the last record: where reading goes on. `None` for an empty batch.
    pub fn end(&self) -> Option<Position> {
        (self.len > 0).then(|| self.position(self.len - 1).next())
    }

    /// Some of the records, as a batch of their own.
    ///
    /// # Panics
    /// When the range is not within the batch.
    pub fn slice(&self, range: Range<usize>) -> Self {
        if range == (0..self.len) {
            return self.clone();
        }
        let mut frame = FrameBuilder::new();
        frame.extend(&self.frame(), range.clone(), None);
        let positions = match &self.positions {
            BatchPositions::Contiguous(_) => BatchPositions::Contiguous(self.position(range.start)),
            BatchPositions::Each(each) => BatchPositions::Each(each[range.clone()].to_vec()),
        };
        Batch { from: self.from.clone(), positions, frame: frame.to_bytes().into(), len: range.len() }
    }

    /// The records with their positions.
    pub fn iter(&self) -> impl Iterator<Item = (Position, RecordView<'_>)> {
        self.frame().iter().enumerate().map(|(i, record)| (self.position(i), record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(positions: BatchPositions) -> Batch {
        let mut frame = FrameBuilder::new();
        for value in ["a", "bb", "ccc", "d"] {
            frame.push(fnstream_frame::RecordRef::new(value.as_bytes()).with_key(Some(b"k")).on(3));
        }
        Batch::new(TopicPartition::new("in", 0), positions, frame.to_bytes().into()).unwrap()
    }

    fn shown(batch: &Batch) -> Vec<(u128, Vec<u8>)> {
        batch.iter().map(|(position, record)| (position.0, record.bytes().to_vec())).collect()
    }

    #[test]
    fn a_slice_has_its_records_at_their_positions() {
        let each = BatchPositions::Each([2, 5, 9, 10].map(Position).to_vec());
        for (batch, positions) in
            [(batch(BatchPositions::Contiguous(Position(7))), [7, 8, 9, 10]), (batch(each), [2, 5, 9, 10])]
        {
            let all = shown(&batch);
            assert_eq!(all.iter().map(|(position, _)| *position).collect::<Vec<_>>(), positions);
            for (start, end) in [(0, 4), (0, 1), (1, 3), (3, 4)] {
                let slice = batch.slice(start..end);
                assert_eq!(shown(&slice), all[start..end]);
                assert_eq!((slice.len(), slice.end()), (end - start, Some(Position(positions[end - 1] + 1))));
                assert!(
                    Batch::new(slice.from().clone(), BatchPositions::Contiguous(Position(0)), slice.bytes().clone())
                        .is_ok()
                );
            }
            for (position, value) in &all {
                assert_eq!(
                    batch.record_at(Position(*position)).map(|record| record.bytes().to_vec()).as_ref(),
                    Some(value)
                );
            }
            assert!([0, 6, 11].iter().all(|at| positions.contains(at) || batch.record_at(Position(*at)).is_none()));
        }
    }
}
