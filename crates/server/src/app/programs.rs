// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Programs: artifacts that were compiled.
//!
//! Functions of one artifact share its program, for as long as one of them runs; those that are started at once share one
//! loading.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use fnstream_core::artifacts::Artifacts;
use fnstream_core::error::internal;
use fnstream_core::runtime::{Program, Runtime};
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::ops::blocking;
use crate::key_locks::KeyLocks;

/// See the module.
pub(crate) struct Programs {
    artifacts: Arc<dyn Artifacts>,
    runtime: Arc<dyn Runtime>,
    /// Artifacts are compiled on so many threads at once, so that compiling leaves room for everything else.
    room: Semaphore,
    /// One artifact is loaded once at a time.
    turns: KeyLocks<String>,
    loaded: Mutex<HashMap<String, Weak<dyn Program>>>,
}

impl Programs {
    pub(crate) fn new(artifacts: Arc<dyn Artifacts>, runtime: Arc<dyn Runtime>) -> Arc<Self> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        Arc::new(Programs {
            artifacts,
            runtime,
            room: Semaphore::new(threads),
            turns: KeyLocks::new(),
            loaded: Mutex::default(),
        })
    }

    /// The program of an artifact that a registered function has.
    pub(crate) async fn load(&self, digest: &str) -> Result<Arc<dyn Program>> {
        let _turn = self.turns.lock(digest.to_owned()).await;
        if let Some(program) = self.loaded.lock().get(digest).and_then(Weak::upgrade) {
            return Ok(program);
        }
        let (artifacts, wanted) = (self.artifacts.clone(), digest.to_owned());
        let artifact = blocking(move || artifacts.get(&wanted)).await.map_err(lost)?;
        self.compile(digest, artifact).await
    }

    /// Compiles an artifact, or takes it from the cache of compiled code.
    pub(crate) async fn compile(&self, digest: &str, artifact: Vec<u8>) -> Result<Arc<dyn Program>> {
        let _room = self.room.acquire().await.map_err(|e| internal(e.to_string()))?;
        let runtime = self.runtime.clone();
        let program = blocking(move || runtime.load(&artifact)).await?;
        let mut loaded = self.loaded.lock();
        loaded.retain(|_, program| program.strong_count() > 0);
        loaded.insert(digest.to_owned(), Arc::downgrade(&program));
        Ok(program)
    }
}

/// An artifact that a registered function needs was there once: its absence is the disk's fault, not the caller's.
fn lost(error: Error) -> Error {
    match error.code {
        ErrorCode::ArtifactNotFound => Error::new(ErrorCode::ArtifactCorrupt, error.message),
        _ => error,
    }
}
