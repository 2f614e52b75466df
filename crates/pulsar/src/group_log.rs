// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the processes of a server group share, in internal topics of one partition: `GROUP.functions` and its like.
//!
//! ```text
//!  │ Change of 0: a, b │ c │ Change of 1: a │ Change of 1: b │ Change of 3: b …
//!  0                   …   3?               ╳ another was faster
//! ```
//!
//! A change is one batch, which is one entry: all of it is there or nothing. It begins with the change that it is based on, which is the
//! last one that its writer has seen. It counts if that is the last one that counts before it; so of several that are based on the same
//! change, the first counts, and everybody who reads sees it so. Nobody has to be kept from writing: a broker may let two exclusive
//! producers in that come at the same moment. A change that is sent twice counts once. Records outside of changes always count.
//!
//! A subscription keeps what is needed, from a change on that counts: whoever begins to read there knows that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes};
use fnstream_core::error::internal;
use fnstream_core::record::Position;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_group::{Entry, Failed, Follower, Log, Row};
use fnstream_pulsar_client::{Consumer, Error as Failure, Message, Producer, ReceivedMessage};
use parking_lot::{Condvar, Mutex};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::place::{Pulsar, Shared};
use crate::position::{behind, entry_id, entry_of, id_of, position, position_of};
use crate::{error, names, runtime};

/// The key of what a change begins with.
const CHANGE: &[u8] = &[0];
/// About how much is in one batch; brokers take five megabytes unless told otherwise.
const BATCH_BYTES: usize = 2 << 20;
/// What a message has beside its key and value, at most.
const HEADER_BYTES: usize = 64;
/// How long a broker is waited for that is asked for the end. Topics that move are back by then.
const END: Duration = Duration::from_secs(5);
/// How long what is written may take to be read.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long after a failure something is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// See the module.
pub struct PulsarLog {
    shared: Arc<Shared>,
    /// The partition.
    topic: String,
    /// Keeps what is needed of the log.
    keeper: Consumer,
    read: Arc<Read>,
    /// The change that the next one is based on, of a change that has begun.
    based_on: Mutex<Option<Position>>,
    writer: Mutex<Option<Writer>>,
    said: UnboundedSender<Saying>,
}

struct Writer {
    producer: Producer,
    last_sequence_id: AtomicU64,
}

enum Saying {
    Record(Box<Message>),
    Flush(oneshot::Sender<()>),
}

/// What the follower has read.
#[derive(Default)]
struct Read {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    is_followed: bool,
    next: Position,
    changes: Changes,
}

/// Which changes count.
#[derive(Default)]
struct Changes {
    /// Those that do and were not dropped.
    counted: VecDeque<Position>,
    /// How many of the records that come next are of one that does not.
    passed_over: u32,
    /// Whether any was seen.
    is_any: bool,
}

impl Changes {
    /// The last one that counts.
    fn last(&self) -> Position {
        self.counted.back().copied().unwrap_or(Position::START)
    }

    /// Takes what a change begins with.
    fn begin(&mut self, at: Position, mut said: Bytes) {
        if said.len() < 20 {
            return;
        }
        let (based_on, count) = (Position(said.get_u128()), said.get_u32());
        // What was read first is kept because it counts.
        if !self.is_any || based_on == self.last() {
            self.counted.push_back(at);
            self.passed_over = 0;
        } else {
            self.passed_over = count;
        }
        self.is_any = true;
    }

    /// Whether a record counts.
    fn counts(&mut self) -> bool {
        let counts = self.passed_over == 0;
        self.passed_over = self.passed_over.saturating_sub(1);
        counts
    }

    /// From where on the log has to be kept so that everything from a position on is there; none if that is not known.
    fn keep_from(&mut self, position: Position) -> Option<Position> {
        if !self.is_any {
            return Some(position);
        }
        let before = self.counted.iter().take_while(|at| **at <= position).count().checked_sub(1)?;
        self.counted.drain(..before);
        self.counted.front().copied()
    }
}

