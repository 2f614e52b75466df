// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Groups of consumers as subscriptions: a group's place is the subscription's, which other tools see and may move.
//!
//! A group's subscription has one consumer at a time and is of the exclusive type. It is acknowledged up to what is taken just before that
//! is given, and moved back if it is put back. So a consumer of another kind in the same subscription, or another process that takes from
//! it at this moment, is in the way. Where the server has several processes, each lets go of the subscription after it has taken, and waits
//! for the others for a while.
//!
//! A take may end within a batch. How far it was taken the broker remembers only if it is set to (`acknowledgmentAtBatchIndexLevelEnabled`);
//! else what is left of the batch is given once more after the connection has ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fnstream_core::Result;
use fnstream_core::batch::{Batch, BatchPositions};
use fnstream_core::broker::PollLimit;
use fnstream_core::groups::{Claim, GroupPlace, Groups, Taken, Taking};
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::topic::Topic;
use fnstream_core::waker::Waker;
use fnstream_frame::FrameBuilder;
use fnstream_pulsar_client::{
    Consumer, Error as Failure, Event, InitialPosition, ReceivedMessage, SeekTo, SubscriptionType,
};
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::messages::{pack, size};
use crate::position::{behind, entry_id, entry_of, position_of};
use crate::topics::PulsarTopics;
use crate::{error, runtime};

/// How many messages the broker may send at once.
const AHEAD: u32 = 100;
/// So many subscriptions are kept ready for the next take.
const KEPT: usize = 64;
/// How long is waited for messages that have to be there.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is tried to come to a subscription that another process has.
const AGAIN: Duration = Duration::from_millis(20);

/// See the module.
pub struct PulsarGroups {
    topics: Arc<PulsarTopics>,
    table: Mutex<Table>,
}

/// A group's reading of a topic.
type Key = (String, Topic);

#[derive(Default)]
struct Table {
    /// Those of which somebody holds a claim or is about to, and who waits for its end.
    busy: HashMap<Key, Vec<Waker>>,
    claims: HashMap<Claim, Claimed>,
    /// Consumers, while nobody uses them; the latest last.
    open: Vec<((String, TopicPartition), Open)>,
}

/// A subscription of a partition.
struct Open {
    consumer: Consumer,
    /// What came and was not taken yet, with where each begins.
    here: Vec<ReceivedMessage>,
    /// Where the group stands, and where it stood before it took last.
    place: Position,
    stood: Position,
    /// Where the broker was told that it stands, until the broker has said that it knows.
    trying: Option<Position>,
}

/// What a claim was given.
struct Claimed {
    key: Key,
    at: TopicPartition,
    /// Where the group stood, and where it stands.
    stood: Position,
    next: Position,
}

impl PulsarGroups {
    /// Groups of these topics.
    pub fn new(topics: &Arc<PulsarTopics>) -> Arc<PulsarGroups> {
        Arc::new(PulsarGroups { topics: topics.clone(), table: Mutex::default() })
    }

    /// Takes from the first partition that has something.
    fn take_next(&self, key: &Key, partitions: &[TopicPartition], limit: PollLimit) -> Result<Option<Taken>> {
        for at in partitions {
            let name = runtime::wait(self.topics.shared.partition(&at.topic, at.partition))?;
            let mut open = self.open(&key.0, at, &name)?;
            let mut taken = runtime::wait(open.take(limit));
            if taken.is_err() {
                // It has ended with its connection, its topic or its subscription.
                let ended = std::mem::replace(&mut open, self.join(&key.0, at, &name)?);
                // What the broker took note of although its answer was lost is given now. If the place is another, somebody else has taken.
                if ended.trying.is_some_and(|trying| (ended.stood..=trying).contains(&open.place)) {
                    taken = match runtime::wait(open.go_to(ended.stood)) {
                        Ok(()) => runtime::wait(open.take(limit)),
                        Err(failure) => Err(failure),
                    };
                } else {
                    taken = runtime::wait(open.take(limit));
                }
                runtime::spawn(async move { ended.consumer.close().await });
            }
            let stood = open.stood;
            let taken = match taken {
                Ok(taken) => taken,
                Err(failure) => {
                    runtime::spawn(async move { open.consumer.close().await });
                    return Err(error::of(format!("taking from {at} for the group '{}'", key.0), &failure));
                }
            };
            self.keep((key.0.clone(), at.clone()), open);
            if taken.is_empty() {
                continue;
            }
            let mut frame = FrameBuilder::new();
            taken.iter().try_for_each(|message| pack(message, 0, None, &mut frame))?;
            let positions: Vec<_> = taken.iter().map(|message| position_of(&message.id)).collect();
            let next = positions.last().map_or(stood, |last| last.next());
            let batch = Batch::new(at.clone(), BatchPositions::Each(positions), frame.to_bytes().into())?;
            let claim = new_claim();
            self.table.lock().claims.insert(claim, Claimed { key: key.clone(), at: at.clone(), stood, next });
            return Ok(Some(Taken { batch, next, skipped_from: None, claim }));
        }
        Ok(None)
    }

