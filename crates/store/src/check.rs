// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Checks a data folder that nobody uses, and cuts a damaged log back to a consistent point.
//!
//! A check changes nothing. It reads everything once: the write-ahead logs, every block of the sorted files with its
//! checksum, every stored value, and the artifacts; and it compares what must fit together.
//!
//! A repair is for a log that cannot be read to its end, or that ends too early. RocksDB takes back all writes from the
//! first bad one on, of all topics and functions alike, so what is left is one moment of the past: positions, state, outputs
//! and the register fit each other. What is damaged in other ways cannot be taken back, and is refused.
//!
//! Nothing that a repair takes away is deleted: the logs as they were, and the artifacts that no function has any more, are kept in a
//! folder of their own. If nothing would be left, or if functions would go, it wants to be told so.

mod contents;

use std::fs;
use std::path::{Path, PathBuf};

use fnstream_core::dir::How;
use fnstream_core::{Error, ErrorCode, Result};
use rocksdb::DB;
use serde::Serialize;

use crate::artifacts::Folder;
use crate::damage::Extent;
use crate::dir::DataDir;
use crate::error::file;
use crate::opening::{self, Found};
use crate::options::StoreOptions;
pub(crate) use contents::needs;

/// What a check has found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// What is wrong; empty if all is well.
    pub problems: Vec<Problem>,
    /// The partitions of the topics, as far as they can be read.
    pub partitions: Vec<PartitionExtent>,
    /// The tasks of functions, as far as they can be read.
    pub tasks: Vec<TaskExtent>,
    /// The functions that are registered, as far as can be read.
    pub functions: Vec<String>,
    /// Artifacts that were read.
    pub artifacts: usize,
    /// The digests of those that no function and no kept revision has, as far as can be read.
    pub unused_artifacts: Vec<String>,
    /// The last write that can be read, by its number.
    pub last_write: u64,
    /// How many writes are known to be missing after it.
    pub missing_writes: u64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What it is in.
    pub area: Area,
    /// What is wrong.
    pub message: String,
}

/// The part of a data folder that a problem is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    /// The file that marks a data folder: a repair writes it anew.
    Mark,
    /// The write-ahead log: a repair can cut it back.
    Log,
    /// Other files of the database, or what is stored in it.
    Database,
    /// An artifact.
    Artifact,
}

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionExtent {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Its first position.
    pub earliest: u64,
    /// The position after its last record.
    pub end: u64,
}

/// A task of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskExtent {
    /// The function.
    pub function: String,
    /// The index of the task.
    pub task: u32,
    /// Its last commit.
    pub epoch: u64,
    /// How many records it has consumed.
    pub records_in: u64,
}

impl Report {
    fn add(&mut self, area: Area, message: impl Into<String>) {
        self.problems.push(Problem { area, message: message.into() });
    }

    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether something is wrong in an area.
    pub fn is_damaged(&self, area: Area) -> bool {
        self.problems.iter().any(|problem| problem.area == area)
    }

    /// Whether nothing that users have made can be read.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty() && self.tasks.is_empty() && self.functions.is_empty()
    }

    /// Whether cutting the log back loses more than the last events: all that there is, or functions.
    pub fn loses_much(&self) -> bool {
        self.is_damaged(Area::Log) && (self.is_empty() || !self.unused_artifacts.is_empty())
    }
}

/// Checks the data folder. An error if it cannot be checked at all: it is none, or somebody uses it.
pub fn check(root: &Path) -> Result<Report> {
    let (dir, flaw) = DataDir::open_existing(root)?;
    examine(&dir, flaw)
}

/// What has become of a repair.
#[derive(Debug)]
pub enum Repair {
    /// There is nothing that it mends.
    Unneeded(Report),
    /// It loses much, and nobody has accepted that. Nothing was changed.
    Unaccepted(Report),
    /// It is done.
    Done(Repaired),
}

/// What a repair has done.
#[derive(Debug, Serialize)]
pub struct Repaired {
    /// What was wrong before.
    pub before: Report,
    /// What is there now.
    pub after: Report,
    /// The folder with the logs as they were and the artifacts that no function has any more, if the log was cut.
    pub kept: Option<PathBuf>,
}

/// Cuts a damaged log back to a consistent point, and marks a data folder again whose mark is damaged. If [`Report::loses_much`],
/// only if that is accepted. An error, and nothing is changed, if there is damage that this does not mend.
pub fn repair(root: &Path, accept_loss: bool) -> Result<Repair> {
    let (dir, flaw) = DataDir::open_existing(root)?;
    let before = examine(&dir, flaw)?;
    if let Some(problem) = before.problems.iter().find(|problem| problem.area == Area::Database) {
        let message = format!("the data folder cannot be repaired: {}", problem.message);
        return Err(Error::new(ErrorCode::DataCorrupt, message));
    }
    if !before.is_damaged(Area::Log) && !before.is_damaged(Area::Mark) {
        return Ok(Repair::Unneeded(before));
    }
    if before.loses_much() && !accept_loss {
        return Ok(Repair::Unaccepted(before));
    }
    let mut kept = None;
    if before.is_damaged(Area::Log) {
        // Before the cut: the next start removes artifacts that nobody has.
        kept = Some(keep(&dir, &before.unused_artifacts)?);
        opening::cut(&dir, &small())?;
    }
    if before.is_damaged(Area::Mark) {
        dir.mark()?;
    }
    let after = examine(&dir, None)?;
    Ok(Repair::Done(Repaired { before, after, kept }))
}

