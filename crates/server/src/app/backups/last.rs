// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! When the last backup was made. It is noted with the data, so that a restart does not forget it; a data folder that was restored has
//! the backup before the one that it was made of.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use fnstream_core::notes::Notes;
use fnstream_core::{Error, ErrorCode, Result};

/// The name of its note among the notes of the process.
pub(in crate::app) const NOTE: &str = "last-backup";

const VERSION: u8 = 1;

/// See the module.
pub(crate) struct LastBackup {
    notes: Arc<dyn Notes>,
    /// In milliseconds since the Unix epoch, 0 before the first; looked up when it is asked for.
    at_ms: OnceLock<AtomicI64>,
}

impl LastBackup {
    pub(in crate::app) fn new(notes: Arc<dyn Notes>) -> Self {
        LastBackup { notes, at_ms: OnceLock::new() }
    }

    /// Its moment in milliseconds since the Unix epoch; 0 if there was none. Blocks.
    pub(in crate::app) fn at_ms(&self) -> i64 {
        self.known().load(Ordering::Relaxed)
    }

    /// A backup of that moment was made. Blocks.
    pub(super) fn was_made(&self, at_ms: i64) {
        self.known().store(at_ms, Ordering::Relaxed);
        // The backup is there all the same.
        if let Err(error) = self.notes.put(NOTE, &encode(at_ms)) {
            tracing::warn!(code = %error.code, error = error.message, "the time of a backup could not be noted");
        }
    }

    fn known(&self) -> &AtomicI64 {
        self.at_ms.get_or_init(|| {
            let noted = self.notes.list().and_then(|all| match all.iter().find(|(name, _)| name == NOTE) {
                Some((_, note)) => decode(note),
                None => Ok(0),
            });
            let at_ms = noted.unwrap_or_else(|error| {
                tracing::warn!(code = %error.code, error = error.message, "the note of the last backup cannot be read");
                0
            });
            at_ms.into()
        })
    }
}

fn encode(at_ms: i64) -> Vec<u8> {
    [&[VERSION][..], &at_ms.to_be_bytes()].concat()
}

fn decode(note: &[u8]) -> Result<i64> {
    match note.split_first() {
        Some((&VERSION, at_ms)) if at_ms.len() == 8 => Ok(at_ms.iter().fold(0, |ms, byte| ms << 8 | i64::from(*byte))),
        _ => Err(Error::new(ErrorCode::DataCorrupt, "the note of the last backup is malformed")),
    }
}

#[cfg(test)]
mod tests {
    use fnstream_core::test_util::mem_notes::MemNotes;

    use super::*;

    /// The bytes of version 1, as every later version must read them.
    #[test]
    fn version_1_stays_readable() {
        let golden = b"\x01\x00\x00\x01\x8b\xcf\xe5\x68\x00";
        assert_eq!(encode(1_700_000_000_000), golden);
        assert_eq!(decode(golden).ok(), Some(1_700_000_000_000));
        for bad in
            [&b""[..], b"\x01", b"\x02\x00\x00\x01\x8b\xcf\xe5\x68\x00", b"\x01\x00\x00\x01\x8b\xcf\xe5\x68\x00\x00"]
        {
            assert_eq!(decode(bad).map_err(|error| error.code), Err(ErrorCode::DataCorrupt));
        }
    }

    #[test]
    fn the_last_one_is_recalled() {
        let notes: Arc<dyn Notes> = Arc::new(MemNotes::default());
        let last = LastBackup::new(notes.clone());
        assert_eq!(last.at_ms(), 0, "there was none");
        for at_ms in [7, 9] {
            last.was_made(at_ms);
            assert_eq!((last.at_ms(), LastBackup::new(notes.clone()).at_ms()), (at_ms, at_ms));
        }
    }
}
