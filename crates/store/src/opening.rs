// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Opens the database, and refuses one that has less in it than was written.
//!
//! RocksDB on its own makes a new database where the old one is missing, and ends its recovery without a word at the first
//! write that it cannot read. What is forgiven here is only what an interruption explains:
//!
//! ```text
//! the last write is incomplete, or only zeros follow it     forgiven, if the database still reaches as far as it must
//! bytes that nobody wrote, a hole                           forgiven after a loss of power, behind what was synced
//! anything else, and any file that is missing               refused
//! ```
//!
//! How far the database must reach is what [`crate::reach`] knows. What is refused is not changed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use fnstream_core::{Error, ErrorCode, Result};
use rocksdb::{DB, DBRecoveryMode, Options};

use crate::db::{db_options, descriptors};
use crate::dir::DataDir;
use crate::error::{corrupt, file, rocks};
use crate::log_file::{self, Flaw};
use crate::options::StoreOptions;
use crate::reach::{Manifest, Note, Noted, Point, current_manifest, manifest_number};
use crate::tail;

/// What is found of a database before it is opened.
pub(crate) enum Found {
    /// Nothing: there was none yet.
    Nothing,
    /// A database.
    Database(Files),
}

/// The files of a database that tell how far it reaches.
pub(crate) struct Files {
    db: PathBuf,
    noted: Noted,
    /// Write-ahead logs that are not whole, the oldest first, with the place.
    flaws: Vec<(PathBuf, u64, Flaw)>,
}

/// What may be cut off when the database is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing but what RocksDB knows to be obsolete.
    Nothing,
    /// The rest from the first flaw on.
    Rest,
}

/// Opens the database of a folder, or makes one in a folder that is new.
pub(crate) fn open(dir: &DataDir, options: &StoreOptions) -> Result<(DB, Note)> {
    let db = &dir.db();
    match find(dir)? {
        Found::Nothing => {
            dir.make_db()?;
            let mut new = db_options(options);
            new.create_if_missing(true);
            new.create_missing_column_families(true);
            with_note(dir, open_db(&new, db, options)?, 0)
        }
        Found::Database(files) => files.open(dir, options, 0),
    }
}

/// Opens the database anew after this process has closed it, with that as its last write. Writes that came later had failed,
/// and go.
pub(crate) fn reopen(dir: &DataDir, options: &StoreOptions, last_write: u64) -> Result<(DB, Note)> {
    dir.refuse_links()?;
    tail::cut_back(&logs(&dir.db())?, last_write)?;
    match find_after(dir, true)? {
        Found::Nothing => Err(corrupt(format_args!("the database in '{}' is missing", dir.db().display()))),
        Found::Database(files) => files.open(dir, options, last_write),
    }
}

/// Checks that what was opened has all that it must have, and begins its note.
fn with_note(dir: &DataDir, opened: DB, last_write: u64) -> Result<(DB, Note)> {
    reaches(opened.latest_sequence_number(), last_write)?;
    let note = Note::begin(dir.root(), &dir.db(), opened.latest_sequence_number())?;
    Ok((opened, note))
}

/// Cuts off what cannot be read of the logs, and takes what is left as all that there was.
pub(crate) fn cut(dir: &DataDir, options: &StoreOptions) -> Result<()> {
    let db = &dir.db();
    let mut cutting = db_options(options);
    cutting.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    let opened = open_db(&cutting, db, options)?;
    let note = Note::begin(dir.root(), db, opened.latest_sequence_number())?;
    note.sync();
    // The database first: its end is what the note ends with.
    drop(opened);
    drop(note);
    Ok(())
}

/// Looks at what there is, without changing anything.
pub(crate) fn find(dir: &DataDir) -> Result<Found> {
    find_after(dir, false)
}

fn find_after(dir: &DataDir, failure: bool) -> Result<Found> {
    let db = &dir.db();
    let noted = Noted::read(dir.root())?;
    if !exists(&db.join("CURRENT"))? {
        let Some(remains) = remains(dir.root().path(), db, noted)? else {
            return Ok(Found::Nothing);
        };
        let missing = match names(db)?.is_empty() {
            true => format!("the database in '{}' is missing", db.display()),
            false => {
                format!("'{}' is missing, without which the database cannot be read", db.join("CURRENT").display())
            }
        };
        return Err(corrupt(format_args!("{missing}: {remains}")));
    }
    let files = Files { db: db.to_owned(), noted, flaws: flaws(db)? };
    check_manifest(db, files.demanded().manifest, failure)?;
    Ok(Found::Database(files))
}

