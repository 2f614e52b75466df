// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A table of keys and values in a log, which each process follows and changes.
//!
//! ```text
//!  change:  fence ─► read to the end ─► decide ─► write ─► seen here
//!                                                   │ another one was faster: again
//! ```
//!
//! Where the broker does not compact the log, changes do: with what it writes, a change writes the oldest records again that are still
//! needed, once there are more records that are not. Then what is before the oldest is dropped. So the log keeps within twice what is
//! needed, and a little.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fnstream_core::error::internal;
use fnstream_core::record::Position;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::{Condvar, Mutex, RwLock, RwLockReadGuard};

use crate::log::{Entry, Failed, Follower, Log, Row};

/// How long a process that asks waits until it has read what was there.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a change is tried while others fence it.
const CONTENDED: Duration = Duration::from_secs(30);
/// What keys begin with that are not the table's, such as those that only say that somebody has fenced.
const INNER: u8 = 0;
/// What the keys begin with that say which change a process made last.
const CHANGE: &[u8] = b"\0change/";
/// So many records may be there that nobody needs, beside as many as are needed.
const SPARE: usize = 100;
/// About how much of what is needed a change writes again.
const AGAIN_BYTES: usize = 1 << 20;
/// How many records of it.
const AGAIN: usize = 50;

/// What a process makes of the records.
pub(crate) trait Rows: Send + Sync + 'static {
    fn take(&mut self, row: Row<'_>);
}

/// A key with its new value; none to remove it.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// See the module.
pub(crate) struct Table<R> {
    followed: Arc<Followed<R>>,
    /// Follows the log as long as it is held.
    _following: Box<dyn Send + Sync>,
    log: Arc<dyn Log>,
    /// Held by whoever changes the table.
    changing: Mutex<()>,
    /// The key under which this process says which change it made last.
    change_key: Vec<u8>,
}

struct Followed<R> {
    rows: RwLock<R>,
    /// What was read.
    read: Mutex<Read>,
    moved: Condvar,
    watchers: Mutex<Vec<Waker>>,
    /// The key of [`Table::change_key`].
    own: Vec<u8>,
    /// Where the records are, if the broker does not see to it that they stay few.
    places: Option<Mutex<Places>>,
}

#[derive(Default)]
struct Read {
    /// The position that comes next.
    next: Position,
    /// The latest change of this process.
    last_change: Option<Vec<u8>>,
    /// Why it cannot be read at the moment.
    trouble: Option<Error>,
}

/// Where the records are.
#[derive(Default)]
struct Places {
    /// The last of each key that was not removed.
    of_keys: HashMap<Vec<u8>, Position>,
    /// The same by their places: those that are needed.
    needed: BTreeMap<Position, Vec<u8>>,
    /// All that were not dropped.
    all: VecDeque<Position>,
}

impl Places {
    fn take(&mut self, row: &Row<'_>) {
        self.all.push_back(row.position);
        if let Some(before) = self.of_keys.remove(row.key) {
            self.needed.remove(&before);
        }
        if row.value.is_some() {
            self.of_keys.insert(row.key.to_vec(), row.position);
            self.needed.insert(row.position, row.key.to_vec());
        }
    }

    /// How many records are there that nobody needs.
    fn spare(&self) -> usize {
        self.all.len() - self.needed.len()
    }

    /// Before which nothing is needed, if something may be dropped. The last record stays: who begins to read has to come to the end.
    fn droppable(&self) -> Option<Position> {
        let (first, last) = (*self.all.front()?, *self.all.back()?);
        let oldest = self.needed.first_key_value().map_or(last, |(oldest, _)| *oldest);
        (oldest > first).then_some(oldest)
    }

    fn dropped(&mut self, before: Position) {
        while self.all.front().is_some_and(|first| *first < before) {
            self.all.pop_front();
        }
    }
}

impl<R: Rows> Table<R> {
    /// Follows the log, for a process of that name. When this returns, all that was in it has been read.
    pub(crate) fn open(log: Arc<dyn Log>, process: &str, rows: R) -> Result<Table<R>> {
        let change_key = [CHANGE, process.as_bytes()].concat();
        let followed = Arc::new(Followed {
            rows: RwLock::new(rows),
            read: Mutex::default(),
            moved: Condvar::new(),
            watchers: Mutex::default(),
            own: change_key.clone(),
            places: (!log.is_compacted()).then(Mutex::default),
        });
        let _following = log.follow(followed.clone())?;
        let table = Table { followed, _following, log, changing: Mutex::new(()), change_key };
        table.catch_up()?;
        Ok(table)
    }

