// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Cutting frames: to what a limit allows, to what is stored as one batch, to what goes to each partition.

use std::ops::Range;

use bytes::Bytes;
use fnstream_core::Result;
use fnstream_core::broker::PollLimit;
use fnstream_core::record::partition_for_key;
use fnstream_frame::{Frame, FrameBuilder};

use crate::error::corrupt;

/// About the largest stored batch of more than one record. Reading from the middle of a batch means reading all of it,
/// so batches are kept small against what a poll takes.
const STORED_BYTES: usize = 64 << 10;

/// Records of one partition in order, cut into what is stored.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub partition: u32,
    pub pieces: Vec<Piece>,
}

/// Records that are stored as one batch.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub frame: Bytes,
    pub records: u32,
}

impl Part {
    /// The number of records.
    pub(crate) fn records(&self) -> u32 {
        self.pieces.iter().map(|piece| piece.records).sum()
    }

    /// The size of the frames.
    pub(crate) fn bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.frame.len()).sum()
    }
}

/// Counts the records from `skip` on that are within the limit.
pub(crate) fn fitting(frame: &Frame<'_>, skip: usize, limit: PollLimit) -> usize {
    let most = (frame.len() - skip).min(limit.records);
    if frame.packed_len(skip..skip + most) <= limit.bytes {
        return most;
    }
    // The size grows with the number of records: halve.
    let (mut fits, mut too_many) = (0, most);
    while too_many - fits > 1 {
        let middle = fits + (too_many - fits) / 2;
        if frame.packed_len(skip..skip + middle) <= limit.bytes {
            fits = middle;
        } else {
            too_many = middle;
        }
    }
    fits
}

/// All records of a frame for one partition. A frame that is small and on channel 0 is not copied.
pub(crate) fn for_partition(partition: u32, bytes: Bytes) -> Result<Part> {
    let frame = parse(&bytes)?;
    let as_it_is = bytes.len() <= STORED_BYTES && frame.iter().all(|record| record.channel == 0);
    let pieces = match frame.len() {
        0 => Vec::new(),
        records if as_it_is => vec![Piece { records: records as u32, frame: bytes }],
        _ => cut(&frame),
    };
    Ok(Part { partition, pieces })
}

/// The records of a frame by the partitions of their keys; keyless ones go to `keyless`.
pub(crate) fn by_key(bytes: Bytes, partitions: u32, keyless: u32) -> Result<Vec<Part>> {
    if partitions == 1 {
        return Ok(vec![for_partition(0, bytes)?]);
    }
    let frame = parse(&bytes)?;
    let target = |key: Option<&[u8]>| key.map_or(keyless, |key| partition_for_key(key, partitions));
    let mut builders: Vec<FrameBuilder> = (0..partitions).map(|_| FrameBuilder::new()).collect();
    for run in runs(frame.iter().map(|record| target(record.key))) {
        builders[run.0 as usize].extend(&frame, run.1, Some(0));
    }
    let parts = (0..partitions).zip(builders).filter(|(_, builder)| !builder.is_empty());
    parts.map(|(partition, builder)| for_partition(partition, builder.to_bytes().into())).collect()
}

/// The records of a frame from the `skip`th on, as a frame.
pub(crate) fn without_first(bytes: &[u8], skip: u32) -> Result<Bytes> {
    let frame = parse(bytes)?;
    let mut rest = FrameBuilder::new();
    rest.extend(&frame, skip as usize..frame.len(), None);
    Ok(rest.to_bytes().into())
}

/// The size of the largest record.
pub(crate) fn largest_record(bytes: &[u8]) -> Result<usize> {
    let frame = parse(bytes)?;
    Ok((0..frame.len()).map(|i| frame.packed_len(i..i + 1)).max().unwrap_or(0))
}

fn cut(frame: &Frame<'_>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < frame.len() {
        let limit = PollLimit { records: usize::MAX, bytes: STORED_BYTES };
        let records = fitting(frame, at, limit).max(1);
        let mut builder = FrameBuilder::new();
        builder.extend(frame, at..at + records, Some(0));
        pieces.push(Piece { frame: builder.to_bytes().into(), records: records as u32 });
        at += records;
    }
    pieces
}

/// Neighbours of the same target, so that they are copied together.
fn runs(targets: impl Iterator<Item = u32>) -> Vec<(u32, Range<usize>)> {
    let mut runs: Vec<(u32, Range<usize>)> = Vec::new();
    for (i, target) in targets.enumerate() {
        match runs.last_mut() {
            Some((last, range)) if *last == target => range.end = i + 1,
            _ => runs.push((target, i..i + 1)),
        }
    }
    runs
}

fn parse(bytes: &[u8]) -> Result<Frame<'_>> {
    Frame::parse(bytes).map_err(|e| corrupt(format_args!("records to store: {e}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use fnstream_frame::RecordRef;

    use super::*;

    fn frame(values: &[Vec<u8>]) -> Bytes {
        let mut builder = FrameBuilder::new();
        for value in values {
            builder.push(RecordRef::new(value).with_key(Some(&value[..1])).on(3));
        }
        builder.to_bytes().into()
    }

    #[test]
    fn cutting_keeps_every_record_in_order_on_channel_0() {
        let values: Vec<Vec<u8>> = (0..100_u8).map(|i| vec![i; 3000]).chain([vec![7; 200_000]]).collect();
        let part = for_partition(5, frame(&values)).unwrap();
        assert!(part.pieces.len() > 4);
        assert_eq!(part.records(), 101);
        let mut seen = Vec::new();
        for piece in &part.pieces {
            let frame = Frame::parse(&piece.frame).unwrap();
            assert_eq!(frame.len() as u32, piece.records);
            assert!(piece.frame.len() <= STORED_BYTES + 1024 || piece.records == 1);
            seen.extend(frame.iter().inspect(|r| assert_eq!(r.channel, 0)).map(|r| r.bytes().to_vec()));
        }
        assert_eq!(seen, values);
    }

    #[test]
    fn records_go_to_the_partition_of_their_key() {
        let values: Vec<Vec<u8>> = (0..200_u8).map(|i| vec![i, 1]).collect();
        let parts = by_key(frame(&values), 4, 0).unwrap();
        assert_eq!(parts.iter().map(Part::records).sum::<u32>(), 200);
        for part in parts {
            for piece in part.pieces {
                for record in Frame::parse(&piece.frame).unwrap().iter() {
                    assert_eq!(partition_for_key(record.key.unwrap(), 4), part.partition);
                }
            }
        }
    }
}
