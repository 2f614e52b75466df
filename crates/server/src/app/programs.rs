// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Programs: artifacts that were compiled.
//!
//! Functions of one artifact share its program, for as long as one of them runs; those that are started at once share one
//! loading.
//!
//! Compiling takes memory of the budget's part for it, as much as the runtime says that it will probably take; see [`lanes`] for
//! who waits for whom.

mod lanes;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use fnstream_core::artifacts::Artifacts;
use fnstream_core::budget::Part;
use fnstream_core::clock::Clock;
use fnstream_core::runtime::{Program, Runtime};
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;

use self::lanes::{Lanes, Share};
use super::ops::blocking;
use crate::key_locks::KeyLocks;

/// An artifact that is larger is not kept in memory while it waits.
const KEPT: usize = 4 << 20;

/// See the module.
pub(crate) struct Programs {
    artifacts: Arc<dyn Artifacts>,
    runtime: Arc<dyn Runtime>,
    clock: Arc<dyn Clock>,
    lanes: Lanes,
    /// One artifact is loaded once at a time.
    turns: KeyLocks<String>,
    loaded: Mutex<HashMap<String, Weak<dyn Program>>>,
    /// Those that are being loaded, by digest.
    under_way: Mutex<BTreeMap<String, Loading>>,
}

/// How far the loading of an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loading {
    /// Whether it has begun, or waits for its turn or for memory.
    pub(crate) begun: bool,
    /// Since when that is so, on the server's clock; for others: how long it is so.
    pub(crate) time: Duration,
}

impl fmt::Display for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.begun { "its code is being compiled" } else { "its code waits to be compiled" };
        write!(f, "{what}, for {} s so far", self.time.as_secs())
    }
}

impl Programs {
    pub(crate) fn new(
        artifacts: Arc<dyn Artifacts>,
        runtime: Arc<dyn Runtime>,
        memory: Part,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Arc::new(Programs {
            artifacts,
            runtime,
            clock,
            lanes: Lanes::new(memory),
            turns: KeyLocks::new(),
            loaded: Mutex::default(),
            under_way: Mutex::default(),
        })
    }

    /// The program of an artifact that a registered function has.
    pub(crate) async fn load(&self, digest: &str) -> Result<Arc<dyn Program>> {
        self.program(digest, None).await
    }

    /// The program of a stored artifact, whose bytes are there as well.
    pub(crate) async fn compile(&self, digest: &str, artifact: Vec<u8>) -> Result<Arc<dyn Program>> {
        self.program(digest, Some(artifact).filter(|artifact| artifact.len() <= KEPT)).await
    }

    /// How far the loading of an artifact is, if it is being loaded.
    pub(crate) fn loading(&self, digest: &str) -> Option<Loading> {
        let Loading { begun, time } = *self.under_way.lock().get(digest)?;
        Some(Loading { begun, time: self.clock.now().saturating_sub(time) })
    }

    /// How many artifacts wait to be loaded, and how many are being loaded.
    pub(crate) fn under_way(&self) -> (usize, usize) {
        let under_way = self.under_way.lock();
        let begun = under_way.values().filter(|loading| loading.begun).count();
        (under_way.len() - begun, begun)
    }

    async fn program(&self, digest: &str, artifact: Option<Vec<u8>>) -> Result<Arc<dyn Program>> {
        let _turn = self.turns.lock(digest.to_owned()).await;
        if let Some(program) = self.loaded.lock().get(digest).and_then(Weak::upgrade) {
            return Ok(program);
        }
        let under_way = UnderWay::enter(self, digest);
        // Whether it is large is looked at among the small ones: that takes a moment.
        let room = self.lanes.small().await?;
        let (artifact, memory) = self.measured(digest, artifact).await?;
        if self.lanes.is_small(memory) {
            let share = self.lanes.share(room, memory).await?;
            match self.begin(&under_way, artifact, share).await {
                // More than was guessed.
                Err(error) if error.code == ErrorCode::CompileMemory => under_way.note(false),
                done => return done.inspect_err(|error| self.count(error)),
            }
        } else {
            drop((room, artifact));
        }
        tracing::info!(artifact = digest, memory, "a large artifact is to be compiled, alone");
        let share = self.lanes.large().await?;
        let artifact = self.bytes(digest, None).await?;
        self.begin(&under_way, artifact, share).await.inspect_err(|error| self.count(error))
    }

    /// Counts an artifact for which there was not memory enough: it had its share, and needed more, or the system had none.
    fn count(&self, error: &Error) {
        if matches!(error.code, ErrorCode::CompileMemory | ErrorCode::MemoryShort) {
            self.lanes.count_refusal();
        }
    }

    /// An artifact, and the memory that loading it probably takes.
    async fn measured(&self, digest: &str, artifact: Option<Vec<u8>>) -> Result<(Vec<u8>, usize)> {
        let (artifact, runtime) = (self.bytes(digest, artifact).await?, self.runtime.clone());
        blocking(move || {
            let memory = runtime.memory_to_load(&artifact);
            Ok((artifact, memory))
        })
        .await
    }

    async fn bytes(&self, digest: &str, artifact: Option<Vec<u8>>) -> Result<Vec<u8>> {
        if let Some(artifact) = artifact {
            return Ok(artifact);
        }
        let (artifacts, wanted) = (self.artifacts.clone(), digest.to_owned());
        blocking(move || artifacts.get_needed(&wanted)).await
    }

    async fn begin(&self, under_way: &UnderWay<'_>, artifact: Vec<u8>, share: Share) -> Result<Arc<dyn Program>> {
        under_way.note(true);
        let runtime = self.runtime.clone();
        // The share stays with the work, also when nobody waits for that any more.
        let program = blocking(move || {
            let loaded = runtime.load_within(&artifact, share.bytes);
            drop((artifact, share));
            loaded
        })
        .await?;
        let mut loaded = self.loaded.lock();
        loaded.retain(|_, program| program.strong_count() > 0);
        loaded.insert(under_way.digest.to_owned(), Arc::downgrade(&program));
        Ok(program)
    }
}

/// An artifact that is being loaded, while this lives.
struct UnderWay<'a> {
    programs: &'a Programs,
    digest: &'a str,
}

impl<'a> UnderWay<'a> {
    fn enter(programs: &'a Programs, digest: &'a str) -> Self {
        let under_way = UnderWay { programs, digest };
        under_way.note(false);
        under_way
    }

    fn note(&self, begun: bool) {
        let loading = Loading { begun, time: self.programs.clock.now() };
        self.programs.under_way.lock().insert(self.digest.to_owned(), loading);
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.programs.under_way.lock().remove(self.digest);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
