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
//! ```
//!
//! A folder without `FORMAT` that holds anything else is foreign and is not touched: a mistyped path must not turn
//! somebody's documents into a data folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fnstream_core::{Error, ErrorCode, Result};
use rustix::fs::{FlockOperation, flock};

use crate::error::file;

const FORMAT: &str = "FORMAT";
const FORMAT_TMP: &str = "FORMAT.tmp";
const LOCK: &str = "LOCK";
const TITLE: &str = "function-stream data folder";
const VERSION: u32 = 1;

/// A data folder that this process holds.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
    /// The lock ends when the file is closed, also by `kill -9`.
    _lock: File,
}

impl DataDir {
    /// Takes a folder; makes it when it is not there.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        create_durably(root)?;
        if read_version(root)?.is_none() {
            refuse_foreign(root)?;
        }
        let lock = lock(root)?;
        // Asked again under the lock: another process may have made the folder meanwhile.
        match read_version(root)? {
            Some(VERSION) => {}
            Some(newer) => {
                return Err(Error::new(
                    ErrorCode::DataDirNewer,
                    format!("'{}' has format {newer}, and this version knows up to {VERSION}", root.display()),
                ));
            }
            None => {
                let text = format!("{TITLE}\nformat {VERSION}\n");
                let steps = ["format.before-rename", "format.after-rename"];
                write_durably(root, FORMAT_TMP, FORMAT, text.as_bytes(), steps)?;
            }
        }
        Ok(DataDir { root: root.to_owned(), _lock: lock })
    }

    /// Takes a folder that is there.
    pub(crate) fn open_existing(root: &Path) -> Result<Self> {
        if read_version(root)?.is_none() {
            let message =
                format!("'{}' is not a data folder of function-stream: it has no file '{FORMAT}'", root.display());
            return Err(Error::new(ErrorCode::DataDirForeign, message));
        }
        Self::open(root)
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of RocksDB.
    pub(crate) fn db(&self) -> PathBuf {
        self.root.join("db")
    }

    /// The folder of the artifacts.
    pub(crate) fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }
}

/// Makes the folder and those above it that are missing.
fn create_durably(root: &Path) -> Result<()> {
    let missing: Vec<_> = root.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::create_dir_all(root).map_err(|e| file("cannot make", root, &e))?;
    for parent in missing.iter().filter_map(|folder| folder.parent()) {
        sync_dir(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    Ok(())
}

fn lock(root: &Path) -> Result<File> {
    let path = root.join(LOCK);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| file("cannot open", &path, &e))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::new(
            ErrorCode::DataDirLocked,
            format!("another process uses the data folder '{}'", root.display()),
        )),
        Err(e) => Err(file("cannot lock", &path, &e.into())),
    }
}

/// The version of the layout; `None` when there is no `FORMAT`.
fn read_version(root: &Path) -> Result<Option<u32>> {
    let path = root.join(FORMAT);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => return Err(foreign(root, FORMAT)),
        Err(e) => return Err(file("cannot read", &path, &e)),
    };
    text.strip_prefix(TITLE)
        .and_then(|rest| rest.trim().strip_prefix("format "))
        .and_then(|version| version.parse().ok())
        .map(Some)
        .ok_or_else(|| foreign(root, FORMAT))
}

fn refuse_foreign(root: &Path) -> Result<()> {
    for entry in fs::read_dir(root).map_err(|e| file("cannot list", root, &e))? {
        let name = entry.map_err(|e| file("cannot list", root, &e))?.file_name();
        // Ours before `FORMAT` was there, or what a new file system begins with.
        if name != LOCK && name != FORMAT_TMP && name != "lost+found" {
            return Err(foreign(root, &name.to_string_lossy()));
        }
    }
    Ok(())
}

fn foreign(root: &Path, found: &str) -> Error {
    Error::new(
        ErrorCode::DataDirForeign,
        format!("'{}' is not a data folder of function-stream: it holds '{found}'", root.display()),
    )
}

/// Makes a file appear under its name with all of its bytes or not at all.
///
/// `steps` are the fail points before and after the moment at which it appears.
pub(crate) fn write_durably(folder: &Path, tmp: &str, name: &str, bytes: &[u8], steps: [&str; 2]) -> Result<()> {
    let tmp = folder.join(tmp);
    let written = File::create(&tmp).and_then(|mut out| {
        out.write_all(bytes)?;
        out.sync_all()
    });
    if let Err(e) = written {
        // The space is needed more than the remains; what cannot be removed is swept at the next start.
        let _ = fs::remove_file(&tmp);
        return Err(file("cannot write", &tmp, &e));
    }
    fnstream_core::failpoint!(steps[0]);
    let path = folder.join(name);
    fs::rename(&tmp, &path).map_err(|e| file("cannot rename to", &path, &e))?;
    fnstream_core::failpoint!(steps[1]);
    sync_dir(folder)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|dir| dir.sync_all()).map_err(|e| file("cannot sync", folder, &e))
}
