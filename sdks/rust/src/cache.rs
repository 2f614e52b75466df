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
//! aborted its instance is dropped. When it takes too much memory, keys are forgotten that were not used lately.
//!
//! What a record wrote can be taken back as long as it is in the list: the list is cut, values that were written over are put
//! back, and nothing is known any more.

use std::cell::RefCell;
use std::rc::Rc;

use fnstream_frame::{OpList, StateOp};

use crate::Error;
use crate::boundary::{Boundary, Page};
use crate::known::{Known, Slot};

/// Bytes of writes after which they go to the host in the middle of a batch.
const MOST_WRITES: usize = 1 << 20;

/// A store that is open.
pub(crate) struct CachedStore {
    boundary: Rc<dyn Boundary>,
    handle: u32,
    entries: RefCell<Entries>,
}

struct Entries {
    known: Known,
    writes: OpList,
    /// The number of the list of writes, from 1.
    list: u32,
    /// Some of the writes are to keys that are not known: the host cannot be asked before it has them.
    unknown_writes: bool,
    /// Counts writes.
    version: u64,
    /// What is known of earlier writes than this one is only that there were some.
    since: u64,
    /// The furthest key that was written since, or the end of a range that was deleted.
    furthest: Vec<u8>,
    own: Own,
}

/// What the record in process has written.
#[derive(Default)]
struct Own {
    /// Its writes begin behind so many of the list, in so many bytes.
    len: usize,
    bytes: usize,
    /// The values before those that it has written over: where they were in the list, and how long. They are in `values`.
    overwritten: Vec<(usize, usize)>,
    values: Vec<u8>,
    /// Some of it is with the host.
    passed_on: bool,
}

impl CachedStore {
    pub(crate) fn new(boundary: Rc<dyn Boundary>, handle: u32) -> Self {
        let writes = OpList::new();
        let own = Own { bytes: writes.as_bytes().len(), ..Own::default() };
        let entries = Entries {
            known: Known::new(),
            writes,
            list: 1,
            unknown_writes: false,
            version: 0,
            since: 0,
            furthest: Vec::new(),
            own,
        };
        CachedStore { boundary, handle, entries: RefCell::new(entries) }
    }

    /// Gives `take` the value of a key.
    pub(crate) fn with<R>(&self, key: &[u8], take: impl FnOnce(Option<&[u8]>) -> R) -> Result<R, Error> {
        let mut entries = self.entries.borrow_mut();
        let hash = match entries.known.find(key) {
            Ok(slot) => return Ok(take(slot.value())),
            Err(hash) => hash,
        };
        if entries.unknown_writes {
            self.pass_on(&mut entries)?;
        }
        let value = self.boundary.get(self.handle, key).map_err(Error::new)?;
        let taken = take(value.as_deref());
        entries.learn(hash, key, value.as_deref());
        Ok(taken)
    }

    /// Sets or removes a key.
    pub(crate) fn set(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        let mut entries = self.entries.borrow_mut();
        entries.changed(key);
        let Entries { known, writes, list, own, .. } = &mut *entries;
        let found = known.find(key);
        if let (Ok(slot), Some(value)) = (&found, value)
            && let Some(at) = slot.put_in(*list, value.len())
        {
            if at < own.bytes {
                own.overwritten.push((at, value.len()));
                own.values.extend_from_slice(&writes.as_bytes()[at..at + value.len()]);
            }
            writes.overwrite(at, value);
            known.last_mut().set_value(value);
            return Ok(());
        }
        let at = match value {
            Some(value) => Some(writes.put(key, value)),
            None => {
                writes.push(StateOp::Delete(key));
                None
            }
        };
        match found.err() {
            None => known.change_last(value),
            Some(hash) => entries.learn(hash, key, value),
        }
        let list = entries.list;
        entries.known.last_mut().written(list, at);
        self.bound(&mut entries)
    }

    /// Appends to a key's value.
    pub(crate) fn merge(&self, key: &[u8], operand: &[u8]) -> Result<(), Error> {
        let mut entries = self.entries.borrow_mut();
        entries.changed(key);
        entries.writes.push(StateOp::Merge(key, operand));
        let Entries { known, list, unknown_writes, .. } = &mut *entries;
        match known.find(key).is_ok() {
            true => {
                known.append_to_last(operand);
                known.last_mut().written(*list, None);
            }
            false => *unknown_writes = true,
        }
        self.bound(&mut entries)
    }

