// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Artifacts: files named by the SHA-256 of their bytes.
//!
//! A file appears under its name only when all of its bytes are on the disk, so a crash leaves at most a temporary file,
//! which the next start removes. Reading checks the bytes against the name: a disk that lost or changed some of them
//! never hands a function something that nobody uploaded.

mod spool;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use fnstream_core::{Error, ErrorCode, Result};
use sha2::{Digest, Sha256};

use crate::dir::{sync_dir, write_durably};
use crate::error::file;
pub use spool::Spool;

const SUFFIX: &str = ".wasm";
const TMP_SUFFIX: &str = ".tmp";

/// The artifacts of a data folder.
#[derive(Debug)]
pub struct Artifacts {
    folder: PathBuf,
    /// Two uploads of the same bytes at once need two temporary files.
    next_tmp: AtomicU64,
}

impl Artifacts {
    /// Opens the folder and removes what crashes left.
    pub(crate) fn open(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder).map_err(|e| file("cannot make", &folder, &e))?;
        let artifacts = Artifacts { folder, next_tmp: AtomicU64::new(0) };
        for name in artifacts.names()? {
            if name.ends_with(TMP_SUFFIX) {
                artifacts.remove(&name)?;
            }
        }
        Ok(artifacts)
    }

    /// Stores an artifact durably and answers its digest: 64 lowercase hexadecimal digits. Storing it again changes
    /// nothing, except that a damaged file is made whole.
    pub fn put(&self, bytes: &[u8]) -> Result<String> {
        let digest = digest(bytes);
        let whole = match self.get(&digest) {
            Ok(_) => true,
            Err(e) if matches!(e.code, ErrorCode::ArtifactNotFound | ErrorCode::ArtifactCorrupt) => false,
            Err(e) => return Err(e),
        };
        if !whole {
            let tmp = format!("{digest}.{}{TMP_SUFFIX}", self.next_tmp.fetch_add(1, Ordering::Relaxed));
            let steps = ["artifact.before-rename", "artifact.after-rename"];
            write_durably(&self.folder, &tmp, &format!("{digest}{SUFFIX}"), bytes, steps)?;
        }
        Ok(digest)
    }

    /// Room on this disk for bytes that may become an artifact.
    pub fn spool(&self) -> Result<Spool> {
        let number = self.next_tmp.fetch_add(1, Ordering::Relaxed);
        Spool::new(self.folder.join(format!("spool.{number}{TMP_SUFFIX}")))
    }

    /// The bytes of an artifact.
    pub fn get(&self, digest: &str) -> Result<Vec<u8>> {
        let path = self.path(digest)?;
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(Error::new(ErrorCode::ArtifactNotFound, format!("artifact {digest} is not stored")));
            }
            Err(e) => return Err(file("cannot read", &path, &e)),
        };
        if self::digest(&bytes) != digest {
            return Err(Error::new(
                ErrorCode::ArtifactCorrupt,
                format!("artifact {digest} has {} bytes on disk that do not match its digest", bytes.len()),
            ));
        }
        Ok(bytes)
    }

    /// Whether an artifact is stored; does not read it.
    pub fn contains(&self, digest: &str) -> Result<bool> {
        let path = self.path(digest)?;
        path.try_exists().map_err(|e| file("cannot look for", &path, &e))
    }

    /// Removes the artifacts that are not in `keep`; answers how many.
    ///
    /// The caller sees to it that none is uploaded meanwhile whose function is not registered yet.
    pub fn sweep(&self, keep: &HashSet<String>) -> Result<usize> {
        let mut removed = 0;
        for name in self.names()? {
            if let Some(digest) = name.strip_suffix(SUFFIX)
                && is_digest(digest)
                && !keep.contains(digest)
            {
                self.remove(&name)?;
                removed += 1;
            }
        }
        if removed > 0 {
            sync_dir(&self.folder)?;
        }
        Ok(removed)
    }

    /// The only way from a digest to a path: what is not 64 hexadecimal digits never becomes one.
    fn path(&self, digest: &str) -> Result<PathBuf> {
        if !is_digest(digest) {
            return Err(Error::new(
                ErrorCode::InvalidRequest,
                "an artifact is named by 64 lowercase hexadecimal digits, the sha-256 of its bytes",
            ));
        }
        Ok(self.folder.join(format!("{digest}{SUFFIX}")))
    }

    fn names(&self) -> Result<Vec<String>> {
        let fail = |e: io::Error| file("cannot list", &self.folder, &e);
        let entries = fs::read_dir(&self.folder).map_err(fail)?;
        let names: io::Result<Vec<_>> = entries.map(|entry| entry.map(|e| e.file_name())).collect();
        Ok(names.map_err(fail)?.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::remove_file(&path).map_err(|e| file("cannot remove", &path, &e))
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
