// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Artifacts in memory, shared by several processes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::artifacts::{Artifacts, InUse, Pin, digest};
use crate::error::{Error, ErrorCode, Result};

/// The artifacts as one process sees them.
#[derive(Clone, Default)]
pub struct MemArtifacts {
    shared: Arc<Mutex<Shared>>,
    process: u32,
}

#[derive(Default)]
struct Shared {
    files: BTreeMap<String, Vec<u8>>,
    pins: HashMap<(u32, String), usize>,
    last_process: u32,
}

impl MemArtifacts {
    /// The same artifacts as another process sees them.
    pub fn other(&self) -> Self {
        let process = {
            let mut shared = self.shared.lock();
            shared.last_process += 1;
            shared.last_process
        };
        MemArtifacts { shared: self.shared.clone(), process }
    }

    /// Ends this process: what it pinned is pinned no more.
    pub fn kill(&self) {
        self.shared.lock().pins.retain(|(process, _), _| *process != self.process);
    }

    /// Changes the bytes of an artifact, as a bad disk does.
    pub fn damage(&self, digest: &str) {
        if let Some(bytes) = self.shared.lock().files.get_mut(digest) {
            bytes.push(0);
        }
    }
}

impl Artifacts for MemArtifacts {
    fn put(&self, bytes: &[u8]) -> Result<Pin> {
        let pin = self.pin(&digest(bytes));
        self.shared.lock().files.insert(pin.digest().to_owned(), bytes.to_vec());
        Ok(pin)
    }

    fn get(&self, digest: &str) -> Result<Vec<u8>> {
        let found = self.shared.lock().files.get(digest).cloned();
        let bytes =
            found.ok_or_else(|| Error::new(ErrorCode::ArtifactNotFound, format!("artifact {digest} is not stored")))?;
        if crate::artifacts::digest(&bytes) != digest {
            return Err(Error::new(ErrorCode::ArtifactCorrupt, format!("artifact {digest} was changed")));
        }
        Ok(bytes)
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.shared.lock().files.keys().cloned().collect())
    }

    fn pin(&self, digest: &str) -> Pin {
        let key = (self.process, digest.to_owned());
        *self.shared.lock().pins.entry(key.clone()).or_default() += 1;
        let shared = self.shared.clone();
        Pin::new(digest.to_owned(), move |_| {
            let pins = &mut shared.lock().pins;
            if let Some(count) = pins.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    pins.remove(&key);
                }
            }
        })
    }

    fn sweep(&self, in_use: &mut InUse<'_>) -> Result<usize> {
        let candidates: Vec<String> = {
            let shared = self.shared.lock();
            let pinned = |digest: &String| shared.pins.keys().any(|(_, pinned)| pinned == digest);
            shared.files.keys().filter(|digest| !pinned(digest)).cloned().collect()
        };
        let used = in_use()?;
        let mut shared = self.shared.lock();
        let Shared { files, pins, .. } = &mut *shared;
        let before = files.len();
        // One that was pinned meanwhile may be about to be used.
        let free = |digest: &String| !used.contains(digest) && !pins.keys().any(|(_, pinned)| pinned == digest);
        candidates.iter().filter(|digest| free(digest)).for_each(|digest| drop(files.remove(digest)));
        Ok(before - files.len())
    }
}
