// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Fills the ring of a partition: a consumer of the function's subscription, from where the function stands.
//!
//! The function's own progress says where it stands. The subscription follows behind: entries are acknowledged when they were committed,
//! so that the broker keeps what the function has not read, and other tools see how far it is. So what the broker sends first was mostly
//! committed already, and is passed over; only a subscription that others have moved ahead is moved back.
//!
//! The subscription is of the exclusive type: a broker that chooses among several consumers lets a second pass before it sends anything.
//! While a process still has it that does not know yet that it has lost the task, this one tries again.

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::record::Position;
use fnstream_core::{Error, ErrorCode};
use fnstream_pulsar_client::{Client, Consumer, Error as Failure, Event, InitialPosition, SeekTo, SubscriptionType};
use tokio::time::{Instant, sleep_until};

use crate::error;
use crate::position::{EntryId, entry_id, entry_of, index_of, position_of};
use crate::ring::Ring;

/// How many messages the broker may send ahead.
const AHEAD: u32 = 2_000;
/// How often is acknowledged at most.
const ACKS: Duration = Duration::from_millis(200);
/// How long after a failure it is tried again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How a partition is read.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub subscription: String,
    /// The name of the consumer, for people.
    pub name: String,
    /// Whether a subscription that is not there yet begins at the end.
    pub begins_at_end: bool,
    /// Whether it is of a topic that a pattern stands for.
    pub is_matched: bool,
    /// The topic in full, if the function is told the schema of each message.
    pub schemas_of: Option<String>,
}

/// Fills a ring until it is over.
pub(crate) async fn read(ring: Arc<Ring>, client: Client, reading: Reading) {
    let mut wait = AGAIN.0;
    loop {
        let began = Instant::now();
        let failure = match serve(&ring, &client, &reading).await {
            Ok(()) => return,
            Err(Stop::Failed(failure)) => failure,
            Err(Stop::Lost(error)) => {
                ring.fail(error);
                // Whoever seeks may mean another place.
                if !until_sought(&ring).await {
                    return;
                }
                continue;
            }
        };
        let doing = format!("reading '{}' for the subscription '{}'", ring.topic, reading.subscription);
        let told = error::of(doing, &failure);
        tracing::debug!(error = %told, "reading is begun anew");
        match told.code {
            ErrorCode::BrokerLogin | ErrorCode::BrokerForbidden | ErrorCode::TopicNotFound | ErrorCode::DataCorrupt => {
                ring.fail(told);
                if !until_sought(&ring).await {
                    return;
                }
            }
            _ => ring.is_troubled(Some(told)),
        }
        if began.elapsed() > AGAIN.1 {
            wait = AGAIN.0;
        }
        let until = Instant::now() + wait;
        wait = (wait * 2).min(AGAIN.1);
        loop {
            tokio::select! {
                () = sleep_until(until) => break,
                () = ring.news.notified() => if ring.wanted().is_over { return },
            }
        }
    }
}

/// Why reading stopped.
enum Stop {
    Failed(Failure),
    /// The place that is to be read is gone.
    Lost(Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

/// Whether what is at a position comes, of a subscription that has acknowledged everything up to an entry. Of that entry itself nothing does:
/// a position in it is one behind its last message, unless it is its first.
fn comes_after(mark: EntryId, position: Position) -> bool {
    let entry = entry_of(position);
    position > Position::START && (mark < entry || (mark == entry && index_of(position) > 0))
}

/// Waits until the ring is sought; false if it is over.
async fn until_sought(ring: &Ring) -> bool {
    loop {
        let wanted = ring.wanted();
        if wanted.is_over || wanted.seek.is_some() {
            return !wanted.is_over;
        }
        ring.news.notified().await;
    }
}

async fn serve(ring: &Ring, client: &Client, reading: &Reading) -> Result<(), Stop> {
    let initial = if reading.begins_at_end { InitialPosition::Latest } else { InitialPosition::Earliest };
    let consumer = client
        .consumer(&ring.topic)
        .subscription(&reading.subscription)
        .subscription_type(SubscriptionType::Exclusive)
        .name(&reading.name)
        .initial_position(initial)
        .receiver_queue(0)
        .force_topic_creation(false)
        .subscribe()
        .await?;
    let mut served = Served { ring, consumer, is_active: true, acked: None, next_ack: None, moved_to: None };
    let ended = served.run().await;
    // Whoever comes next need not wait for the connection's end.
    drop(served.consumer.close().await);
    ended
}

struct Served<'a> {
    ring: &'a Ring,
    consumer: Consumer,
    /// Whether what comes is of where the subscription is; after it was moved, what was sent before may still come.
    is_active: bool,
    acked: Option<EntryId>,
    next_ack: Option<Instant>,
    /// Where the subscription was moved to last.
    moved_to: Option<Position>,
}

impl Served<'_> {
    async fn run(&mut self) -> Result<(), Stop> {
        self.settle().await?;
        // There is something to do before anything comes.
        self.ring.news.notify_one();
        let mut has_room = true;
        loop {
            let ack_at = self.next_ack;
            tokio::select! {
                // A broker may send many more messages than were granted. Those that there is no room for stay as they came, which is a
                // fraction of what they take each by itself.
                event = self.consumer.recv(), if has_room || !self.is_active => self.hear(event?).await?,
                () = self.ring.news.notified() => {}
                () = async { sleep_until(ack_at.unwrap_or_else(Instant::now)).await }, if ack_at.is_some() => {
                    self.acknowledge().await?;
                }
            }
            let wanted = self.ring.wanted();
            has_room = wanted.room > 0;
            if wanted.is_over {
                // What was committed last is acknowledged before others come.
                self.next_ack = None;
                return self.acknowledge().await.or(Ok(()));
            }
            if wanted.ack.is_some_and(|entry| self.acked < Some(entry)) && self.next_ack.is_none() {
                self.next_ack = Some(Instant::now() + ACKS);
            }
            if !self.is_active {
                continue;
            }
            if let Some(to) = wanted.seek {
                self.go(to).await?;
                if !self.is_active {
                    continue;
                }
            }
            if wanted.end {
                self.tell_end().await?;
            }
            if wanted.room > 0 {
                self.consumer.grant_up_to(u32::try_from(wanted.room).unwrap_or(u32::MAX).min(AHEAD));
            }
        }
    }

