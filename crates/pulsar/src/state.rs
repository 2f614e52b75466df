// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! State of tasks, on the local disk and in a log of the task: the *state log*, an internal topic beside the delta log.
//!
//! ```text
//!  state log   … │ old a b │ new x │ Marker 7 │ old c d │ new y │ Marker 8 │ …
//!                  └ rewritten       └ all of epoch 7 is here
//!  delta log     dropped before the entry of what the state log has
//!  local store   as the state log, or one apply behind it
//! ```
//!
//! An apply goes to the state log first: whole values and deletions, closed by a marker. What no marker closes counts for nothing, so an
//! apply may be cut anywhere. Then it goes to the local store. An empty disk is filled from the state log up to its last marker, in pieces
//! that end at markers, and then from the delta log.
//!
//! The log does not grow beyond a few times the state. Each apply rewrites as much of the state as it writes anew, in the order of the
//! keys; when all keys were rewritten, what came before the first of them is dropped. So nothing depends on compaction by the broker.
//!
//! The log is opened for writing by the first apply of an owner. Until then one that was fenced may write to it, but only what it had
//! committed.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fnstream_core::committer::Replay;
use fnstream_core::delta::{Delta, Write};
use fnstream_core::epoch::{Epoch, TaskId};
use fnstream_core::record::Position;
use fnstream_core::state::{Keyed, Marker, StateStore, StateStores, Unfinished, Visit, resolved};
use fnstream_core::{Error, ErrorCode, Result, failpoint};
use fnstream_pulsar_client::{Access, Consumer, InitialPosition, Message, Producer, SubscriptionType};
use parking_lot::Mutex;

use crate::place::{KEEPER, Pulsar, Shared};
use crate::position::{behind, entry_id, entry_of, position_of};
use crate::{error, names, runtime};

const VERSION: u8 = 1;
const FENCE: u8 = b'f';
const CHUNK: u8 = b'c';
const MARKER: u8 = b'm';
/// How much is in one message; brokers take five megabytes unless told otherwise.
const CHUNK_BYTES: usize = 1 << 20;
/// What begins a place within a restore, which is no place in a delta log.
const WITHIN: u8 = b's';
/// How much a piece of a restore has.
const PIECE_BYTES: usize = 4 << 20;

/// Stores of a local disk that write what is applied to Pulsar too.
pub struct PulsarStates {
    pulsar: Arc<Pulsar>,
    local: Arc<dyn StateStores>,
}

impl PulsarStates {
    /// The stores of a place's tasks, over those of the local disk.
    pub fn new(pulsar: Arc<Pulsar>, local: Arc<dyn StateStores>) -> PulsarStates {
        PulsarStates { pulsar, local }
    }
}

impl StateStores for PulsarStates {
    fn open(&self, task: TaskId) -> Result<Arc<dyn StateStore>> {
        Ok(Arc::new(Store { shared: self.pulsar.shared.clone(), task, local: self.local.open(task)? }))
    }
}

struct Store {
    shared: Arc<Shared>,
    task: TaskId,
    local: Arc<dyn StateStore>,
}

impl StateStore for Store {
    fn marker(&self) -> Result<Option<Marker>> {
        self.local.marker()
    }

    fn unfinished(&self) -> Result<Option<Unfinished>> {
        self.local.unfinished()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.local.get(key)
    }

    fn scan(&self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        self.local.scan(start, end, visit)
    }

    fn apply(&self, delta: &Delta, marker: &Marker) -> Result<()> {
        // What is restored comes from the log.
        if place_within(marker).is_none() {
            let log = self.shared.state_log(self.task, &*self.local)?;
            log.apply(delta, marker, &*self.local)?;
        }
        self.local.apply(delta, marker)
    }
}

/// The state logs that this process writes.
#[derive(Default)]
pub(crate) struct States {
    open: Mutex<HashMap<TaskId, Arc<StateLog>>>,
}

impl States {
    /// Another owner may have the task: whoever applies next looks anew.
    pub(crate) fn forget(&self, task: TaskId) {
        self.open.lock().remove(&task);
    }