    /// The subscription of a group in a partition, as it was left or anew.
    fn open(&self, group: &str, at: &TopicPartition, name: &str) -> Result<Open> {
        {
            let mut table = self.table.lock();
            let known = table.open.iter().position(|((of, partition), _)| of == group && partition == at);
            if let Some(index) = known {
                return Ok(table.open.remove(index).1);
            }
        }
        self.join(group, at, name)
    }

    fn join(&self, group: &str, at: &TopicPartition, name: &str) -> Result<Open> {
        let failed = |e| error::of(format!("joining {at} as the group '{group}'"), &e);
        let shared = &self.topics.shared;
        let until = Instant::now() + PATIENCE;
        let consumer = runtime::wait(async {
            loop {
                let subscribed = shared
                    .client
                    .consumer(name)
                    .subscription(group)
                    .subscription_type(SubscriptionType::Exclusive)
                    .name(shared.who())
                    .initial_position(InitialPosition::Earliest)
                    .receiver_queue(0)
                    .force_topic_creation(false)
                    // While nobody takes, it must not make a subscription of a topic that is new under an old name.
                    .reconnects(false)
                    .subscribe()
                    .await;
                match subscribed {
                    Err(Failure::ConsumerBusy(_)) if shared.options.is_shared && Instant::now() < until => {
                        runtime::pause(AGAIN).await;
                    }
                    subscribed => return subscribed.map_err(failed),
                }
            }
        })?;
        let mark = runtime::wait(consumer.last_message_id()).map_err(failed)?.mark_delete;
        let place = mark.map_or(Position::START, |mark| behind((mark.ledger, mark.entry)));
        Ok(Open { consumer, here: Vec::new(), place, stood: place, trying: None })
    }

    fn keep(&self, of: (String, TopicPartition), open: Open) {
        if self.topics.shared.options.is_shared {
            // For another process to have it.
            drop(runtime::wait(open.consumer.close()));
            return;
        }
        let mut table = self.table.lock();
        table.open.push((of, open));
        if table.open.len() > KEPT {
            let (_, oldest) = table.open.remove(0);
            runtime::spawn(async move { oldest.consumer.close().await });
        }
    }

    /// Lets others of the group come.
    fn free(&self, key: &Key) {
        let waiting = self.table.lock().busy.remove(key);
        waiting.iter().flatten().for_each(Waker::wake);
    }

    fn close(&self, claim: Claim) -> Option<Claimed> {
        self.table.lock().claims.remove(&claim)
    }
}

impl Open {
    /// Takes what is there, and moves the subscription behind it.
    async fn take(&mut self, limit: PollLimit) -> Result<Vec<ReceivedMessage>, Failure> {
        self.stood = self.place;
        let told = self.consumer.last_message_id().await?;
        let end = told.last.map_or(Position::START, |last| position_of(&last).next());
        let reached = |here: &[ReceivedMessage], place| here.last().map_or(place, |last| position_of(&last.id).next());
        while self.here.len() < limit.records.max(1) && reached(&self.here, self.place) < end {
            let bytes: usize = self.here.iter().map(size).sum();
            if bytes >= limit.bytes.max(1) && !self.here.is_empty() {
                break;
            }
            self.consumer.grant_up_to(AHEAD);
            let Ok(event) = timeout(PATIENCE, self.consumer.recv()).await else {
                return Err(Failure::Timeout("the next messages"));
            };
            match event? {
                Event::Messages(entry) => {
                    let place = reached(&self.here, self.place);
                    self.here.extend(entry.messages.into_iter().filter(|message| position_of(&message.id) >= place));
                }
                Event::Closed(failure) => return Err(failure),
                _ => {}
            }
        }
        let mut bytes = 0;
        let fits = self.here.iter().take(limit.records.max(1)).take_while(|message| {
            let is_first = bytes == 0;
            bytes += size(message);
            is_first || bytes <= limit.bytes
        });
        let count = fits.count();
        let taken: Vec<_> = self.here.drain(..count).collect();
        if let Some(last) = taken.last() {
            let next = position_of(&last.id).next();
            self.trying = Some(next);
            self.consumer.ack_cumulative(&last.id).await?;
            self.trying = None;
            self.place = next;
        }
        Ok(taken)
    }

