// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Artifacts: files named by the SHA-256 of their bytes.
//!
//! A file appears under its name only when all of its bytes are on the disk, so a crash leaves at most a temporary file,
//! which the next start removes. Reading checks the bytes against the name: a disk that lost or changed some of them
//! never hands a function something that nobody uploaded. What does not match, or is missing though it is needed, is remembered as
//! damage until it is made whole or swept.
//!
//! The gate makes sure that a sweep sees either no file and no pin, or the pin: pins come before files, and files are written
//! under the shared gate, sweeps done under the exclusive one.

mod spool;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fnstream_core::artifacts::{Artifacts, InUse, Pin, digest};
use fnstream_core::dir::Dir;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::{Mutex, RwLock};

use crate::dir::{check_in_place, write_durably};
use crate::error::{file, recovering};
pub use spool::Spool;

const SUFFIX: &str = ".wasm";
const TMP_SUFFIX: &str = ".tmp";

/// The artifacts of a data folder.
#[derive(Debug)]
pub(crate) struct Folder {
    folder: Dir,
    /// Two uploads of the same bytes at once need two temporary files.
    next_tmp: AtomicU64,
    gate: RwLock<()>,
    /// What was found damaged or missing, by digest.
    damages: Mutex<HashMap<String, Error>>,
    /// How many pins each artifact has.
    pins: Arc<Mutex<HashMap<String, usize>>>,
}

/// The artifacts of the store.
pub(crate) struct StoreArtifacts(pub Arc<Folder>);

impl Artifacts for StoreArtifacts {
    fn put(&self, bytes: &[u8]) -> Result<Pin> {
        let pin = self.pin(&digest(bytes));
        let _writing = self.0.gate.read();
        self.0.put(bytes)?;
        Ok(pin)
    }

    fn get(&self, digest: &str) -> Result<Vec<u8>> {
        self.0.get(digest)
    }

    fn get_needed(&self, digest: &str) -> Result<Vec<u8>> {
        self.0.get(digest).map_err(|error| match error.code {
            ErrorCode::ArtifactNotFound => self.0.missing(digest),
            _ => error,
        })
    }

    fn list(&self) -> Result<Vec<String>> {
        self.0.digests()
    }