    /// Up to which epoch a state log has everything, if this process writes it.
    pub(crate) fn closed(&self, task: TaskId) -> Option<Epoch> {
        let log = self.open.lock().get(&task).cloned()?;
        let state = log.state.lock();
        Some(state.closed)
    }
}

/// The state log of a task, as its owner writes it.
pub(crate) struct StateLog {
    task: TaskId,
    producer: Producer,
    /// Keeps what is needed of the log.
    keeper: Consumer,
    state: Mutex<Written>,
}

/// What is in the log.
struct Written {
    /// Everything up to this epoch.
    closed: Epoch,
    /// Keys that it may have and the local store not, until an apply has passed them.
    ahead: HashSet<Bytes>,
    /// The key from which on the state is rewritten next.
    next_key: Vec<u8>,
    /// What is dropped when all keys were rewritten: everything up to here.
    base: Position,
}

impl StateLog {
    /// Writes what is applied. Does nothing if the log has it already.
    fn apply(&self, delta: &Delta, marker: &Marker, local: &dyn StateStore) -> Result<()> {
        let mut written = self.state.lock();
        if marker.epoch <= written.closed {
            return Ok(());
        }
        let records = resolved(delta, local, &written.ahead)?;
        let in_step = local.marker()?.map_or(Epoch(0), |marker| marker.epoch) == written.closed;
        let (mut old, mut is_round) = (Vec::new(), false);
        // A store that is behind the log would put old values over new ones.
        if in_step {
            let budget = records.iter().map(size).sum::<usize>();
            is_round = rewritten(local, &mut written.next_key, budget, &mut old)?;
        }
        let chunks = chunks(&old).chain(chunks(&records)).chain([encode_marker(marker)?]);
        let mut sent = Vec::new();
        let end = runtime::wait(async {
            for chunk in chunks {
                self.producer.ready().await?;
                sent.push(self.producer.send(Message::new(chunk)));
            }
            let mut end = Position::START;
            for receipt in sent {
                end = position_of(&receipt.await?.message_id);
            }
            Ok(end)
        })
        .map_err(|e| error::of(format!("writing the state of task {}", self.task), &e))?;
        failpoint!("pulsar.state.after-marker");
        written.closed = marker.epoch;
        written.ahead.clear();
        if is_round {
            let base = std::mem::replace(&mut written.base, end);
            let kept = runtime::wait(self.keeper.ack_cumulative(&entry_id(entry_of(base))));
            if let Err(failure) = kept {
                tracing::debug!(task = %self.task, %failure, "a state log is not cut yet");
            }
        }
        Ok(())
    }
}

/// Takes about so many bytes of the state from a key on. Answers whether the last key was passed.
fn rewritten(local: &dyn StateStore, next_key: &mut Vec<u8>, budget: usize, old: &mut Vec<Keyed>) -> Result<bool> {
    let mut bytes = 0;
    let mut is_round = true;
    let start = std::mem::take(next_key);
    local.scan(&start, None, &mut |key, value| {
        if bytes >= budget {
            *next_key = key.to_vec();
            is_round = false;
            return ControlFlow::Break(());
        }
        bytes += key.len() + value.len();
        old.push((key.to_vec(), Some(value.to_vec())));
        ControlFlow::Continue(())
    })?;
    Ok(is_round)
}

fn size((key, value): &Keyed) -> usize {
    key.len() + value.as_ref().map_or(0, Vec::len) + 9
}

/// Records in messages.
fn chunks(records: &[Keyed]) -> impl Iterator<Item = Vec<u8>> {
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    for record in records {
        if chunks.last().is_none_or(|chunk| chunk.len() + size(record) > CHUNK_BYTES) {
            chunks.push(vec![VERSION, CHUNK]);
        }
        if let Some(chunk) = chunks.last_mut() {
            let (key, value) = record;
            chunk.put_u32(key.len() as u32);
            chunk.extend_from_slice(key);
            chunk.put_u8(u8::from(value.is_some()));
            chunk.put_u32(value.as_ref().map_or(0, Vec::len) as u32);
            chunk.extend_from_slice(value.as_deref().unwrap_or_default());
        }
    }
    chunks.into_iter()
}

