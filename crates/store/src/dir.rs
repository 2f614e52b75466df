// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The data folder: who may use it, and which version wrote it.
//!
//! ```text
//! FORMAT          "function-stream data folder" and the version of the layout; written last when a folder is made
//! LOCK            held by the process that uses the folder
//! REACH           how far the database reaches
//! db/             RocksDB
//! artifacts/      <sha256>.wasm
//! checkpoint.tmp/ while a backup is made
//! RUN, logs/, cache/    the server's, not the store's
//! ```
//!
//! It belongs to the server alone: what is made in it has the rights that [`Access`] says, the folder itself is given them when
//! it is opened, and a link in the place of a file or a folder is refused ([`Dir`]).
//!
//! A folder without `FORMAT` that holds anything else is foreign and is not touched: a mistyped path must not turn
//! somebody's documents into a data folder.

mod rights;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fnstream_core::dir::{Access, Dir, How};
use fnstream_core::{Error, ErrorCode, Result};
use rustix::fs::{FlockOperation, flock};

use crate::backup::LIST as BACKUP;
use crate::error::{corrupt, file};
pub(crate) use crate::reach::NAME as REACH;

pub(crate) const FORMAT: &str = "FORMAT";
const FORMAT_TMP: &str = "FORMAT.tmp";
pub(crate) const LOCK: &str = "LOCK";
pub(crate) const DB: &str = "db";
pub(crate) const ARTIFACTS: &str = "artifacts";
/// A moment of the database, while a backup is made of it.
pub(crate) const CHECKPOINT: &str = "checkpoint.tmp";
const TITLE: &str = "function-stream data folder";
/// 1: batches are stored without the time of their arrival. 2: with it.
pub(crate) const VERSION: u32 = 2;
/// Folders of the store and of the server. A link in the place of a file is refused by whoever opens it.
const FOLDERS: [&str; 4] = [DB, ARTIFACTS, "logs", "cache"];

/// A data folder that this process holds.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: Dir,
    /// The lock ends when the file is closed, also by `kill -9`.
    _lock: File,
}

impl DataDir {
    /// Takes a folder; makes it when it is not there. Gives it the rights that it must have.
    pub(crate) fn open(root: &Path, access: Access) -> Result<Self> {
        let root = create_durably(root, access)?;
        refuse_backup(&root)?;
        if read_version(&root)?.is_none() {
            refuse_foreign(&root)?;
        }
        let lock = lock(&root)?;
        // Asked again under the lock: another process may have made the folder meanwhile.
        let version = read_version(&root)?;
        refuse_newer(&root, version)?;
        rights::keep(&root)?;
        // An older folder is one of this version from now on: an older program must not meet what this one writes.
        if version != Some(VERSION) {
            mark(&root)?;
        }
        refuse_links(&root)?;
        Ok(DataDir { root, _lock: lock })
    }

    /// Takes a folder that is there, and changes nothing in it. One whose mark is damaged or missing is taken too, with what is wrong
    /// with it.
    pub(crate) fn open_existing(root: &Path) -> Result<(Self, Option<Error>)> {
        let root = match Dir::open(root, Access::Owner) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let message = format!("there is no folder '{}'", root.display());
                return Err(Error::new(ErrorCode::DataDirMissing, message));
            }
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
                let message = format!("'{}' is not a folder", root.display());
                return Err(Error::new(ErrorCode::DataDirForeign, message));
            }
            opened => opened.map_err(|e| file("cannot open", root, &e))?,
        };
        let (version, flaw) = match read_version(&root) {
            Ok(Some(version)) => (version, None),
            Ok(None) if !is_ours(&root)? => return Err(no_data_folder(root.path())),
            Ok(None) => (VERSION, Some(unmarked(&root))),
            Err(e) if e.code == ErrorCode::DataCorrupt => (VERSION, Some(e)),
            Err(e) => return Err(e),
        };
        let lock = lock(&root)?;
        refuse_newer(&root, Some(version))?;
        refuse_links(&root)?;
        Ok((DataDir { root, _lock: lock }, flaw))
    }

    /// Writes the mark of a data folder.
    pub(crate) fn mark(&self) -> Result<()> {
        mark(&self.root)
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Dir {
        &self.root
    }

    /// Refuses links in the place of folders, and of the files of RocksDB.
    pub(crate) fn refuse_links(&self) -> Result<()> {
        refuse_links(&self.root)
    }

    /// The folder of RocksDB.
    pub(crate) fn db(&self) -> PathBuf {
        self.root.path().join(DB)
    }

    /// Makes the folder of RocksDB, which on its own would let others read it.
    pub(crate) fn make_db(&self) -> Result<()> {
        self.root.make_sub(DB).map(drop).map_err(|e| file("cannot make", &self.db(), &e))
    }

    /// The folder of RocksDB, which is there.
    pub(crate) fn open_db(&self) -> Result<Dir> {
        self.root.sub(DB).map_err(|e| file("cannot open", &self.db(), &e))
    }

    /// The folder of the artifacts, made if it is not there.
    pub(crate) fn make_artifacts(&self) -> Result<Dir> {
        self.root.make_sub(ARTIFACTS).map_err(|e| file("cannot make", &self.root.path().join(ARTIFACTS), &e))
    }

    /// The folder of the artifacts, if it is there.
    pub(crate) fn artifacts(&self) -> Result<Option<Dir>> {
        match self.root.sub(ARTIFACTS) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some).map_err(|e| file("cannot open", &self.root.path().join(ARTIFACTS), &e)),
        }
    }
}

