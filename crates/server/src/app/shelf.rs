// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Artifacts: where they come from, and which ones may be removed.
//!
//! An artifact is kept while a function or a revision that can be rolled back to uses it, while an operation is about to use
//! it (a pin), and for a while after its upload. Everything else is garbage: the leftovers of refused creates, deleted
//! functions and crashes.

mod described;
mod incoming;

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fnstream_api::UploadedArtifact;
use fnstream_core::artifacts::{Artifacts, Pin};
use fnstream_core::clock::Clock;
use fnstream_core::dir::Dir;
use fnstream_core::metadata::Metadata;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;

use super::ops::{Ops, blocking};
use crate::most::Most;

pub(crate) use described::Described;

pub(crate) use incoming::Incoming;

const DIGEST_PREFIX: &str = "sha256:";

/// What a new function is to run.
#[derive(Debug, Clone)]
pub(crate) enum Archive {
    /// As the user named it: a digest or a path.
    Named {
        /// The digest with its prefix, or the path.
        text: String,
        /// Whether the user is on this machine and may name any file.
        local: bool,
    },
    /// The bytes themselves.
    Bytes(Bytes),
}

/// See the module.
pub(crate) struct Shelf {
    pub(super) ops: Arc<Ops>,
    pub(super) register: Arc<dyn Metadata>,
    pub(super) artifacts: Arc<dyn Artifacts>,
    pub(super) clock: Arc<dyn Clock>,
    /// Where artifacts are kept while they come over the network.
    pub(super) spool_dir: Arc<Dir>,
    /// Folders from which all clients may name an artifact by its path.
    pub(super) archive_dirs: Vec<PathBuf>,
    /// The largest artifact.
    pub(super) most: Most,
    /// How long an upload is kept before a function uses it.
    pub(super) upload_grace: Duration,
    /// Uploads, with the steady time at which they came.
    pub(super) uploads: Mutex<HashMap<String, (Pin, Duration)>>,
}

impl Shelf {
    /// Stores an artifact for a function that is created later.
    pub(crate) async fn upload(self: &Arc<Self>, artifact: Bytes) -> Result<UploadedArtifact> {
        let shelf = self.clone();
        self.ops
            .detached(|| {
                blocking(move || {
                    let pin = shelf.put(&artifact)?;
                    let digest = pin.digest().to_owned();
                    shelf.uploads.lock().insert(digest.clone(), (pin, shelf.clock.now()));
                    Ok(UploadedArtifact { digest, bytes: artifact.len() as u64 })
                })
            })
            .await
    }

    /// Brings the artifact of a function into the store. Blocks.
    pub(super) fn obtain(&self, archive: &Archive) -> Result<(Pin, Vec<u8>)> {
        let bytes = match archive {
            Archive::Bytes(bytes) => bytes.to_vec(),
            Archive::Named { text, local } => match text.strip_prefix(DIGEST_PREFIX) {
                Some(digest) => {
                    let pin = self.artifacts.pin(digest);
                    let bytes = self.artifacts.get(digest)?;
                    return Ok((pin, bytes));
                }
                None => self.read_archive(Path::new(text), *local)?,
            },
        };
        Ok((self.put(&bytes)?, bytes))
    }

    /// Removes artifacts that nobody needs. Blocks.
    pub(super) fn sweep(&self) -> Result<usize> {
        let now = self.clock.now();
        let over: Vec<_> = {
            let mut uploads = self.uploads.lock();
            uploads.extract_if(|_, (_, at)| now.saturating_sub(*at) >= self.upload_grace).collect()
        };
        // Letting go of a pin is not to be done under the lock.
        drop(over);
        self.artifacts.sweep(&mut || self.in_use())
    }

    fn in_use(&self) -> Result<HashSet<String>> {
        let mut used = HashSet::new();
        for entry in self.register.list()? {
            used.extend(self.register.revisions(&entry.spec.name)?.into_iter().map(|revision| revision.spec.artifact));
            used.insert(entry.spec.artifact);
        }
        Ok(used)
    }

    /// Removes the artifact that a failed change stored and that is nobody's now.
    pub(super) async fn sweep_after_refusal(self: &Arc<Self>) {
        let shelf = self.clone();
        if let Err(error) = blocking(move || shelf.sweep()).await {
            tracing::warn!(code = %error.code, error = error.message, "unused artifacts could not be removed yet");
        }
    }

    fn put(&self, bytes: &[u8]) -> Result<Pin> {
        if bytes.len() > self.most.bytes {
            return Err(Error::new(
                ErrorCode::BodyTooLarge,
                format!("the artifact has {} bytes, more than {}", bytes.len(), self.most),
            ));
        }
        self.artifacts.put(bytes)
    }

