// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Appending for clients: one idempotent producer, and two threads.
//!
//! ```text
//!  append ──► queue ──► kafka-append: partitions ──► librdkafka ──► broker
//!    done ◄── pending ◄── kafka-acks: what became of each record ◄──┘
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, unbounded};
use fnstream_core::error::internal;
use fnstream_core::record::partition_for_key;
use fnstream_core::topics::{AppendDone, Appended};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::Frame;
use parking_lot::{Condvar, Mutex};
use rdkafka::types::RDKafkaErrorCode;

use super::layouts::{Layouts, not_found};
use crate::error::Failure;
use crate::feed::Health;
use crate::native::Producer;
use crate::properties::Properties;
use crate::source::position_of;

/// How long one wait for the client is.
const WAIT_MS: i32 = 500;

/// How long the client is given to look a topic up that it knows in another form.
const LOOK_UP_MS: i32 = 10_000;

/// See the module.
pub(super) struct Appender {
    queue: Sender<Append>,
    pending: Arc<Pending>,
}

struct Append {
    topic: String,
    partition: Option<u32>,
    frame: Bytes,
    done: AppendDone,
}

/// The appends whose records were handed to the client.
#[derive(Default)]
struct Pending {
    state: Mutex<State>,
    /// An append ended.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    /// By the token of the first record; those of the others follow.
    appends: BTreeMap<usize, Under>,
    /// The next token.
    next: usize,
    is_over: bool,
}

/// An append under way.
struct Under {
    topic: String,
    /// Where each record goes, and its offset once it is there.
    records: Vec<(u32, i64)>,
    /// How many have no answer yet.
    left: usize,
    failed: Option<Error>,
    done: Option<AppendDone>,
}

impl Appender {
    pub(super) fn start(properties: &Properties, layouts: Arc<Layouts>) -> Result<Appender> {
        let health = Arc::new(Health::default());
        let noted = health.clone();
        let producer = Arc::new(Producer::new(&properties.appending(), move |failure| noted.note(&failure))?);
        let pending = Arc::new(Pending::default());
        let (queue, received) = unbounded();
        let outbound = Outbound {
            producer: producer.clone(),
            pending: pending.clone(),
            layouts: layouts.clone(),
            turn: AtomicU32::new(0),
        };
        let acks = Acks { producer, pending: pending.clone(), layouts, health };
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let spawned = thread::Builder::new().name(name.to_owned()).spawn(run);
            spawned.map_err(|e| internal(format!("no thread for a producer of Kafka: {e}")))
        };
        spawn("kafka-append", Box::new(move || outbound.run(&received)))?;
        spawn("kafka-acks", Box::new(move || acks.run()))?;
        Ok(Appender { queue, pending })
    }

    pub(super) fn append(&self, topic: String, partition: Option<u32>, frame: Bytes, done: AppendDone) {
        if let Err(refused) = self.queue.send(Append { topic, partition, frame, done }) {
            (refused.0.done)(Err(internal("the producer of Kafka has ended")));
        }
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        self.pending.state.lock().is_over = true;
    }
}

/// Hands records to the client.
struct Outbound {
    producer: Arc<Producer>,
    pending: Arc<Pending>,
    layouts: Arc<Layouts>,
    /// The partition of the next records without keys.
    turn: AtomicU32,
}

impl Outbound {
    fn run(self, queue: &Receiver<Append>) {
        for Append { topic, partition, frame, done } in queue {
            match self.places(&topic, partition, &frame) {
                Ok(places) if places.is_empty() => done(Ok(Vec::new())),
                Ok(places) => self.produce(topic, places, &frame, done),
                Err(error) => done(Err(error)),
            }
        }
    }

    /// The partition of each record.
    fn places(&self, topic: &str, partition: Option<u32>, frame: &[u8]) -> Result<Vec<u32>> {
        let malformed = |e: fnstream_frame::FrameError| Error::new(ErrorCode::InvalidRequest, e.to_string());
        let frame = Frame::parse(frame).map_err(malformed)?;
        if let Some(record) = frame.iter().find(|record| record.timestamp <= 0) {
            let message = format!("Kafka keeps no timestamp before 1 ms after 1970, such as {}", record.timestamp);
            return Err(Error::new(ErrorCode::InvalidRequest, message));
        }
        if let Some(partition) = partition {
            self.layouts.check(topic, partition)?;
            return Ok(vec![partition; frame.len()]);
        }
        let count = self.layouts.partitions(topic)?;
        let keyless = self.turn.fetch_add(1, Ordering::Relaxed) % count;
        Ok(frame.iter().map(|record| record.key.map_or(keyless, |key| partition_for_key(key, count))).collect())
    }

