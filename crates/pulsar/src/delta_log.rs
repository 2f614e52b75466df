// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The delta log of a task: an internal topic, which one producer writes at a time.
//!
//! ```text
//!  │ Fence 1 │ Part │ Epoch 1 │ Epoch 2 │ Published 2 │ … │ Fence 2 │ Epoch 3 …
//!  ▲                  ▲                                  ▲
//!  │                  │                                  │
//!  │                  the commit point: positions, delta │
//!  │                  and outbox in one                  reading up to one's own fence gives all that any owner before ever
//!  a take-over; whoever wrote before is fenced           committed
//! ```
//!
//! An epoch's entry carries the whole progress, so the last one says where the task stands, and the outbox, which is published to its
//! topics after it. What is too large for one message is cut into parts that come right before it. An epoch says up to which one the
//! outboxes were published by then; so does an entry of its own when nothing follows for a while.
//!
//! A message may be there twice: a producer that gets no answer sends it again. So parts have numbers, and an epoch that is there already
//! is passed over.
//!
//! Each entry begins with a version and a kind.
//!
//! A commit whose records are written with schemas ends with them: they say how the outbox is written, which has to be the same when that
//! is done again, whatever schemas its topics have by then.

use bytes::{Buf, BufMut, Bytes};
use fnstream_core::delta::Delta;
use fnstream_core::epoch::{Epoch, FrozenEpoch, Generation, OutboxBatch, Progress};
use fnstream_core::record::Position;
use fnstream_core::topic::Topic;
use fnstream_core::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;
/// How much of an epoch is in one message; brokers take five megabytes unless told otherwise.
const PART: usize = 1 << 20;

const FENCE: u8 = b'f';
const PIECE: u8 = b'p';
const EPOCH: u8 = b'e';
const PUBLISHED: u8 = b'o';

/// An entry of the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Somebody has taken the task over.
    Fence,
    /// A piece of the epoch that follows, by its number.
    Part { epoch: Epoch, number: u32, bytes: Bytes },
    /// The last piece of a commit, after that number of parts.
    Epoch { epoch: Epoch, parts: u32, bytes: Bytes },
    /// The outboxes up to this epoch were published.
    Published(Epoch),
}

/// A commit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Commit {
    /// The owner that made it.
    pub generation: Generation,
    /// Where the task stands after it.
    pub progress: Progress,
    /// Up to which epoch the outboxes were published when it was made.
    pub published: Epoch,
    /// The state writes.
    pub delta: Delta,
    /// What is to be published.
    pub outbox: Outbox,
    /// Where its first piece is.
    pub place: Position,
}

/// The emitted records and watermarks of an epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outbox {
    pub batches: Vec<OutboxBatch>,
    pub watermarks: Vec<Mark>,
    /// Those of each batch; empty before they are known, and if there are none.
    pub schemas: Vec<Option<Schemas>>,
}

/// The schemas that the records of a batch are written with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Schemas {
    /// Whether records may say which schema they were read with, which is for nobody else.
    pub are_of_input: bool,
    /// How many records in a row have which version of the output topic's schema; empty for none.
    pub runs: Vec<(u32, Vec<u8>)>,
}

/// A watermark that an epoch emits to a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub topic: Topic,
    pub watermark: u64,
    pub idle: bool,
}

/// What is said of a commit before its delta and its frames.
#[derive(Serialize, Deserialize)]
struct Head {
    generation: Generation,
    progress: Progress,
    published: Epoch,
    delta_bytes: u64,
    /// Topic, partition, number of records, bytes of the frame.
    batches: Vec<(Topic, u32, u32, u64)>,
    watermarks: Vec<Mark>,
}

impl Outbox {
    pub(crate) fn of(epoch: &FrozenEpoch) -> Outbox {
        let mark = |said: &fnstream_core::epoch::OutboxWatermark| Mark {
            topic: said.topic.clone(),
            watermark: said.watermark,
            idle: said.idle,
        };
        let watermarks = epoch.watermarks.iter().map(mark).collect();
        Outbox { batches: epoch.outbox.clone(), watermarks, schemas: Vec::new() }
    }

    /// The schemas of a batch.
    pub(crate) fn schemas_of(&self, index: usize) -> Option<&Schemas> {
        self.schemas.get(index)?.as_ref()
    }

    /// How many records it has.
    pub(crate) fn records(&self) -> u64 {
        self.batches.iter().map(|batch| u64::from(batch.records)).sum()
    }
}

