// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Artifacts: where they come from, and which ones may be removed.
//!
//! An artifact file is kept while a function or a revision that can be rolled back to uses it, while an operation is about to use it (a pin), and for a while after
//! its upload. Everything else is garbage: the leftovers of refused creates, deleted functions and crashes. The gate makes
//! sure that a sweep sees either no file and no pin, or the pin: pins come before files, and files are written under the
//! shared gate, sweeps done under the exclusive one.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fnstream_api::UploadedArtifact;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};

use super::App;

const DIGEST_PREFIX: &str = "sha256:";

/// What a new function is to run.
#[derive(Debug, Clone)]
pub enum Archive {
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

/// Which artifacts are about to be used.
#[derive(Default)]
pub(super) struct ArtifactLedger {
    gate: RwLock<()>,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    pins: HashMap<String, usize>,
    /// When each upload came, by the clock's steady time.
    uploads: HashMap<String, Duration>,
}

/// Keeps an artifact from being removed.
pub(super) struct Pin {
    app: Arc<App>,
    pub digest: String,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let pins = &mut self.app.ledger.entries.lock().pins;
        if let Some(count) = pins.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.digest);
            }
        }
    }
}

impl App {
    /// Stores an artifact for a function that is created later.
    pub async fn upload(self: &Arc<Self>, artifact: Bytes) -> Result<UploadedArtifact> {
        self.detached(|app| async move {
            app.blocking(move |app| {
                let pin = app.store_artifact(&artifact)?;
                app.ledger.entries.lock().uploads.insert(pin.digest.clone(), app.clock.now());
                Ok(UploadedArtifact { digest: pin.digest.clone(), bytes: artifact.len() as u64 })
            })
            .await
        })
        .await
    }

    /// Brings the artifact of a function into the store. Blocks.
    pub(super) fn obtain(self: &Arc<Self>, archive: &Archive) -> Result<(Pin, Vec<u8>)> {
        let bytes = match archive {
            Archive::Bytes(bytes) => bytes.to_vec(),
            Archive::Named { text, local } => match text.strip_prefix(DIGEST_PREFIX) {
                Some(digest) => {
                    let pin = self.pin(digest.to_owned());
                    let bytes = self.store.artifacts().get(digest)?;
                    return Ok((pin, bytes));
                }
                None => self.read_archive(Path::new(text), *local)?,
            },
        };
        Ok((self.store_artifact(&bytes)?, bytes))
    }

    /// Removes artifacts that nobody needs. Blocks.
    pub(super) fn sweep_artifacts(&self) -> Result<usize> {
        let _alone = self.ledger.gate.write();
        // Pins before the register: an operation lets go of its pin when the register has what it was for. The other way
        // around, one that registers in between would be in neither.
        let mut keep: HashSet<String> = {
            let mut entries = self.ledger.entries.lock();
            let now = self.clock.now();
            entries.uploads.retain(|_, at| now.saturating_sub(*at) < self.config.upload_grace);
            entries.uploads.keys().chain(entries.pins.keys()).cloned().collect()
        };
        for entry in self.metadata.list()? {
            keep.extend(self.metadata.revisions(&entry.spec.name)?.into_iter().map(|revision| revision.spec.artifact));
            keep.insert(entry.spec.artifact);
        }
        self.store.artifacts().sweep(&keep)
    }

    fn pin(self: &Arc<Self>, digest: String) -> Pin {
        *self.ledger.entries.lock().pins.entry(digest.clone()).or_default() += 1;
        Pin { app: self.clone(), digest }
    }

    fn store_artifact(self: &Arc<Self>, bytes: &[u8]) -> Result<Pin> {
        if bytes.len() > self.config.max_artifact_bytes {
            return Err(Error::new(
                ErrorCode::BodyTooLarge,
                format!("the artifact has {} bytes, more than {}", bytes.len(), self.config.max_artifact_bytes),
            ));
        }
        let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let pin = self.pin(digest);
        let _writing = self.ledger.gate.read();
        self.store.artifacts().put(bytes)?;
        Ok(pin)
    }

    fn read_archive(&self, path: &Path, local: bool) -> Result<Vec<u8>> {
        let shown = path.display();
        // What is not there and what may not be read look the same to a client from elsewhere.
        let refused = |why: String| Error::new(ErrorCode::ArtifactNotFound, format!("archive '{shown}': {why}"));
        let real = if local {
            path.canonicalize().map_err(|e| refused(e.to_string()))?
        } else {
            allowed(&self.config.archive_dirs, path)?
        };
        let meta = real.metadata().map_err(|e| refused(e.to_string()))?;
        if !meta.is_file() {
            return Err(refused("not a file".into()));
        }
        if meta.len() > self.config.max_artifact_bytes as u64 {
            return Err(Error::new(
                ErrorCode::BodyTooLarge,
                format!("archive '{shown}' has {} bytes, more than {}", meta.len(), self.config.max_artifact_bytes),
            ));
        }
        std::fs::read(&real).map_err(|e| refused(e.to_string()))
    }
}

/// The real path of a file in one of the folders, links followed.
pub(super) fn allowed(dirs: &[PathBuf], path: &Path) -> Result<PathBuf> {
    let within =
        |real: &PathBuf| dirs.iter().filter_map(|dir| dir.canonicalize().ok()).any(|dir| real.starts_with(dir));
    path.canonicalize().ok().filter(within).ok_or_else(|| {
        Error::new(
            ErrorCode::ArtifactNotFound,
            format!(
                "archive '{}' is not a file in a folder that clients of other machines may read from: upload it",
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
