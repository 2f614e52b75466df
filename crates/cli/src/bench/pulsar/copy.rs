// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The plain copy: this repository's client of Pulsar consumes and produces, without an engine and without a function. What a program costs
//! more than this is the price of what it does more.
//!
//! Each partition has a consumer and a producer. What has come is produced as one batch, without waiting for more, and acknowledged when the
//! broker has stored it; so a copy that is killed produces some of it again when it goes on.

use fnstream_pulsar_client::{
    Batching, Client, Consumer, Entry, Error, Event, InitialPosition, Message, MessageId, Producer, ReceivedMessage,
    SendFuture, SubscriptionType,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::bench::outside::{READY, Told, failed, text};
use crate::failure::{Failure, Result};
use crate::output;

/// Batches of a partition that the broker has not stored yet.
const UNDER_WAY: usize = 64;

/// Records that may wait in a consumer.
const RECEIVER_QUEUE: u32 = 10_000;

/// So many batches at most are acknowledged together.
const TOGETHER: usize = 32;

/// Copies until the process is ended.
pub(in crate::bench) fn run() -> Result {
    let (told, url) = (Told::from_environment()?, text("BENCH_URL")?);
    super::runtime()?.block_on(async {
        let client = super::client(&url)?;
        let mut copying = JoinSet::new();
        for partition in 0..told.partitions {
            let copier = Copier::open(&client, &told, partition).await.map_err(|e| failed("beginning to copy", &e))?;
            copying.spawn(copier.run());
        }
        output::line(READY)?;
        // The first failure is the end of all.
        match copying.join_next().await {
            Some(Ok(ended)) => ended.map_err(|e| failed("copying", &e)),
            Some(Err(_)) => Err(Failure::Plain("a copying task ended abnormally".into())),
            None => Ok(()),
        }
    })
}

struct Copier {
    consumer: Consumer,
    producer: Producer,
}

/// What is produced together.
#[derive(Default)]
struct Batch {
    messages: Vec<Message>,
    bytes: usize,
    /// The last entry whose messages they are.
    last: Option<MessageId>,
}

impl Copier {
    async fn open(client: &Client, told: &Told, partition: u32) -> std::result::Result<Copier, Error> {
        let of = |topic: &str| format!("{topic}-partition-{partition}");
        let consumer = client
            .consumer(of(&told.input))
            .subscription(&told.group)
            .subscription_type(SubscriptionType::Failover)
            .initial_position(InitialPosition::Earliest)
            .receiver_queue(RECEIVER_QUEUE);
        // What is under way is bounded by the channel.
        let producer = client.producer(of(&told.output)).max_pending(usize::MAX, usize::MAX);
        Ok(Copier { consumer: consumer.subscribe().await?, producer: producer.create().await? })
    }

    async fn run(self) -> std::result::Result<(), Error> {
        let (tell, stored) = mpsc::channel(UNDER_WAY);
        tokio::try_join!(self.copy(tell), self.acknowledge(stored)).map(drop)
    }

    async fn copy(&self, tell: mpsc::Sender<(SendFuture, MessageId)>) -> std::result::Result<(), Error> {
        let mut next = self.producer.last_sequence_id().map_or(0, |last| last + 1);
        loop {
            let mut batch = Batch::default();
            batch.take(self.consumer.recv().await?)?;
            while batch.has_room()
                && let Some(event) = self.consumer.try_recv()
            {
                batch.take(event)?;
            }
            let Some(last) = batch.last else { continue };
            let first = next;
            next += batch.messages.len() as u64;
            let outcome = self.producer.send_batch(first, batch.messages);
            if tell.send((outcome, last)).await.is_err() {
                return Err(Error::Closed);
            }
        }
    }

    async fn acknowledge(&self, mut stored: mpsc::Receiver<(SendFuture, MessageId)>) -> std::result::Result<(), Error> {
        let mut some = Vec::new();
        while stored.recv_many(&mut some, TOGETHER).await > 0 {
            let mut last = None;
            for (outcome, id) in some.drain(..) {
                outcome.await?;
                last = Some(id);
            }
            if let Some(last) = last {
                self.consumer.ack_cumulative(&last).await?;
            }
        }
        Ok(())
    }
}

impl Batch {
    fn has_room(&self) -> bool {
        let Batching { max_messages, max_bytes, .. } = Batching::default();
        self.messages.len() < max_messages && self.bytes < max_bytes
    }

    fn take(&mut self, event: Event) -> std::result::Result<(), Error> {
        match event {
            Event::Messages(entry) => {
                self.add(entry);
                Ok(())
            }
            Event::Unreadable { error, .. } | Event::Closed(error) => Err(error),
            // The client goes on by itself.
            _ => Ok(()),
        }
    }

    fn add(&mut self, entry: Entry) {
        self.last = Some(entry.id);
        for message in entry.messages {
            let ReceivedMessage { payload, key, properties, event_time, .. } = message;
            self.bytes += payload.as_ref().map_or(0, bytes::Bytes::len);
            self.messages.push(Message { payload, key, properties, event_time, ..Message::default() });
        }
    }
}