impl Entry {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Entry::Fence => out.push(FENCE),
            Entry::Published(epoch) => {
                out.push(PUBLISHED);
                out.put_u64(epoch.0);
            }
            Entry::Part { epoch, number, bytes } | Entry::Epoch { epoch, parts: number, bytes } => {
                out.push(if matches!(self, Entry::Part { .. }) { PIECE } else { EPOCH });
                out.put_u64(epoch.0);
                out.put_u32(*number);
                out.extend_from_slice(bytes);
            }
        }
        out
    }

    pub(crate) fn decode(mut bytes: Bytes) -> Result<Entry> {
        if bytes.len() < 2 {
            return Err(corrupt(&"an entry of less than two bytes"));
        }
        let (version, kind) = (bytes.get_u8(), bytes.get_u8());
        if version != VERSION {
            return Err(corrupt(&format_args!("version {version} is not known")));
        }
        let length = match kind {
            FENCE => 0,
            PUBLISHED => 8,
            PIECE | EPOCH => 12,
            _ => return Err(corrupt(&format_args!("an entry of kind {kind}"))),
        };
        if bytes.len() < length {
            return Err(corrupt(&format_args!("an entry of kind {kind} that ends early")));
        }
        Ok(match kind {
            FENCE => Entry::Fence,
            PUBLISHED => Entry::Published(Epoch(bytes.get_u64())),
            PIECE => Entry::Part { epoch: Epoch(bytes.get_u64()), number: bytes.get_u32(), bytes },
            _ => Entry::Epoch { epoch: Epoch(bytes.get_u64()), parts: bytes.get_u32(), bytes },
        })
    }
}

/// The entries of a commit with its outbox, encoded and in their order.
pub(crate) fn entries(epoch: &FrozenEpoch, outbox: &Outbox, published: Epoch) -> Result<Vec<Vec<u8>>> {
    let delta = if epoch.delta.is_empty() { Vec::new() } else { epoch.delta.encode() };
    let head = Head {
        generation: epoch.generation,
        progress: epoch.progress.clone(),
        published,
        delta_bytes: delta.len() as u64,
        batches: outbox
            .batches
            .iter()
            .map(|of| (of.topic.clone(), of.partition, of.records, of.frame.len() as u64))
            .collect(),
        watermarks: outbox.watermarks.clone(),
    };
    let mut whole = postcard::to_allocvec(&head).map_err(|e| corrupt(&e))?;
    whole.extend_from_slice(&delta);
    outbox.batches.iter().for_each(|batch| whole.extend_from_slice(&batch.frame));
    if outbox.schemas.iter().any(Option::is_some) {
        whole.extend(postcard::to_allocvec(&outbox.schemas).map_err(|e| corrupt(&e))?);
    }
    let (whole, epoch) = (Bytes::from(whole), epoch.progress.epoch);
    let parts = whole.len().saturating_sub(1) / PART;
    let piece = |index: usize| whole.slice(index * PART..whole.len().min((index + 1) * PART));
    let last = Entry::Epoch { epoch, parts: parts as u32, bytes: piece(parts) };
    let pieces = (0..parts).map(|index| Entry::Part { epoch, number: index as u32, bytes: piece(index) });
    Ok(pieces.chain([last]).map(|entry| entry.encode()).collect())
}

/// Puts the pieces of commits together again.
#[derive(Default)]
pub(crate) struct Assembly {
    parts: Vec<Bytes>,
    of: Epoch,
    /// Where the first of the parts is.
    first: Position,
    /// The last commit that was given.
    last: Epoch,
    /// Whether reading may have begun amid a commit, whose first parts are not there then.
    is_amid: bool,
}

impl Assembly {
    /// Of a log that is read from somewhere in it.
    pub(crate) fn amid() -> Assembly {
        Assembly { is_amid: true, ..Assembly::default() }
    }

    /// Takes the next entry, which is there; gives a commit when it is whole.
    pub(crate) fn take(&mut self, at: Position, entry: Entry) -> Result<Option<Commit>> {
        match entry {
            Entry::Part { epoch, number, bytes } => {
                if number == 0 || epoch != self.of {
                    self.parts.clear();
                    (self.of, self.first) = (epoch, at);
                }
                if number as usize == self.parts.len() {
                    self.parts.push(bytes);
                }
            }
            // Whoever was taken over in the middle of a commit has not made it.
            Entry::Fence => self.parts.clear(),
            Entry::Published(_) => {}
            Entry::Epoch { epoch, .. } if epoch <= self.last => self.parts.clear(),
            Entry::Epoch { epoch, parts, bytes } => {
                let pieces = if self.of == epoch { std::mem::take(&mut self.parts) } else { Vec::new() };
                self.last = epoch;
                let is_first = std::mem::take(&mut self.is_amid);
                if pieces.len() != parts as usize {
                    if is_first {
                        return Ok(None);
                    }
                    return Err(corrupt(&format_args!(
                        "epoch {} lacks {} of {parts} parts",
                        epoch.0,
                        parts as usize - pieces.len()
                    )));
                }
                let place = if pieces.is_empty() { at } else { self.first };
                let whole = if pieces.is_empty() { bytes } else { [pieces.concat(), bytes.to_vec()].concat().into() };
                return decode(whole, place).map(Some);
            }
        }
        Ok(None)
    }
}

