// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Small transactions, one after the other: all of one is visible or nothing. Whoever begins to write under a transactional id fences
//! whoever wrote under it before, in whatever process, and aborts what they left open.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::{Error, Result};
use fnstream_frame::RecordRef;
use parking_lot::Mutex;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode;

use crate::error::Failure;
use crate::feed::Health;
use crate::native::{Producer, Proof, TopicHandle};
use crate::properties::Properties;

/// How long the client is asked to wait at once.
const STEP_MS: i32 = 100;
/// How long a step may take before the client answers that it may be repeated.
const REPEAT_MS: i32 = 10_000;
/// How long a coordinator that is away is waited for.
const INIT_MS: i32 = 20_000;

/// A record and where it goes.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub topic: String,
    pub partition: u32,
    pub key: Option<Vec<u8>>,
    /// None for a tombstone.
    pub value: Option<Vec<u8>>,
}

/// How a transaction failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Somebody else writes under the transactional id now. Nothing happened.
    Fenced,
    /// Nothing happened.
    Nothing(Error),
    /// It is not known whether all of it is visible or nothing; whoever begins anew finds out.
    Unknown(Error),
}

/// A producer of one transactional id.
pub(crate) struct Writer {
    properties: Properties,
    id: String,
    timeout_ms: u32,
    open: Option<Open>,
}

struct Open {
    producer: Producer,
    topics: HashMap<String, TopicHandle>,
}

impl Writer {
    /// Speaks to nobody yet. The broker aborts a transaction that takes longer than `timeout_ms`.
    pub(crate) fn new(properties: &Properties, id: String, timeout_ms: u32) -> Writer {
        Writer { properties: properties.clone(), id, timeout_ms, open: None }
    }

    /// Whether it has begun, and nothing has failed since.
    pub(crate) fn has_begun(&self) -> bool {
        self.open.is_some()
    }

    /// Fences all who wrote before, if it has not since the last failure.
    pub(crate) fn begin(&mut self) -> Result<()> {
        if self.open.is_some() {
            return Ok(());
        }
        let mut config = self.properties.producing(&self.id);
        config.set("transaction.timeout.ms", self.timeout_ms.to_string());
        config.set("linger.ms", "0");
        let health = Arc::new(Health::default());
        let noted = health.clone();
        let producer = Producer::new(&config, move |failure| noted.note(&failure))?;
        if let Err(failure) = producer.init_transactions(INIT_MS) {
            producer.poll(0);
            let doing = format!("beginning to write as '{}'", self.id);
            let why = health.trouble().filter(|_| failure.passes());
            return Err(why.map_or_else(|| failure.error(&doing), |why| why.context(&doing)));
        }
        self.open = Some(Open { producer, topics: HashMap::new() });
        Ok(())
    }

    /// Writes all of it, and moves the offsets of a group with it; answers the offset of each record. [`Writer::begin`] has been called.
    pub(crate) fn write(
        &mut self,
        writes: &[Write],
        offsets: Option<(&Proof, &TopicPartitionList)>,
    ) -> Result<Vec<i64>, Failed> {
        let Some(open) = &mut self.open else {
            return Err(Failed::Nothing(fnstream_core::error::internal("nothing was begun")));
        };
        let written = open.write(writes, offsets);
        // A producer that has failed has gaps in its numbers, or is fenced: a new one begins anew.
        written.inspect_err(|_| self.open = None)
    }
}

impl Open {
    fn write(&mut self, writes: &[Write], offsets: Option<(&Proof, &TopicPartitionList)>) -> Result<Vec<i64>, Failed> {
        self.producer.begin().map_err(|failure| sort(&failure, "beginning a transaction"))?;
        match self.fill(writes, offsets) {
            Ok(places) => self.commit().map(|()| places),
            Err(failed) => {
                self.abort();
                Err(failed)
            }
        }
    }

