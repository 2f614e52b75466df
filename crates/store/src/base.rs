// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The database behind one indirection, so that it is opened anew when RocksDB cannot go on.
//!
//! After an error of a write, of a sync or of its work in the background RocksDB refuses all writes for good, whatever has
//! become of the cause. So one thread looks after it:
//!
//! ```text
//!         a write fails                     the disk takes a file                   all let go, closed
//!  open ────────────────► broken ────────────────────────────────────────► closing ───────────────────► closed
//!   ▲                     reading goes on; writes: FS-1507                                               │ reads too: FS-1507
//!   └────────────────────────── cut back to the last write that succeeded, checked, opened ──────────────┘
//! ```
//!
//! Each step is tried at once, then after 1, 2, 4 … 30 s.
//!
//! A folder that somebody moves away fails no write as long as RocksDB needs no new file. So the thread looks each second whether
//! the folders are still in their places, each five seconds while nothing is written, and `/readyz` does whenever it is asked. One that
//! is not breaks the database until it is back, which is looked at each second, too.
//!
//! # What a failed write leaves
//!
//! Nothing. A write that failed may stand in the log all the same, whole or in part: a sync that failed says nothing of
//! what is on the disk, and the same sync repeated would succeed without having written anything, since the system has
//! forgotten the pages by then. So nothing is synced again. When the database is closed, the log is cut back to the
//! last write that succeeded ([`crate::tail`]); and what is opened then copies the log into new files, which are synced,
//! before the log goes. So what is in memory (ends of partitions, owners of tasks, watermarks), which is only changed by writes that
//! succeeded, is what is on the disk, and nothing of it has to be found out again. A log that ends before the last write that
//! succeeded is refused, which can be only when the system has lost pages that were not synced.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use fnstream_core::dir::Dir;
use fnstream_core::error::internal;
use fnstream_core::{Error, ErrorCode, Result, upkeep};
use parking_lot::{Mutex, RwLock};

use crate::artifacts::Folder;
use crate::db::Db;
use crate::dir::{self, DataDir};
use crate::error::{file, recovering};
use crate::health::{Alarm, Health};
use crate::opening;
use crate::options::StoreOptions;
use crate::scrub::{self, Scrubbing};

/// The longest wait between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After so long without an error the waits begin anew.
const CALM: Duration = Duration::from_secs(5);
/// The database goes on by itself when a full disk has space again. When the disk takes files so often and it still does not,
/// it is opened anew.
const PATIENCE: u32 = 4;
/// What is written to the disk to see whether it takes files.
const PROBE: &str = "PROBE.tmp";
/// How often it is looked whether the folders are in their places.
const LOOK: Duration = Duration::from_secs(1);
/// The same of a database that nobody writes to: what is idle is to cost nothing.
const IDLE_LOOK: Duration = Duration::from_secs(5);
const PROBE_BYTES: usize = 1 << 20;

/// See the module.
pub(crate) struct Base {
    /// Before the other thread, which outlives all who use the database.
    scrubbing: Option<Scrubbing>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

pub(crate) struct Shared {
    state: RwLock<State>,
    health: Arc<Health>,
    options: StoreOptions,
    artifacts: Arc<Folder>,
    /// The folder of RocksDB, as it was opened first.
    db_folder: Dir,
    /// Last, so that the folder is given up only when the database is closed.
    dir: DataDir,
}

enum State {
    Open(Arc<Db>),
    /// Why.
    Closed(Error),
}

impl Base {
    /// Opens the database of a data folder, or makes it.
    pub(crate) fn open(dir: DataDir, options: &StoreOptions) -> Result<Self> {
        dir::remove_checkpoint(dir.root())?;
        let (health, alarms) = Health::new();
        let health = Arc::new(health);
        let db = Db::new(opening::open(&dir, options)?, health.clone());
        let artifacts = Arc::new(Folder::open(dir.make_artifacts()?)?);
        let db_folder = dir.open_db()?;
        let state = RwLock::new(State::Open(Arc::new(db)));
        let shared = Arc::new(Shared { state, health, options: options.clone(), artifacts, db_folder, dir });
        let theirs = shared.clone();
        let thread = thread::Builder::new()
            .name("store-keeper".to_owned())
            .spawn(move || Keeper { shared: theirs, alarms, attempts: 0, well_since: Instant::now() }.run())
            .map_err(|e| internal(format!("cannot start the thread that looks after the database: {e}")))?;
        let thread = Mutex::new(Some(thread));
        let scrubbing = options.scrub_rate.map(|rate| Scrubbing::start(shared.clone(), rate)).transpose()?;
        Ok(Base { scrubbing, shared, thread })
    }