fn encode_marker(marker: &Marker) -> Result<Vec<u8>> {
    postcard::to_extend(marker, vec![VERSION, MARKER]).map_err(|e| corrupt(&e))
}

/// An entry of the log.
enum Entry {
    Fence,
    Chunk(Bytes),
    Marker(Marker),
}

impl Entry {
    fn decode(mut bytes: Bytes) -> Result<Entry> {
        if bytes.len() < 2 {
            return Err(corrupt(&"an entry of less than two bytes"));
        }
        match (bytes.get_u8(), bytes.get_u8()) {
            (VERSION, FENCE) => Ok(Entry::Fence),
            (VERSION, CHUNK) => Ok(Entry::Chunk(bytes)),
            (VERSION, MARKER) => Ok(Entry::Marker(postcard::from_bytes(&bytes).map_err(|e| corrupt(&e))?)),
            (VERSION, kind) => Err(corrupt(&format_args!("an entry of kind {kind}"))),
            (version, _) => Err(corrupt(&format_args!("version {version} is not known"))),
        }
    }
}

/// Puts the records of a chunk into a delta.
fn take_chunk(mut chunk: Bytes, delta: &mut Delta) -> Result<()> {
    let short = || corrupt(&"a record that ends early");
    while !chunk.is_empty() {
        if chunk.len() < 4 {
            return Err(short());
        }
        let length = chunk.get_u32() as usize;
        if chunk.len() < length.saturating_add(5) {
            return Err(short());
        }
        let key = chunk.split_to(length);
        let has_value = chunk.get_u8() == 1;
        let length = chunk.get_u32() as usize;
        if chunk.len() < length {
            return Err(short());
        }
        let value = chunk.split_to(length);
        delta.write(&key, if has_value { Write::Put(value) } else { Write::Delete });
    }
    Ok(())
}

/// Makes pieces of a state log. Each ends at a marker.
pub(crate) struct Restore {
    /// What markers have closed.
    closed: Delta,
    /// What comes after the last marker.
    open: Vec<Bytes>,
    marker: Option<Marker>,
}

impl Restore {
    /// From the beginning, or on from the place that a store has.
    pub(crate) fn begin(is_begun: bool) -> Restore {
        let mut closed = Delta::new();
        if !is_begun {
            closed.delete_range(b"", None);
        }
        Restore { closed, open: Vec::new(), marker: None }
    }

    /// Takes the next entry; gives a piece when there is enough for one.
    pub(crate) fn take(&mut self, at: Position, payload: Bytes) -> Result<Option<(Marker, Delta)>> {
        match Entry::decode(payload)? {
            // Whoever was taken over in the middle of an apply has not made it.
            Entry::Fence => self.open.clear(),
            Entry::Chunk(chunk) => self.open.push(chunk),
            Entry::Marker(marker) => {
                for chunk in self.open.drain(..) {
                    take_chunk(chunk, &mut self.closed)?;
                }
                self.marker = Some(marker);
                if self.closed.bytes() >= PIECE_BYTES {
                    return Ok(Some((within(at), std::mem::take(&mut self.closed))));
                }
            }
        }
        Ok(None)
    }

    /// The last piece, if anything was ever applied.
    pub(crate) fn end(self) -> Option<(Marker, Delta)> {
        Some((self.marker?, self.closed))
    }
}

/// The marker of a store that was filled up to a place of the state log.
fn within(at: Position) -> Marker {
    let mut place = BytesMut::from(&[WITHIN][..]);
    place.extend_from_slice(&crate::position::to_bytes(at));
    Marker { epoch: Epoch(0), log_end: place.freeze() }
}

/// Up to where a store was filled that has a part of the state.
pub(crate) fn place_within(applied: &Marker) -> Option<Position> {
    let place = applied.log_end.strip_prefix(&[WITHIN])?;
    (applied.epoch == Epoch(0)).then(|| crate::position::from_bytes(place))?
}

