// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What an instance knows of one store, so that hot keys cross the boundary once, not with every record.
//!
//! ```text
//! get    -> what is known -> else the host is asked, and the answer is known from then on
//! write  -> added to the list of writes, which goes to the host in one call at the end of each batch; and known
//! ```
//!
//! What is known stays true as long as the instance lives: nobody else writes this task's state, and when an epoch is
//! aborted its instance is dropped. When it takes too much memory, what was not used since the last time is forgotten.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use fnstream_frame::{OpList, StateOp};

use crate::Error;
use crate::boundary::{Boundary, Page};

/// Bytes of writes after which they go to the host in the middle of a batch.
const MOST_WRITES: usize = 1 << 20;

/// Bytes of what is known.
const MOST_KNOWN: usize = 2 << 20;

/// What an entry takes beside its key and value.
const ENTRY_BYTES: usize = 64;

/// A store that is open.
pub(crate) struct CachedStore {
    boundary: Rc<dyn Boundary>,
    handle: u32,
    entries: RefCell<Entries>,
}

#[derive(Default)]
struct Entries {
    known: HashMap<Vec<u8>, Entry, BuildHasherDefault<KeyHasher>>,
    known_bytes: usize,
    /// Which entries were used since memory was last short.
    age: bool,
    writes: OpList,
    /// Some of the writes are to keys that are not known: the host cannot be asked before it has them.
    unknown_writes: bool,
}

struct Entry {
    value: Option<Vec<u8>>,
    age: bool,
}

impl CachedStore {
    pub(crate) fn new(boundary: Rc<dyn Boundary>, handle: u32) -> Self {
        CachedStore { boundary, handle, entries: RefCell::default() }
    }

    /// Gives `take` the value of a key.
    pub(crate) fn with<R>(&self, key: &[u8], take: impl FnOnce(Option<&[u8]>) -> R) -> Result<R, Error> {
        let mut entries = self.entries.borrow_mut();
        let age = entries.age;
        if let Some(entry) = entries.known.get_mut(key) {
            entry.age = age;
            return Ok(take(entry.value.as_deref()));
        }
        if entries.unknown_writes {
            self.pass_on(&mut entries)?;
        }
        let value = self.boundary.get(self.handle, key).map_err(Error::new)?;
        let taken = take(value.as_deref());
        entries.learn(key, value);
        Ok(taken)
    }

    /// Sets or removes a key.
    pub(crate) fn set(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        let mut entries = self.entries.borrow_mut();
        entries.writes.push(match value {
            Some(value) => StateOp::Put(key, value),
            None => StateOp::Delete(key),
        });
        entries.learn_borrowed(key, value);
        self.bound(&mut entries)
    }

    /// Appends to a key's value.
    pub(crate) fn merge(&self, key: &[u8], operand: &[u8]) -> Result<(), Error> {
        let mut entries = self.entries.borrow_mut();
        entries.writes.push(StateOp::Merge(key, operand));
        let Entries { known, known_bytes, age, unknown_writes, .. } = &mut *entries;
        match known.get_mut(key) {
            Some(entry) => {
                entry.age = *age;
                entry.value.get_or_insert_default().extend_from_slice(operand);
                *known_bytes += operand.len();
            }
            None => *unknown_writes = true,
        }
        self.bound(&mut entries)
    }

    /// Removes all keys of a range.
    pub(crate) fn delete_range(&self, start: &[u8], end: Option<&[u8]>) -> Result<(), Error> {
        let mut entries = self.entries.borrow_mut();
        entries.writes.push(StateOp::DeleteRange(start, end));
        entries.known.clear();
        entries.known_bytes = 0;
        entries.unknown_writes = true;
        self.bound(&mut entries)
    }

    /// A page of a range, own writes included.
    pub(crate) fn page(&self, start: &[u8], end: Option<&[u8]>, max_bytes: u32) -> Result<Page, Error> {
        self.flush()?;
        self.boundary.scan(self.handle, start, end, max_bytes).map_err(Error::new)
    }

    /// Passes all writes to the host.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        self.pass_on(&mut self.entries.borrow_mut())
    }

    fn pass_on(&self, entries: &mut Entries) -> Result<(), Error> {
        if entries.writes.is_empty() {
            return Ok(());
        }
        self.boundary.write(self.handle, entries.writes.as_bytes()).map_err(Error::of_batch)?;
        entries.writes.clear();
        entries.unknown_writes = false;
        Ok(())
    }

    fn bound(&self, entries: &mut Entries) -> Result<(), Error> {
        if entries.writes.as_bytes().len() > MOST_WRITES { self.pass_on(entries) } else { Ok(()) }
    }
}

impl Entries {
    fn learn(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        if self.known_bytes > MOST_KNOWN {
            self.forget_unused();
        }
        self.known_bytes += weight(key, value.as_deref());
        self.known.insert(key.to_vec(), Entry { value, age: self.age });
    }

    /// The same, into the memory of what was known before.
    fn learn_borrowed(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Some(entry) = self.known.get_mut(key) else { return self.learn(key, value.map(<[u8]>::to_vec)) };
        self.known_bytes += value.map_or(0, <[u8]>::len);
        self.known_bytes -= entry.value.as_ref().map_or(0, Vec::len);
        entry.age = self.age;
        match (&mut entry.value, value) {
            (Some(before), Some(value)) => {
                before.clear();
                before.extend_from_slice(value);
            }
            (before, value) => *before = value.map(<[u8]>::to_vec),
        }
    }

    fn forget_unused(&mut self) {
        self.unknown_writes = !self.writes.is_empty();
        let age = self.age;
        let mut left = 0;
        self.known.retain(|key, entry| {
            let used = entry.age == age;
            left += if used { weight(key, entry.value.as_deref()) } else { 0 };
            used
        });
        if left > MOST_KNOWN / 2 {
            // All of it is in use, so none of it is worth more than the rest.
            self.known.clear();
            left = 0;
        }
        self.known_bytes = left;
        self.age = !age;
    }
}

fn weight(key: &[u8], value: Option<&[u8]>) -> usize {
    key.len() + value.map_or(0, <[u8]>::len) + ENTRY_BYTES
}

/// Multiplies and folds eight bytes at a time. The map is bounded, so keys that were chosen to collide can slow down only the
/// function that takes such keys.
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
