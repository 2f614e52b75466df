// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam to the artifacts that functions run.

use std::collections::HashSet;
use std::fmt;

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorCode, Result};

/// The digest of an artifact: the SHA-256 of its bytes in lowercase hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    let mut digesting = Digesting::default();
    digesting.add(bytes);
    digesting.finish()
}

/// The digest of bytes that come in pieces.
#[derive(Default)]
pub struct Digesting(Sha256);

impl Digesting {
    /// Adds a piece.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all pieces.
    pub fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Called with the digest of an artifact whose pin is dropped.
type Release = dyn FnOnce(&str) + Send + Sync;

/// Keeps an artifact from being swept while it lives, whichever process sweeps.
pub struct Pin {
    digest: String,
    release: Option<Box<Release>>,
}

impl Pin {
    /// A pin that calls `release` with the digest when it is dropped.
    pub fn new(digest: String, release: impl FnOnce(&str) + Send + Sync + 'static) -> Self {
        Pin { digest, release: Some(Box::new(release)) }
    }

    /// The artifact's digest: 64 lowercase hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release(&self.digest);
        }
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pin").field(&self.digest).finish()
    }
}

/// Answers the digests that the register needs.
pub type InUse<'a> = dyn FnMut() -> Result<HashSet<String>> + 'a;

/// Artifacts by the SHA-256 of their bytes.
///
/// Contract:
/// - **Whole**: an artifact is readable under its digest as a whole or not at all, also after a crash. Bytes that do not match
///   the digest any more are [`crate::ErrorCode::ArtifactCorrupt`], those that are not there
///   [`crate::ErrorCode::ArtifactNotFound`].
/// - **Once**: storing an artifact again changes nothing, except that a damaged one is made whole.
/// - **Sweeping** removes what is neither pinned nor in use. Pins are looked at before `in_use` is asked, so that an operation
///   which registers an artifact and then lets go of its pin is seen in one of the two. An artifact that is being stored is
///   pinned from the first moment on.
/// - **Pins** do not outlast their process.
///
/// All methods but `pin` may block.
pub trait Artifacts: Send + Sync {
    /// Stores an artifact durably and answers its pin.
    fn put(&self, bytes: &[u8]) -> Result<Pin>;

    /// The bytes of an artifact.
    fn get(&self, digest: &str) -> Result<Vec<u8>>;

    /// The bytes of an artifact that the register needs: one that is not there is damage, too.
    fn get_needed(&self, digest: &str) -> Result<Vec<u8>> {
        self.get(digest).map_err(|error| match error.code {
            ErrorCode::ArtifactNotFound => Error::new(ErrorCode::ArtifactCorrupt, error.message),
            _ => error,
        })
    }

    /// The digests of all artifacts, in order.
    fn list(&self) -> Result<Vec<String>>;

    /// Pins an artifact, which need not be there yet.
    fn pin(&self, digest: &str) -> Pin;

    /// Removes the artifacts that are neither pinned nor in use; answers how many.
    fn sweep(&self, in_use: &mut InUse<'_>) -> Result<usize>;
}