impl Files {
    fn open(&self, dir: &DataDir, options: &StoreOptions, last_write: u64) -> Result<(DB, Note)> {
        let mut existing = db_options(options);
        // One of which nothing is noted may have been interrupted while it was made. In all others they are there, so a
        // missing one is damage. (A version that adds one has to make it in older folders.)
        existing.create_missing_column_families(self.noted == Noted::Nothing);
        let mode = match self.forgive(options)? {
            Cut::Nothing => DBRecoveryMode::TolerateCorruptedTailRecords,
            Cut::Rest => DBRecoveryMode::PointInTime,
        };
        existing.set_wal_recovery_mode(mode);
        with_note(dir, open_db(&existing, &self.db, options)?, self.demanded().write.max(last_write))
    }

    /// How far the database has to reach.
    pub(crate) fn demanded(&self) -> Point {
        self.noted.demanded()
    }

    /// Decides what of a log that is not whole may be cut off: an error if something would be lost.
    fn forgive(&self, options: &StoreOptions) -> Result<Cut> {
        // What is damaged says more than what was only interrupted.
        let damaged = self.flaws.iter().find(|(.., flaw)| *flaw == Flaw::Damaged);
        let Some((path, place, flaw)) = damaged.or(self.flaws.first()) else {
            return Ok(Cut::Nothing);
        };
        if self.try_open(options, DBRecoveryMode::AbsoluteConsistency).is_ok() {
            return Ok(Cut::Nothing);
        }
        let interrupted = self.flaws.iter().all(|(.., flaw)| *flaw == Flaw::Unfinished);
        let explained = (interrupted && self.noted != Noted::Unreadable) || self.noted.is_of_another_boot();
        let what = match flaw {
            Flaw::Unfinished => "ends within a write",
            Flaw::Damaged => "is damaged",
        };
        let refused =
            |why: &str| corrupt(format_args!("the write-ahead log '{}' {what} at byte {place}{why}", path.display()));
        if !explained {
            let unreadable = self.noted == Noted::Unreadable;
            return Err(refused(if unreadable { ", and the note of its end, 'REACH', cannot be read" } else { "" }));
        }
        let reached = self.try_open(options, DBRecoveryMode::PointInTime)?;
        reaches(reached, self.demanded().write).map_err(|e| refused(&format!(": {}", e.message)))?;
        tracing::warn!(file = %path.display(), place, "the write-ahead log {what}: what was not synced is cut off");
        Ok(Cut::Rest)
    }

    /// Opens the database without changing it, as far as it can be read, with the reason why it would be refused.
    pub(crate) fn view(&self, options: &StoreOptions) -> Result<(DB, Option<Error>)> {
        let refused = self.forgive(options).err();
        let db = self.open_unchanged(options, DBRecoveryMode::PointInTime)?;
        let short = reaches(db.latest_sequence_number(), self.demanded().write).err();
        Ok((db, refused.or(short.map(|short| self.too_short(&short)))))
    }

    /// What is said of logs that end before the last write, with the file that it was in, as far as that is known.
    fn too_short(&self, short: &Error) -> Error {
        let newest = logs(&self.db).ok().and_then(|logs| logs.into_iter().last());
        let which = match (self.flaws.first(), newest) {
            (Some((path, place, _)), _) => {
                format!("the write-ahead log '{}' cannot be read from byte {place} on", path.display())
            }
            (None, Some(path)) => format!("the write-ahead log '{}' ends too early", path.display()),
            (None, None) => format!("there is no write-ahead log in '{}'", self.db.display()),
        };
        corrupt(format_args!("{which}: {}", short.message))
    }

    /// Opens the database without changing it, and answers how far it reaches.
    fn try_open(&self, options: &StoreOptions, mode: DBRecoveryMode) -> Result<u64> {
        self.open_unchanged(options, mode).map(|db| db.latest_sequence_number())
    }

    fn open_unchanged(&self, options: &StoreOptions, mode: DBRecoveryMode) -> Result<DB> {
        open_unchanged(&self.db, options, mode)
    }
}

