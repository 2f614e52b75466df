// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Reads everything that is in sorted files, and all artifacts, once a day, slowly, so that damage is found before somebody needs what is damaged.
//!
//! Each block has a checksum, which is compared whenever the block is read from the disk. What is in the cache is not read again, and
//! what nothing refers to any more is passed over. A thread reads a piece, lets go of the database, and waits for as long as
//! the rate asks. What it finds is what a reader would find: `/readyz`, the log and the functions concerned tell of it.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use fnstream_core::error::internal;
use fnstream_core::{ErrorCode, Result};
use parking_lot::Mutex;

use crate::base::Shared;
use crate::keys;

/// From the beginning of one pass to that of the next.
const PERIOD: Duration = Duration::from_hours(24);
/// The wait before what could not be read is tried again.
const AGAIN: Duration = Duration::from_secs(30);
/// About what is read at once.
const PIECE: u64 = 256 << 10;
/// The parts of the database, the small ones first.
const FAMILIES: [&str; 5] = [keys::META, keys::FUNCTIONS, keys::DELTAS, keys::STATE, keys::TOPICS];

/// The running thread.
pub(crate) struct Scrubbing {
    /// Disconnected when it is to end.
    end: Mutex<Option<Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Scrubbing {
    /// Begins to read, at most so many bytes a second.
    pub(crate) fn start(shared: Arc<Shared>, bytes_per_second: u64) -> Result<Self> {
        let (end, ended) = bounded(0);
        let thread = thread::Builder::new()
            .name("store-scrub".to_owned())
            .spawn(move || _ = Scrub { shared, bytes_per_second: bytes_per_second.max(1), ended }.run())
            .map_err(|e| internal(format!("cannot start the thread that scrubs the database: {e}")))?;
        Ok(Scrubbing { end: Mutex::new(Some(end)), thread: Mutex::new(Some(thread)) })
    }
}

impl Drop for Scrubbing {
    fn drop(&mut self) {
        self.end.lock().take();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that scrubs the database panicked");
        }
    }
}

/// Reads everything once, as fast as it goes.
pub(crate) fn at_once(shared: Arc<Shared>) {
    let (_not_yet, ended) = bounded(0);
    let _ = Scrub { shared, bytes_per_second: u64::MAX, ended }.pass();
}

/// The store is given up.
struct Ended;

struct Scrub {
    shared: Arc<Shared>,
    bytes_per_second: u64,
    ended: Receiver<()>,
}

impl Scrub {
    fn run(&self) -> Result<(), Ended> {
        loop {
            let begun = Instant::now();
            self.pass()?;
            tracing::debug!(took = ?begun.elapsed(), "the database was read once");
            self.wait(PERIOD.saturating_sub(begun.elapsed()))?;
        }
    }

    /// Reads everything once.
    fn pass(&self) -> Result<(), Ended> {
        for family in FAMILIES {
            let mut next = Some(Vec::new());
            while let Some(from) = next {
                next = self.piece(family, from)?;
            }
        }
        self.artifacts()
    }

    /// Reads the artifacts, each as a whole. The folder remembers those that are damaged. One that is gone by its turn was swept, or is
    /// missed by the function that needs it.
    fn artifacts(&self) -> Result<(), Ended> {
        for digest in self.shared.artifacts().digests().unwrap_or_default() {
            let bytes = self.shared.artifacts().get(&digest).map_or(0, |bytes| bytes.len() as u64);
            self.shared.health().scrubbed(bytes);
            self.wait(self.time_of(bytes))?;
        }
        Ok(())
    }

    /// As long as the rate asks for.
    fn time_of(&self, bytes: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64)
    }

    /// Reads a piece, and answers from where to go on.
    fn piece(&self, family: &str, from: Vec<u8>) -> Result<Option<Vec<u8>>, Ended> {
        let Ok(db) = self.shared.db() else {
            self.wait(AGAIN)?;
            return Ok(Some(from));
        };
        let mut walk = db.iterate_past_cache(family);
        walk.seek(&from);
        let (mut bytes, mut last) = (0, None);
        while bytes < PIECE
            && let Some((key, value)) = walk.item()
        {
            bytes += (key.len() + value.len()) as u64;
            last = Some(key.to_vec());
            walk.next();
        }
        let whole = db.ended(&walk);
        let next = match &whole {
            // The walk stands at the first that was not counted.
            Ok(()) => walk.key().map(<[u8]>::to_vec),
            Err(error) if error.code == ErrorCode::DataCorrupt => {
                // Behind the damaged file, if it is known.
                let behind = db.extent_of(error).map(|extent| [&extent.last[..], &[0]].concat());
                behind.filter(|behind| *behind > from && last.is_none_or(|last| *behind > last))
            }
            Err(_) => Some(from),
        };
        let failed = whole.is_err_and(|error| error.code != ErrorCode::DataCorrupt);
        drop(walk);
        drop(db);
        self.shared.health().scrubbed(bytes);
        self.wait(if failed { AGAIN } else { self.time_of(bytes) })?;
        Ok(next)
    }

    fn wait(&self, time: Duration) -> Result<(), Ended> {
        match self.ended.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Ended),
        }
    }
}