    /// Reads a file by its path: one in an allowed folder, or any WebAssembly file of this machine for who is on it.
    ///
    /// Whatever else is there or not is told nobody: the server may see more than who asks.
    fn read_archive(&self, path: &Path, local: bool) -> Result<Vec<u8>> {
        match allowed(&self.archive_dirs, path) {
            Ok(real) => self.read(&real, path).map_err(|why| why.told(path)),
            Err(refused) if !local => Err(refused),
            Err(_) => {
                let read = path.canonicalize().map_err(Unread::Io).and_then(|real| {
                    if !begins_as_artifact(&real).map_err(Unread::Io)? {
                        return Err(Unread::NotAFile);
                    }
                    self.read(&real, path)
                });
                read.map_err(|why| match why {
                    Unread::TooLarge(error) => error,
                    Unread::NotAFile | Unread::Io(_) => unseen(path),
                })
            }
        }
    }

    fn read(&self, real: &Path, named: &Path) -> std::result::Result<Vec<u8>, Unread> {
        let meta = real.metadata().map_err(Unread::Io)?;
        if !meta.is_file() {
            return Err(Unread::NotAFile);
        }
        if meta.len() > self.most.bytes as u64 {
            let message = format!("archive '{}' has {} bytes, more than {}", named.display(), meta.len(), self.most);
            return Err(Unread::TooLarge(Error::new(ErrorCode::BodyTooLarge, message)));
        }
        std::fs::read(real).map_err(Unread::Io)
    }
}

/// Why a file was not read.
enum Unread {
    NotAFile,
    TooLarge(Error),
    Io(std::io::Error),
}

impl Unread {
    /// To somebody who may see the file.
    fn told(self, path: &Path) -> Error {
        let why = match self {
            Unread::NotAFile => "not a file".to_owned(),
            Unread::TooLarge(error) => return error,
            Unread::Io(error) => error.to_string(),
        };
        Error::new(ErrorCode::ArtifactNotFound, format!("archive '{}': {why}", path.display()))
    }
}

/// The one answer for a path that is not there, cannot be read, or holds something else.
fn unseen(path: &Path) -> Error {
    let message = format!("archive '{}' is no WebAssembly file that the server can read: upload it", path.display());
    Error::new(ErrorCode::ArtifactNotFound, message)
}

/// What every module and every component begins with.
const MAGIC: &[u8; 4] = b"\0asm";

/// Whether a file may be an artifact. Nothing but a file is opened: others may make who opens them wait.
fn begins_as_artifact(real: &Path) -> std::io::Result<bool> {
    if !real.metadata()?.is_file() {
        return Ok(false);
    }
    let mut first = [0; MAGIC.len()];
    match std::fs::File::open(real)?.read_exact(&mut first) {
        Ok(()) => Ok(first == *MAGIC),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The real path of what is in one of the folders, or is one of them, links followed.
pub(super) fn real_within(dirs: &[PathBuf], path: &Path) -> Option<PathBuf> {
    let within =
        |real: &PathBuf| dirs.iter().filter_map(|dir| dir.canonicalize().ok()).any(|dir| real.starts_with(dir));
    path.canonicalize().ok().filter(within)
}

/// The real path of a file in one of the folders, links followed.
fn allowed(dirs: &[PathBuf], path: &Path) -> Result<PathBuf> {
    real_within(dirs, path).ok_or_else(|| {
        Error::new(
            ErrorCode::ArtifactNotFound,
            format!(
                "archive '{}' is not a file in a folder that clients may read from (--allow-archive-dir): upload it",
                path.display()
            ),
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_really_are_in_an_allowed_folder_are_allowed() {
        let root = tempfile::tempdir().unwrap();
        let [inside, outside] = ["inside", "outside"].map(|name| root.path().join(name));
        for folder in [&inside, &outside] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("a.wasm"), b"x").unwrap();
        }
        std::os::unix::fs::symlink(outside.join("a.wasm"), inside.join("link.wasm")).unwrap();
        let dirs = [inside.clone()];
        assert!(allowed(&dirs, &inside.join("a.wasm")).is_ok());
        for bad in ["outside/a.wasm", "inside/../outside/a.wasm", "inside/link.wasm", "inside/none.wasm"] {
            let error = allowed(&dirs, &root.path().join(bad)).unwrap_err();
            assert_eq!(error.code, ErrorCode::ArtifactNotFound, "{bad}");
        }
        assert!(allowed(&[], &inside.join("a.wasm")).is_err());
    }
}
