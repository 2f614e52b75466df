// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The delta log of a function: an internal topic, whose partition is the task.
//!
//! ```text
//!  │ Fence │ Part Epoch 1 │ Epoch 2 │ … │ Fence │ Epoch 3 …
//!  ▲                                    ▲
//!  a take-over: its offset + 1 is       │
//!  the generation, so later ones are    │
//!  higher, in whatever process          └ reading up to one's own fence gives all that any owner before ever committed
//! ```
//!
//! Everything is written in transactions and read committed. An epoch's entry carries the whole progress, so the last one
//! says where the task stands; a delta that is too large for one record is cut into parts that come right before it.
//!
//! Each entry begins with a version and a kind.

use bytes::Bytes;
use fnstream_core::delta::Delta;
use fnstream_core::epoch::{Epoch, Generation, Progress};
use fnstream_core::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;
/// How much of a delta is in one record; brokers take a megabyte unless told otherwise.
const PART: usize = 512 << 10;

/// An entry of the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Somebody has joined the function's group; only its offset means something.
    Join,
    /// Somebody has taken the task over.
    Fence,
    /// A piece of the delta of the epoch that follows.
    Part(Bytes),
    /// A commit, with the last piece of its delta.
    Epoch(Commit, Bytes),
    /// The state topic has everything up to this epoch.
    Applied(Epoch),
}

/// What an epoch's entry says beside its delta.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Commit {
    /// The owner that made it.
    pub generation: Generation,
    /// Where the task stands after it.
    pub progress: Progress,
    /// How many parts come before it.
    pub parts: u32,
}

const JOIN: u8 = b'j';
const FENCE: u8 = b'f';
const PIECE: u8 = b'p';
const EPOCH: u8 = b'e';
const APPLIED: u8 = b'a';

impl Entry {
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut out = vec![VERSION];
        match self {
            Entry::Join => out.push(JOIN),
            Entry::Fence => out.push(FENCE),
            Entry::Applied(epoch) => {
                out.push(APPLIED);
                out.extend_from_slice(&epoch.0.to_be_bytes());
            }
            Entry::Part(bytes) => {
                out.push(PIECE);
                out.extend_from_slice(bytes);
            }
            Entry::Epoch(commit, bytes) => {
                out.push(EPOCH);
                out = postcard::to_extend(commit, out).map_err(|e| corrupt(&e))?;
                out.extend_from_slice(bytes);
            }
        }
        Ok(out)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Entry> {
        let Some((&[version, kind], rest)) = bytes.split_first_chunk::<2>() else {
            return Err(corrupt(&"an entry of less than two bytes"));
        };
        if version != VERSION {
            return Err(corrupt(&format_args!("version {version} is not known")));
        }
        match kind {
            JOIN => Ok(Entry::Join),
            FENCE => Ok(Entry::Fence),
            APPLIED => match rest.try_into() {
                Ok(epoch) => Ok(Entry::Applied(Epoch(u64::from_be_bytes(epoch)))),
                Err(_) => Err(corrupt(&"an epoch that is not 8 bytes")),
            },
            PIECE => Ok(Entry::Part(Bytes::copy_from_slice(rest))),
            EPOCH => {
                let (commit, rest) = postcard::take_from_bytes(rest).map_err(|e| corrupt(&e))?;
                Ok(Entry::Epoch(commit, Bytes::copy_from_slice(rest)))
            }
            _ => Err(corrupt(&format_args!("an entry of kind {kind}"))),
        }
    }
}

/// The entries of a commit, encoded and in their order.
pub(crate) fn entries(generation: Generation, progress: &Progress, delta: &Delta) -> Result<Vec<Vec<u8>>> {
    let encoded = Bytes::from(if delta.is_empty() { Vec::new() } else { delta.encode() });
    let parts = encoded.len().saturating_sub(1) / PART;
    let commit = Commit { generation, progress: progress.clone(), parts: parts as u32 };
    let piece = |index: usize| encoded.slice(index * PART..encoded.len().min((index + 1) * PART));
    let mut entries: Vec<Vec<u8>> =
        (0..parts).map(|index| Entry::Part(piece(index)).encode()).collect::<Result<_>>()?;
    entries.push(Entry::Epoch(commit, piece(parts)).encode()?);
    Ok(entries)
}

