// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A compacted topic of one partition, which each process follows and changes.
//!
//! ```text
//!  change:  fence who wrote before ─► read to the end ─► decide ─► write, commit ─► seen here
//!                                                                     │ fenced: again
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fnstream_core::error::internal;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::{Condvar, Mutex, RwLock, RwLockReadGuard};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::admin::{Admin, POLICY};
use crate::feed::Health;
use crate::native::{Consumed, Consumer, Interrupt};
use crate::place::Options;
use crate::writer::{Failed, Write, Writer};

const SETTINGS: [(&str, &str); 1] = [(POLICY, "compact")];
/// How long the reader waits for the next records.
const WAIT_MS: i32 = 1_000;
const BATCH: usize = 1_000;
/// How long a process that asks waits until it has read what was there.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a change is tried while others fence it.
const CONTENDED: Duration = Duration::from_secs(30);
/// What the keys begin with that say which change a process made last.
const CHANGE: &[u8] = b"\0change/";

/// A record of the table, as it is read.
pub(super) struct Row<'a> {
    pub offset: i64,
    /// In milliseconds since the Unix epoch, by the clock of whoever wrote it.
    pub timestamp: i64,
    pub key: &'a [u8],
    /// None if the key was removed.
    pub value: Option<&'a [u8]>,
}

/// What a process makes of the records.
pub(super) trait Rows: Send + Sync + 'static {
    fn take(&mut self, row: Row<'_>);
}

/// A key with its new value; none to remove it.
pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

/// See the module.
pub(super) struct Table<R> {
    topic: String,
    admin: Admin,
    followed: Arc<Followed<R>>,
    writer: Mutex<Writer>,
    /// The key under which this process says which change it made last.
    change_key: Vec<u8>,
    interrupt: Interrupt,
    thread: Option<JoinHandle<()>>,
}

struct Followed<R> {
    rows: RwLock<R>,
    /// What was read.
    read: Mutex<Read>,
    moved: Condvar,
    watchers: Mutex<Vec<Waker>>,
    health: Arc<Health>,
    ends: AtomicBool,
}

#[derive(Default)]
struct Read {
    /// The offset that comes next.
    next: i64,
    /// The latest change of this process.
    last_change: Option<Vec<u8>>,
}

impl<R: Rows> Table<R> {
    /// Follows the topic, which is made if it is not there. When this returns, all that was in it has been read.
    pub(super) fn open(options: &Options, topic: String, rows: R, timeout_ms: u32) -> Result<Table<R>> {
        let admin = Admin::new(&options.properties)?;
        admin.have(&topic, 1, options.replication, &SETTINGS)?;
        let followed = Arc::new(Followed {
            rows: RwLock::new(rows),
            read: Mutex::default(),
            moved: Condvar::new(),
            watchers: Mutex::default(),
            health: Arc::default(),
            ends: AtomicBool::new(false),
        });
        let noted = followed.health.clone();
        let mut config = options.properties.reading("function-stream");
        config.set("fetch.wait.max.ms", "500");
        let consumer = Consumer::new(&config, move |failure| noted.note(&failure))?;
        let mut list = TopicPartitionList::new();
        let from = admin.bounds(&topic, 0)?.0;
        let added = list.add_partition_offset(&topic, 0, Offset::Offset(from));
        added.map_err(|e| crate::error::failed("following a topic", &e))?;
        consumer.assign(&list).map_err(|failure| failure.error(format_args!("following '{topic}'")))?;
        let interrupt = consumer.interrupt();
        let change_key = [CHANGE, options.process.as_bytes()].concat();
        let (following, own) = (followed.clone(), change_key.clone());
        let thread = thread::Builder::new().name("kafka-table".into());
        let thread = thread.spawn(move || following.follow(consumer, &own));
        let thread = thread.map_err(|e| internal(format!("no thread for following a topic of Kafka: {e}")))?;
        let writer = Mutex::new(Writer::new(&options.properties, topic.clone(), timeout_ms));
        let table = Table { topic, admin, followed, writer, change_key, interrupt, thread: Some(thread) };
        table.catch_up()?;
        Ok(table)
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// What has been read.
    pub(super) fn rows(&self) -> RwLockReadGuard<'_, R> {
        self.followed.rows.read()
    }

    /// Waits until all is read that was written before. Blocks.
    pub(super) fn catch_up(&self) -> Result<()> {
        let end = self.admin.bounds(&self.topic, 0)?.1;
        self.read_to(end)
    }