    /// Goes back.
    async fn go_to(&mut self, place: Position) -> Result<(), Failure> {
        let to = if place == Position::START { SeekTo::Earliest } else { SeekTo::MessageId(entry_id(entry_of(place))) };
        self.consumer.seek(to).await?;
        self.here.clear();
        self.place = place;
        // Before that, what comes is of before.
        let connected = async {
            loop {
                match self.consumer.recv().await? {
                    Event::Reconnected => return Ok(()),
                    Event::Closed(failure) => return Err(failure),
                    _ => {}
                }
            }
        };
        timeout(PATIENCE, connected).await.unwrap_or(Err(Failure::Timeout("the move of a subscription")))
    }
}

impl Groups for PulsarGroups {
    fn take(&self, group: &str, partitions: &[TopicPartition], limit: PollLimit, free: Waker) -> Result<Taking> {
        let Some(first) = partitions.first() else { return Ok(Taking::Nothing) };
        let key = (group.to_owned(), first.topic.clone());
        let mut table = self.table.lock();
        if let Some(waiting) = table.busy.get_mut(&key) {
            waiting.push(free);
            return Ok(Taking::Busy);
        }
        table.busy.insert(key.clone(), Vec::new());
        drop(table);
        match self.take_next(&key, partitions, limit) {
            Ok(Some(taken)) => Ok(Taking::Taken(taken)),
            other => {
                self.free(&key);
                other.map(|_| Taking::Nothing)
            }
        }
    }

    fn accept(&self, claim: Claim) {
        if let Some(claimed) = self.close(claim) {
            self.free(&claimed.key);
        }
    }

    fn put_back(&self, claim: Claim) -> Result<()> {
        let Some(Claimed { key, at, stood, next }) = self.close(claim) else { return Ok(()) };
        let name = runtime::wait(self.topics.shared.partition(&at.topic, at.partition))?;
        let moved = self.open(&key.0, &at, &name).and_then(|mut open| {
            // Another process may have taken on.
            let is_overtaken = open.place > behind(entry_of(next));
            let moved = if is_overtaken { Ok(()) } else { runtime::wait(open.go_to(stood)) };
            match moved {
                Ok(()) => {
                    self.keep((key.0.clone(), at.clone()), open);
                    Ok(())
                }
                Err(failure) => {
                    runtime::spawn(async move { open.consumer.close().await });
                    Err(error::of(format!("moving the group '{}' back in {at}", key.0), &failure))
                }
            }
        });
        self.free(&key);
        moved
    }

    fn places(&self, topic: &Topic) -> Result<Vec<GroupPlace>> {
        let shared = &self.topics.shared;
        let full = shared.options.name(topic)?;
        let count = runtime::wait(shared.count(&full))?;
        let mut places = Vec::new();
        for partition in 0..count.max(1) {
            let name = crate::names::partition(&full, partition, count);
            for (group, mark) in shared.admin.subscriptions(&name)? {
                let position = mark.map_or(Position::START, behind);
                places.push(GroupPlace { group, partition, position });
            }
        }
        places.sort_by(|a, b| (a.partition, &a.group).cmp(&(b.partition, &b.group)));
        Ok(places)
    }
}

impl std::fmt::Debug for PulsarGroups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PulsarGroups").field("topics", &self.topics).finish_non_exhaustive()
    }
}

/// A claim that no other of the process has.
fn new_claim() -> Claim {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Claim(NEXT.fetch_add(1, Ordering::Relaxed))
}