    pub(crate) fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// What has been read.
    pub(crate) fn rows(&self) -> RwLockReadGuard<'_, R> {
        self.followed.rows.read()
    }

    /// Waits until all is read that was written before. Blocks.
    pub(crate) fn catch_up(&self) -> Result<()> {
        self.read_to(self.log.end()?)
    }

    /// Waits until all below a position is read.
    fn read_to(&self, end: Position) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let mut read = self.followed.read.lock();
        while read.next < end {
            if self.followed.moved.wait_until(&mut read, until).timed_out() {
                let name = self.log.name();
                let message = format!("the end of '{name}' was not reached: at {} of {}", read.next.0, end.0);
                let error = Error::new(ErrorCode::Unavailable, message);
                return Err(read.trouble.clone().unwrap_or(error));
            }
        }
        Ok(())
    }

    /// Makes one change, based on all that were made before. `decide` is asked again if another process was faster; no change is made
    /// if it fails, or answers none. Blocks.
    pub(crate) fn change<T>(&self, mut decide: impl FnMut(&R) -> Result<(Vec<Change>, T)>) -> Result<T> {
        let _changing = self.changing.lock();
        let until = Instant::now() + CONTENDED;
        let mut attempted: Option<(Vec<u8>, T)> = None;
        loop {
            self.log.fence()?;
            self.catch_up()?;
            if let Some((number, value)) = attempted.take()
                && self.followed.read.lock().last_change.as_ref() == Some(&number)
            {
                return Ok(value);
            }
            let (changes, value) = decide(&self.rows())?;
            if changes.is_empty() {
                return Ok(value);
            }
            let number = number()?;
            let entry = |(key, value)| Entry { key, value, timestamp: None };
            let mut entries = self.needed_again(&changes)?;
            entries.extend(changes.into_iter().map(entry));
            entries.push(entry((self.change_key.clone(), Some(number.clone()))));
            match self.log.write(entries) {
                Ok(next) => {
                    self.read_to(next)?;
                    self.drop_what_nobody_needs();
                    return Ok(value);
                }
                Err(Failed::Nothing(error)) => return Err(error),
                Err(Failed::Fenced) => {}
                Err(Failed::Unknown(error)) => {
                    tracing::debug!(log = self.log.name(), %error, "whether a change was made is found out");
                    attempted = Some((number, value));
                }
            }
            if Instant::now() > until {
                let name = self.log.name();
                let message = format!("other processes change '{name}' at the same time, again and again");
                return Err(Error::new(ErrorCode::Unavailable, message));
            }
            self.let_others();
        }
    }

    /// Writes records whose values are the same whoever writes them. Blocks until they are read here.
    pub(crate) fn lay(&self, changes: Vec<Change>) -> Result<()> {
        self.log.lay(changes.into_iter().map(|(key, value)| Entry { key, value, timestamp: None }).collect())?;
        self.catch_up()
    }

    /// The oldest records that are needed, if there are many that are not. Those that change now are left out.
    fn needed_again(&self, changes: &[Change]) -> Result<Vec<Entry>> {
        let Some(places) = &self.followed.places else { return Ok(Vec::new()) };
        let (from, to) = {
            let places = places.lock();
            if places.spare() <= places.needed.len() + SPARE {
                return Ok(Vec::new());
            }
            let mut oldest = places.needed.keys().take(AGAIN).copied();
            let Some(first) = oldest.next() else { return Ok(Vec::new()) };
            (first, oldest.last().unwrap_or(first).next())
        };
        let (mut entries, mut bytes) = (Vec::new(), 0);
        self.log.read(from, to, &mut |row| {
            let is_needed = places.lock().of_keys.get(row.key) == Some(&row.position);
            let (true, Some(value)) = (is_needed && bytes < AGAIN_BYTES, row.value) else { return Ok(()) };
            bytes += row.key.len() + value.len();
            // Its time says when it was made, not when it was written again.
            let entry = Entry { key: row.key.to_vec(), value: Some(value.to_vec()), timestamp: Some(row.timestamp) };
            if !changes.iter().any(|(key, _)| *key == entry.key) && entry.key != self.change_key {
                entries.push(entry);
            }
            Ok(())
        })?;
        Ok(entries)
    }

    /// Lets the broker drop what lies before the oldest record that is needed.
    pub(crate) fn drop_what_nobody_needs(&self) {
        let Some(places) = &self.followed.places else { return };
        let Some(oldest) = places.lock().droppable() else { return };
        match self.log.drop_before(oldest) {
            Ok(()) => places.lock().dropped(oldest),
            Err(error) => tracing::debug!(log = self.log.name(), %error, "a log is not cut yet"),
        }
    }

    /// Whoever was faster gets to its end: the change is seen, or it takes a moment.
    fn let_others(&self) {
        let mut read = self.followed.read.lock();
        let moment = Duration::from_millis(20 + u64::from(std::process::id() % 30));
        self.followed.moved.wait_for(&mut read, moment);
    }

    /// Wakes the waker after each change from now on.
    pub(crate) fn watch(&self, waker: Waker) {
        self.followed.watchers.lock().push(waker);
    }

    /// Changes what this process makes of the records.
    pub(crate) fn change_rows(&self, change: impl FnOnce(&mut R)) {
        change(&mut self.followed.rows.write());
    }

    /// Wakes those who watch.
    pub(crate) fn wake(&self) {
        self.followed.wake();
    }
}

impl<R: Rows> Follower for Followed<R> {
    fn take(&self, rows: &[Row<'_>], next: Position) {
        let mut is_changed = false;
        let mut last_change = None;
        let begun = self.read.lock().next;
        // Who follows anew after a failure may tell some once more.
        for row in rows.iter().filter(|row| row.position >= begun) {
            if let Some(places) = &self.places {
                places.lock().take(row);
            }
            if row.key.first() == Some(&INNER) {
                if row.key == self.own {
                    last_change = row.value.map(<[u8]>::to_vec);
                }
                continue;
            }
            is_changed = true;
            self.rows.write().take(*row);
        }
        {
            let mut read = self.read.lock();
            read.next = read.next.max(next);
            read.trouble = None;
            if last_change.is_some() {
                read.last_change = last_change;
            }
            self.moved.notify_all();
        }
        if is_changed {
            self.wake();
        }
    }

    fn fail(&self, error: Error) {
        self.read.lock().trouble = Some(error);
    }
}

impl<R> Followed<R> {
    fn wake(&self) {
        let watchers = self.watchers.lock().clone();
        watchers.iter().for_each(Waker::wake);
    }
}

/// What no other change has.
fn number() -> Result<Vec<u8>> {
    let mut number = vec![0; 16];
    let filled = getrandom::fill(&mut number);
    filled.map_err(|e| internal(format!("no random number for a change: {e}")))?;
    Ok(number)
}