    /// Waits until all below an offset is read.
    fn read_to(&self, end: i64) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let mut read = self.followed.read.lock();
        while read.next < end {
            if self.followed.moved.wait_until(&mut read, until).timed_out() {
                let message = format!("the end of '{}' was not reached: at {} of {end}", self.topic, read.next);
                let error = Error::new(ErrorCode::Unavailable, message);
                return Err(self.followed.health.trouble().unwrap_or(error));
            }
        }
        Ok(())
    }

    /// Makes one change, based on all that were made before. `decide` is asked again if another process was faster; no change is made
    /// if it fails, or answers none. Blocks.
    pub(super) fn change<T>(&self, mut decide: impl FnMut(&R) -> Result<(Vec<Change>, T)>) -> Result<T> {
        let mut writer = self.writer.lock();
        let until = Instant::now() + CONTENDED;
        let mut attempted: Option<(Vec<u8>, T)> = None;
        loop {
            writer.begin()?;
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
            let own = (self.change_key.clone(), Some(number.clone()));
            let writes: Vec<_> = changes
                .into_iter()
                .chain([own])
                .map(|(key, value)| Write { topic: self.topic.clone(), partition: 0, key: Some(key), value })
                .collect();
            match writer.write(&writes, None) {
                Ok(places) => {
                    self.read_to(places.last().map_or(0, |last| last + 1))?;
                    return Ok(value);
                }
                Err(Failed::Nothing(error)) => return Err(error),
                Err(Failed::Fenced) => {}
                Err(Failed::Unknown(error)) => {
                    tracing::debug!(topic = self.topic, %error, "whether a change was made is found out");
                    attempted = Some((number, value));
                }
            }
            if Instant::now() > until {
                let message = format!("other processes change '{}' at the same time, again and again", self.topic);
                return Err(Error::new(ErrorCode::Unavailable, message));
            }
            self.let_others();
        }
    }

    /// Whoever was faster gets to its end: the change is seen, or it takes a moment.
    fn let_others(&self) {
        let mut read = self.followed.read.lock();
        let moment = Duration::from_millis(20 + u64::from(std::process::id() % 30));
        self.followed.moved.wait_for(&mut read, moment);
    }

    /// Wakes the waker after each change from now on.
    pub(super) fn watch(&self, waker: Waker) {
        self.followed.watchers.lock().push(waker);
    }

    /// Changes what this process makes of the records.
    pub(super) fn change_rows(&self, change: impl FnOnce(&mut R)) {
        change(&mut self.followed.rows.write());
    }

    /// Wakes those who watch.
    pub(super) fn wake(&self) {
        self.followed.wake();
    }
}

impl<R: Rows> Followed<R> {
    fn follow(&self, mut consumer: Consumer, own: &[u8]) {
        while !self.ends.load(Ordering::Acquire) {
            let mut batch = Vec::new();
            consumer.consume(WAIT_MS, BATCH, |consumed| batch.push(consumed));
            let mut next = None;
            let mut is_changed = false;
            for consumed in batch {
                match consumed {
                    Consumed::Record(message) => {
                        next = Some(message.offset() + 1);
                        let (key, value) = (message.key().unwrap_or_default(), message.value());
                        if key.starts_with(CHANGE) {
                            if key == own {
                                self.read.lock().last_change = value.map(<[u8]>::to_vec);
                            }
                            continue;
                        }
                        is_changed = true;
                        let (offset, timestamp) = (message.offset(), message.timestamp());
                        self.rows.write().take(Row { offset, timestamp, key, value });
                    }
                    Consumed::End { offset, .. } => next = Some(offset.max(next.unwrap_or(0))),
                    Consumed::Failed { failure, .. } | Consumed::Trouble(failure) => self.health.note(&failure),
                }
            }
            if let Some(next) = next {
                self.health.is_well();
                let mut read = self.read.lock();
                read.next = read.next.max(next);
                self.moved.notify_all();
            }
            if is_changed {
                self.wake();
            }
        }
    }

    fn wake(&self) {
        let watchers = self.watchers.lock().clone();
        watchers.iter().for_each(Waker::wake);
    }
}

impl<R> Drop for Table<R> {
    fn drop(&mut self) {
        self.followed.ends.store(true, Ordering::Release);
        self.interrupt.interrupt();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // It has panicked: that was told.
            drop(thread.join());
        }
    }
}

/// What no other change has.
fn number() -> Result<Vec<u8>> {
    let mut number = vec![0; 16];
    let filled = getrandom::fill(&mut number);
    filled.map_err(|e| internal(format!("no random number for a change: {e}")))?;
    Ok(number)
}