    /// The database, for one operation. An error while it is closed.
    pub(crate) fn db(&self) -> Result<Arc<Db>> {
        self.shared.db()
    }

    /// Reads everything once, to look for damage.
    pub(crate) fn scrub(&self) {
        scrub::at_once(self.shared.clone());
    }

    /// How it fares.
    pub(crate) fn fares(&self) -> upkeep::Health {
        self.health().counts(!self.db().is_ok_and(|db| db.broken().is_none()))
    }

    /// The data folder.
    pub(crate) fn root(&self) -> &Dir {
        self.shared.dir.root()
    }

    pub(crate) fn artifacts(&self) -> &Arc<Folder> {
        &self.shared.artifacts
    }

    /// Checks that the data folder is where it was. If not, nothing is written until it is back.
    pub(crate) fn check_in_place(&self) -> Result<()> {
        self.shared.look().map_err(|why| recovering(&why))
    }

    pub(crate) fn health(&self) -> &Health {
        &self.shared.health
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        self.scrubbing = None;
        self.shared.health.sound(Alarm::End);
        // It ends with its present step, and so lets go of the folder. The last handle may be dropped by whoever is told there that
        // the store is given up: the thread cannot wait for itself.
        if let Some(thread) = self.thread.lock().take()
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the thread that looks after the database panicked");
        }
    }
}

impl Shared {
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    pub(crate) fn db(&self) -> Result<Arc<Db>> {
        match &*self.state.read() {
            State::Open(db) => Ok(db.clone()),
            State::Closed(why) => Err(recovering(why)),
        }
    }

    pub(crate) fn artifacts(&self) -> &Folder {
        &self.artifacts
    }

    fn check_in_place(&self) -> Result<()> {
        [self.dir.root(), &self.db_folder].into_iter().try_for_each(dir::check_in_place)
    }

    /// Looks whether the folders are in their places. A database that is not where its files are to be made is broken.
    fn look(&self) -> Result<()> {
        self.check_in_place().inspect_err(|why| {
            if let Ok(db) = self.db() {
                db.give_up(why.clone());
            }
        })
    }

    /// Checks that the disk takes a file where the database is.
    fn probe(&self) -> Result<()> {
        self.check_in_place()?;
        // By its path, as RocksDB opens its files: the folder may have been moved.
        let path = self.dir.db().join(PROBE);
        let written = || {
            // What a crash has left.
            let _ = fs::remove_file(&path);
            let mut probe = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            probe.write_all(&vec![0; PROBE_BYTES])?;
            probe.sync_all()?;
            fs::remove_file(&path)
        };
        written().map_err(|e| file("cannot write", &path, &e))
    }

    /// Closes the database: nobody gets hold of it any more, and those who have let go.
    fn close(&self, why: Error) {
        let before = std::mem::replace(&mut *self.state.write(), State::Closed(why));
        if let State::Open(db) = before {
            let closed = db.end();
            drop(db);
            // Nothing is ever sent: this waits for the other end to go.
            let _ = closed.recv();
        }
    }

    fn reopen(&self) -> Result<()> {
        // Or what is missing would seem to be lost.
        self.check_in_place()?;
        let opened = opening::reopen(&self.dir, &self.options, self.health.last_write())?;
        let db = Db::new(opened, self.health.clone());
        // Whoever is told that the store has recovered may write.
        db.measure_synced_write()?;
        *self.state.write() = State::Open(Arc::new(db));
        self.health.reopened();
        Ok(())
    }
}