impl PulsarLog {
    /// A log of the group, whose topic is made if it is not there. Blocks.
    pub fn open(pulsar: &Pulsar, what: &str) -> Result<PulsarLog> {
        let shared = pulsar.shared.clone();
        let name = shared.options.own(what);
        shared.have_topic(&name, 1)?;
        let topic = names::partition(&name, 0, 1);
        let keeper = runtime::wait(shared.keep(&topic))?;
        let (said, sayings) = unbounded_channel();
        runtime::spawn(say(shared.clone(), topic.clone(), sayings));
        let (read, based_on, writer) = (Arc::default(), Mutex::default(), Mutex::default());
        Ok(PulsarLog { shared, topic, keeper, read, based_on, writer, said })
    }

    fn failed(&self, doing: &str, failure: &Failure) -> Error {
        error::of(format!("{doing} '{}'", self.topic), failure)
    }

    /// Waits until the follower has come to a position.
    fn read_to(&self, end: Position) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let mut state = self.read.state.lock();
        while state.next < end {
            if self.read.moved.wait_until(&mut state, until).timed_out() {
                let message = format!("'{}' is read to {} of {end}", self.topic, state.next);
                return Err(Error::new(ErrorCode::Unavailable, message));
            }
        }
        Ok(())
    }

    /// Writes batches one after the other; answers where the last one begins, and the position behind it.
    fn send(&self, batches: Vec<Vec<Message>>) -> Result<(Position, Position), Failure> {
        let mut writer = self.writer.lock();
        let sent = runtime::wait(async {
            let open = match writer.take().filter(|writer| writer.producer.ended().is_none()) {
                Some(open) => open,
                None => {
                    let producer = self.shared.client.producer(&*self.topic).create().await?;
                    Writer { producer, last_sequence_id: AtomicU64::new(0) }
                }
            };
            let mut place = (Position::START, Position::START);
            for batch in batches {
                let count = batch.len() as u64;
                let first = open.last_sequence_id.fetch_add(count, Ordering::Relaxed) + 1;
                let receipt = open.producer.send_batch(first, batch).await?;
                if receipt.duplicate {
                    return Err(Failure::Timeout("the place of a batch that was sent twice"));
                }
                let (ledger, entry) = (receipt.message_id.ledger, receipt.message_id.entry);
                place = (position(ledger, entry, 0), position(ledger, entry, count as u32));
            }
            Ok((open, place))
        });
        let (open, place) = sent?;
        *writer = Some(open);
        Ok(place)
    }
}

impl Log for PulsarLog {
    fn name(&self) -> &str {
        &self.topic
    }

    fn follow(&self, follower: Arc<dyn Follower>) -> Result<Box<dyn Send + Sync>> {
        let kept = runtime::wait(self.keeper.last_message_id());
        let mark = kept.map_err(|failure| self.failed("looking for the beginning of", &failure))?.mark_delete;
        let from = mark.map(|mark| behind((mark.ledger, mark.entry)));
        *self.read.state.lock() = State { is_followed: true, ..State::default() };
        let (shared, topic, read) = (self.shared.clone(), self.topic.clone(), self.read.clone());
        Ok(Box::new(Following(runtime::spawn(follow(shared, topic, read, follower, from)))))
    }

    fn end(&self) -> Result<Position> {
        let until = Instant::now() + END;
        runtime::wait(async {
            loop {
                match self.keeper.last_message_id().await {
                    Ok(told) => return Ok(told.last.map_or(Position::START, |last| position_of(&last).next())),
                    Err(failure) if failure.is_retriable() && Instant::now() < until => runtime::pause(AGAIN).await,
                    Err(failure) => return Err(self.failed("looking for the end of", &failure)),
                }
            }
        })
    }

    fn fence(&self) -> Result<()> {
        if !self.read.state.lock().is_followed {
            return Err(internal("a log is changed that is not followed"));
        }
        self.read_to(self.end()?)?;
        *self.based_on.lock() = Some(self.read.state.lock().changes.last());
        Ok(())
    }

    fn write(&self, entries: Vec<Entry>) -> Result<Position, Failed> {
        let Some(based_on) = self.based_on.lock().take() else {
            return Err(Failed::Nothing(internal("no change was begun")));
        };
        let mut begins = Vec::with_capacity(20);
        begins.put_u128(based_on.0);
        begins.put_u32(entries.len() as u32);
        let change = [message(CHANGE.to_vec(), Some(begins))];
        let batch = change.into_iter().chain(entries.into_iter().map(of_entry)).collect();
        match self.send(vec![batch]) {
            Ok((at, next)) => {
                self.read_to(next).map_err(Failed::Unknown)?;
                match self.read.state.lock().changes.counted.contains(&at) {
                    true => Ok(next),
                    false => Err(Failed::Fenced),
                }
            }
            Err(failure @ (Failure::MessageTooLarge { .. } | Failure::InvalidMessage(_))) => {
                Err(Failed::Nothing(self.failed("writing", &failure)))
            }
            Err(failure) => Err(Failed::Unknown(self.failed("writing", &failure))),
        }
    }

