// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Notes that are broken on purpose.

use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::Result;
use fnstream_core::notes::Notes;
use fnstream_core::test_util::mem_notes::MemNotes;
use fnstream_core::test_util::suites::notes::{self, NotesHarness};
use fnstream_core::test_util::suites::run;

use crate::rejects;

struct InMemory(MemNotes);

impl NotesHarness for InMemory {
    fn notes(&self) -> Arc<dyn Notes> {
        Arc::new(self.0.clone())
    }

    fn reopen(&mut self) {}
}

#[test]
fn the_notes_in_memory_keep_to_the_contract() {
    run(notes::CHECKS, || Box::new(InMemory(MemNotes::default())));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    ListsBackwards,
    KeepsTheFirst,
    RemovesByPrefix,
    ForgetsOnRestart,
}

const FAULTS: [(Fault, &str); 4] = [
    (Fault::ListsBackwards, "notes_are_listed_by_name_as_they_were_written"),
    (Fault::KeepsTheFirst, "a_note_replaces_one_of_its_name"),
    (Fault::RemovesByPrefix, "what_is_removed_is_gone_and_nothing_else"),
    (Fault::ForgetsOnRestart, "notes_outlast_the_process"),
];

#[test]
fn all_broken_notes_are_rejected() {
    rejects(notes::CHECKS, &FAULTS, |fault| Box::new(Broken { sound: MemNotes::default(), fault }));
}

#[derive(Clone)]
struct Broken {
    sound: MemNotes,
    fault: Fault,
}

impl NotesHarness for Broken {
    fn notes(&self) -> Arc<dyn Notes> {
        Arc::new(self.clone())
    }

    fn reopen(&mut self) {
        if self.fault == Fault::ForgetsOnRestart {
            self.sound = MemNotes::default();
        }
    }
}

impl Notes for Broken {
    fn list(&self) -> Result<Vec<(String, Bytes)>> {
        let mut all = self.sound.list()?;
        if self.fault == Fault::ListsBackwards {
            all.reverse();
        }
        Ok(all)
    }

    fn put(&self, name: &str, note: &[u8]) -> Result<()> {
        let taken = self.sound.list()?.iter().any(|(known, _)| known == name);
        if taken && self.fault == Fault::KeepsTheFirst { Ok(()) } else { self.sound.put(name, note) }
    }

    fn remove(&self, name: &str) -> Result<()> {
        if self.fault == Fault::RemovesByPrefix {
            for (known, _) in self.sound.list()?.iter().filter(|(known, _)| known.starts_with(name)) {
                self.sound.remove(known)?;
            }
        }
        self.sound.remove(name)
    }
}