/// Takes a folder that is to become a data folder, as long as the answer lives. Gives it the rights that it must have.
pub(crate) fn claim(root: &Dir) -> Result<File> {
    let lock = lock(root)?;
    rights::keep(root)?;
    Ok(lock)
}

/// Whether a folder that has something of this name can still become a data folder: it is ours before `FORMAT` was there, or what a new
/// file system begins with.
pub(crate) fn is_of_nobody(name: &str) -> bool {
    [LOCK, FORMAT_TMP, "lost+found"].contains(&name)
}

/// Removes the checkpoint of a backup, which is of no use without the process that makes the backup.
pub(crate) fn remove_checkpoint(root: &Dir) -> Result<()> {
    match root.remove_all(CHECKPOINT) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(file("cannot remove", &root.path().join(CHECKPOINT), &e)),
        _ => Ok(()),
    }
}

/// Makes the folder and those above it that are missing.
pub(crate) fn create_durably(root: &Path, access: Access) -> Result<Dir> {
    let missing: Vec<_> = root.ancestors().take_while(|folder| !folder.exists()).collect();
    let made = Dir::make(root, access).map_err(|e| file("cannot make", root, &e))?;
    for parent in missing.iter().filter_map(|folder| folder.parent()) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(|e| file("cannot sync", parent, &e))?;
    }
    Ok(made)
}

/// Checks that a folder is still what its path leads to.
pub(crate) fn check_in_place(dir: &Dir) -> Result<()> {
    let path = dir.path();
    if dir.is_in_place().map_err(|e| file("cannot find", path, &e))? {
        return Ok(());
    }
    let what = match path.symlink_metadata() {
        Ok(_) => "something else is in the place of the folder",
        Err(_) => "the folder is gone from its place",
    };
    Err(Error::new(ErrorCode::Storage, format!("{what} '{}'", path.display())))
}

fn lock(root: &Dir) -> Result<File> {
    let path = root.path().join(LOCK);
    let lock = root.file(LOCK, How::Write).map_err(|e| file("cannot open", &path, &e))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::new(
            ErrorCode::DataDirLocked,
            format!("another process uses the data folder '{}'", root.path().display()),
        )),
        Err(e) => Err(file("cannot lock", &path, &e.into())),
    }
}

/// The version of the layout; `None` when there is no `FORMAT`.
fn read_version(root: &Dir) -> Result<Option<u32>> {
    let text = match root.read(FORMAT) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(file("cannot read", &root.path().join(FORMAT), &e)),
    };
    let version = || str::from_utf8(&text).ok()?.strip_prefix(TITLE)?.trim().strip_prefix("format ")?.parse().ok();
    match version() {
        Some(version) => Ok(Some(version)),
        None if is_ours(root)? => {
            let path = root.path().join(FORMAT);
            Err(corrupt(format_args!("the mark of the data folder, '{}', is damaged", path.display())))
        }
        None => Err(foreign(root, FORMAT)),
    }
}

