// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One consumer with a thread of its own, which puts what comes into the rings of those who read.
//!
//! ```text
//!  broker ──► librdkafka's queue ──► feed's thread ──► ring of a partition ──► Source::poll
//!                                        ▲  rests while all rings have enough
//!                                        └─ commands: assign, unassign, seek, resume
//! ```
//!
//! While it rests, librdkafka fetches no more than its queue takes. A partition that comes much faster than it is taken, beside others
//! that do not, is paused: that is dear, since what librdkafka has of it is dropped and fetched again.
//!
//! A consumer reads each partition at most once, so who wants a partition that a feed has already gets another feed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};
use fnstream_core::error::internal;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use crate::error::Failure;
use crate::native::{Consumed, Consumer, Interrupt, Partition};
use crate::properties::Properties;
use crate::ring::Ring;

/// How long the thread waits for the broker before it looks around.
const WAIT_MS: i32 = 1_000;
/// The same while the broker is away: each time it is asked whether it is back.
const AWAY_WAIT_MS: i32 = 100;
/// How much is taken at once.
const BATCH: usize = 1_024;

/// What a feed's thread is told.
enum Command {
    Assign(Arc<Ring>, i64),
    Unassign(Arc<Ring>),
    /// To an offset, with the number of the seek.
    Seek(Arc<Ring>, i64, u64),
    Resume(Arc<Ring>),
    End,
}

/// See the module.
pub(crate) struct Feed {
    properties: Properties,
    commands: Sender<Command>,
    interrupt: Interrupt,
    /// The partitions that it reads.
    taken: Mutex<HashSet<(String, i32)>>,
    health: Arc<Health>,
}

/// What the client says of the broker.
#[derive(Default)]
pub(crate) struct Health {
    trouble: Mutex<Option<Error>>,
    last: Mutex<Option<Failure>>,
}

impl Health {
    /// Notes what a client says by itself. A connection that ends is none until no broker is left; a login that is refused
    /// is.
    pub(crate) fn note(&self, failure: &Failure) {
        let trouble = match failure.code {
            RDKafkaErrorCode::AllBrokersDown => {
                let last = self.last.lock();
                last.as_ref().unwrap_or(failure).error("Kafka cannot be reached")
            }
            _ => {
                *self.last.lock() = Some(failure.clone());
                match failure.error_code() {
                    ErrorCode::BrokerLogin | ErrorCode::BrokerProtocol | ErrorCode::BrokerForbidden => {
                        failure.error("Kafka cannot be used")
                    }
                    _ => return,
                }
            }
        };
        *self.trouble.lock() = Some(trouble);
    }

    /// The broker answered. Says whether that is news.
    pub(crate) fn is_well(&self) -> bool {
        self.trouble.lock().take().is_some()
    }

    pub(crate) fn trouble(&self) -> Option<Error> {
        self.trouble.lock().clone()
    }
}

impl Feed {
    pub(crate) fn start(properties: &Properties) -> Result<Arc<Feed>> {
        let health = Arc::new(Health::default());
        let noted = health.clone();
        let consumer = Consumer::new(&properties.reading("function-stream"), move |failure| noted.note(&failure))?;
        let (commands, received) = unbounded();
        let interrupt = consumer.interrupt();
        let thread = Thread {
            consumer,
            commands: received,
            health: health.clone(),
            rings: HashMap::new(),
            known: HashMap::new(),
        };
        let spawned = thread::Builder::new().name("kafka-feed".into()).spawn(move || thread.run());
        spawned.map_err(|e| internal(format!("no thread for a consumer of Kafka: {e}")))?;
        let (properties, taken) = (properties.clone(), Mutex::default());
        Ok(Arc::new(Feed { properties, commands, interrupt, taken, health }))
    }

    /// Begins to fill the rings, each from its offset on; `false` when it reads one of the partitions already.
    pub(crate) fn take(&self, properties: &Properties, rings: &[(Arc<Ring>, i64)]) -> bool {
        let mut taken = self.taken.lock();
        if *properties != self.properties || rings.iter().any(|(ring, _)| taken.contains(&ring.name)) {
            return false;
        }
        for (ring, from) in rings {
            taken.insert(ring.name.clone());
            self.tell(Command::Assign(ring.clone(), *from));
        }
        true
    }

    pub(crate) fn release(&self, rings: &[Arc<Ring>]) {
        let mut taken = self.taken.lock();
        for ring in rings {
            taken.remove(&ring.name);
            self.tell(Command::Unassign(ring.clone()));
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.taken.lock().is_empty()
    }

    pub(crate) fn seek(&self, ring: &Arc<Ring>, to: i64, number: u64) {
        self.tell(Command::Seek(ring.clone(), to, number));
    }

    pub(crate) fn resume(&self, ring: &Arc<Ring>) {
        self.tell(Command::Resume(ring.clone()));
    }

    pub(crate) fn trouble(&self) -> Option<Error> {
        self.health.trouble()
    }

    fn tell(&self, command: Command) {
        // A thread that has ended reads nothing any more.
        let _ = self.commands.send(command);
        self.interrupt.interrupt();
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.tell(Command::End);
    }
}

struct Thread {
    consumer: Consumer,
    commands: Receiver<Command>,
    health: Arc<Health>,
    /// By topic and partition.
    rings: HashMap<(String, i32), Arc<Ring>>,
    /// The same by the consumer's own handle, as far as records came.
    known: HashMap<Partition, Arc<Ring>>,
}

impl Thread {
    fn run(mut self) {
        loop {
            // What comes meanwhile stays with the client.
            let has_enough = !self.rings.is_empty() && self.rings.values().all(|ring| ring.has_enough());
            if has_enough
                && let Ok(command) = self.commands.recv()
                && !self.obey(command)
            {
                return;
            }
            while let Ok(command) = self.commands.try_recv() {
                if !self.obey(command) {
                    return;
                }
            }
            if has_enough {
                continue;
            }
            let before = self.health.trouble().is_some();
            self.read(if before { AWAY_WAIT_MS } else { WAIT_MS });
            let back = before && self.consumer.is_reachable(WAIT_MS).is_ok() && self.health.is_well();
            if back || before != self.health.trouble().is_some() {
                self.rings.values().for_each(|ring| ring.waker.wake());
            }
        }
    }