    async fn hear(&mut self, event: Event) -> Result<(), Stop> {
        match event {
            // What was sent before the subscription was moved is of another place.
            Event::Messages(entry) if self.is_active => self.ring.push(entry.messages),
            Event::Unreadable { id, error } => {
                let message = format!("an entry of {} cannot be read, {id}: {error}", self.ring.at);
                return Err(Stop::Lost(Error::new(ErrorCode::DataCorrupt, message)));
            }
            Event::Reconnected => {
                self.is_active = true;
                self.settle().await?;
            }
            Event::EndOfTopic => self.tell_end().await?,
            Event::Closed(failure) => return Err(failure.into()),
            _ => {}
        }
        Ok(())
    }

    /// Makes sure that the broker sends what comes next, and not what comes later.
    async fn settle(&mut self) -> Result<(), Stop> {
        let from = self.ring.fetched();
        let mark = self.mark().await?;
        let is_behind = match mark {
            // At the beginning of a ledger. Whether it is the one that is meant is not known, unless it was moved there.
            None => from == Position::START || (self.moved_to == Some(from) && entry_of(from).1 == 0),
            Some(mark) => comes_after(mark, from),
        };
        let is_behind = is_behind || (from == Position::START && self.moved_to == Some(from));
        if is_behind {
            self.moved_to = None;
            self.ring.is_troubled(None);
            return Ok(());
        }
        if self.moved_to == Some(from) {
            let (ledger, entry) = entry_of(from);
            let message = format!(
                "the place of the function in {}, ledger {ledger} entry {entry}, is gone: what came next was dropped, or the topic was made \
                 anew",
                self.ring.at
            );
            return Err(Stop::Lost(Error::new(ErrorCode::PositionDropped, message)));
        }
        self.move_to(from).await
    }

    /// The last entry that the subscription has acknowledged; none at the beginning of a ledger.
    async fn mark(&self) -> Result<Option<EntryId>, Failure> {
        let told = self.consumer.last_message_id().await?;
        Ok(told.mark_delete.map(|id| (id.ledger, id.entry)))
    }

    /// Moves the subscription. The consumer is connected anew after that.
    async fn move_to(&mut self, to: Position) -> Result<(), Stop> {
        let (ledger, entry) = entry_of(to);
        tracing::info!(
            topic = self.ring.topic,
            ledger,
            entry,
            "the subscription is moved to where the function stands"
        );
        let place = if to == Position::START { SeekTo::Earliest } else { SeekTo::MessageId(entry_id((ledger, entry))) };
        self.consumer.seek(place).await?;
        (self.moved_to, self.is_active) = (Some(to), false);
        Ok(())
    }

    /// Goes to where the ring was sought.
    async fn go(&mut self, to: Position) -> Result<(), Stop> {
        match self.mark().await? {
            Some(mark) if comes_after(mark, to) => self.consumer.redeliver_unacknowledged()?,
            None if to == Position::START => self.consumer.redeliver_unacknowledged()?,
            _ => self.move_to(to).await?,
        }
        self.ring.has_gone(to);
        Ok(())
    }

    async fn tell_end(&mut self) -> Result<(), Stop> {
        let last = self.consumer.last_message_id().await?.last;
        self.ring.ends_at(last.map_or(Position::START, |last| position_of(&last).next()));
        Ok(())
    }

    async fn acknowledge(&mut self) -> Result<(), Failure> {
        self.next_ack = None;
        let Some(entry) = self.ring.wanted().ack.filter(|entry| self.acked < Some(*entry)) else { return Ok(()) };
        match self.consumer.ack_cumulative(&entry_id(entry)).await {
            Ok(()) => {
                self.acked = Some(entry);
                self.ring.has_acked(entry);
                Ok(())
            }
            // Nothing depends on it: it is done again.
            Err(failure) if failure.is_retriable() => {
                self.next_ack = Some(Instant::now() + ACKS);
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::position;

    #[test]
    fn what_was_acknowledged_does_not_come_again() {
        for (mark, at, comes) in [
            ((7, 3), position(7, 4, 0), true),
            ((7, 3), position(8, 0, 0), true),
            // Behind the last message of the entry.
            ((7, 3), position(7, 3, 1), true),
            ((7, 3), position(7, 3, 0), false),
            ((7, 3), position(7, 2, 5), false),
            ((7, 3), Position::START, false),
        ] {
            assert_eq!(comes_after(mark, at), comes, "{mark:?} {at}");
        }
    }
}