/// The thread that looks after the database.
struct Keeper {
    shared: Arc<Shared>,
    alarms: Receiver<Alarm>,
    /// Attempts that failed since all was well for some time.
    attempts: u32,
    well_since: Instant,
}

impl Keeper {
    fn run(mut self) {
        let mut seen = None;
        let mut look = LOOK;
        loop {
            match self.alarms.recv_timeout(look) {
                Ok(Alarm::Broken(_) | Alarm::Full) => {}
                Ok(Alarm::End) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    // What is not in place sounds the alarm.
                    let _ = self.shared.look();
                    let last_write = self.shared.db().ok().map(|db| db.last_write());
                    look = if std::mem::replace(&mut seen, last_write) == last_write { IDLE_LOOK } else { LOOK };
                    continue;
                }
            }
            if self.shared.db().is_ok_and(|db| db.is_well()) {
                // It was told of twice.
                continue;
            }
            if self.well_since.elapsed() >= CALM {
                self.attempts = 0;
            }
            if !self.recover() {
                return;
            }
            self.well_since = Instant::now();
        }
    }

    /// Works until the database takes writes again; false if the store is given up by its owner meanwhile.
    fn recover(&mut self) -> bool {
        let begun = Instant::now();
        let mut full = 0;
        let mut last = String::new();
        // After a database that broke again soon.
        let mut pause = (self.attempts > 0).then(|| pause(self.attempts));
        loop {
            if let Some(pause) = pause
                && !self.wait(pause, begun, &last)
            {
                return false;
            }
            match self.attempt(&mut full) {
                Ok(()) => {
                    self.attempts += 1;
                    tracing::info!(took = ?begun.elapsed(), "the database takes writes again");
                    return true;
                }
                Err(error) => {
                    if error.message != last {
                        tracing::warn!(%error, "the database does not take writes yet");
                        last = error.message;
                    }
                }
            }
            self.attempts += 1;
            pause = Some(self::pause(self.attempts));
        }
    }

    /// Waits, not for a folder that is back in its place; gives up when it is time. False if the store's owner gives it up meanwhile.
    fn wait(&self, pause: Duration, begun: Instant, last: &str) -> bool {
        let until = Instant::now() + pause;
        let give_up_at = self.shared.options.recovery_timeout.map(|after| begun + after);
        let was_away = self.shared.check_in_place().is_err();
        loop {
            let now = Instant::now();
            if give_up_at.is_some_and(|at| at <= now) {
                let message = format!("the database has taken no writes for {} s: {last}", begun.elapsed().as_secs());
                self.shared.health.give_up(Error::new(ErrorCode::StoreGaveUp, message));
            }
            if now >= until || (was_away && self.shared.check_in_place().is_ok()) {
                return true;
            }
            let next = give_up_at.filter(|at| *at > now).map_or(until, |at| at.min(until));
            let next = if was_away { next.min(now + LOOK) } else { next };
            match self.alarms.recv_deadline(next) {
                Ok(Alarm::End) | Err(RecvTimeoutError::Disconnected) => return false,
                // Known already, or it is time.
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn attempt(&self, full: &mut u32) -> Result<()> {
        if let Ok(db) = self.shared.db() {
            if db.broken().is_none() {
                // Only full: the database may have gone on.
                let Err(error) = db.try_again() else { return Ok(()) };
                self.shared.probe()?;
                *full += 1;
                if *full < PATIENCE {
                    return Err(error);
                }
                db.give_up(error);
            }
            // As long as the cause lasts there is something to read at least.
            self.shared.probe()?;
            let why = db.broken().cloned();
            drop(db);
            self.shared.close(why.unwrap_or_else(|| internal("the database is closed for no reason")));
        }
        self.shared.reopen().inspect_err(|error| *self.shared.state.write() = State::Closed(error.clone()))
    }
}

/// The wait before an attempt, after so many others.
fn pause(attempts: u32) -> Duration {
    let doubled = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    Duration::from_secs(doubled.into()).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<_> = [1, 2, 3, 4, 5, 6, 7, u32::MAX].map(|attempts| pause(attempts).as_secs()).into();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
    }
}
