// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One store's keys within a batch: read once, written once.
//!
//! ```text
//! get    -> an entry knows the value -> else the host is asked, and the answer is kept
//! put    -> an entry, dirty
//! merge  -> appended to the value that is known, else kept as bytes still to be appended
//! flush  -> all dirty entries in one call; nothing is forgotten
//! clear  -> after a batch: everything is forgotten, so memory does not grow with the number of keys
//! ```

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use fnstream_frame::{OpList, StateOp};

use crate::Error;
use crate::boundary::{Boundary, Page};

/// Bytes of keys and values after which a store is flushed and cleared in the middle of a batch.
const MOST_BYTES: usize = 1 << 20;

/// A store that is open.
pub(crate) struct CachedStore {
    boundary: Rc<dyn Boundary>,
    handle: u32,
    entries: RefCell<Entries>,
}

#[derive(Default)]
struct Entries {
    map: HashMap<Vec<u8>, Entry, BuildHasherDefault<KeyHasher>>,
    bytes: usize,
    dirty: usize,
}

struct Entry {
    value: Known,
    dirty: bool,
}

enum Known {
    /// This is the value.
    Value(Option<Vec<u8>>),
    /// The value below, which nobody has asked for, and these bytes after it.
    Append(Vec<u8>),
}

impl CachedStore {
    pub(crate) fn new(boundary: Rc<dyn Boundary>, handle: u32) -> Self {
        CachedStore { boundary, handle, entries: RefCell::default() }
    }

    /// Gives `take` the value of a key.
    pub(crate) fn with<R>(&self, key: &[u8], take: impl FnOnce(Option<&[u8]>) -> R) -> Result<R, Error> {
        if let Some(Entry { value: Known::Value(value), .. }) = self.entries.borrow().map.get(key) {
            return Ok(take(value.as_deref()));
        }
        let below = self.boundary.get(self.handle, key).map_err(Error::new)?;
        let mut entries = self.entries.borrow_mut();
        let entry = match entries.map.remove(key) {
            Some(Entry { value: Known::Append(operand), .. }) => {
                let mut value = below.unwrap_or_default();
                value.extend_from_slice(&operand);
                Entry { value: Known::Value(Some(value)), dirty: true }
            }
            _ => Entry { value: Known::Value(below), dirty: false },
        };
        let Known::Value(value) = &entry.value else {
            return Err(Error::new("a state entry changed while it was read"));
        };
        let taken = take(value.as_deref());
        entries.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        entries.map.insert(key.to_vec(), entry);
        drop(entries);
        self.bound()?;
        Ok(taken)
    }

    /// Sets or removes a key.
    pub(crate) fn set(&self, key: &[u8], value: Option<Vec<u8>>) -> Result<(), Error> {
        self.entries.borrow_mut().write(key, Known::Value(value));
        self.bound()
    }

    /// Appends to a key's value.
    pub(crate) fn merge(&self, key: &[u8], operand: &[u8]) -> Result<(), Error> {
        let mut entries = self.entries.borrow_mut();
        let Entries { map, bytes, dirty } = &mut *entries;
        match map.get_mut(key) {
            Some(entry) => {
                match &mut entry.value {
                    Known::Value(value) => value.get_or_insert_default().extend_from_slice(operand),
                    Known::Append(before) => before.extend_from_slice(operand),
                }
                *bytes += operand.len();
                *dirty += usize::from(!std::mem::replace(&mut entry.dirty, true));
            }
            None => entries.write(key, Known::Append(operand.to_vec())),
        }
        drop(entries);
        self.bound()
    }

    /// Removes all keys of a range.
    pub(crate) fn delete_range(&self, start: &[u8], end: Option<&[u8]>) -> Result<(), Error> {
        self.flush()?;
        self.clear();
        let mut ops = OpList::new();
        ops.push(StateOp::DeleteRange(start, end));
        self.boundary.write(self.handle, ops.as_bytes()).map_err(Error::of_batch)
    }

    /// A page of a range, own writes included.
    pub(crate) fn page(&self, start: &[u8], end: Option<&[u8]>, max_bytes: u32) -> Result<Page, Error> {
        self.flush()?;
        self.boundary.scan(self.handle, start, end, max_bytes).map_err(Error::new)
    }

    /// Passes all writes to the host.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        let mut entries = self.entries.borrow_mut();
        if entries.dirty == 0 {
            return Ok(());
        }
        let mut ops = OpList::new();
        for (key, entry) in entries.map.iter().filter(|(_, entry)| entry.dirty) {
            ops.push(match &entry.value {
                Known::Value(Some(value)) => StateOp::Put(key, value),
                Known::Value(None) => StateOp::Delete(key),
                Known::Append(operand) => StateOp::Merge(key, operand),
            });
        }
        self.boundary.write(self.handle, ops.as_bytes()).map_err(Error::of_batch)?;
        // What was appended is not known as a value, and must not be appended again.
        entries.map.retain(|_, entry| {
            entry.dirty = false;
            matches!(entry.value, Known::Value(_))
        });
        entries.dirty = 0;
        Ok(())
    }

    /// Forgets what was read. Writes must have been flushed.
    pub(crate) fn clear(&self) {
        let mut entries = self.entries.borrow_mut();
        entries.map.clear();
        entries.bytes = 0;
        entries.dirty = 0;
    }

    fn bound(&self) -> Result<(), Error> {
        if self.entries.borrow().bytes > MOST_BYTES {
            self.flush()?;
            self.clear();
        }
        Ok(())
    }
}

impl Entries {
    fn write(&mut self, key: &[u8], value: Known) {
        let more = match &value {
            Known::Value(value) => value.as_ref().map_or(0, Vec::len),
            Known::Append(operand) => operand.len(),
        };
        self.bytes += more;
        match self.map.get_mut(key) {
            Some(entry) => {
                self.dirty += usize::from(!entry.dirty);
                *entry = Entry { value, dirty: true };
            }
            None => {
                self.bytes += key.len();
                self.dirty += 1;
                self.map.insert(key.to_vec(), Entry { value, dirty: true });
            }
        }
    }
}

/// Multiplies and folds eight bytes at a time. The map lives for one batch of at most a megabyte, so keys that were chosen
/// to collide can slow down only the batch that they are in.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mix = |word: u64| {
            let wide = u128::from(self.0 ^ word) * u128::from(ODD);
            self.0 = (wide as u64) ^ ((wide >> 64) as u64);
        };
        let (words, tail) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| mix(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        mix(u64::from_le_bytes(last) ^ (bytes.len() as u64).rotate_left(56));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