    fn fill(&mut self, writes: &[Write], offsets: Option<(&Proof, &TopicPartitionList)>) -> Result<Vec<i64>, Failed> {
        for (token, write) in writes.iter().enumerate() {
            if !self.topics.contains_key(&write.topic) {
                let handle = self.producer.topic(&write.topic).map_err(Failed::Nothing)?;
                self.topics.insert(write.topic.clone(), handle);
            }
            let record =
                write.value.as_deref().map_or(RecordRef::null(), RecordRef::new).with_key(write.key.as_deref());
            loop {
                match self.producer.produce(&self.topics[&write.topic], write.partition as i32, &record, token) {
                    Ok(()) => break,
                    Err(RDKafkaErrorCode::QueueFull) => self.producer.poll(STEP_MS),
                    Err(code) => return Err(sort(&Failure::of(code), &format!("writing to '{}'", write.topic))),
                }
            }
        }
        let mut places = vec![-1; writes.len()];
        loop {
            let is_done = self.producer.flush(STEP_MS);
            for delivery in self.producer.take_deliveries() {
                if let Some(code) = delivery.failed {
                    return Err(sort(&self.reason(Failure::of(code)), "writing"));
                }
                if let Some(place) = places.get_mut(delivery.token) {
                    *place = delivery.offset;
                }
            }
            if is_done {
                break;
            }
        }
        if let Some((proof, list)) = offsets {
            while let Err(failure) = self.producer.send_offsets(proof, list, REPEAT_MS) {
                if !failure.is_retriable || failure.requires_abort || failure.is_fatal {
                    return Err(sort(&failure, "moving the offsets of a group"));
                }
            }
        }
        Ok(places)
    }

    /// Why a record failed that was only dropped with its transaction: what is refused is a commit, which says why.
    fn reason(&self, failure: Failure) -> Failure {
        if failure.is_fenced() || !failure.passes() {
            return failure;
        }
        match self.producer.commit(STEP_MS) {
            Err(why) if why.code != RDKafkaErrorCode::Inconsistent => why,
            _ => failure,
        }
    }

    /// Once the coordinator was asked, only its answer tells: also who is fenced may have asked once before, with no answer.
    fn commit(&self) -> Result<(), Failed> {
        loop {
            match self.producer.commit(REPEAT_MS) {
                Ok(()) => return Ok(()),
                Err(failure) if failure.is_fatal || failure.requires_abort || failure.is_fenced() => {
                    self.abort();
                    return Err(Failed::Unknown(failure.error("committing")));
                }
                Err(_) => {}
            }
        }
    }

    /// What cannot be aborted is aborted by whoever begins next.
    fn abort(&self) {
        while let Err(failure) = self.producer.abort(REPEAT_MS) {
            if !failure.is_retriable {
                return;
            }
        }
    }
}

fn sort(failure: &Failure, doing: &str) -> Failed {
    match failure.is_fenced() {
        true => Failed::Fenced,
        false => Failed::Nothing(failure.error(doing)),
    }
}

/// Lets another process finish that was faster: for a moment that chance chooses, and longer the more often this one has lost.
#[expect(clippy::disallowed_methods, reason = "nothing tells one process that another has finished")]
pub(crate) fn let_others(lost: u64) {
    let mut chance = [0; 1];
    if getrandom::fill(&mut chance).is_err() {
        chance = [128];
    }
    std::thread::sleep(Duration::from_millis(lost.min(10) * u64::from(chance[0])));
}

/// Writes single records that nobody waits for.
pub(crate) struct Plain {
    producer: Producer,
    topics: Mutex<HashMap<String, TopicHandle>>,
}

impl Plain {
    pub(crate) fn start(properties: &Properties) -> Result<Plain> {
        let producer = Producer::new(&properties.appending(), |failure| {
            tracing::debug!(error = failure.text, "a producer of Kafka");
        })?;
        Ok(Plain { producer, topics: Mutex::default() })
    }

    /// Hands a record over; does not wait.
    pub(crate) fn append(&self, topic: &str, partition: u32, key: &[u8], value: Option<&[u8]>) {
        let mut topics = self.topics.lock();
        if !topics.contains_key(topic)
            && let Ok(handle) = self.producer.topic(topic)
        {
            topics.insert(topic.to_owned(), handle);
        }
        let Some(handle) = topics.get(topic) else { return };
        let record = value.map_or(RecordRef::null(), RecordRef::new).with_key(Some(key));
        if let Err(code) = self.producer.produce(handle, partition as i32, &record, 0) {
            tracing::debug!(topic, error = %code, "a record was not taken");
        }
        self.producer.poll(0);
        self.producer.take_deliveries();
    }

    /// Waits until what was handed over is there, for at most so long.
    pub(crate) fn flush(&self, timeout_ms: i32) {
        self.producer.flush(timeout_ms);
    }
}
