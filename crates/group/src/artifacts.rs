// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Artifacts, which all processes of the group share.
//!
//! An artifact is in the log in pieces, closed by a record of its size: without that, pieces are nothing. Each process keeps those that it
//! has needed on its own disk, too.
//!
//! What another process is about to use is known from the time at which it was stored last: nothing is swept that is younger than a
//! grace time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::artifacts::{Artifacts, InUse, Pin, digest};
use fnstream_core::clock::Clock;
use fnstream_core::record::Position;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;

use crate::log::{Log, Row};
use crate::table::{Change, Rows, Table};

/// How much of an artifact is in one record; brokers take a megabyte unless told otherwise.
const PIECE: usize = 512 << 10;
/// How often the pieces of an artifact are stored until all of them are there.
const ATTEMPTS: usize = 5;
/// Separates a digest from the number of a piece.
const NUMBER: char = '/';

/// See the module.
pub struct GroupArtifacts {
    table: Table<Index>,
    /// Those of this process's disk.
    local: Arc<dyn Artifacts>,
    /// How many pins each artifact has here.
    pins: Arc<Mutex<HashMap<String, usize>>>,
    grace: Duration,
    clock: Arc<dyn Clock>,
}

/// Where the pieces of artifacts are.
#[derive(Default)]
struct Index(BTreeMap<String, Indexed>);

#[derive(Default, Clone)]
struct Indexed {
    /// Where the pieces are, by their numbers.
    pieces: BTreeMap<u32, Position>,
    /// How many bytes they have together, and when that was said; none as long as the artifact is not whole.
    whole: Option<(u64, i64)>,
}

impl Rows for Index {
    fn take(&mut self, row: Row<'_>) {
        let Ok(key) = std::str::from_utf8(row.key) else { return };
        let (digest, number) = key.split_once(NUMBER).map_or((key, None), |(digest, number)| (digest, Some(number)));
        let of = self.0.entry(digest.to_owned()).or_default();
        match (number.map(str::parse::<u32>), row.value) {
            (Some(Ok(number)), Some(_)) => _ = of.pieces.insert(number, row.position),
            (Some(Ok(number)), None) => _ = of.pieces.remove(&number),
            (None, Some(size)) => {
                of.whole =
                    std::str::from_utf8(size).ok().and_then(|size| size.parse().ok()).map(|size| (size, row.timestamp));
            }
            (None, None) => of.whole = None,
            (Some(Err(_)), _) => {}
        }
        if of.whole.is_none() && of.pieces.is_empty() {
            self.0.remove(digest);
        }
    }
}

impl GroupArtifacts {
    /// The artifacts of a group, which are in that log, for the process of that name. `local` keeps copies on this process's disk; `grace` is how long one is kept that nobody uses. Blocks.
    pub fn open(
        log: Arc<dyn Log>,
        process: &str,
        local: Arc<dyn Artifacts>,
        grace: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<GroupArtifacts> {
        let table = Table::open(log, process, Index::default())?;
        Ok(GroupArtifacts { table, local, pins: Arc::default(), grace, clock })
    }

    /// Makes an artifact that is on the disk known to all, or says that it is needed anew.
    fn share(&self, digest: &str, bytes: &[u8]) -> Result<()> {
        let count = bytes.chunks(PIECE).len();
        let is_there = |index: &Index| {
            let pieces = |of: &Indexed| (0..count as u32).all(|number| of.pieces.contains_key(&number));
            count == 0 || index.0.get(digest).is_some_and(pieces)
        };
        let size = (digest.as_bytes().to_vec(), Some(bytes.len().to_string().into_bytes()));
        // Somebody may sweep the pieces away before they are closed.
        for _ in 0..ATTEMPTS {
            let has = is_there(&self.table.rows());
            if !has {
                let piece = |(number, piece): (usize, &[u8])| (piece_key(digest, number as u32), Some(piece.to_vec()));
                self.table.lay(bytes.chunks(PIECE).enumerate().map(piece).collect())?;
            }
            let closed = self.table.change(|index| match is_there(index) {
                true => Ok((vec![size.clone()], true)),
                false => Ok((Vec::new(), false)),
            })?;
            if closed {
                return Ok(());
            }
        }
        let message = format!("the pieces of artifact '{digest}' are removed as soon as they are stored");
        Err(Error::new(ErrorCode::Unavailable, message))
    }

    /// The bytes that the log has.
    fn fetch(&self, digest: &str) -> Result<Vec<u8>> {
        let find = || self.table.rows().0.get(digest).filter(|of| of.whole.is_some()).cloned();
        let found = match find() {
            Some(found) => Some(found),
            None => {
                self.table.catch_up()?;
                find()
            }
        };
        let missing = || Error::new(ErrorCode::ArtifactNotFound, format!("there is no artifact '{digest}'"));
        let Indexed { pieces, .. } = found.ok_or_else(missing)?;
        let mut parts: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        if let (Some(first), Some(last)) = (pieces.values().min(), pieces.values().max()) {
            self.table.log().read(*first, last.next(), &mut |row| {
                let key = std::str::from_utf8(row.key).unwrap_or_default();
                let Some(number) = key.strip_prefix(digest).and_then(|rest| rest.strip_prefix(NUMBER)) else {
                    return Ok(());
                };
                if let (Ok(number), Some(value)) = (number.parse(), row.value) {
                    parts.insert(number, value.to_vec());
                }
                Ok(())
            })?;
        }
        let bytes = parts.into_values().collect::<Vec<_>>().concat();
        match fnstream_core::artifacts::digest(&bytes) == digest {
            true => Ok(bytes),
            false => {
                let message =
                    format!("the log '{}' has other bytes than those of artifact '{digest}'", self.table.log().name());
                Err(Error::new(ErrorCode::ArtifactCorrupt, message))
            }
        }
    }
}

impl Artifacts for GroupArtifacts {
    fn put(&self, bytes: &[u8]) -> Result<Pin> {
        let pin = self.pin(&digest(bytes));
        drop(self.local.put(bytes)?);
        self.share(pin.digest(), bytes)?;
        Ok(pin)
    }

