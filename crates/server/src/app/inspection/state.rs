// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The keyed state of a function, for its user to look at: what its tasks have committed, whether or not they run.
//!
//! It is given in pages, each of which shows a task as of one moment; see [`crate::app::pages`].
//!
//! Timers, which the engine keeps among the state under a store name that no function can have, are not shown.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::Result;
use fnstream_core::epoch::TaskId;
use fnstream_core::error::internal;
use fnstream_core::state_key::{COMPLEX, SIMPLE, prefix_end};
use fnstream_core::timer::TIMERS_PREFIX;

use super::Inspection;
use crate::app::ops::blocking;
use crate::app::pages::{List, MOST_BYTES, Page, Wanted, stray};

/// A key and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateEntry {
    /// The task that it belongs to.
    pub(crate) task: u32,
    /// The store.
    pub(crate) store: String,
    /// Key group, key and namespace of a complex key.
    pub(crate) complex: Option<[Bytes; 3]>,
    /// The user's key, the last part of a complex one.
    pub(crate) user_key: Bytes,
    /// What it holds.
    pub(crate) value: Bytes,
}

impl StateEntry {
    /// The key as text: the parts of a complex one with `/` between them. Bytes that are not text are shown as `\xNN`.
    pub(crate) fn key(&self) -> String {
        let parts = self.complex.iter().flatten().chain([&self.user_key]);
        parts.map(|part| readable(part)).collect::<Vec<_>>().join("/")
    }
}

/// A page is given when so many entries were looked at, wanted or not.
const MOST_LOOKED_AT: usize = 50_000;

/// And when they have so many bytes.
const MOST_BYTES_LOOKED_AT: usize = 16 << 20;

/// Which entries are wanted.
pub(crate) type WantedEntry = Arc<dyn Fn(&StateEntry) -> bool + Send + Sync>;

/// Where a page of state begins: at the first key of a task from that one on.
struct Place {
    task: u32,
    key: Vec<u8>,
}

impl Place {
    /// Behind everything that is not shown.
    fn start() -> Self {
        // No name begins with the timers' prefix, so what follows it is everything else.
        Place { task: 0, key: prefix_end(&TIMERS_PREFIX).unwrap_or_default() }
    }

    fn read(cursor: &str) -> Result<Self> {
        let bytes = List::State.place(cursor)?;
        let (task, key) = bytes.split_first_chunk::<4>().ok_or_else(stray)?;
        let place = Place { task: u32::from_be_bytes(*task), key: key.to_vec() };
        if place.key < Place::start().key { Err(stray()) } else { Ok(place) }
    }

    fn cursor(&self) -> String {
        List::State.cursor(&[&self.task.to_be_bytes()[..], &self.key].concat())
    }
}

impl Inspection {
    /// Some entries of a function's state, of those that are wanted, in the order of tasks, stores and keys.
    pub(crate) async fn state(
        self: &Arc<Self>,
        name: String,
        is_wanted: WantedEntry,
        page: Wanted,
    ) -> Result<Page<StateEntry>> {
        let inspection = self.clone();
        blocking(move || {
            let function = crate::app::entry(&*inspection.register, &name)?.id;
            let mut from = page.after.as_deref().map_or(Ok(Place::start()), Place::read)?;
            let mut looking =
                Looking { rows: Vec::new(), max: page.rows(), bytes: 0, looked_at: 0, bytes_looked_at: 0 };
            for index in inspection.tasks.progress(function)?.into_keys() {
                if index < from.task {
                    continue;
                }
                if index > from.task {
                    from = Place { task: index, ..Place::start() };
                }
                let (mut broken, mut last) = (false, None);
                inspection.tasks.peek(TaskId::new(function, index), &from.key, &mut |key, value| {
                    if looking.is_enough() {
                        return ControlFlow::Break(());
                    }
                    last = Some(key.to_vec());
                    match entry(index, key, value) {
                        Some(entry) => looking.at(entry, key.len() + value.len(), &*is_wanted),
                        None => broken = true,
                    }
                    if broken { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })?;
                if broken {
                    return Err(internal("a state key is not as the engine writes them"));
                }
                if looking.is_enough() {
                    let key = last.map_or(from.key, |last| [&last[..], &[0]].concat());
                    return Ok(Page { rows: looking.rows, next: Some(Place { task: index, key }.cursor()) });
                }
            }
            Ok(Page { rows: looking.rows, next: None })
        })
        .await
    }
}

/// What was found so far.
struct Looking {
    rows: Vec<StateEntry>,
    max: usize,
    bytes: usize,
    looked_at: usize,
    bytes_looked_at: usize,
}

impl Looking {
    fn at(&mut self, entry: StateEntry, bytes: usize, is_wanted: &(dyn Fn(&StateEntry) -> bool + Send + Sync)) {
        self.looked_at += 1;
        self.bytes_looked_at += bytes;
        if is_wanted(&entry) {
            self.bytes += bytes;
            self.rows.push(entry);
        }
    }

    fn is_enough(&self) -> bool {
        self.rows.len() >= self.max
            || self.bytes >= MOST_BYTES
            || self.looked_at >= MOST_LOOKED_AT
            || self.bytes_looked_at >= MOST_BYTES_LOOKED_AT
    }
}

/// Takes a key of a task apart; see `fnstream_core::state_key`.
fn entry(task: u32, key: &[u8], value: &[u8]) -> Option<StateEntry> {
    let (store, rest) = part(key)?;
    let (kind, rest) = rest.split_first()?;
    let (complex, user_key) = match *kind {
        SIMPLE => (None, rest),
        COMPLEX => {
            let (key_group, rest) = part(rest)?;
            let (key, rest) = part(rest)?;
            let (namespace, rest) = part(rest)?;
            (Some([key_group, key, namespace].map(Bytes::copy_from_slice)), rest)
        }
        _ => return None,
    };
    let (user_key, value) = (Bytes::copy_from_slice(user_key), Bytes::copy_from_slice(value));
    Some(StateEntry { task, store: String::from_utf8_lossy(store).into_owned(), complex, user_key, value })
}

/// The store of a key of a task, and the key as it is shown; none of a key that is not of the state.
pub fn state_key(key: &[u8]) -> Option<(String, String)> {
    entry(0, key, &[]).map(|entry| (entry.store.clone(), entry.key()))
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

/// Bytes as text, where they are some.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c.is_control() {
                true => c.to_string().bytes().for_each(|byte| text.push_str(&format!("\\x{byte:02x}"))),
                false => text.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use fnstream_core::state_key::{put_complex_prefix, put_simple, store_prefix};

    use super::*;

    #[test]
    fn keys_are_taken_apart_as_they_were_put_together() {
        let mut simple = store_prefix("counts").unwrap();
        put_simple(&mut simple, b"a\xff\n");
        let read = entry(1, &simple, b"v").unwrap();
        assert_eq!((read.task, read.store.as_str(), read.key().as_str()), (1, "counts", "a\\xff\\x0a"));
        assert_eq!(read.value, "v");
        let mut complex = store_prefix("s").unwrap();
        put_complex_prefix(&mut complex, b"group", "schlüssel".as_bytes(), b"");
        complex.extend_from_slice(b"user");
        assert_eq!(entry(0, &complex, b"").unwrap().key(), "group/schlüssel//user");
        for cut in [0, 3, 5, complex.len() - 10] {
            assert_eq!(entry(0, &complex[..cut], b""), None, "{cut}");
        }
    }
}
