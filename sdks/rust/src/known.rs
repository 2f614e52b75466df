// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Keys and their values, within a bound.
//!
//! ```text
//! index   hash of a key -> its slot          the key that was used last is mostly asked for again: it is not looked up
//! slots   key and value in one piece of memory, which the next key gets that takes the place
//! ```
//!
//! What is forgotten is found as a clock does it (second chance): the hand passes over slots that were used since it came by the
//! last time.

use hashbrown::HashTable;

/// Bytes of all keys and values.
const MOST_BYTES: usize = 8 << 20;

/// What a slot takes beside its key and value.
const SLOT_BYTES: usize = 56;

/// A place whose memory is larger is given back when its key is forgotten.
const MOST_KEPT: usize = 1024;

/// See the module.
pub(crate) struct Known {
    index: HashTable<u32>,
    slots: Vec<Slot>,
    /// Slots without a key.
    vacant: Vec<u32>,
    bytes: usize,
    /// The slot that was used last.
    last: usize,
    hand: usize,
}

/// A key and its value, or that it has none.
#[derive(Default)]
pub(crate) struct Slot {
    hash: u64,
    /// The key, then the value.
    bytes: Vec<u8>,
    key: usize,
    exists: bool,
    used: bool,
    /// The list of writes that has its last write, and where in it another value may be put in its place.
    written: (u32, Option<usize>),
}

impl Slot {
    fn key(&self) -> &[u8] {
        &self.bytes[..self.key]
    }

    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.exists.then(|| &self.bytes[self.key..])
    }

    /// Where a list of writes has a put of the key with a value of that length.
    pub(crate) fn put_in(&self, list: u32, len: usize) -> Option<usize> {
        let (of, at) = self.written;
        at.filter(|_| of == list && self.exists && self.bytes.len() - self.key == len)
    }

    pub(crate) fn is_written_in(&self, list: u32) -> bool {
        self.written.0 == list
    }

    /// Sets a value that is as long as the one before.
    pub(crate) fn set_value(&mut self, value: &[u8]) {
        self.bytes[self.key..].copy_from_slice(value);
    }

    /// The key was written in that list; a put may be replaced there.
    pub(crate) fn written(&mut self, list: u32, put_at: Option<usize>) {
        self.written = (list, put_at);
    }
}

impl Known {
    pub(crate) fn new() -> Self {
        Known { index: HashTable::new(), slots: Vec::new(), vacant: Vec::new(), bytes: 0, last: 0, hand: 0 }
    }

    /// The slot of a key, which is the last used from then on; or the key's hash.
    pub(crate) fn find(&mut self, key: &[u8]) -> Result<&Slot, u64> {
        let is_last = self.slots.get(self.last).is_some_and(|slot| slot.used && slot.key() == key);
        if !is_last {
            let (hash, slots) = (hash_of(key), &self.slots);
            let found = self.index.find(hash, |place| slots[*place as usize].key() == key).ok_or(hash)?;
            self.last = *found as usize;
            self.slots[self.last].used = true;
        }
        Ok(&self.slots[self.last])
    }

    /// The slot that was used last.
    pub(crate) fn last_mut(&mut self) -> &mut Slot {
        &mut self.slots[self.last]
    }

    /// Changes the value of the key that was used last.
    pub(crate) fn change_last(&mut self, value: Option<&[u8]>) {
        let slot = &mut self.slots[self.last];
        self.bytes -= slot.bytes.len();
        slot.bytes.truncate(slot.key);
        slot.bytes.extend_from_slice(value.unwrap_or_default());
        slot.exists = value.is_some();
        self.bytes += slot.bytes.len();
    }

    /// Appends to the value of the key that was used last.
    pub(crate) fn append_to_last(&mut self, operand: &[u8]) {
        let slot = &mut self.slots[self.last];
        slot.bytes.extend_from_slice(operand);
        slot.exists = true;
        self.bytes += operand.len();
    }

    /// Adds a key, of which `find` told the hash; it is the last used. What is forgotten for it is shown first.
    pub(crate) fn learn(&mut self, hash: u64, key: &[u8], value: Option<&[u8]>, mut forgets: impl FnMut(&Slot)) {
        let len = key.len() + value.map_or(0, <[u8]>::len);
        while self.bytes + len + SLOT_BYTES > MOST_BYTES && !self.index.is_empty() {
            self.forget_one(&mut forgets);
        }
        let place = self.vacant.pop().map_or(self.slots.len(), |place| place as usize);
        if place == self.slots.len() {
            self.slots.push(Slot::default());
        }
        let slot = &mut self.slots[place];
        slot.bytes.extend_from_slice(key);
        slot.bytes.extend_from_slice(value.unwrap_or_default());
        (slot.hash, slot.key, slot.exists, slot.used, slot.written) =
            (hash, key.len(), value.is_some(), true, (0, None));
        self.bytes += len + SLOT_BYTES;
        self.last = place;
        let slots = &self.slots;
        self.index.insert_unique(hash, place as u32, |place| slots[*place as usize].hash);
    }

    /// Forgets a key that was not used lately.
    fn forget_one(&mut self, forgets: &mut impl FnMut(&Slot)) {
        loop {
            self.hand = (self.hand + 1) % self.slots.len();
            let slot = &mut self.slots[self.hand];
            if std::mem::take(&mut slot.used) {
                continue;
            }
            let place = self.hand as u32;
            // A slot that is vacant has no entry.
            if let Ok(entry) = self.index.find_entry(slot.hash, |of| *of == place) {
                forgets(slot);
                entry.remove();
                self.bytes -= slot.bytes.len() + SLOT_BYTES;
                if slot.bytes.capacity() > MOST_KEPT {
                    slot.bytes = Vec::new();
                }
                slot.bytes.clear();
                self.vacant.push(place);
                return;
            }
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Known::new();
    }
}

/// Multiplies and folds eight bytes at a time. The table is bounded, so keys that were chosen to collide can slow down only the
/// function that takes such keys.
fn hash_of(key: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| {
        let wide = u128::from(hash ^ word) * u128::from(ODD);
        (wide as u64) ^ ((wide >> 64) as u64)
    };
    let (words, tail) = key.as_chunks::<8>();
    let hash = words.iter().fold(0, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    mix(hash, u64::from_le_bytes(last) ^ (key.len() as u64).rotate_left(56))
}