    /// Says whether it goes on.
    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Assign(ring, from) => self.assign(&ring, from),
            Command::Unassign(ring) => {
                self.unassign(&ring);
                self.rings.remove(&ring.name);
            }
            Command::Seek(ring, to, number) => {
                self.unassign(&ring);
                self.assign(&ring, to);
                ring.sought(number);
            }
            Command::Resume(ring) => self.consumer.resume(&list(&ring, None)),
            Command::End => return false,
        }
        true
    }

    fn assign(&mut self, ring: &Arc<Ring>, from: i64) {
        self.rings.insert(ring.name.clone(), ring.clone());
        if let Err(failure) = self.consumer.assign(&list(ring, Some(from))) {
            ring.fail(failure.error(format_args!("reading {}", ring.at)));
        }
    }

    fn unassign(&mut self, ring: &Arc<Ring>) {
        self.known.retain(|_, known| !Arc::ptr_eq(known, ring));
        // One that is paused would stay so when it is assigned again, to this ring or another.
        self.consumer.resume(&list(ring, None));
        if let Err(failure) = self.consumer.unassign(&list(ring, None)) {
            tracing::debug!(partition = %ring.at, error = failure.text, "a partition could not be given up");
        }
    }

    fn read(&mut self, timeout_ms: i32) {
        let Thread { consumer, rings, known, health, .. } = self;
        let mut touched: Vec<Arc<Ring>> = Vec::new();
        let mut failed: Vec<(Arc<Ring>, Failure)> = Vec::new();
        let mut touch = |ring: &Arc<Ring>| {
            if touched.last().is_none_or(|last| !Arc::ptr_eq(last, ring)) {
                touched.push(ring.clone());
            }
        };
        consumer.consume(timeout_ms, BATCH, |consumed| match consumed {
            Consumed::Record(message) => {
                let ring = known.get(&message.partition()).cloned().or_else(|| {
                    let ring = rings.get(&(message.topic(), message.partition().number))?.clone();
                    known.insert(message.partition(), ring.clone());
                    Some(ring)
                });
                if let Some(ring) = ring {
                    ring.push(message);
                    touch(&ring);
                }
            }
            Consumed::End { topic, partition, offset } => {
                if let Some(ring) = rings.get(&(topic, partition)) {
                    ring.ends_at(offset);
                    touch(ring);
                }
            }
            Consumed::Failed { topic, partition, failure } => {
                if let Some(ring) = rings.get(&(topic, partition)) {
                    failed.push((ring.clone(), failure));
                }
            }
            Consumed::Trouble(failure) => health.note(&failure),
        });
        let full: Vec<_> = touched.iter().filter(|ring| ring.pause_if_full()).collect();
        for ring in full {
            consumer.pause(&list(ring, None));
        }
        // Before anybody is woken, who may ask what the trouble was.
        if !touched.is_empty() {
            health.is_well();
        }
        for ring in touched {
            let high = consumer.last_end(&ring.name.0, ring.name.1);
            ring.with(|state| state.high = high.or(state.high));
            ring.waker.wake();
        }
        for (ring, failure) in failed {
            ring.fail(self.why(&ring, &failure));
        }
    }

    /// Why a partition cannot be read on.
    fn why(&self, ring: &Ring, failure: &Failure) -> Error {
        let doing = format!("reading {}", ring.at);
        if failure.error_code() != ErrorCode::PositionDropped {
            return failure.error(doing);
        }
        let wanted = ring.next();
        match self.consumer.bounds(&ring.name.0, ring.name.1, 5 * WAIT_MS) {
            Ok((earliest, end)) => {
                out_of_range(&ring.at, wanted, earliest, end).unwrap_or_else(|| failure.error(doing))
            }
            Err(failure) => failure.error(doing),
        }
    }
}

/// The error of a position that a partition does not have, if it does not.
pub(crate) fn out_of_range(at: &dyn std::fmt::Display, wanted: i64, earliest: i64, end: i64) -> Option<Error> {
    if wanted < earliest {
        let message = format!("position {wanted} of {at} was dropped: the oldest record left is at {earliest}");
        Some(Error::new(ErrorCode::PositionDropped, message))
    } else if wanted > end {
        let message = format!("position {wanted} of {at} is past its end, {end}");
        Some(Error::new(ErrorCode::PositionUnknown, message))
    } else {
        None
    }
}

fn list(ring: &Ring, offset: Option<i64>) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(1);
    let (topic, partition) = &ring.name;
    let mut element = list.add_partition(topic, *partition);
    if let Some(offset) = offset {
        // Offsets of partitions are never below 0.
        let set = element.set_offset(Offset::Offset(offset));
        debug_assert!(set.is_ok(), "offset {offset}");
    }
    list
}
