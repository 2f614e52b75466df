// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Backups: who may have them made where, and how far one is.
//!
//! A backup belongs to whoever asks for it: it ends when they go away, and when the server closes.

mod last;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fnstream_api::{BackupEvent, BackupMade, BackupProgress};
use fnstream_core::backups::{Backups, Made, Progress, Watch};
use fnstream_core::error::{Fault, internal};
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::ops::{Ops, blocking};
use super::shelf::real_within;
pub(crate) use last::LastBackup;
pub(in crate::app) use last::NOTE;

/// How often it is told how far a backup is.
const TELLING: Duration = Duration::from_millis(500);

/// What may be told and not heard yet.
const UNHEARD: usize = 4;

/// See the module.
pub(crate) struct BackupDesk {
    pub(super) ops: Arc<Ops>,
    /// Not there if nothing is kept here.
    pub(super) backups: Option<Arc<dyn Backups>>,
    pub(super) last: Arc<LastBackup>,
    /// Folders in which all clients may have backups made.
    pub(super) dirs: Vec<PathBuf>,
}

/// A backup that is being made. It ends when this is dropped.
pub(crate) struct BackupUnderWay {
    /// What was heard of it when it began.
    pub(crate) first: BackupEvent,
    /// What is heard of it from then on; the last is that it is done, or why it is not.
    pub(crate) events: Receiver<Result<BackupEvent>>,
    _ends: DropGuard,
}

impl BackupDesk {
    /// Begins a backup, for somebody who is on this machine or not. An error if it cannot be begun.
    pub(crate) async fn begin(&self, to: PathBuf, local: bool, rate: Option<u64>) -> Result<BackupUnderWay> {
        let here = self.backups.clone();
        let backups =
            here.ok_or_else(|| Error::new(ErrorCode::ModeUnavailable, "this server keeps its data elsewhere"))?;
        let (running, dirs, last) = (self.ops.begin().await?, self.dirs.clone(), self.last.clone());
        let to = blocking(move || if local { Ok(to) } else { allowed_place(&dirs, &to) }).await?;
        let closing = self.ops.closing().clone();
        let ends = closing.child_token();
        let (tell, mut events) = channel(UNHEARD);
        let (runtime, told) = (Handle::current(), Mutex::default());
        let watch = Watching { runtime, ends: ends.clone(), closing, tell: tell.clone(), told };
        tokio::spawn(async move {
            let made = make(backups, to, rate, watch, last).await;
            drop(running);
            // Whoever is gone does not hear it.
            let _ = tell.send(made.map(BackupEvent::Done)).await;
        });
        let ends = ends.drop_guard();
        let first = events.recv().await.ok_or_else(|| internal("a backup ended without a word"))??;
        Ok(BackupUnderWay { first, events, _ends: ends })
    }
}

async fn make(
    backups: Arc<dyn Backups>,
    to: PathBuf,
    rate: Option<u64>,
    watch: Watching,
    last: Arc<LastBackup>,
) -> Result<BackupMade> {
    let (folder, begun) = (to.clone(), Instant::now());
    let making = move || {
        let made = backups.make(&to, rate, &watch)?;
        last.was_made(made.at_unix_ms);
        Ok(made)
    };
    let (to, made) = (folder.display(), blocking(making).await);
    match made {
        Ok(Made { at_unix_ms, topics, functions, files, bytes }) => {
            tracing::info!(%to, topics, functions, files, bytes, took = ?begun.elapsed(), "a backup was made");
            Ok(BackupMade { at_unix_ms, topics, functions, files, bytes })
        }
        Err(error) => {
            // What is refused at once, who asked is told.
            if error.code.fault() != Fault::User {
                tracing::warn!(%to, code = %error.code, error = error.message, "a backup was not made");
            }
            Err(error)
        }
    }
}

/// The path, without links, of a place in one of the folders. What else is there or not is told nobody.
fn allowed_place(dirs: &[PathBuf], to: &Path) -> Result<PathBuf> {
    let place = || {
        let within = to.is_absolute().then(|| real_within(dirs, to.parent()?))??;
        Some(within.join(to.file_name()?))
    };
    place().ok_or_else(|| {
        let message = format!("'{}' is not in a folder in which this caller may have a backup made", to.display());
        Error::new(ErrorCode::BackupForbidden, message)
    })
}

/// Whoever waits for a backup, as it sees them.
struct Watching {
    runtime: Handle,
    ends: CancellationToken,
    closing: CancellationToken,
    tell: Sender<Result<BackupEvent>>,
    /// When it was told last how far it is.
    told: Mutex<Option<Instant>>,
}

impl Watch for Watching {
    fn rest(&self, time: Duration) -> Result<()> {
        let ended = match time.is_zero() {
            true => self.ends.is_cancelled(),
            false => self.runtime.block_on(tokio::time::timeout(time, self.ends.cancelled())).is_ok(),
        };
        match ended {
            false => Ok(()),
            true if self.closing.is_cancelled() => {
                Err(Error::new(ErrorCode::ShuttingDown, "the server is shutting down: the backup was given up"))
            }
            true => Err(Error::new(ErrorCode::Cancelled, "whoever asked for the backup is gone")),
        }
    }

    fn hear(&self, Progress { bytes, of }: Progress) {
        let now = Instant::now();
        let mut told = self.told.lock();
        if told.is_none_or(|at| now.saturating_duration_since(at) >= TELLING) {
            *told = Some(now);
            // Who reads slowly hears less.
            let _ = self.tell.try_send(Ok(BackupEvent::Progress(BackupProgress { bytes, of })));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_places_that_really_are_in_an_allowed_folder_are_allowed() {
        let root = tempfile::tempdir().unwrap();
        let [inside, outside] = ["inside", "outside"].map(|name| root.path().join(name));
        std::fs::create_dir_all(inside.join("sub")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        let dirs = [inside.clone()];
        for good in ["new", "sub/new"] {
            let place = allowed_place(&dirs, &inside.join(good)).unwrap();
            assert_eq!(place, inside.canonicalize().unwrap().join(good));
        }
        let bad = ["link/new", "../outside/new", "missing/new", "../new"].map(|path| inside.join(path));
        for bad in bad.into_iter().chain([outside.join("new"), outside.join("no/new"), "new".into(), "/".into()]) {
            let refused = allowed_place(&dirs, &bad).unwrap_err();
            assert_eq!(refused.code, ErrorCode::BackupForbidden, "{bad:?}");
            let expected =
                format!("'{}' is not in a folder in which this caller may have a backup made", bad.display());
            assert_eq!(refused.message, expected);
        }
    }
}
