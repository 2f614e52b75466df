// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! State writes that are not in the state store yet, coalesced: one layer of a task's state.
//!
//! The same type is the overlay of the open epoch, the delta of a frozen one and the dirty map of committed ones; what
//! differs is only who may still write to it. Within one delta range deletes come first, then the entries:
//!
//! ```text
//! read(key)   = an entry decides (a merge only adds to what lies below) -> else a covering range means absent -> else below
//! later write = replaces the entry, except that a merge appends to it
//! delete_range drops the entries that it covers, then stands for everything below this layer
//! ```
//!
//! Each entry keeps the hash of its key ([`HashedKey`]), so that a read hashes a key once for all layers, and entries move
//! from one delta into another without being hashed again.

mod hashed;

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use fnstream_frame::{FrameError, OpList, StateOp};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;

pub use self::hashed::HashedKey;

use crate::error::{Error, ErrorCode, Result};

/// Version byte of [`Delta::encode`].
const VERSION: u8 = 1;

/// So many keys are added to an index at least before it is given up.
const LEAST_UNSCANNED: usize = 1024;

/// What a delta says of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// The key has this value, which may be empty.
    Put(Bytes),
    /// The key is absent.
    Delete,
    /// The key has the value below, if any, with these bytes appended.
    Merge(Bytes),
}

impl Write {
    /// What is put or appended.
    pub fn value(&self) -> Option<&Bytes> {
        match self {
            Write::Put(value) | Write::Merge(value) => Some(value),
            Write::Delete => None,
        }
    }
}

/// What a delta answers to a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// This is the value.
    Value(Bytes),
    /// The key is absent.
    Absent,
    /// The value below with these bytes appended.
    Append(Bytes),
    /// The delta says nothing of the key.
    Below,
}

/// All keys from `start`, inclusive, to `end`, exclusive; without `end`, to the last key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key.
    pub start: Bytes,
    /// The first key that is not meant any more.
    pub end: Option<Bytes>,
}

impl KeyRange {
    /// Whether the range covers a key.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= &self.start[..] && self.end.as_ref().is_none_or(|end| key < &end[..])
    }
}

/// State writes, the last one per key.
#[derive(Debug, Default)]
pub struct Delta {
    entries: HashTable<Entry>,
    ranges: Vec<KeyRange>,
    /// The keys in order; built by a scan, and kept while there are scans: most functions never have any.
    index: OnceLock<BTreeSet<Bytes>>,
    /// Keys that were added to the index since the last scan.
    unscanned: AtomicUsize,
    bytes: usize,
}

/// What stands for one key.
#[derive(Debug, Clone)]
struct Entry {
    hash: u64,
    key: Bytes,
    write: Write,
}

impl Entry {
    fn hashed(&self) -> HashedKey<'_> {
        HashedKey::known(self.hash, &self.key)
    }
}

impl Clone for Delta {
    fn clone(&self) -> Self {
        Delta {
            entries: self.entries.clone(),
            ranges: self.ranges.clone(),
            index: OnceLock::new(),
            unscanned: AtomicUsize::new(0),
            bytes: self.bytes,
        }
    }
}

impl PartialEq for Delta {
    fn eq(&self, other: &Self) -> bool {
        let has = |entry: &Entry| other.find(entry.hashed()).is_some_and(|found| found.write == entry.write);
        self.entries.len() == other.entries.len() && self.entries.iter().all(has) && self.ranges == other.ranges
    }
}

impl Delta {
    /// No writes.
    pub fn new() -> Self {
        Self::default()
    }

    /// No writes, with memory for that many keys.
    pub fn with_capacity(keys: usize) -> Self {
        Delta { entries: HashTable::with_capacity(keys), ..Self::default() }
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.ranges.is_empty()
    }

    /// Keys and ranges.
    pub fn len(&self) -> usize {
        self.entries.len() + self.ranges.len()
    }