    fn pin(&self, digest: &str) -> Pin {
        *self.0.pins.lock().entry(digest.to_owned()).or_default() += 1;
        let pins = self.0.pins.clone();
        Pin::new(digest.to_owned(), move |digest| {
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
        let _alone = self.0.gate.write();
        // Pins before the register: an operation lets go of its pin when the register has what it was for. The other way
        // around, one that registers in between would be in neither.
        let mut keep: HashSet<String> = self.0.pins.lock().keys().cloned().collect();
        let needed = in_use()?;
        self.0.miss(&needed)?;
        keep.extend(needed);
        self.0.sweep(&keep)
    }
}

impl Folder {
    /// The folder as it is.
    pub(crate) fn at(folder: Dir) -> Self {
        let (next_tmp, damages, pins) = (AtomicU64::new(0), Mutex::default(), Arc::default());
        Folder { folder, next_tmp, gate: RwLock::new(()), damages, pins }
    }

    /// Checks that the folder is where the next start looks for it.
    pub(crate) fn check_in_place(&self) -> Result<()> {
        check_in_place(&self.folder)
    }

    /// Does something with the folder while nothing is swept from it, and the names of all artifacts that are there then.
    pub(crate) fn unswept<T>(
        &self,
        work: impl FnOnce(&dyn Fn() -> Result<Vec<String>>, &Dir) -> Result<T>,
    ) -> Result<T> {
        let _unswept = self.gate.read();
        let names = || Ok(self.digests()?.into_iter().map(|digest| format!("{digest}{SUFFIX}")).collect());
        work(&names, &self.folder)
    }

    /// The damage of an artifact, if any was found.
    pub(crate) fn damage_to(&self, digest: &str) -> Option<Error> {
        self.damages.lock().get(digest).cloned()
    }

    /// An artifact is missing that is needed.
    fn missing(&self, digest: &str) -> Error {
        let path = self.path(&format!("{digest}{SUFFIX}"));
        let message = format!("the artifact '{}' is missing", path.display());
        self.damaged(digest, Error::new(ErrorCode::ArtifactCorrupt, message))
    }

    /// Looks which of those are missing, and whether any that was damaged is whole again.
    fn miss(&self, needed: &HashSet<String>) -> Result<()> {
        let there: HashSet<String> = self.digests()?.into_iter().collect();
        needed.difference(&there).for_each(|digest| _ = self.missing(digest));
        let damaged: Vec<_> = self.damages.lock().keys().cloned().collect();
        damaged.iter().filter(|digest| there.contains(*digest)).for_each(|digest| _ = self.get(digest));
        Ok(())
    }

    /// Remembers damage, and tells of it once.
    fn damaged(&self, digest: &str, error: Error) -> Error {
        if self.damages.lock().insert(digest.to_owned(), error.clone()).is_none() {
            tracing::error!(%error, "an artifact is damaged");
        }
        error
    }

    /// The digests of what is stored, in order.
    pub(crate) fn digests(&self) -> Result<Vec<String>> {
        let names = self.names()?.into_iter();
        let mut digests: Vec<_> = names.filter_map(|name| digest_of(&name).map(str::to_owned)).collect();
        digests.sort_unstable();
        Ok(digests)
    }

    /// Opens the folder and removes what crashes left.
    pub(crate) fn open(folder: Dir) -> Result<Self> {
        let artifacts = Folder::at(folder);
        for name in artifacts.names()? {
            if name.ends_with(TMP_SUFFIX) {
                artifacts.remove(&name)?;
            }
        }
        Ok(artifacts)
    }

    /// Stores an artifact durably and answers its digest: 64 lowercase hexadecimal digits. Storing it again changes
    /// nothing, except that a damaged file is made whole.
    fn put(&self, bytes: &[u8]) -> Result<String> {
        let digest = digest(bytes);
        let whole = match self.get(&digest) {
            Ok(_) => true,
            Err(e) if matches!(e.code, ErrorCode::ArtifactNotFound | ErrorCode::ArtifactCorrupt) => false,
            Err(e) => return Err(e),
        };
        if !whole {
            // Nothing can be kept until the folder is back, which is waited for as for any other trouble of the disk.
            self.check_in_place().map_err(|why| recovering(&why))?;
            let tmp = format!("{digest}.{}{TMP_SUFFIX}", self.next_tmp.fetch_add(1, Ordering::Relaxed));
            let steps = ["artifact.before-rename", "artifact.after-rename"];
            write_durably(&self.folder, &tmp, &format!("{digest}{SUFFIX}"), bytes, steps)?;
            self.damages.lock().remove(&digest);
        }
        Ok(digest)
    }

    /// The bytes of an artifact.
    pub(crate) fn get(&self, digest: &str) -> Result<Vec<u8>> {
        let name = name_of(digest)?;
        let bytes = match self.folder.read(&name) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(Error::new(ErrorCode::ArtifactNotFound, format!("artifact {digest} is not stored")));
            }
            Err(e) => return Err(file("cannot read", &self.path(&name), &e)),
        };
        if fnstream_core::artifacts::digest(&bytes) != digest {
            let (path, len) = (self.path(&name), bytes.len());
            let message = format!("the artifact '{}' has {len} bytes that do not match its digest", path.display());
            return Err(self.damaged(digest, Error::new(ErrorCode::ArtifactCorrupt, message)));
        }
        // Somebody may have put it back.
        self.damages.lock().remove(digest);
        Ok(bytes)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Removes the artifacts that are not in `keep`; answers how many.
    fn sweep(&self, keep: &HashSet<String>) -> Result<usize> {
        let mut removed = 0;
        for name in self.names()? {
            if digest_of(&name).is_some_and(|digest| !keep.contains(digest)) {
                self.remove(&name)?;
                removed += 1;
            }
        }
        self.damages.lock().retain(|digest, _| keep.contains(digest));
        if removed > 0 {
            self.folder.sync().map_err(|e| file("cannot sync", self.folder.path(), &e))?;
        }
        Ok(removed)
    }

    fn names(&self) -> Result<Vec<String>> {
        self.folder.names().map_err(|e| file("cannot list", self.folder.path(), &e))
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.folder.remove(name).map_err(|e| file("cannot remove", &self.path(name), &e))
    }
}

/// The only way from a digest to the name of a file: what is not 64 hexadecimal digits never becomes one.
fn name_of(digest: &str) -> Result<String> {
    if !is_digest(digest) {
        return Err(Error::new(
            ErrorCode::InvalidRequest,
            "an artifact is named by 64 lowercase hexadecimal digits, the sha-256 of its bytes",
        ));
    }
    Ok(format!("{digest}{SUFFIX}"))
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn digest_of(name: &str) -> Option<&str> {
    name.strip_suffix(SUFFIX).filter(|digest| is_digest(digest))
}