fn examine(dir: &DataDir, flaw: Option<Error>) -> Result<Report> {
    let mut report = Report::default();
    if let Some(flaw) = flaw {
        report.add(Area::Mark, flaw.message);
    }
    let artifacts = check_artifacts(dir, &mut report)?;
    let files = match opening::find(dir) {
        Ok(Found::Nothing) => return Ok(report),
        Ok(Found::Database(files)) => files,
        Err(e) if e.code == ErrorCode::DataCorrupt => {
            report.add(Area::Database, e.message);
            return Ok(report);
        }
        Err(e) => return Err(e),
    };
    let (db, complaint) = match files.view(&small()) {
        Ok(viewed) => viewed,
        Err(e) => {
            report.add(Area::Database, e.message);
            return Ok(report);
        }
    };
    report.last_write = db.latest_sequence_number();
    report.missing_writes = files.demanded().write.saturating_sub(report.last_write);
    if let Some(e) = complaint {
        report.add(Area::Log, e.message);
    }
    contents::check(&db, &artifacts, &mut report);
    Ok(report)
}

/// The digests of the artifacts, damaged ones too.
fn check_artifacts(dir: &DataDir, report: &mut Report) -> Result<Vec<String>> {
    let Some(folder) = dir.artifacts()?.map(Folder::at) else {
        return Ok(Vec::new());
    };
    let digests = folder.digests()?;
    for digest in &digests {
        if let Err(e) = folder.get(digest) {
            report.add(Area::Artifact, e.message);
        }
    }
    report.artifacts = digests.len();
    Ok(digests)
}

/// Copies the logs, and the note of how far they should reach, to a new folder within the data folder, and moves those artifacts there.
fn keep(dir: &DataDir, artifacts: &[String]) -> Result<PathBuf> {
    let root = dir.root();
    let name = (1..).map(|number| format!("damaged-{number}")).find(|name| !root.has(name).unwrap_or(false));
    let name = name.unwrap_or_else(|| "damaged".to_owned());
    let kept = root.make_sub(&name).map_err(|e| file("cannot make", &root.path().join(&name), &e))?;
    let logs = opening::logs(&dir.db())?;
    for from in logs.into_iter().chain([root.path().join("REACH")]).filter(|path| path.exists()) {
        let copy = || {
            let mut to = kept.file(from.file_name().unwrap_or_default(), How::New)?;
            std::io::copy(&mut fs::File::open(&from)?, &mut to)?;
            to.sync_all()
        };
        copy().map_err(|e| file("cannot copy", &from, &e))?;
    }
    if let Some(folder) = dir.artifacts()? {
        for digest in artifacts {
            let name = format!("{digest}.wasm");
            folder.move_to(&name, &kept).map_err(|e| file("cannot move", &folder.path().join(&name), &e))?;
        }
        folder.sync().map_err(|e| file("cannot sync", folder.path(), &e))?;
    }
    for dir in [&kept, root] {
        dir.sync().map_err(|e| file("cannot sync", dir.path(), &e))?;
    }
    Ok(kept.path().to_owned())
}

/// Memory is no matter here: everything is read once.
fn small() -> StoreOptions {
    StoreOptions { block_cache_bytes: 8 << 20, ..StoreOptions::default() }
}

/// What cannot be read of a family, with the range of keys of the damaged file if it is known.
type Unreadable = (String, Option<Extent>);

/// Reads a family from its first key on, past the cache. Goes on behind damaged files.
fn each(db: &DB, family: &str, mut visit: impl FnMut(&[u8], &[u8])) -> Vec<Unreadable> {
    let Some(handle) = db.cf_handle(family) else {
        return vec![(format!("the part '{family}' of the database is missing"), None)];
    };
    let (mut unreadable, mut from) = (Vec::new(), Vec::new());
    loop {
        let mut options = rocksdb::ReadOptions::default();
        options.fill_cache(false);
        let mut iterator = db.raw_iterator_cf_opt(handle, options);
        iterator.seek(&from);
        while let Some((key, value)) = iterator.item() {
            visit(key, value);
            from = [key, &[0]].concat();
            iterator.next();
        }
        let Err(e) = iterator.status() else { return unreadable };
        let message = format!("the part '{family}' of the database cannot be read to its end: {e}");
        let extent = Extent::find(db, e.as_ref());
        let behind = extent.as_ref().map(|extent| [&extent.last[..], &[0]].concat());
        unreadable.push((message, extent));
        match behind.filter(|behind| *behind > from) {
            Some(behind) => from = behind,
            None => return unreadable,
        }
    }
}
