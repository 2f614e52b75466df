// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What all [`Notes`] keep to.

use std::sync::Arc;

use super::{Check, checks, must};
use crate::notes::Notes;

/// A process without notes.
pub trait NotesHarness {
    /// Its notes.
    fn notes(&self) -> Arc<dyn Notes>;

    /// Kills the process and starts it anew, on what outlasts it. Whoever held the old one drops it.
    fn reopen(&mut self);
}

/// The contract of [`Notes`].
pub const CHECKS: &[Check<dyn NotesHarness>] = checks![
    notes_are_listed_by_name_as_they_were_written,
    a_note_replaces_one_of_its_name,
    what_is_removed_is_gone_and_nothing_else,
    notes_outlast_the_process,
];

fn all(harness: &dyn NotesHarness) -> Vec<(String, Vec<u8>)> {
    let notes = must("listing", harness.notes().list());
    notes.into_iter().map(|(name, note)| (name, note.to_vec())).collect()
}

fn put(harness: &dyn NotesHarness, name: &str, note: &[u8]) {
    must("writing a note", harness.notes().put(name, note));
}

fn named(notes: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    notes.iter().map(|(name, note)| ((*name).to_owned(), note.to_vec())).collect()
}

fn notes_are_listed_by_name_as_they_were_written(harness: &mut dyn NotesHarness) {
    assert_eq!(all(harness), []);
    for (name, note) in [("b", &b"\0\xff"[..]), ("a", b""), ("ab", b"x"), ("a-1", b"y")] {
        put(harness, name, note);
    }
    assert_eq!(all(harness), named(&[("a", b""), ("a-1", b"y"), ("ab", b"x"), ("b", b"\0\xff")]));
}

fn a_note_replaces_one_of_its_name(harness: &mut dyn NotesHarness) {
    put(harness, "a", b"old");
    put(harness, "a", b"new");
    assert_eq!(all(harness), named(&[("a", b"new")]));
}

fn what_is_removed_is_gone_and_nothing_else(harness: &mut dyn NotesHarness) {
    put(harness, "a", b"1");
    put(harness, "ab", b"2");
    must("removing", harness.notes().remove("a"));
    must("removing what is not there", harness.notes().remove("a"));
    assert_eq!(all(harness), named(&[("ab", b"2")]));
}

fn notes_outlast_the_process(harness: &mut dyn NotesHarness) {
    put(harness, "a", b"1");
    put(harness, "b", b"2");
    must("removing", harness.notes().remove("a"));
    harness.reopen();
    assert_eq!(all(harness), named(&[("b", b"2")]));
}