fn decode(whole: Bytes, place: Position) -> Result<Commit> {
    let (head, rest) = postcard::take_from_bytes::<Head>(&whole).map_err(|e| corrupt(&e))?;
    let mut rest = whole.slice(whole.len() - rest.len()..);
    let mut take = |length: u64| match usize::try_from(length) {
        Ok(length) if length <= rest.len() => Ok(rest.split_to(length)),
        _ => Err(corrupt(&"a commit that ends early")),
    };
    let delta = take(head.delta_bytes)?;
    let delta = if delta.is_empty() { Delta::new() } else { Delta::decode(&delta)? };
    let batches = head
        .batches
        .into_iter()
        .map(|(topic, partition, records, length)| Ok(OutboxBatch { topic, partition, records, frame: take(length)? }))
        .collect::<Result<_>>()?;
    let schemas = match rest.is_empty() {
        true => Vec::new(),
        false => postcard::from_bytes(&rest).map_err(|e| corrupt(&e))?,
    };
    let outbox = Outbox { batches, watermarks: head.watermarks, schemas };
    Ok(Commit { generation: head.generation, progress: head.progress, published: head.published, delta, outbox, place })
}

fn corrupt(why: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorCode::DataCorrupt, format!("a delta log: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fnstream_core::delta::Write;
    use fnstream_core::epoch::{FunctionId, TaskId};
    use fnstream_core::record::{Positions, TopicPartition};

    fn progress(epoch: u64) -> Progress {
        let positions = Positions::from([(TopicPartition::new("in", 2), Position(7))]);
        Progress { epoch: Epoch(epoch), positions, records_in: 5, records_out: 4, time: Bytes::from_static(b"t") }
    }

    fn epoch(number: u64, value: usize) -> FrozenEpoch {
        let mut delta = Delta::new();
        delta.write(b"key", Write::Put(Bytes::from(vec![7; value])));
        let frame = Bytes::from_static(b"frame");
        FrozenEpoch {
            task: TaskId::new(FunctionId(1), 2),
            generation: Generation(9),
            progress: progress(number),
            delta,
            outbox: vec![OutboxBatch { topic: Topic::own("out"), partition: 1, frame, records: 3 }],
            watermarks: vec![],
        }
    }

    fn encoded(epoch: &FrozenEpoch, published: Epoch) -> Result<Vec<Vec<u8>>> {
        entries(epoch, &Outbox::of(epoch), published)
    }

    fn read(assembly: &mut Assembly, entries: &[Vec<u8>]) -> Vec<Commit> {
        let entries = entries.iter().map(|entry| Entry::decode(Bytes::copy_from_slice(entry)).unwrap());
        (0..).zip(entries).filter_map(|(at, entry)| assembly.take(Position(at), entry).unwrap()).collect()
    }

    /// The bytes of version 1, as every later version must read them.
    #[test]
    fn version_1_stays_readable() {
        let bytes = Bytes::from_static(b"ab");
        let golden: [(Entry, &[u8]); 4] = [
            (Entry::Fence, b"\x01f"),
            (Entry::Published(Epoch(258)), b"\x01o\0\0\0\0\0\0\x01\x02"),
            (Entry::Part { epoch: Epoch(1), number: 2, bytes: bytes.clone() }, b"\x01p\0\0\0\0\0\0\0\x01\0\0\0\x02ab"),
            (Entry::Epoch { epoch: Epoch(1), parts: 3, bytes }, b"\x01e\0\0\0\0\0\0\0\x01\0\0\0\x03ab"),
        ];
        for (entry, bytes) in golden {
            assert_eq!(entry.encode(), bytes, "{entry:?}");
            assert_eq!(Entry::decode(Bytes::from_static(bytes)).unwrap(), entry);
        }
        let bare = FrozenEpoch { delta: Delta::new(), ..epoch(3, 0) };
        let golden = b"\x01e\0\0\0\0\0\0\0\x03\0\0\0\0\x09\x03\x01\0\x02in\x02\x07\x05\x04\x01t\x02\0\x01\0\x03out\x01\x03\x05\0frame";
        assert_eq!(encoded(&bare, Epoch(2)).unwrap(), [golden.to_vec()]);
        let commits = read(&mut Assembly::default(), &[golden.to_vec()]);
        assert_eq!(
            (&commits[0].progress, commits[0].published, &commits[0].outbox),
            (&progress(3), Epoch(2), &Outbox::of(&bare))
        );
    }

    /// The bytes of commits with schemas, as every later version must read them.
    #[test]
    fn schemas_are_at_the_end_of_a_commit() {
        let bare = FrozenEpoch { delta: Delta::new(), ..epoch(3, 0) };
        let runs = vec![(2, b"\0\x01".to_vec()), (1, b"\0\x02".to_vec())];
        let schemas = vec![Some(Schemas { are_of_input: true, runs })];
        let outbox = Outbox { schemas, ..Outbox::of(&bare) };
        let golden = b"\x01e\0\0\0\0\0\0\0\x03\0\0\0\0\x09\x03\x01\0\x02in\x02\x07\x05\x04\x01t\x02\0\x01\0\x03out\x01\x03\x05\0frame\
            \x01\x01\x01\x02\x02\x02\0\x01\x01\x02\0\x02";
        assert_eq!(entries(&bare, &outbox, Epoch(2)).unwrap(), [golden.to_vec()]);
        assert_eq!(read(&mut Assembly::default(), &[golden.to_vec()])[0].outbox, outbox);
        // Where no batch has any, nothing is said of them.
        let without = Outbox { schemas: vec![None], ..Outbox::of(&bare) };
        assert_eq!(entries(&bare, &without, Epoch(2)).unwrap(), encoded(&bare, Epoch(2)).unwrap());
        let cut = Entry::decode(Bytes::from_static(&golden[..golden.len() - 1])).unwrap();
        assert_eq!(Assembly::default().take(Position(0), cut).unwrap_err().code, ErrorCode::DataCorrupt);
    }

    #[test]
    fn what_is_not_an_entry_is_refused() {
        for bytes in [&b""[..], b"\x01", b"\x02f", b"\x01x", b"\x01e\0", b"\x01o\0\0"] {
            let error = Entry::decode(Bytes::from_static(bytes)).unwrap_err();
            assert_eq!(error.code, ErrorCode::DataCorrupt, "{bytes:?}");
        }
        let cut = &encoded(&epoch(1, 10), Epoch(0)).unwrap()[0];
        let entry = Entry::decode(Bytes::copy_from_slice(&cut[..cut.len() - 1])).unwrap();
        assert_eq!(Assembly::default().take(Position(0), entry).unwrap_err().code, ErrorCode::DataCorrupt);
    }

    #[test]
    fn large_commits_are_cut_and_put_together_again() {
        for size in [0, 1, PART - 100, PART, 2 * PART, 3 * PART + 5] {
            let frozen = epoch(1, size);
            let entries = encoded(&frozen, Epoch(0)).unwrap();
            assert!(entries.iter().all(|entry| entry.len() <= PART + 100), "{size}");
            let commits = read(&mut Assembly::default(), &entries);
            assert_eq!(commits.len(), 1);
            assert_eq!((&commits[0].delta, &commits[0].outbox), (&frozen.delta, &Outbox::of(&frozen)), "{size}");
        }
    }

    #[test]
    fn what_is_there_twice_counts_once_and_a_torn_commit_never() {
        let (first, second) =
            (encoded(&epoch(1, 3 * PART), Epoch(0)).unwrap(), encoded(&epoch(2, 1), Epoch(1)).unwrap());
        let fence = Entry::Fence.encode();
        let mut assembly = Assembly::default();
        // The first two parts, a take-over, then all of it with parts and the commit itself sent again.
        let mut log = first[..2].to_vec();
        log.push(fence);
        log.extend([&first[..2], &first[1..], &first[2..], &second, &first, &second].into_iter().flatten().cloned());
        let commits = read(&mut assembly, &log);
        let numbers: Vec<_> = commits.iter().map(|commit| commit.progress.epoch.0).collect();
        assert_eq!(numbers, [1, 2]);
        assert_eq!(commits[0].place, Position(3), "behind the take-over");
        assert_eq!(commits[0].delta, epoch(1, 3 * PART).delta);
    }
}