    fn produce(&self, topic: String, places: Vec<u32>, frame: &[u8], done: AppendDone) {
        let (handle, frame) = match (self.producer.topic(&topic), Frame::parse(frame)) {
            (Ok(handle), Ok(frame)) => (handle, frame),
            (Err(error), _) => return done(Err(error)),
            (_, Err(e)) => return done(Err(Error::new(ErrorCode::InvalidRequest, e.to_string()))),
        };
        let records: Vec<_> = places.into_iter().map(|partition| (partition, 0)).collect();
        let count = records.len();
        let first =
            self.pending.begin(Under { topic, left: count, records: records.clone(), failed: None, done: Some(done) });
        for (index, ((partition, _), record)) in records.into_iter().zip(frame.iter()).enumerate() {
            let (token, mut is_fresh) = (first.wrapping_add(index), false);
            let refused = loop {
                match self.producer.produce(&handle, partition as i32, &record, token) {
                    Ok(()) => break None,
                    Err(RDKafkaErrorCode::QueueFull) => self.pending.wait(),
                    Err(RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::UnknownTopic) if !is_fresh => {
                        self.producer.look_up(&handle, LOOK_UP_MS);
                        is_fresh = true;
                    }
                    Err(code) => break Some(code),
                }
            };
            if let Some(code) = refused {
                // Those behind it are not sent any more.
                self.pending.fail(first, count - index, Failure::of(code));
                return;
            }
        }
    }
}

/// Learns what became of records.
struct Acks {
    producer: Arc<Producer>,
    pending: Arc<Pending>,
    layouts: Arc<Layouts>,
    health: Arc<Health>,
}

impl Acks {
    fn run(self) {
        loop {
            self.producer.poll(WAIT_MS);
            let deliveries = self.producer.take_deliveries();
            let mut state = self.pending.state.lock();
            let mut ended = Vec::new();
            for delivery in deliveries {
                let Some((first, under)) = state.appends.range_mut(..=delivery.token).next_back() else { continue };
                let (first, index) = (*first, delivery.token - first);
                match delivery.failed {
                    None => {
                        self.health.is_well();
                        under.records[index].1 = delivery.offset;
                    }
                    Some(code) => {
                        self.layouts.forget(&under.topic);
                        let topic = &under.topic;
                        under.failed.get_or_insert_with(|| self.why(topic, code));
                    }
                }
                under.left -= 1;
                if under.left == 0 {
                    ended.extend(state.appends.remove(&first));
                }
            }
            let is_over = state.is_over && state.appends.is_empty();
            drop(state);
            self.pending.ended.notify_all();
            ended.into_iter().for_each(Under::end);
            if is_over {
                return;
            }
        }
    }

    /// What is the matter with a topic or with the cluster.
    fn why(&self, topic: &str, code: RDKafkaErrorCode) -> Error {
        match code {
            RDKafkaErrorCode::MessageTimedOut => self.health.trouble().unwrap_or_else(|| failed(topic, code)),
            _ => failed(topic, code),
        }
    }
}

fn failed(topic: &str, code: RDKafkaErrorCode) -> Error {
    let failure = Failure::of(code);
    match code {
        RDKafkaErrorCode::MessageSizeTooLarge
        | RDKafkaErrorCode::InvalidMessageSize
        | RDKafkaErrorCode::MessageBatchTooLarge => {
            Error::new(ErrorCode::RecordTooLarge, format!("appending to topic '{topic}': {}", failure.text))
        }
        RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition => not_found(topic),
        _ => failure.error(format_args!("appending to topic '{topic}'")),
    }
}

impl Pending {
    /// Answers the token of the first record.
    fn begin(&self, under: Under) -> usize {
        let mut state = self.state.lock();
        let first = state.next;
        state.next += under.records.len();
        state.appends.insert(first, under);
        first
    }

    /// The last records of an append were not handed over.
    fn fail(&self, first: usize, count: usize, failure: Failure) {
        let mut state = self.state.lock();
        let Some(under) = state.appends.get_mut(&first) else { return };
        under.failed.get_or_insert_with(|| failed(&under.topic, failure.code));
        under.left -= count;
        let ended = if under.left == 0 { state.appends.remove(&first) } else { None };
        drop(state);
        ended.into_iter().for_each(Under::end);
    }

    /// Waits until the client may have room: until records were answered, or its next look around.
    fn wait(&self) {
        self.ended.wait(&mut self.state.lock());
    }
}

impl Under {
    /// All of its records were answered.
    fn end(self) {
        let Some(done) = self.done else { return };
        done(match self.failed {
            Some(error) => Err(error),
            None => Ok(runs(self.records)),
        });
    }
}

/// The runs of positions that follow each other, by partition.
fn runs(mut records: Vec<(u32, i64)>) -> Appended {
    records.sort_unstable();
    let mut runs: Vec<(u32, i64, u32)> = Vec::new();
    for (partition, offset) in records {
        match runs.last_mut() {
            Some((of, first, count)) if *of == partition && *first + i64::from(*count) == offset => *count += 1,
            _ => runs.push((partition, offset, 1)),
        }
    }
    runs.into_iter().map(|(partition, first, count)| (partition, position_of(first), count)).collect()
}

#[cfg(test)]
mod tests {
    use fnstream_core::record::Position;

    use super::*;

    #[test]
    fn a_run_ends_where_somebody_else_has_appended() {
        let records = vec![(1, 5), (0, 7), (1, 6), (1, 9), (0, 8)];
        assert_eq!(runs(records), [(0, Position(7), 2), (1, Position(5), 2), (1, Position(9), 1)]);
    }
}
