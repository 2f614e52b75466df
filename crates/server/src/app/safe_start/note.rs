// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the next start has to know: a version byte, and a JSON object.
//!
//! Version 1 had no counts by function: its `functions` are those that the next start was to count on, or hold back.

use std::collections::{BTreeMap, BTreeSet};

use fnstream_core::error::internal;
use fnstream_core::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};

use super::plan::DEATHS;

const VERSION: u8 = 2;

/// See the module. What it says holds if the process that wrote it dies without writing another one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in crate::app) struct Note {
    /// How many starts have died soon after functions were started.
    pub(super) deaths: u32,
    /// At how many of them each function was to be started; one of which nothing is known is missing.
    pub(super) functions: BTreeMap<String, u32>,
    /// The functions that the next start holds back.
    pub(super) hold: BTreeSet<String>,
}

/// The same, as version 1 had it.
#[derive(Deserialize)]
struct First {
    deaths: u32,
    functions: BTreeSet<String>,
}

impl Note {
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![VERSION];
        serde_json::to_writer(&mut bytes, self).map_err(|e| internal(format!("the note of starts: {e}")))?;
        Ok(bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let corrupt = |why: String| Error::new(ErrorCode::DataCorrupt, format!("the note of starts {why}"));
        let note = match bytes.split_first() {
            Some((&VERSION, json)) => serde_json::from_slice(json),
            Some((1, json)) => serde_json::from_slice(json).map(First::into_note),
            Some((version, _)) => return Err(corrupt(format!("has the unknown version {version}"))),
            None => return Err(corrupt("is empty".to_owned())),
        };
        note.map_err(|e| corrupt(format!("is malformed: {e}")))
    }
}

impl First {
    fn into_note(self) -> Note {
        let First { deaths, functions } = self;
        match deaths {
            // It does not tell at how many of them each one was started, so nothing is said of them.
            DEATHS.. => Note { hold: functions, ..Note::default() },
            _ => {
                let functions = functions.into_iter().map(|name| (name, deaths)).collect();
                Note { deaths, functions, hold: BTreeSet::new() }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The bytes of version 2, as every later version must read them.
    #[test]
    fn version_2_stays_readable() {
        let golden = b"\x02{\"deaths\":4,\"functions\":{\"a\":3,\"b\":1},\"hold\":[\"a\",\"b\"]}";
        let functions = [("a".to_owned(), 3), ("b".to_owned(), 1)].into();
        let note = Note { deaths: 4, functions, hold: ["a".to_owned(), "b".to_owned()].into() };
        assert_eq!(note.encode().unwrap(), golden);
        assert_eq!(Note::decode(golden).unwrap(), note);
    }

    #[test]
    fn version_1_stays_readable() {
        let two = Note::decode(b"\x01{\"deaths\":2,\"functions\":[\"a\",\"b\"]}").unwrap();
        let functions = [("a".to_owned(), 2), ("b".to_owned(), 2)].into();
        assert_eq!(two, Note { deaths: 2, functions, hold: BTreeSet::new() });
        let four = Note::decode(b"\x01{\"deaths\":4,\"functions\":[\"a\"]}").unwrap();
        assert_eq!(four, Note { hold: ["a".to_owned()].into(), ..Note::default() });
    }

    #[test]
    fn what_is_no_note_is_refused() {
        for bad in [
            &b""[..],
            b"\x03{}",
            b"\x01",
            b"\x01{\"deaths\":-1,\"functions\":[]}",
            b"\x02{\"deaths\":1,\"functions\":[]}",
        ] {
            assert_eq!(Note::decode(bad).unwrap_err().code, ErrorCode::DataCorrupt);
        }
    }
}
