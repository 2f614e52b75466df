// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! State of tasks, on the local disk and in a compacted topic of the function, whose partition is the task.
//!
//! ```text
//!  delta log     … Epoch 7 │ 8 │ Applied 8 │ 9 │ 10          dropped before the entry of what was applied last
//!  state topic   a  b  c  marker 8                           the last value of each key, at the marker
//!  local store   as the state topic, or one apply behind it
//! ```
//!
//! An apply goes to the topic first, in one transaction with its marker and with a note in the delta log: the topic is never
//! torn, and whoever was fenced writes nothing more. Merges are resolved to whole values before, and what a range deletes is
//! deleted key by key. Then it goes to the local store. So after a crash the local store may be one apply behind; the delta log
//! still has what it lacks.
//!
//! An empty disk is filled from the topic up to its marker, in pieces, and then from the delta log. A store that has only some of
//! the pieces says up to which offset in its marker, and is given the rest.

use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::delta::{Delta, Write};
use fnstream_core::epoch::{Epoch, TaskId};
use fnstream_core::state::{Marker, StateStore, StateStores, Unfinished, Visit, resolved};
use fnstream_core::{Error, ErrorCode, Result};

use crate::admin::POLICY;
use crate::place::Kafka;

/// What the topic has to be set to.
pub(crate) const SETTINGS: [(&str, &str); 1] = [(POLICY, "compact")];

/// The first byte of a key: of the state's own, of the marker, of a take-over.
const KEY: u8 = b'k';
pub(crate) const MARKER: [u8; 1] = [b'm'];
pub(crate) const FENCE: [u8; 1] = [b'f'];
/// What begins a place within a restore, which is no place in a delta log.
const WITHIN: u8 = b's';
/// How much a piece of a restore has.
const PIECE_BYTES: usize = 4 << 20;

/// Stores of a local disk that write what is applied to Kafka too.
pub struct KafkaStates {
    kafka: Arc<Kafka>,
    local: Arc<dyn StateStores>,
}

impl KafkaStates {
    /// The stores of a place's tasks, over those of the local disk.
    pub fn new(kafka: Arc<Kafka>, local: Arc<dyn StateStores>) -> KafkaStates {
        KafkaStates { kafka, local }
    }
}

impl StateStores for KafkaStates {
    fn open(&self, task: TaskId) -> Result<Arc<dyn StateStore>> {
        Ok(Arc::new(Store { kafka: self.kafka.clone(), task, local: self.local.open(task)? }))
    }
}

struct Store {
    kafka: Arc<Kafka>,
    task: TaskId,
    local: Arc<dyn StateStore>,
}

impl StateStore for Store {
    fn marker(&self) -> Result<Option<Marker>> {
        self.local.marker()
    }

    fn unfinished(&self) -> Result<Option<Unfinished>> {
        self.local.unfinished()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.local.get(key)
    }

    fn scan(&self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        self.local.scan(start, end, visit)
    }

    fn apply(&self, delta: &Delta, marker: &Marker) -> Result<()> {
        let (closed, ahead) = self.kafka.closed(self.task);
        // What is restored comes from the topic, and what it has already needs only to reach the disk.
        if marker.epoch > closed {
            let records = resolved(delta, &*self.local, &ahead)?;
            let records = records.into_iter().map(|(key, value)| (keyed(&key), value)).collect();
            self.kafka.write_state(self.task, records, marker)?;
        }
        self.local.apply(delta, marker)
    }
}

/// A record of the topic: a key, and its value or none.
pub(crate) type Record = (Vec<u8>, Option<Vec<u8>>);

fn keyed(key: &[u8]) -> Vec<u8> {
    [&[KEY], key].concat()
}

/// The marker as the topic has it.
pub(crate) fn encode(marker: &Marker) -> Result<Vec<u8>> {
    postcard::to_allocvec(marker).map_err(|e| corrupt(&e))
}

/// Makes pieces of the topic's records, in their order.
pub(crate) struct Restore {
    delta: Delta,
    /// The marker that was read last.
    pub marker: Option<Marker>,
    /// The offset of the record that was read last.
    last: i64,
}

impl Restore {
    /// From the beginning, or on from the place that a store has.
    pub(crate) fn begin(is_begun: bool) -> Restore {
        let mut delta = Delta::new();
        if !is_begun {
            delta.delete_range(b"", None);
        }
        Restore { delta, marker: None, last: -1 }
    }

    /// Takes the next record; gives a piece when there is enough for one.
    pub(crate) fn take(&mut self, offset: i64, key: &[u8], value: Option<&[u8]>) -> Result<Option<(Marker, Delta)>> {
        self.last = offset;
        match key.split_first() {
            Some((&KEY, key)) => {
                let write = value.map_or(Write::Delete, |value| Write::Put(Bytes::copy_from_slice(value)));
                self.delta.write(key, write);
            }
            _ if key == MARKER => {
                let value = value.unwrap_or_default();
                self.marker = Some(postcard::from_bytes(value).map_err(|e| corrupt(&e))?);
            }
            _ => {}
        }
        if self.delta.bytes() < PIECE_BYTES {
            return Ok(None);
        }
        let within = Marker { epoch: Epoch(0), log_end: [&[WITHIN][..], &self.last.to_be_bytes()].concat().into() };
        Ok(Some((within, std::mem::take(&mut self.delta))))
    }

    /// The last piece, if anything was ever applied.
    pub(crate) fn end(self) -> Option<(Marker, Delta)> {
        Some((self.marker?, self.delta))
    }
}

/// The offset up to which a store was filled that has a part of the state.
pub(crate) fn place_within(applied: &Marker) -> Option<i64> {
    let place = applied.log_end.strip_prefix(&[WITHIN])?;
    (applied.epoch == Epoch(0)).then(|| Some(i64::from_be_bytes(place.try_into().ok()?)))?
}

fn corrupt(why: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorCode::DataCorrupt, format!("a state topic: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_in_pieces_goes_on_where_it_was_cut() {
        let marker = Marker { epoch: Epoch(7), log_end: Bytes::from_static(b"end") };
        let large = vec![1; PIECE_BYTES];
        let mut restore = Restore::begin(false);
        assert!(restore.take(3, b"ka", Some(b"1")).unwrap().is_none());
        let (within, piece) = restore.take(9, b"kb", Some(&large)).unwrap().unwrap();
        assert!(piece.deletes_all(), "whatever the store has is deleted first");
        assert_eq!((within.epoch, place_within(&within)), (Epoch(0), Some(9)));
        assert!(restore.take(10, &MARKER, Some(&encode(&marker).unwrap())).unwrap().is_none());
        assert!(restore.take(11, b"ka", None).unwrap().is_none());
        let (at, piece) = restore.end().unwrap();
        assert_eq!(at, marker);
        assert!(!piece.deletes_all());
        assert_eq!(piece.lookup(b"a"), fnstream_core::delta::Lookup::Absent);
        assert!(Restore::begin(true).end().is_none(), "nothing was ever applied");
    }
}