/// Puts the pieces of deltas together again.
#[derive(Default)]
pub(crate) struct Assembly(Vec<Bytes>);

impl Assembly {
    /// Takes the next entry; gives a commit with its delta when it is whole.
    pub(crate) fn take(&mut self, entry: Entry) -> Result<Option<(Commit, Delta)>> {
        match entry {
            Entry::Part(bytes) => self.0.push(bytes),
            // Between the parts of a delta and its epoch nothing else is written.
            Entry::Join | Entry::Fence | Entry::Applied(_) => self.0.clear(),
            Entry::Epoch(commit, last) => {
                let pieces = std::mem::take(&mut self.0);
                // Of the first one that is left after a trim the parts may be gone: whoever trims needs its progress only.
                if pieces.len() != commit.parts as usize {
                    return Ok(Some((commit, Delta::new())));
                }
                let bytes = [pieces.concat(), last.to_vec()].concat();
                let delta = if bytes.is_empty() { Delta::new() } else { Delta::decode(&bytes)? };
                return Ok(Some((commit, delta)));
            }
        }
        Ok(None)
    }
}

fn corrupt(why: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorCode::DataCorrupt, format!("a delta log: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fnstream_core::delta::Write;
    use fnstream_core::record::{Position, Positions, TopicPartition};

    fn progress() -> Progress {
        let positions = Positions::from([(TopicPartition::new("in", 2), Position(7))]);
        Progress { epoch: Epoch(3), positions, records_in: 5, records_out: 4, time: Bytes::from_static(b"t") }
    }

    /// The bytes of version 1, as every later version must read them.
    #[test]
    fn version_1_stays_readable() {
        let commit = Commit { generation: Generation(9), progress: progress(), parts: 1 };
        let golden: [(Entry, &[u8]); 5] = [
            (Entry::Join, b"\x01j"),
            (Entry::Fence, b"\x01f"),
            (Entry::Applied(Epoch(258)), b"\x01a\0\0\0\0\0\0\x01\x02"),
            (Entry::Part(Bytes::from_static(b"ab")), b"\x01pab"),
            (Entry::Epoch(commit, Bytes::from_static(b"cd")), b"\x01e\x09\x03\x01\0\x02in\x02\x07\x05\x04\x01t\x01cd"),
        ];
        for (entry, bytes) in golden {
            assert_eq!(entry.encode().unwrap(), bytes, "{entry:?}");
            assert_eq!(Entry::decode(bytes).unwrap(), entry);
        }
    }

    #[test]
    fn what_is_not_an_entry_is_refused() {
        for bytes in [&b""[..], b"\x01", b"\x02e", b"\x01x", b"\x01e\x09"] {
            assert_eq!(Entry::decode(bytes).unwrap_err().code, ErrorCode::DataCorrupt, "{bytes:?}");
        }
    }

    #[test]
    fn large_deltas_are_cut_and_put_together_again() {
        for size in [0, 1, PART - 20, PART, PART + 1, 2 * PART, 3 * PART + 5] {
            let mut delta = Delta::new();
            delta.write(b"key", Write::Put(Bytes::from(vec![7; size])));
            let entries = entries(Generation(1), &progress(), &delta).unwrap();
            assert!(entries.iter().all(|entry| entry.len() <= PART + 100), "{size}");
            let mut assembly = Assembly::default();
            let mut whole = Vec::new();
            for entry in entries {
                whole.extend(assembly.take(Entry::decode(&entry).unwrap()).unwrap());
            }
            assert_eq!(whole.len(), 1);
            assert_eq!((&whole[0].0.progress, &whole[0].1), (&progress(), &delta), "{size}");
        }
    }
}
