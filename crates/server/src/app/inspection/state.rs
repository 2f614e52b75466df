// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The keyed state of a function, for its user to look at: what its tasks have committed, whether or not they run.
//!
//! Timers, which the engine keeps among the state under a store name that no function can have, are not shown.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::epoch::TaskId;
use fnstream_core::error::internal;
use fnstream_core::state_key::{COMPLEX, SIMPLE, prefix_end};
use fnstream_core::timer::TIMERS_PREFIX;
use fnstream_core::{Error, ErrorCode, Result};

use super::Inspection;
use crate::app::ops::blocking;

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

impl Inspection {
    /// The entries of a function's state that are wanted, at most `limit`, in the order of tasks, stores and keys; refused
    /// when they are more than `most` bytes together.
    pub(crate) async fn state(
        self: &Arc<Self>,
        name: String,
        wanted: impl Fn(&StateEntry) -> bool + Send + 'static,
        limit: usize,
        most: usize,
    ) -> Result<Vec<StateEntry>> {
        let inspection = self.clone();
        blocking(move || {
            let function = crate::app::entry(&*inspection.register, &name)?.id;
            let (mut found, mut bytes, mut broken) = (Vec::new(), 0, None);
            // No name begins with the timers' prefix, so what follows it is everything else.
            let start = prefix_end(&TIMERS_PREFIX).unwrap_or_default();
            for index in inspection.tasks.progress(function)?.into_keys() {
                if found.len() >= limit {
                    break;
                }
                inspection.tasks.peek(TaskId::new(function, index), &start, &mut |key, value| {
                    match entry(index, key, value) {
                        Some(entry) if wanted(&entry) => {
                            bytes += key.len() + value.len();
                            found.push(entry);
                        }
                        Some(_) => {}
                        None => broken = Some(internal("a state key is not as the engine writes them")),
                    }
                    let go_on = found.len() < limit && bytes <= most && broken.is_none();
                    if go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })?;
                if let Some(error) = broken.take() {
                    return Err(error);
                }
                if bytes > most {
                    let message = format!("the state of function '{name}' that is asked for has more than {most} bytes: ask for less with LIKE or LIMIT");
                    return Err(Error::new(ErrorCode::InvalidRequest, message));
                }
            }
            Ok(found)
        })
        .await
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