    /// Bytes of keys and values, without the bookkeeping.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes one key.
    pub fn write<'a>(&mut self, key: impl Into<HashedKey<'a>>, write: Write) {
        let key = key.into();
        self.put(key.hash(), key.bytes(), Bytes::copy_from_slice, write);
    }

    /// Removes all keys of a range.
    pub fn delete_range(&mut self, start: &[u8], end: Option<&[u8]>) {
        let range = KeyRange { start: Bytes::copy_from_slice(start), end: end.map(Bytes::copy_from_slice) };
        if range.end.as_ref().is_some_and(|end| *end <= range.start) {
            return;
        }
        for key in self.keys_in(&range) {
            let hashed = HashedKey::new(&key);
            if let Ok(entry) = self.entries.find_entry(hashed.hash(), |entry| entry.key == key) {
                let (Entry { write, .. }, _) = entry.remove();
                self.bytes -= key.len() + weight(&write);
            }
            if let Some(index) = self.index.get_mut() {
                index.remove(&key);
            }
        }
        if !self.ranges.contains(&range) {
            self.bytes += range.start.len() + range.end.as_ref().map_or(0, Bytes::len);
            self.ranges.push(range);
        }
    }

    /// What this delta says of a key.
    pub fn lookup<'a>(&self, key: impl Into<HashedKey<'a>>) -> Lookup {
        let key = key.into();
        match self.find(key).map(|entry| &entry.write) {
            Some(Write::Put(value)) => Lookup::Value(value.clone()),
            Some(Write::Delete) => Lookup::Absent,
            Some(Write::Merge(operand)) => Lookup::Append(operand.clone()),
            None if self.is_deleted_by_range(key.bytes()) => Lookup::Absent,
            None => Lookup::Below,
        }
    }

    /// The first key with an entry after `from`, below `end`. Builds the index of keys when there is none.
    pub fn next_key(&self, from: Bound<&[u8]>, end: Option<&[u8]>) -> Option<Bytes> {
        if self.entries.is_empty() {
            return None;
        }
        self.unscanned.store(0, Ordering::Relaxed);
        let index = self.index.get_or_init(|| self.entries.iter().map(|entry| entry.key.clone()).collect());
        let key = index.range::<[u8], _>((from, Bound::Unbounded)).next()?;
        end.is_none_or(|end| &key[..] < end).then(|| key.clone())
    }

    /// Whether any write is a merge.
    pub fn has_merges(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.write, Write::Merge(_)))
    }

    /// Takes over the writes of a newer delta.
    pub fn absorb(&mut self, newer: Delta) {
        let was_empty = self.is_empty();
        for range in &newer.ranges {
            self.delete_range(&range.start, range.end.as_deref());
        }
        // Not when memory is at hand for much more than this.
        if was_empty && self.index.get().is_none() && self.entries.capacity() <= newer.entries.capacity() {
            self.bytes += newer.bytes - newer.ranges.iter().map(range_weight).sum::<usize>();
            self.entries = newer.entries;
            return;
        }
        for Entry { hash, key, write } in newer.entries {
            self.put(hash, key, |key| key, write);
        }
    }

    /// Whether nothing below this delta is left: what a store is filled with anew begins so.
    pub fn deletes_all(&self) -> bool {
        self.ranges.iter().any(|range| range.start.is_empty() && range.end.is_none())
    }

    /// Forgets the ranges, and the entries up to this key, inclusive: a store has them already (see
    /// [`crate::state::Unfinished`]).
    pub fn drop_through(&mut self, key: &[u8]) {
        self.bytes -= self.ranges.drain(..).map(|range| range_weight(&range)).sum::<usize>();
        let Delta { entries, index, bytes, .. } = self;
        entries.retain(|entry| {
            let stays = entry.key[..] > *key;
            if !stays {
                *bytes -= entry.key.len() + weight(&entry.write);
            }
            stays
        });
        if let Some(index) = index.get_mut() {
            index.retain(|indexed| indexed[..] > *key);
        }
    }

    /// The deleted ranges, to be applied before the entries.
    pub fn ranges(&self) -> &[KeyRange] {
        &self.ranges
    }

    /// The entries in no order.
    pub fn entries(&self) -> impl Iterator<Item = (&Bytes, &Write)> {
        self.entries.iter().map(|entry| (&entry.key, &entry.write))
    }

    /// The entries in no order, to keep; each with the hash of its key.
    pub fn into_entries(self) -> impl Iterator<Item = (u64, Bytes, Write)> {
        self.entries.into_iter().map(|Entry { hash, key, write }| (hash, key, write))
    }

    /// The entries in the order of their keys: what a store takes fastest.
    pub fn sorted_entries(&self) -> Vec<(&Bytes, &Write)> {
        let mut entries: Vec<_> = self.entries().collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        entries
    }

    /// Appends the encoded delta: a version byte, then an op list of the frame crate, ranges first.
    pub fn encode(&self) -> Vec<u8> {
        let mut ops = OpList::new();
        for range in &self.ranges {
            ops.push(StateOp::DeleteRange(&range.start, range.end.as_deref()));
        }
        for (key, write) in self.entries() {
            ops.push(match write {
                Write::Put(value) => StateOp::Put(key, value),
                Write::Delete => StateOp::Delete(key),
                Write::Merge(operand) => StateOp::Merge(key, operand),
            });
        }
        let mut out = Vec::with_capacity(1 + ops.as_bytes().len());
        out.push(VERSION);
        out.extend_from_slice(ops.as_bytes());
        out
    }

    /// Reads an encoded delta.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let corrupt = |why: &dyn std::fmt::Display| Error::new(ErrorCode::DataCorrupt, format!("a state delta: {why}"));
        let (version, ops) = bytes.split_first().ok_or_else(|| corrupt(&"no bytes"))?;
        if *version != VERSION {
            return Err(corrupt(&format_args!("version {version} is not known")));
        }
        let mut delta = Delta::new();
        OpList::read::<FrameError>(ops, |op| {
            match op {
                StateOp::Put(key, value) => delta.write(key, Write::Put(Bytes::copy_from_slice(value))),
                StateOp::Delete(key) => delta.write(key, Write::Delete),
                StateOp::Merge(key, operand) => delta.write(key, Write::Merge(Bytes::copy_from_slice(operand))),
                StateOp::DeleteRange(start, end) => delta.delete_range(start, end),
            }
            Ok(())
        })
        .map_err(|e| corrupt(&e))?;
        Ok(delta)
    }

    fn find(&self, key: HashedKey<'_>) -> Option<&Entry> {
        self.entries.find(key.hash(), |entry| entry.key[..] == *key.bytes())
    }

    /// Writes a key, which `keep` makes one to keep when it is new.
    fn put<K: AsRef<[u8]>>(&mut self, hash: u64, key: K, keep: impl FnOnce(K) -> Bytes, write: Write) {
        let Delta { entries, ranges, index, unscanned, bytes } = self;
        let known = entries.len();
        match entries.entry(hash, |entry| entry.key[..] == *key.as_ref(), |entry| entry.hash) {
            Slot::Occupied(mut slot) => {
                let slot = &mut slot.get_mut().write;
                *bytes -= weight(slot);
                apply(slot, write);
                *bytes += weight(slot);
            }
            Slot::Vacant(slot) => {
                let write = match write {
                    // A merge onto a range that this delta deletes has nothing below it.
                    Write::Merge(operand) if ranges.iter().any(|range| range.contains(key.as_ref())) => {
                        Write::Put(operand)
                    }
                    other => other,
                };
                let key = keep(key);
                *bytes += key.len() + weight(&write);
                if let Some(keys) = index.get_mut() {
                    *unscanned.get_mut() += 1;
                    // Then it costs more to keep than to build anew.
                    if *unscanned.get_mut() > (known / 2).max(LEAST_UNSCANNED) {
                        index.take();
                    } else {
                        keys.insert(key.clone());
                    }
                }
                slot.insert(Entry { hash, key, write });
            }
        }
    }

    fn is_deleted_by_range(&self, key: &[u8]) -> bool {
        self.ranges.iter().any(|range| range.contains(key))
    }

    fn keys_in(&self, range: &KeyRange) -> Vec<Bytes> {
        match self.index.get() {
            Some(index) => index
                .range::<[u8], _>((Bound::Included(&range.start[..]), Bound::Unbounded))
                .take_while(|key| range.contains(key))
                .cloned()
                .collect(),
            None => self.entries().map(|(key, _)| key).filter(|key| range.contains(key)).cloned().collect(),
        }
    }
}