impl Shared {
    /// The state log of a task, which is opened for writing if it is not.
    fn state_log(&self, task: TaskId, local: &dyn StateStore) -> Result<Arc<StateLog>> {
        if let Some(open) = self.states.open.lock().get(&task).filter(|log| log.producer.ended().is_none()) {
            return Ok(open.clone());
        }
        let function = self.function(task.function)?;
        let topic = names::partition(&function.state, task.index, 1);
        let doing = format!("opening the state log of task {task}");
        let failed = |e| error::of(&doing, &e);
        let opened: Result<_> = runtime::wait(async {
            // What is written is kept from here on.
            let keeper = self.keep(&topic).await?;
            let made = self.client.producer(&topic).access(Access::ExclusiveWithFencing).create().await;
            let producer = made.map_err(failed)?;
            let fence = producer.send(Message::new(vec![VERSION, FENCE])).await.map_err(failed)?;
            Ok((keeper, producer, position_of(&fence.message_id)))
        });
        let (keeper, producer, fence) = opened?;
        let closed = self.last_marker(&topic, fence)?.map_or(Epoch(0), |marker| marker.epoch);
        let has = local.marker()?;
        let mut ahead = HashSet::new();
        if has.as_ref().map_or(Epoch(0), |marker| marker.epoch) < closed {
            self.each_delta(&function.log, task, has.as_ref(), &mut |epoch, delta| {
                if epoch <= closed {
                    ahead.extend(delta.entries().map(|(key, _)| Bytes::copy_from_slice(key)));
                }
            })?;
        }
        let state = Mutex::new(Written { closed, ahead, next_key: Vec::new(), base: fence });
        let log = Arc::new(StateLog { task, producer, keeper, state });
        self.states.open.lock().insert(task, log.clone());
        Ok(log)
    }

    /// Keeps an internal topic from here on.
    pub(crate) async fn keep(&self, topic: &str) -> Result<Consumer> {
        let made = self
            .client
            .consumer(topic)
            .subscription(KEEPER)
            .subscription_type(SubscriptionType::Failover)
            .name(self.who())
            .initial_position(InitialPosition::Earliest)
            .receiver_queue(0)
            .force_topic_creation(false)
            .subscribe()
            .await;
        made.map_err(|e| error::of(format!("holding '{topic}'"), &e))
    }

    /// The last marker of a state log before a position.
    fn last_marker(&self, topic: &str, until: Position) -> Result<Option<Marker>> {
        self.told_last(topic, until, &mut |_, payload, last: &mut Option<Marker>| {
            if let Entry::Marker(marker) = Entry::decode(payload)? {
                *last = Some(marker);
            }
            Ok(())
        })
    }

    /// Gives a store that lacks it what the state log has, in pieces; answers the marker that it has then. Blocks.
    pub(crate) fn restore(
        &self,
        topic: &str,
        applied: Option<&Marker>,
        replay: &mut Replay<'_>,
    ) -> Result<Option<Marker>> {
        let (last, mark) = runtime::wait(async {
            let keeper = self.keep(topic).await?;
            let told = keeper.last_message_id().await;
            drop(keeper.close().await);
            let told = told.map_err(|e| error::of(format!("looking at the state log '{topic}'"), &e))?;
            Ok::<_, Error>((told.last, told.mark_delete))
        })?;
        let Some(last) = last else { return Ok(None) };
        let begun = applied.and_then(place_within).filter(|place| {
            // What has been dropped since may be what comes next.
            mark.is_none_or(|mark| entry_of(*place) >= (mark.ledger, mark.entry))
        });
        let from = begun.map(Position::next).or_else(|| mark.map(|mark| behind((mark.ledger, mark.entry))));
        let mut restore = Restore::begin(begun.is_some());
        let read = self.read_log(topic, from, position_of(&last).next(), &mut |at, payload| match restore
            .take(at, payload)?
        {
            Some((marker, piece)) => replay(marker, piece),
            None => Ok(()),
        });
        read?;
        match restore.end() {
            Some((marker, piece)) => replay(marker.clone(), piece).map(|()| Some(marker)),
            None => Ok(None),
        }
    }
}

fn corrupt(why: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorCode::DataCorrupt, format!("a state log: {why}"))
}