    fn get(&self, digest: &str) -> Result<Vec<u8>> {
        let bytes = match self.local.get(digest) {
            Err(error) if matches!(error.code, ErrorCode::ArtifactNotFound | ErrorCode::ArtifactCorrupt) => {
                let bytes = self.fetch(digest).map_err(|there| match there.code {
                    ErrorCode::ArtifactNotFound => error,
                    _ => there,
                })?;
                drop(self.local.put(&bytes)?);
                bytes
            }
            other => other?,
        };
        // Whoever reads one that nobody needs yet is about to use it.
        let old_ms = self.clock.unix_ms() - millis(self.grace / 2);
        let is_old = |of: &Indexed| of.whole.is_none_or(|(_, at_ms)| at_ms < old_ms);
        if !self.grace.is_zero() && self.table.rows().0.get(digest).is_none_or(is_old) {
            self.share(digest, &bytes)?;
        }
        Ok(bytes)
    }

    fn get_needed(&self, digest: &str) -> Result<Vec<u8>> {
        let found = match self.local.get(digest) {
            Ok(bytes) => return Ok(bytes),
            Err(_) => self.fetch(digest),
        };
        let bytes = found.map_err(|error| match error.code {
            ErrorCode::ArtifactNotFound => Error::new(ErrorCode::ArtifactCorrupt, error.message),
            _ => error,
        })?;
        drop(self.local.put(&bytes)?);
        Ok(bytes)
    }

    fn list(&self) -> Result<Vec<String>> {
        self.table.catch_up()?;
        let index = self.table.rows();
        Ok(index.0.iter().filter(|(_, of)| of.whole.is_some()).map(|(digest, _)| digest.clone()).collect())
    }

    fn pin(&self, digest: &str) -> Pin {
        *self.pins.lock().entry(digest.to_owned()).or_default() += 1;
        let (pins, local) = (self.pins.clone(), self.local.pin(digest));
        Pin::new(digest.to_owned(), move |digest| {
            drop(local);
            let mut pins = pins.lock();
            if let Some(count) = pins.get_mut(digest) {
                *count -= 1;
                if *count == 0 {
                    pins.remove(digest);
                }
            }
        })
    }

    fn sweep(&self, in_use: &mut InUse<'_>) -> Result<usize> {
        let pinned: HashSet<String> = self.pins.lock().keys().cloned().collect();
        let needed = in_use()?;
        let old_ms = self.clock.unix_ms() - millis(self.grace);
        // What is pinned after this moment was stored after it too, and is younger than the grace time.
        let swept = self.table.change(|index| {
            let unused = |(digest, of): &(&String, &Indexed)| {
                let is_old = of.whole.is_none_or(|(_, at_ms)| at_ms <= old_ms);
                is_old
                    && !pinned.contains(*digest)
                    && !needed.contains(*digest)
                    && !self.pins.lock().contains_key(*digest)
            };
            let unused: Vec<_> = index.0.iter().filter(unused).collect();
            let mut changes: Vec<Change> = Vec::new();
            for (digest, of) in &unused {
                changes.extend(of.pieces.keys().map(|number| (piece_key(digest, *number), None)));
                changes.push((digest.as_bytes().to_vec(), None));
            }
            Ok((changes, unused.len()))
        })?;
        // Copies on the disk that nobody needs here. What is needed need not be there.
        let there = self.local.list()?;
        let is_known = |digest: &String| self.table.rows().0.contains_key(digest) || needed.contains(digest);
        let keep: HashSet<String> = there.into_iter().filter(is_known).collect();
        self.local.sweep(&mut || Ok(keep.clone()))?;
        Ok(swept)
    }
}

impl std::fmt::Debug for GroupArtifacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupArtifacts").field("log", &self.table.log().name()).finish_non_exhaustive()
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn piece_key(digest: &str, number: u32) -> Vec<u8> {
    format!("{digest}{NUMBER}{number}").into_bytes()
}
