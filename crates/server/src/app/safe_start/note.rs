// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the next start has to know: a version byte, and a JSON object.

use std::collections::BTreeSet;

use fnstream_core::error::internal;
use fnstream_core::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;

/// See the module. What it says holds if the process that wrote it dies without writing another one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Note {
    /// How many starts in a row have died soon after functions were started.
    pub(super) deaths: u32,
    /// The functions that ran in each of them.
    pub(super) functions: BTreeSet<String>,
}

impl Note {
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![VERSION];
        serde_json::to_writer(&mut bytes, self).map_err(|e| internal(format!("the note of starts: {e}")))?;
        Ok(bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let corrupt = |why: String| Error::new(ErrorCode::DataCorrupt, format!("the note of starts {why}"));
        match bytes.split_first() {
            Some((&VERSION, json)) => serde_json::from_slice(json).map_err(|e| corrupt(format!("is malformed: {e}"))),
            Some((version, _)) => Err(corrupt(format!("has the unknown version {version}"))),
            None => Err(corrupt("is empty".to_owned())),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The bytes of version 1, as every later version must read them.
    #[test]
    fn version_1_stays_readable() {
        let golden = b"\x01{\"deaths\":2,\"functions\":[\"a\",\"b\"]}";
        let note = Note { deaths: 2, functions: ["a".to_owned(), "b".to_owned()].into() };
        assert_eq!(note.encode().unwrap(), golden);
        assert_eq!(Note::decode(golden).unwrap(), note);
    }

    #[test]
    fn what_is_no_note_is_refused() {
        for bad in [&b""[..], b"\x02{}", b"\x01", b"\x01{\"deaths\":-1,\"functions\":[]}"] {
            assert_eq!(Note::decode(bad).unwrap_err().code, ErrorCode::DataCorrupt);
        }
    }
}