/// Whether a folder has what only a data folder has, its mark aside.
fn is_ours(root: &Dir) -> Result<bool> {
    let has = |name| root.has(name).map_err(|e| file("cannot read", root.path(), &e));
    Ok(has(LOCK)? && (has(REACH)? || has(DB)?))
}

fn unmarked(root: &Dir) -> Error {
    corrupt(format_args!("the mark of the data folder, '{}', is missing", root.path().join(FORMAT).display()))
}

pub(crate) fn mark_text() -> String {
    format!("{TITLE}\nformat {VERSION}\n")
}

/// Makes a folder a data folder.
pub(crate) fn mark(root: &Dir) -> Result<()> {
    let text = mark_text();
    let steps = ["format.before-rename", "format.after-rename"];
    write_durably(root, FORMAT_TMP, FORMAT, text.as_bytes(), steps)
}

fn refuse_newer(root: &Dir, version: Option<u32>) -> Result<()> {
    match version {
        Some(1..=VERSION) | None => Ok(()),
        Some(newer) => {
            let folder = root.path().display();
            let message = format!("'{folder}' has format {newer}, and this version knows up to {VERSION}");
            Err(Error::new(ErrorCode::DataDirNewer, message))
        }
    }
}

/// A backup that were used would be none any more.
fn refuse_backup(root: &Dir) -> Result<()> {
    match root.has(BACKUP).map_err(|e| file("cannot look for", &root.path().join(BACKUP), &e))? {
        false => Ok(()),
        true => Err(Error::new(
            ErrorCode::DataDirForeign,
            format!(
                "'{}' is a backup: restore it to another folder with 'function-stream restore --from'",
                root.path().display()
            ),
        )),
    }
}

fn refuse_foreign(root: &Dir) -> Result<()> {
    if is_ours(root)? {
        return Err(unmarked(root));
    }
    for entry in fs::read_dir(root.path()).map_err(|e| file("cannot list", root.path(), &e))? {
        let name = entry.map_err(|e| file("cannot list", root.path(), &e))?.file_name();
        if !name.to_str().is_some_and(is_of_nobody) {
            return Err(foreign(root, &name.to_string_lossy()));
        }
    }
    Ok(())
}

/// Refuses links in the place of folders, and of any file of RocksDB, which would follow them.
fn refuse_links(root: &Dir) -> Result<()> {
    let refuse = |dir: &Dir, name: &str| dir.refuse_link(name).map_err(|e| file("cannot read", dir.path(), &e));
    FOLDERS.into_iter().try_for_each(|name| refuse(root, name))?;
    let db = match root.sub(DB) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(|e| file("cannot open", &root.path().join(DB), &e))?,
    };
    let names = db.names().map_err(|e| file("cannot list", db.path(), &e))?;
    names.iter().try_for_each(|name| refuse(&db, name))
}

fn foreign(root: &Dir, found: &str) -> Error {
    Error::new(
        ErrorCode::DataDirForeign,
        format!("'{}' is not a data folder of function-stream: it holds '{found}'", root.path().display()),
    )
}

fn no_data_folder(root: &Path) -> Error {
    let message = format!("'{}' is not a data folder of function-stream: it has no file '{FORMAT}'", root.display());
    Error::new(ErrorCode::DataDirForeign, message)
}

/// Makes a file appear under its name with all of its bytes or not at all.
///
/// `steps` are the fail points before and after the moment at which it appears.
pub(crate) fn write_durably(folder: &Dir, tmp: &str, name: &str, bytes: &[u8], steps: [&str; 2]) -> Result<()> {
    let path = |name: &str| folder.path().join(name);
    // What a crash has left, or something else: it is not written to.
    match folder.remove_all(tmp) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(file("cannot remove", &path(tmp), &e)),
        _ => {}
    }
    let written = folder.file(tmp, How::New).and_then(|mut out| {
        out.write_all(bytes)?;
        out.sync_all()
    });
    if let Err(e) = written {
        // The space is needed more than the remains; what cannot be removed is swept at the next start.
        let _ = folder.remove(tmp);
        return Err(file("cannot write", &path(tmp), &e));
    }
    fnstream_core::failpoint!(steps[0]);
    folder.rename(tmp, name).map_err(|e| file("cannot rename to", &path(name), &e))?;
    fnstream_core::failpoint!(steps[1]);
    folder.sync().map_err(|e| file("cannot sync", folder.path(), &e))
}
