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

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::OnceLock;

use bytes::Bytes;
use fnstream_frame::{FrameError, OpList, StateOp};

use crate::error::{Error, ErrorCode, Result};

/// Version byte of [`Delta::encode`].
const VERSION: u8 = 1;

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
    entries: HashMap<Bytes, Write, ahash::RandomState>,
    ranges: Vec<KeyRange>,
    /// The keys in order; built by the first scan and kept from then on, since most functions never scan.
    index: OnceLock<BTreeSet<Bytes>>,
    bytes: usize,
}

impl Clone for Delta {
    fn clone(&self) -> Self {
        Delta { entries: self.entries.clone(), ranges: self.ranges.clone(), index: OnceLock::new(), bytes: self.bytes }
    }
}

impl PartialEq for Delta {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries && self.ranges == other.ranges
    }
}

impl Delta {
    /// No writes.
    pub fn new() -> Self {
        Self::default()
    }

    /// No writes, with memory for that many keys.
    pub fn with_capacity(keys: usize) -> Self {
        Delta { entries: HashMap::with_capacity_and_hasher(keys, Default::default()), ..Self::default() }
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
    pub fn write(&mut self, key: &[u8], write: Write) {
        if let Some(slot) = self.entries.get_mut(key) {
            self.bytes -= weight(slot);
            apply(slot, write);
            self.bytes += weight(slot);
            return;
        }
        // A merge onto a range that this delta deletes has nothing below it.
        let write = match write {
            Write::Merge(operand) if self.is_deleted_by_range(key) => Write::Put(operand),
            other => other,
        };
        let key = Bytes::copy_from_slice(key);
        self.insert_new(key, write);
    }

    /// Removes all keys of a range.
    pub fn delete_range(&mut self, start: &[u8], end: Option<&[u8]>) {
        let range = KeyRange { start: Bytes::copy_from_slice(start), end: end.map(Bytes::copy_from_slice) };
        if range.end.as_ref().is_some_and(|end| *end <= range.start) {
            return;
        }
        for key in self.keys_in(&range) {
            if let Some(write) = self.entries.remove(&key) {
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
    pub fn lookup(&self, key: &[u8]) -> Lookup {
        match self.entries.get(key) {
            Some(Write::Put(value)) => Lookup::Value(value.clone()),
            Some(Write::Delete) => Lookup::Absent,
            Some(Write::Merge(operand)) => Lookup::Append(operand.clone()),
            None if self.is_deleted_by_range(key) => Lookup::Absent,
            None => Lookup::Below,
        }
    }

    /// Whether an entry stands for the key, apart from ranges.
    pub fn has_entry(&self, key: &[u8]) -> bool {
        self.entries.contains_key(key)
    }

    /// The first key with an entry after `from`, below `end`. Builds the index of keys on first use.
    pub fn next_key(&self, from: Bound<&[u8]>, end: Option<&[u8]>) -> Option<Bytes> {
        let index = self.index.get_or_init(|| self.entries.keys().cloned().collect());
        let key = index.range::<[u8], _>((from, Bound::Unbounded)).next()?;
        end.is_none_or(|end| &key[..] < end).then(|| key.clone())
    }

    /// Whether any write is a merge.
    pub fn has_merges(&self) -> bool {
        self.entries.values().any(|w| matches!(w, Write::Merge(_)))
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
        for (key, write) in newer.entries {
            if let Some(slot) = self.entries.get_mut(&key) {
                self.bytes -= weight(slot);
                apply(slot, write);
                self.bytes += weight(slot);
            } else {
                let write = match write {
                    Write::Merge(operand) if self.is_deleted_by_range(&key) => Write::Put(operand),
                    other => other,
                };
                self.insert_new(key, write);
            }
        }
    }

    /// The deleted ranges, to be applied before the entries.
    pub fn ranges(&self) -> &[KeyRange] {
        &self.ranges
    }

    /// The entries in no order.
    pub fn entries(&self) -> impl Iterator<Item = (&Bytes, &Write)> {
        self.entries.iter()
    }

    /// The entries in no order, to keep.
    pub fn into_entries(self) -> impl Iterator<Item = (Bytes, Write)> {
        self.entries.into_iter()
    }

    /// The entries in the order of their keys: what a store takes fastest.
    pub fn sorted_entries(&self) -> Vec<(&Bytes, &Write)> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        entries
    }

    /// Appends the encoded delta: a version byte, then an op list of the frame crate, ranges first.
    pub fn encode(&self) -> Vec<u8> {
        let mut ops = OpList::new();
        for range in &self.ranges {
            ops.push(StateOp::DeleteRange(&range.start, range.end.as_deref()));
        }
        for (key, write) in &self.entries {
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

    fn insert_new(&mut self, key: Bytes, write: Write) {
        self.bytes += key.len() + weight(&write);
        if let Some(index) = self.index.get_mut() {
            index.insert(key.clone());
        }
        self.entries.insert(key, write);
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
            None => self.entries.keys().filter(|key| range.contains(key)).cloned().collect(),
        }
    }
}

fn weight(write: &Write) -> usize {
    match write {
        Write::Put(bytes) | Write::Merge(bytes) => bytes.len(),
        Write::Delete => 0,
    }
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
