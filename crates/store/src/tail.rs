// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Cuts off what failed writes have left at the end of the logs.
//!
//! A write of a log begins with the number of its first change, and how many changes it has. RocksDB gives numbers only to
//! writes that succeed, so what comes after the last of them was refused to whoever asked for it.

use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;

use fnstream_core::Result;

use crate::error::file;
use crate::log_file;

/// Cuts the logs behind a write. What cannot be read before it is left as it is.
pub(crate) fn cut_back(logs: &[PathBuf], last_write: u64) -> Result<()> {
    for path in logs {
        let (mut cut, mut reached) = (None, false);
        let visit = |place, write: &[u8]| match writes(write) {
            Some((first, _)) if first > last_write => cut = cut.or(Some(place)),
            Some((_, last)) => reached = last == last_write,
            None => {}
        };
        let read = |e: &io::Error| file("cannot read", path, e);
        let extent = log_file::read(path, visit).map_err(|e| read(&e))?;
        // Behind the last write that succeeded nothing has to be readable.
        let cut = cut.or_else(|| (reached && extent.flaw.is_some()).then_some(extent.whole));
        if let Some(place) = cut {
            let cutting = || {
                let log = OpenOptions::new().write(true).open(path)?;
                log.set_len(place)?;
                log.sync_all()
            };
            cutting().map_err(|e| file("cannot cut", path, &e))?;
            tracing::warn!(file = %path.display(), place, "what a failed write has left in the log is cut off");
        }
    }
    Ok(())
}

/// The numbers of the first and the last change in a write of a log.
fn writes(write: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = write.split_first_chunk()?;
    let (first, count) = (u64::from_le_bytes(*first), u32::from_le_bytes(*rest.first_chunk()?));
    Some((first, (first + u64::from(count)).saturating_sub(1)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rocksdb::{DB, DBRecoveryMode, Options};

    use super::*;

    /// A database as a crash leaves it, with writes of two changes each; answers its log.
    fn written(folder: &Path, writes: u32) -> PathBuf {
        let live = tempfile::tempdir().unwrap();
        let db = DB::open_default(live.path()).unwrap();
        for number in 0..writes {
            let mut batch = rocksdb::WriteBatch::default();
            batch.put(number.to_be_bytes(), vec![number as u8; 20_000]);
            batch.put("last", number.to_be_bytes());
            db.write(batch).unwrap();
        }
        for entry in fs::read_dir(live.path()).unwrap().map(|entry| entry.unwrap()) {
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
        let logs = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        logs.filter(|path| path.extension().is_some_and(|ending| ending == "log")).max().unwrap()
    }

    /// The number of the last write that is found, and whether the log is whole.
    fn found(folder: &Path) -> Option<u32> {
        let mut options = Options::default();
        options.set_wal_recovery_mode(DBRecoveryMode::AbsoluteConsistency);
        let db = DB::open(&options, folder).unwrap();
        db.get("last").unwrap().map(|last| u32::from_be_bytes(*last.as_array().unwrap()))
    }

    #[test]
    fn what_comes_after_the_last_write_goes_whole_or_torn() {
        for torn in [false, true] {
            for kept in [0, 1, 4, 5] {
                let folder = tempfile::tempdir().unwrap();
                let log = written(folder.path(), 6);
                if torn {
                    let bytes = fs::metadata(&log).unwrap().len();
                    OpenOptions::new().write(true).open(&log).unwrap().set_len(bytes - 10).unwrap();
                }
                // Each write has two changes, counted from 1.
                cut_back(std::slice::from_ref(&log), kept * 2).unwrap();
                assert_eq!(found(folder.path()), (kept as u32).checked_sub(1), "{kept} kept, torn: {torn}");
            }
        }
    }

    #[test]
    fn a_log_that_ends_before_the_last_write_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let log = written(folder.path(), 3);
        let mut bytes = fs::read(&log).unwrap();
        bytes.truncate(bytes.len() - 10);
        fs::write(&log, &bytes).unwrap();
        // The third write, which is torn, had succeeded: whoever opens the database has to see that it is missing.
        cut_back(std::slice::from_ref(&log), 6).unwrap();
        assert_eq!(fs::read(&log).unwrap(), bytes);
    }
}
