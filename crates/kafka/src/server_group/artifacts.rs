// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Artifacts, which all processes of the group share.
//!
//! An artifact is in the topic in pieces, closed by a record of its size; all of it is written in one transaction. Each process keeps
//! those that it has needed on its own disk, too.
//!
//! What another process is about to use is known from the time at which it was stored last: nothing is swept that is younger than a
//! grace time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::artifacts::{Artifacts, InUse, Pin, digest};
use fnstream_core::clock::Clock;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;

use super::table::{Change, Row, Rows, Table};
use crate::place::{Options, Shared};

/// How much of an artifact is in one record; brokers take a megabyte unless told otherwise.
const PIECE: usize = 512 << 10;
/// Separates a digest from the number of a piece.
const NUMBER: char = '/';
/// The broker aborts a transaction that takes longer.
const TIMEOUT_MS: u32 = 60_000;

/// See the module.
pub struct KafkaArtifacts {
    shared: Arc<Shared>,
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
    /// The offsets of the pieces by their numbers.
    pieces: BTreeMap<u32, i64>,
    /// How many bytes they have together, and when that was said; none as long as the artifact is not whole.
    whole: Option<(u64, i64)>,
}

impl Rows for Index {
    fn take(&mut self, row: Row<'_>) {
        let Ok(key) = std::str::from_utf8(row.key) else { return };
        let (digest, number) = key.split_once(NUMBER).map_or((key, None), |(digest, number)| (digest, Some(number)));
        let of = self.0.entry(digest.to_owned()).or_default();
        match (number.map(str::parse::<u32>), row.value) {
            (Some(Ok(number)), Some(_)) => _ = of.pieces.insert(number, row.offset),
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

impl KafkaArtifacts {
    /// The artifacts of a group. `local` keeps copies on this process's disk; `grace` is how long one is kept that nobody uses. Blocks.
    pub fn open(
        options: &Options,
        local: Arc<dyn Artifacts>,
        grace: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<KafkaArtifacts> {
        let topic = super::topic(options, "artifacts");
        let table = Table::open(options, topic, Index::default(), TIMEOUT_MS)?;
        let shared = Shared::new(options.clone())?;
        Ok(KafkaArtifacts { shared, table, local, pins: Arc::default(), grace, clock })
    }

    /// Makes an artifact that is on the disk known to all, or says that it is needed anew.
    fn share(&self, digest: &str, bytes: &[u8]) -> Result<()> {
        self.table.change(|index| {
            let pieces = bytes.chunks(PIECE).enumerate();
            let is_there = index.0.get(digest).is_some_and(|of| {
                of.whole.is_some_and(|(size, _)| size == bytes.len() as u64)
                    && of.pieces.len() == bytes.chunks(PIECE).len()
            });
            let pieces = pieces.filter(|_| !is_there);
            let piece = |(number, piece): (usize, &[u8])| (piece_key(digest, number as u32), Some(piece.to_vec()));
            let size = (digest.as_bytes().to_vec(), Some(bytes.len().to_string().into_bytes()));
            Ok((pieces.map(piece).chain([size]).collect(), ()))
        })
    }

    /// The bytes that the topic has.
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
            self.shared.read_log(self.table.topic(), 0, *first, last + 1, &mut |message| {
                let key = std::str::from_utf8(message.key().unwrap_or_default()).unwrap_or_default();
                let Some(number) = key.strip_prefix(digest).and_then(|rest| rest.strip_prefix(NUMBER)) else {
                    return Ok(());
                };
                if let (Ok(number), Some(value)) = (number.parse(), message.value()) {
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
                    format!("the topic '{}' has other bytes than those of artifact '{digest}'", self.table.topic());
                Err(Error::new(ErrorCode::ArtifactCorrupt, message))
            }
        }
    }
}

impl Artifacts for KafkaArtifacts {
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

impl std::fmt::Debug for KafkaArtifacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaArtifacts").field("topic", &self.table.topic()).finish_non_exhaustive()
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn piece_key(digest: &str, number: u32) -> Vec<u8> {
    format!("{digest}{NUMBER}{number}").into_bytes()
}
