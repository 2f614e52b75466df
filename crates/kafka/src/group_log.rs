// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the processes of a server group share, in compacted topics of one partition: `GROUP.functions` and its like.
//!
//! Records are written in transactions: whoever begins to write has fenced all who wrote before, and what they left open is aborted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fnstream_core::Result;
use fnstream_core::error::internal;
use fnstream_core::record::Position;
use fnstream_group::{Entry, Failed, Follower, Log, Row};
use parking_lot::Mutex;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::admin::POLICY;
use crate::feed::Health;
use crate::native::{Consumed, Consumer, Interrupt};
use crate::place::{Options, Shared};
use crate::writer::{Failed as NotWritten, Plain, Write, Writer, let_others};

const SETTINGS: [(&str, &str); 1] = [(POLICY, "compact")];
/// How long the reader waits for the next records.
const WAIT_MS: i32 = 1_000;
const BATCH: usize = 1_000;
/// How long records are laid down while others fence.
const CONTENDED: Duration = Duration::from_secs(30);
/// The broker aborts a transaction that takes longer.
const TIMEOUT_MS: u32 = 60_000;

/// See the module.
pub struct KafkaLog {
    topic: String,
    shared: Arc<Shared>,
    writer: Mutex<Writer>,
    plain: OnceLock<Plain>,
}

/// The topic of a group's log of that name.
pub(crate) fn topic(options: &Options, what: &str) -> String {
    format!("{}{}.{what}", options.namespace, options.server)
}

impl KafkaLog {
    /// A log of the group, whose topic is made if it is not there. Blocks.
    pub fn open(options: &Options, what: &str) -> Result<KafkaLog> {
        let shared = Shared::new(options.clone())?;
        let topic = topic(options, what);
        shared.admin.have(&topic, 1, options.replication, &SETTINGS)?;
        let writer = Mutex::new(Writer::new(&options.properties, topic.clone(), TIMEOUT_MS));
        Ok(KafkaLog { topic, shared, writer, plain: OnceLock::new() })
    }
}

impl Log for KafkaLog {
    fn name(&self) -> &str {
        &self.topic
    }

    fn follow(&self, follower: Arc<dyn Follower>) -> Result<Box<dyn Send + Sync>> {
        let health = Arc::new(Health::default());
        let noted = health.clone();
        let mut config = self.shared.options.properties.reading("function-stream");
        config.set("fetch.wait.max.ms", "500");
        let consumer = Consumer::new(&config, move |failure| noted.note(&failure))?;
        let mut list = TopicPartitionList::new();
        let from = self.shared.admin.bounds(&self.topic, 0)?.0;
        let added = list.add_partition_offset(&self.topic, 0, Offset::Offset(from));
        added.map_err(|e| crate::error::failed("following a topic", &e))?;
        consumer.assign(&list).map_err(|failure| failure.error(format_args!("following '{}'", self.topic)))?;
        let interrupt = consumer.interrupt();
        let ends = Arc::new(AtomicBool::new(false));
        let seen = ends.clone();
        let thread = thread::Builder::new().name("kafka-follower".into());
        let thread = thread.spawn(move || follow(consumer, &*follower, &health, &seen));
        let thread = thread.map_err(|e| internal(format!("no thread for following a topic of Kafka: {e}")))?;
        Ok(Box::new(Following { ends, interrupt, thread: Some(thread) }))
    }

    fn end(&self) -> Result<Position> {
        Ok(position(self.shared.admin.bounds(&self.topic, 0)?.1))
    }

    fn fence(&self) -> Result<()> {
        self.writer.lock().begin()
    }

    fn write(&self, entries: Vec<Entry>) -> Result<Position, Failed> {
        // Compaction keeps the records that are needed, with their times: none is written again.
        let write =
            |entry: Entry| Write { topic: self.topic.clone(), partition: 0, key: Some(entry.key), value: entry.value };
        let writes: Vec<_> = entries.into_iter().map(write).collect();
        match self.writer.lock().write(&writes, None) {
            Ok(places) => Ok(position(places.last().map_or(0, |last| last + 1))),
            Err(NotWritten::Fenced) => Err(Failed::Fenced),
            Err(NotWritten::Nothing(error)) => Err(Failed::Nothing(error)),
            Err(NotWritten::Unknown(error)) => Err(Failed::Unknown(error)),
        }
    }

    fn lay(&self, entries: Vec<Entry>) -> Result<()> {
        let until = Instant::now() + CONTENDED;
        loop {
            self.fence()?;
            match self.write(entries.clone()) {
                Ok(_) => return Ok(()),
                Err(Failed::Nothing(error)) => return Err(error),
                // Once more does no harm.
                Err(Failed::Unknown(error)) if Instant::now() > until => return Err(error),
                Err(Failed::Fenced | Failed::Unknown(_)) => let_others(1),
            }
        }
    }

    fn read(&self, from: Position, to: Position, visit: &mut dyn FnMut(Row<'_>) -> Result<()>) -> Result<()> {
        self.shared.read_log(&self.topic, 0, from.0 as i64, to.0 as i64, &mut |message| {
            visit(Row {
                position: position(message.offset()),
                timestamp: message.timestamp(),
                key: message.key().unwrap_or_default(),
                value: message.value(),
            })
        })
    }

    fn append(&self, key: &[u8], value: Option<&[u8]>) {
        if self.plain.get().is_none() {
            match Plain::start(&self.shared.options.properties) {
                Ok(plain) => _ = self.plain.set(plain),
                Err(error) => return tracing::warn!(topic = self.topic, %error, "nothing can be said"),
            }
        }
        if let Some(plain) = self.plain.get() {
            plain.append(&self.topic, 0, key, value);
        }
    }

    fn flush(&self, patience: Duration) {
        if let Some(plain) = self.plain.get() {
            plain.flush(i32::try_from(patience.as_millis()).unwrap_or(i32::MAX));
        }
    }

    fn is_compacted(&self) -> bool {
        true
    }
}

impl std::fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaLog").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// A thread that follows a topic.
struct Following {
    ends: Arc<AtomicBool>,
    interrupt: Interrupt,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        self.interrupt.interrupt();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // It has panicked: that was told.
            drop(thread.join());
        }
    }
}

fn follow(mut consumer: Consumer, follower: &dyn Follower, health: &Health, ends: &AtomicBool) {
    while !ends.load(Ordering::Acquire) {
        let mut batch = Vec::new();
        consumer.consume(WAIT_MS, BATCH, |consumed| batch.push(consumed));
        let (mut rows, mut next) = (Vec::new(), None);
        for consumed in &batch {
            match consumed {
                Consumed::Record(message) => {
                    next = Some(message.offset() + 1);
                    rows.push(Row {
                        position: position(message.offset()),
                        timestamp: message.timestamp(),
                        key: message.key().unwrap_or_default(),
                        value: message.value(),
                    });
                }
                Consumed::End { offset, .. } => next = Some((*offset).max(next.unwrap_or(0))),
                Consumed::Failed { failure, .. } | Consumed::Trouble(failure) => health.note(failure),
            }
        }
        match next {
            Some(next) => {
                health.is_well();
                follower.take(&rows, position(next));
            }
            None => {
                if let Some(error) = health.trouble() {
                    follower.fail(error);
                }
            }
        }
    }
}

fn position(offset: i64) -> Position {
    Position(u128::try_from(offset).unwrap_or_default())
}