/// Opens a database without changing it.
pub(crate) fn open_unchanged(db: &Path, options: &StoreOptions, mode: DBRecoveryMode) -> Result<DB> {
    let mut unchanged = db_options(options);
    unchanged.set_wal_recovery_mode(mode);
    let opened = DB::open_cf_descriptors_read_only(&unchanged, db, descriptors(options), false);
    opened.map_err(|e| unopened(&e))
}

fn open_db(db: &Options, path: &Path, options: &StoreOptions) -> Result<DB> {
    DB::open_cf_descriptors(db, path, descriptors(options)).map_err(|e| unopened(&e))
}

/// An error of opening. Files that are not there, or that are not what they should be, are damage.
fn unopened(error: &rocksdb::Error) -> Error {
    let text: &str = error.as_ref();
    let error = rocks("cannot open the database", error);
    let damaged = ["No such file", "Invalid argument", "NotFound"].iter().any(|words| text.contains(words));
    if damaged { Error::new(ErrorCode::DataCorrupt, error.message) } else { error }
}

/// Checks that the last write is not before the one that has to be there.
fn reaches(last: u64, end: u64) -> Result<()> {
    if last >= end {
        return Ok(());
    }
    let missing = match end - last {
        1 => "the last write to the database is".to_owned(),
        missing => format!("the last {missing} writes to the database are"),
    };
    Err(corrupt(format_args!("{missing} missing: it ends at {last}, not at {end}")))
}

/// The first reason why a folder without a database is not a new one.
fn remains(root: &Path, db: &Path, noted: Noted) -> Result<Option<String>> {
    if noted != Noted::Nothing {
        return Ok(Some("something was written to it".to_owned()));
    }
    for (folder, suffixes) in [(db.to_owned(), &[".sst", ".log"][..]), (root.join("artifacts"), &[".wasm"])] {
        let left = names(&folder)?.into_iter().find(|name| suffixes.iter().any(|suffix| name.ends_with(suffix)));
        if let Some(name) = left {
            return Ok(Some(format!("there is '{}'", folder.join(name).display())));
        }
    }
    Ok(None)
}

/// Checks the list of the database's files.
fn check_manifest(db: &Path, demanded: Manifest, after_failure: bool) -> Result<()> {
    let path = current_manifest(db).map_err(|e| {
        let path = db.join("CURRENT");
        corrupt(format_args!("'{}', which names the list of the database's files, is damaged: {e}", path.display()))
    })?;
    let fail = |e: &io::Error| {
        corrupt(format_args!("'{}', the list of the database's files, cannot be read: {e}", path.display()))
    };
    let extent = log_file::read(&path, |_, _| {}).map_err(|e| fail(&e))?;
    let refused = |what| corrupt(format_args!("'{}' {what} at byte {}", path.display(), extent.whole));
    if extent.flaw == Some(Flaw::Damaged) {
        return Err(refused("is damaged"));
    }
    // A write to it that failed may have been noted with what it had become.
    let bytes = if after_failure { fs::metadata(&path).map_err(|e| fail(&e))?.len() } else { extent.whole };
    let now = Manifest { number: manifest_number(&path).unwrap_or_default(), bytes };
    if now < demanded { Err(refused("was cut")) } else { Ok(()) }
}

/// The write-ahead logs that are not whole.
fn flaws(db: &Path) -> Result<Vec<(PathBuf, u64, Flaw)>> {
    let (mut flaws, mut bytes, begun) = (Vec::new(), 0, Instant::now());
    for path in logs(db)? {
        let extent = log_file::read(&path, |_, _| {}).map_err(|e| file("cannot read", &path, &e))?;
        bytes += extent.whole;
        flaws.extend(extent.flaw.map(|flaw| (path, extent.whole, flaw)));
    }
    tracing::debug!(bytes, took = ?begun.elapsed(), "the write-ahead logs were read");
    Ok(flaws)
}

/// The write-ahead logs, the oldest first.
pub(crate) fn logs(db: &Path) -> Result<Vec<PathBuf>> {
    let mut logs: Vec<_> = names(db)?.into_iter().filter(|name| name.ends_with(".log")).collect();
    logs.sort_unstable();
    Ok(logs.into_iter().map(|name| db.join(name)).collect())
}

fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(|e| file("cannot read", path, &e))
}

/// The names in a folder; none if it is not there.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(file("cannot list", folder, &e)),
    };
    let names: io::Result<Vec<_>> = entries.map(|entry| entry.map(|e| e.file_name())).collect();
    let names = names.map_err(|e| file("cannot list", folder, &e))?;
    Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
}