    /// Removes all keys of a range.
    pub(crate) fn delete_range(&self, start: &[u8], end: &[u8]) -> Result<(), Error> {
        let mut entries = self.entries.borrow_mut();
        entries.changed(end);
        entries.writes.push(StateOp::DeleteRange(start, Some(end)));
        entries.known.clear();
        entries.unknown_writes = true;
        self.bound(&mut entries)
    }

    /// A page of a range, own writes included, with what [`CachedStore::is_stale`] has to know of it.
    pub(crate) fn page(&self, start: &[u8], end: &[u8], max_bytes: u32) -> Result<(Page, u64), Error> {
        self.flush()?;
        let page = self.boundary.scan(self.handle, start, Some(end), max_bytes).map_err(Error::new)?;
        let entries = &mut *self.entries.borrow_mut();
        if entries.since != entries.version {
            entries.since = entries.version;
            entries.furthest.clear();
        }
        Ok((page, entries.version))
    }

    /// Reports whether a page that was read then may not be true any more for the keys from `from` on.
    pub(crate) fn is_stale(&self, read: u64, from: &[u8]) -> bool {
        let entries = self.entries.borrow();
        read != entries.version && (read < entries.since || &entries.furthest[..] >= from)
    }

    /// Passes all writes to the host.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        self.pass_on(&mut self.entries.borrow_mut())
    }

    /// A record begins.
    pub(crate) fn begin(&self) {
        let Entries { writes, own, .. } = &mut *self.entries.borrow_mut();
        (own.len, own.bytes, own.passed_on) = (writes.len(), writes.as_bytes().len(), false);
        own.forget_overwritten();
    }

    /// Takes back what the record in process has written; returns false if the host has some of it.
    pub(crate) fn undo(&self) -> bool {
        let entries = &mut *self.entries.borrow_mut();
        if entries.own.passed_on {
            return false;
        }
        if entries.has_own_writes() {
            let Entries { writes, own, known, unknown_writes, .. } = entries;
            writes.truncate(own.len, own.bytes);
            // A value may have been written over more than once: the oldest comes last.
            let mut end = own.values.len();
            for &(at, len) in own.overwritten.iter().rev() {
                writes.overwrite(at, &own.values[end - len..end]);
                end -= len;
            }
            own.forget_overwritten();
            known.clear();
            *unknown_writes = true;
        }
        true
    }

    fn pass_on(&self, entries: &mut Entries) -> Result<(), Error> {
        if entries.writes.is_empty() {
            return Ok(());
        }
        entries.own.passed_on |= entries.has_own_writes();
        entries.own.forget_overwritten();
        self.boundary.write(self.handle, entries.writes.as_bytes()).map_err(Error::of_batch)?;
        entries.writes.clear();
        (entries.own.len, entries.own.bytes) = (0, entries.writes.as_bytes().len());
        entries.list = entries.list.wrapping_add(1).max(1);
        entries.unknown_writes = false;
        Ok(())
    }

    fn bound(&self, entries: &mut Entries) -> Result<(), Error> {
        if entries.writes.as_bytes().len() > MOST_WRITES { self.pass_on(entries) } else { Ok(()) }
    }
}

impl Own {
    fn forget_overwritten(&mut self) {
        self.overwritten.clear();
        self.values.clear();
    }
}

impl Entries {
    fn has_own_writes(&self) -> bool {
        self.writes.len() > self.own.len || !self.own.overwritten.is_empty()
    }

    /// A key was written, or a range deleted that ends at this one.
    fn changed(&mut self, key: &[u8]) {
        self.version += 1;
        if key > &self.furthest[..] {
            self.furthest.clear();
            self.furthest.extend_from_slice(key);
        }
    }

    /// A key that was not known is known from now on, and is the last that was used.
    fn learn(&mut self, hash: u64, key: &[u8], value: Option<&[u8]>) {
        let list = self.list;
        let forgotten_writes = &mut self.unknown_writes;
        self.known.learn(hash, key, value, |slot: &Slot| *forgotten_writes |= slot.is_written_in(list));
    }
}
