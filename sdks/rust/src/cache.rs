// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What an instance knows of one store, so that hot keys cross the boundary once, not with every record.
//!
//! ```text
//! get    -> what is known -> else the host is asked, and the answer is known from then on
//! write  -> added to the list of writes, which goes to the host in one call at the end of each batch; and known
//! ```
//!
//! A key that is put again before the list is sent takes the place that it has in the list, when its value is as long as
//! before: a counter that a batch has a thousand records of is one write.
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

struct Entries {
    known: HashMap<Vec<u8>, Entry, BuildHasherDefault<KeyHasher>>,
    known_bytes: usize,
    /// Which entries were used since memory was last short.
    age: bool,
    writes: OpList,
    /// The number of the list of writes, from 1.
    list: u32,
    /// Some of the writes are to keys that are not known: the host cannot be asked before it has them.
    unknown_writes: bool,
}

struct Entry {
    value: Option<Vec<u8>>,
    age: bool,
    /// Where the value is in a list of writes, and in which: there it may be overwritten.
    put_at: (u32, usize),
}

impl CachedStore {
    pub(crate) fn new(boundary: Rc<dyn Boundary>, handle: u32) -> Self {
        CachedStore { boundary, handle, entries: RefCell::new(Entries::new()) }
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
        entries.learn(key, value, (0, 0));
        Ok(taken)
    }

    /// Sets or removes a key.
    pub(crate) fn set(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        let mut entries = self.entries.borrow_mut();
        if value.is_some_and(|value| entries.put_again(key, value)) {
            return Ok(());
        }
        let put_at = match value {
            Some(value) => (entries.list, entries.writes.put(key, value)),
            None => {
                entries.writes.push(StateOp::Delete(key));
                (0, 0)
            }
        };
        entries.learn_written(key, value, put_at);
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
                entry.put_at = (0, 0);
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
        entries.list = entries.list.wrapping_add(1).max(1);
        entries.unknown_writes = false;
        Ok(())
    }

    fn bound(&self, entries: &mut Entries) -> Result<(), Error> {
        if entries.writes.as_bytes().len() > MOST_WRITES { self.pass_on(entries) } else { Ok(()) }
    }
}

impl Entries {
    fn new() -> Self {
        Entries {
            known: HashMap::default(),
            known_bytes: 0,
            age: false,
            writes: OpList::new(),
            list: 1,
            unknown_writes: false,
        }
    }

    /// Puts a key that the list of writes has a put of already, with a value as long; false when it has none.
    fn put_again(&mut self, key: &[u8], value: &[u8]) -> bool {
        let Some(entry) = self.known.get_mut(key) else { return false };
        let (list, at) = entry.put_at;
        let Some(before) = entry.value.as_mut().filter(|before| list == self.list && before.len() == value.len()) else {
            return false;
        };
        before.copy_from_slice(value);
        entry.age = self.age;
        self.writes.overwrite(at, value);
        true
    }

    fn learn(&mut self, key: &[u8], value: Option<Vec<u8>>, put_at: (u32, usize)) {
        if self.known_bytes > MOST_KNOWN {
            self.forget_unused();
        }
        self.known_bytes += weight(key, value.as_deref());
        self.known.insert(key.to_vec(), Entry { value, age: self.age, put_at });
    }

    /// The same, into the memory of what was known before.
    fn learn_written(&mut self, key: &[u8], value: Option<&[u8]>, put_at: (u32, usize)) {
        let Some(entry) = self.known.get_mut(key) else { return self.learn(key, value.map(<[u8]>::to_vec), put_at) };
        entry.put_at = put_at;
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