fn weight(write: &Write) -> usize {
    write.value().map_or(0, Bytes::len)
}

fn range_weight(range: &KeyRange) -> usize {
    range.start.len() + range.end.as_ref().map_or(0, Bytes::len)
}

/// A later write meets an entry.
fn apply(slot: &mut Write, later: Write) {
    *slot = match (std::mem::replace(slot, Write::Delete), later) {
        (Write::Put(value), Write::Merge(operand)) => Write::Put(appended(&value, &operand)),
        (Write::Merge(first), Write::Merge(operand)) => Write::Merge(appended(&first, &operand)),
        (Write::Delete, Write::Merge(operand)) => Write::Put(operand),
        (_, later) => later,
    };
}

/// The bytes of `value` followed by those of `operand`.
pub fn appended(value: &[u8], operand: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(value.len() + operand.len());
    out.extend_from_slice(value);
    out.extend_from_slice(operand);
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(value: &'static str) -> Write {
        Write::Put(Bytes::from_static(value.as_bytes()))
    }

    fn merge(value: &'static str) -> Write {
        Write::Merge(Bytes::from_static(value.as_bytes()))
    }

    #[test]
    fn merge_appends_to_what_the_delta_has() {
        let mut delta = Delta::new();
        delta.write(b"a", put("1"));
        delta.write(b"a", merge("2"));
        assert_eq!(delta.lookup(b"a"), Lookup::Value(Bytes::from_static(b"12")));
        delta.write(b"b", merge("1"));
        delta.write(b"b", merge("2"));
        assert_eq!(delta.lookup(b"b"), Lookup::Append(Bytes::from_static(b"12")));
        delta.write(b"c", Write::Delete);
        delta.write(b"c", merge("2"));
        assert_eq!(delta.lookup(b"c"), Lookup::Value(Bytes::from_static(b"2")));
    }

    #[test]
    fn a_range_delete_hides_what_is_below_but_not_what_comes_later() {
        let mut delta = Delta::new();
        delta.write(b"a1", put("x"));
        delta.delete_range(b"a", Some(b"b"));
        delta.write(b"a2", merge("y"));
        assert_eq!(delta.lookup(b"a1"), Lookup::Absent);
        assert_eq!(delta.lookup(b"a2"), Lookup::Value(Bytes::from_static(b"y")));
        assert_eq!(delta.lookup(b"b"), Lookup::Below);
    }

    /// The bytes of version 1, as every later version must read them.
    #[test]
    fn version_1_stays_readable() {
        let golden = b"\x01\x02\0\0\0\x03\x01\0\0\0a\x01\0\0\0b\x00\x01\0\0\0c\x02\0\0\0vv";
        let mut delta = Delta::new();
        delta.delete_range(b"a", Some(b"b"));
        delta.write(b"c", put("vv"));
        assert_eq!(delta.encode(), golden);
        assert_eq!(Delta::decode(golden).unwrap(), delta);
    }

    #[test]
    fn what_a_store_has_up_to_a_key_is_dropped_and_later_merges_are_kept() {
        let mut delta = Delta::new();
        delta.delete_range(b"x", None);
        for key in [b"a", b"b", b"c"] {
            delta.write(key, merge("1"));
        }
        assert_eq!(delta.next_key(Bound::Unbounded, None).unwrap(), "a");
        delta.drop_through(b"b");
        assert_eq!((delta.len(), delta.bytes()), (1, 2));
        assert_eq!(delta.lookup(b"b"), Lookup::Below);
        assert_eq!(delta.lookup(b"y"), Lookup::Below, "ranges are deleted first of all");
        assert_eq!(delta.lookup(b"c"), Lookup::Append(Bytes::from_static(b"1")));
        assert_eq!(delta.next_key(Bound::Unbounded, None).unwrap(), "c");
    }

    #[test]
    fn an_index_that_nobody_scans_is_given_up_and_built_anew() {
        let mut delta = Delta::new();
        assert_eq!(delta.next_key(Bound::Unbounded, None), None);
        assert!(delta.index.get().is_none(), "nothing is indexed");
        let key = |n: usize| (n as u32).to_be_bytes();
        delta.write(&key(0), put("v"));
        assert!(delta.next_key(Bound::Excluded(&key(0)), None).is_none());
        for n in 1..=LEAST_UNSCANNED {
            delta.write(&key(n), put("v"));
        }
        assert!(delta.index.get().is_some());
        assert_eq!(delta.next_key(Bound::Excluded(&key(7)), None).unwrap()[..], key(8));
        for n in 1..=2 * LEAST_UNSCANNED {
            delta.write(&key(LEAST_UNSCANNED + n), put("v"));
        }
        assert!(delta.index.get().is_none(), "and none of it is scanned");
        assert_eq!(delta.next_key(Bound::Excluded(&key(3000)), None).unwrap()[..], key(3001));
    }

    #[test]
    fn bytes_are_counted_exactly() {
        let mut delta = Delta::new();
        delta.write(b"key", put("value"));
        delta.write(b"key", put("v"));
        delta.delete_range(b"x", None);
        assert_eq!(delta.bytes(), 3 + 1 + 1);
        let mut all = Delta::new();
        all.absorb(delta);
        assert_eq!(all.bytes(), 5);
    }
}