    fn lay(&self, entries: Vec<Entry>) -> Result<()> {
        let sent = self.send(batches(entries));
        let (_, next) = sent.map_err(|failure| self.failed("writing", &failure))?;
        self.read_to(next)
    }

    fn read(&self, from: Position, to: Position, visit: &mut dyn FnMut(Row<'_>) -> Result<()>) -> Result<()> {
        self.shared.read_messages(&self.topic, Some(from), to, &mut |_, message| visit(row(&message)))
    }

    fn append(&self, key: &[u8], value: Option<&[u8]>) {
        // Fails only when the runtime ends.
        let _ = self.said.send(Saying::Record(Box::new(message(key.to_vec(), value.map(<[u8]>::to_vec)))));
    }

    fn flush(&self, patience: Duration) {
        let (done, flushed) = oneshot::channel();
        if self.said.send(Saying::Flush(done)).is_ok() {
            // A broker that is away is not waited for longer.
            drop(runtime::wait(async { timeout(patience, flushed).await }));
        }
    }

    fn is_compacted(&self) -> bool {
        false
    }

    fn drop_before(&self, position: Position) -> Result<()> {
        let Some(from) = self.read.state.lock().changes.keep_from(position) else { return Ok(()) };
        // The entry before the first of a ledger is not known; there is more to drop the next time.
        let (ledger, entry) = entry_of(from);
        let Some(before) = entry.checked_sub(1) else { return Ok(()) };
        let acknowledged = runtime::wait(self.keeper.ack_cumulative(&entry_id((ledger, before))));
        acknowledged.map_err(|failure| self.failed("cutting", &failure))
    }
}

impl std::fmt::Debug for PulsarLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PulsarLog").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// Messages in batches, each of which fits into an entry unless it is a single message.
fn batches(entries: Vec<Entry>) -> Vec<Vec<Message>> {
    let mut batches: Vec<Vec<Message>> = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        let size = entry.key.len() + entry.value.as_ref().map_or(0, Vec::len) + HEADER_BYTES;
        if batches.is_empty() || bytes + size > BATCH_BYTES {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(batch) = batches.last_mut() {
            batch.push(of_entry(entry));
        }
    }
    batches
}

fn of_entry(entry: Entry) -> Message {
    let mut message = message(entry.key, entry.value);
    message.event_time = entry.timestamp.and_then(|timestamp| u64::try_from(timestamp).ok());
    message
}

fn message(key: Vec<u8>, value: Option<Vec<u8>>) -> Message {
    value.map_or_else(Message::null, Message::new).key(key)
}

fn row(message: &ReceivedMessage) -> Row<'_> {
    let timestamp = message.event_time.unwrap_or(message.publish_time);
    Row {
        position: position_of(&message.id),
        timestamp: i64::try_from(timestamp).unwrap_or(i64::MAX),
        key: message.key.as_deref().unwrap_or_default(),
        value: message.payload.as_deref(),
    }
}

/// Follows until it is dropped.
struct Following(JoinHandle<()>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn follow(
    shared: Arc<Shared>,
    topic: String,
    read: Arc<Read>,
    follower: Arc<dyn Follower>,
    mut from: Option<Position>,
) {
    loop {
        let failure = match hear(&shared, &topic, &read, &*follower, &mut from).await {
            Ok(never) => match never {},
            Err(failure) => failure,
        };
        follower.fail(error::of(format!("following '{topic}'"), &failure));
        runtime::pause(AGAIN).await;
    }
}

/// Hears on from a position.
async fn hear(
    shared: &Shared,
    topic: &str,
    read: &Read,
    follower: &dyn Follower,
    from: &mut Option<Position>,
) -> Result<std::convert::Infallible, Failure> {
    let mut reader = shared.client.reader(topic).force_topic_creation(false);
    if let Some(from) = *from {
        reader = reader.from(id_of(from));
    }
    let reader = reader.open().await?;
    loop {
        let message = reader.next().await?;
        let row = row(&message);
        // Who reads on may be told some of a batch once more.
        if from.is_some_and(|from| row.position < from) {
            continue;
        }
        let next = row.position.next();
        let counts = {
            let changes = &mut read.state.lock().changes;
            match row.key == CHANGE {
                true => {
                    changes.begin(row.position, message.payload.clone().unwrap_or_default());
                    false
                }
                false => changes.counts(),
            }
        };
        follower.take(if counts { std::slice::from_ref(&row) } else { &[] }, next);
        *from = Some(next);
        read.state.lock().next = next;
        read.moved.notify_all();
    }
}

/// Writes what is handed over, one after the other. What cannot be written is given up: it is said again, or nobody needs it.
async fn say(shared: Arc<Shared>, topic: String, mut sayings: UnboundedReceiver<Saying>) {
    let mut voice: Option<Producer> = None;
    while let Some(saying) = sayings.recv().await {
        let producer = match voice.take().filter(|producer| producer.ended().is_none()) {
            Some(producer) => Ok(producer),
            None => shared.client.producer(&*topic).create().await,
        };
        let said = match (producer, saying) {
            (Ok(producer), Saying::Record(message)) => {
                let said = producer.send(*message);
                voice = Some(producer);
                said.await.map(drop)
            }
            (Ok(producer), Saying::Flush(done)) => {
                voice = Some(producer);
                // Whoever asked may have gone.
                let _ = done.send(());
                Ok(())
            }
            (Err(failure), _) => Err(failure),
        };
        if let Err(failure) = said {
            tracing::debug!(topic, %failure, "something was not said");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_together_is_one_batch_unless_it_is_too_large() {
        let entry = |bytes| Entry { key: b"k".to_vec(), value: Some(vec![0; bytes]), timestamp: None };
        let sizes = |entries| batches(entries).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(vec![entry(10), entry(0), entry(1000)]), [3]);
        assert_eq!(sizes(vec![entry(1 << 20), entry(3 << 19), entry(10)]), [1, 2]);
        assert_eq!(sizes(vec![entry(9 << 20), entry(10)]), [1, 1]);
    }

    fn begin(changes: &mut Changes, at: u128, based_on: u128, count: u32) {
        let mut said = Vec::new();
        said.put_u128(based_on);
        said.put_u32(count);
        changes.begin(Position(at), said.into());
    }

    #[test]
    fn of_changes_that_are_based_on_the_same_one_the_first_counts() {
        let mut changes = Changes::default();
        begin(&mut changes, 10, 0, 1);
        assert!(changes.counts());
        begin(&mut changes, 20, 10, 1);
        assert!(changes.counts());
        // Another writer's, and the same one sent again.
        for (at, based_on) in [(30, 10), (40, 10), (50, 30)] {
            begin(&mut changes, at, based_on, 2);
            assert!(!changes.counts() && !changes.counts(), "{at}");
            assert!(changes.counts(), "what comes behind is of no change");
        }
        begin(&mut changes, 60, 20, 1);
        assert!(changes.counts());
        assert_eq!(changes.counted, [10, 20, 60].map(Position));
    }

    #[test]
    fn a_log_is_kept_from_a_change_on_that_counts() {
        let mut changes = Changes::default();
        assert_eq!(changes.keep_from(Position(7)), Some(Position(7)), "there are none");
        for (at, based_on) in [(10, 0), (20, 10), (30, 10), (40, 20)] {
            begin(&mut changes, at, based_on, 1);
        }
        assert_eq!(changes.keep_from(Position(5)), None);
        assert_eq!(changes.keep_from(Position(35)), Some(Position(20)));
        assert_eq!(changes.keep_from(Position(40)), Some(Position(40)));
        // Who begins to read there goes on in the same way.
        let mut late = Changes::default();
        begin(&mut late, 40, 20, 1);
        for (at, based_on) in [(50, 40), (60, 40)] {
            begin(&mut changes, at, based_on, 1);
            begin(&mut late, at, based_on, 1);
        }
        assert_eq!((late.last(), changes.last()), (Position(50), Position(50)));
    }
}
