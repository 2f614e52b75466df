// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A broker that keeps what it takes, and fails where chance has it: at the end, everything is there once and in order.

use std::cell::RefCell;

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::{Fake, Peer, duplicate, error, message, producer_success, receipt, run, success};
use crate::consumer::Event;
use crate::message::{Message, Sender, encode_batch};
use crate::message_id::MessageId;
use crate::proto::command_lookup_topic_response::LookupType;
use crate::proto::{
    Body, CommandAckResponse, CommandCloseConsumer, CommandCloseProducer, CommandProducerSuccess, CommandSend,
    CommandSendError, ServerError,
};

/// One connection after another, each until it fails.
async fn serve<S>(fake: &Fake, state: &RefCell<S>, mut on: impl AsyncFnMut(&mut Peer, &RefCell<S>) -> bool) {
    loop {
        let mut peer = fake.accept_silently().await;
        while on(&mut peer, state).await {}
    }
}

/// What deduplicates, as the broker does: by the highest sequence id.
struct Log {
    rng: SmallRng,
    stored: Vec<(u64, u64)>,
    /// Stored, and not acknowledged yet.
    unanswered: Vec<CommandSend>,
    faults: u32,
    /// How many are to come.
    total: usize,
}

impl Log {
    fn fails(&mut self) -> bool {
        let fails = self.faults > 0 && self.rng.random_ratio(1, 8);
        self.faults -= u32::from(fails);
        fails
    }
}

async fn serve_producer(peer: &mut Peer, log: &RefCell<Log>) -> bool {
    let Some(received) = peer.received().await else { return false };
    if log.borrow_mut().fails() {
        return false;
    }
    match received.body {
        Body::Connect(_) => peer.say(super::connected()).await,
        Body::LookupTopic(lookup) => {
            let url = peer.url.clone();
            peer.answer_lookup(lookup.request_id, LookupType::Connect, &url).await;
        }
        Body::Producer(asked) if log.borrow_mut().fails() => {
            peer.say(error(asked.request_id, ServerError::ProducerBusy)).await;
        }
        Body::Producer(asked) => {
            log.borrow_mut().unanswered.clear();
            let last = log.borrow().stored.last().map(|(_, last)| *last as i64);
            let told = CommandProducerSuccess { last_sequence_id: last, ..producer_success(asked.request_id) };
            peer.say(Body::ProducerSuccess(told)).await;
        }
        Body::Send(send) => return take(peer, log, send).await,
        Body::CloseProducer(close) => peer.say(success(close.request_id)).await,
        other => panic!("{other:?}"),
    }
    true
}

/// Stores a message, or not, and answers, or not.
async fn take(peer: &mut Peer, log: &RefCell<Log>, send: CommandSend) -> bool {
    let highest = send.highest_sequence_id.unwrap_or(send.sequence_id);
    let last = log.borrow().stored.last().map(|(_, last)| *last);
    if last.is_some_and(|last| send.sequence_id <= last) {
        peer.say(duplicate(&send)).await;
        return true;
    }
    if log.borrow_mut().fails() {
        // Refused, and with it everything that is on its way, until the producer is created again.
        peer.say(Body::SendError(CommandSendError {
            producer_id: send.producer_id,
            sequence_id: highest,
            error: ServerError::PersistenceError as i32,
            message: "refused".into(),
        }))
        .await;
        return until_created_again(peer, log).await;
    }
    log.borrow_mut().stored.push((send.sequence_id, highest));
    let producer_id = send.producer_id;
    log.borrow_mut().unanswered.push(send);
    if log.borrow_mut().fails() {
        peer.say(Body::CloseProducer(CommandCloseProducer { producer_id, request_id: 0 })).await;
        return until_created_again(peer, log).await;
    }
    // Several answers at once, as they come from storage.
    let is_last = log.borrow().stored.len() == log.borrow().total;
    if is_last || log.borrow_mut().rng.random_ratio(1, 2) {
        let answers = std::mem::take(&mut log.borrow_mut().unanswered);
        let before = log.borrow().stored.len() - answers.len();
        for (at, send) in answers.iter().enumerate() {
            peer.say(receipt(send, (before + at) as u64)).await;
        }
    }
    !log.borrow_mut().fails()
}

async fn until_created_again(peer: &mut Peer, log: &RefCell<Log>) -> bool {
    loop {
        let Some(received) = peer.received().await else { return false };
        match received.body {
            Body::Send(_) => {}
            Body::CloseProducer(close) => peer.say(success(close.request_id)).await,
            Body::LookupTopic(lookup) => {
                let url = peer.url.clone();
                peer.answer_lookup(lookup.request_id, LookupType::Connect, &url).await;
            }
            Body::Producer(asked) => {
                log.borrow_mut().unanswered.clear();
                peer.say(Body::ProducerSuccess(producer_success(asked.request_id))).await;
                return true;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A topic with a durable subscription.
struct Topic {
    rng: SmallRng,
    length: u64,
    /// Entries before it are acknowledged.
    acknowledged: u64,
    /// The next to be delivered, on the present connection.
    next: u64,
    permits: u32,
    faults: u32,
}

impl Topic {
    fn fails(&mut self) -> bool {
        let fails = self.faults > 0 && self.rng.random_ratio(1, 8);
        self.faults -= u32::from(fails);
        fails
    }
}

async fn serve_consumer(peer: &mut Peer, topic: &RefCell<Topic>) -> bool {
    let Some(received) = peer.received().await else { return false };
    if topic.borrow_mut().fails() {
        return false;
    }
    match received.body {
        Body::Connect(_) => peer.say(super::connected()).await,
        Body::LookupTopic(lookup) => {
            let url = peer.url.clone();
            peer.answer_lookup(lookup.request_id, LookupType::Connect, &url).await;
        }
        Body::Subscribe(asked) => {
            {
                let mut topic = topic.borrow_mut();
                (topic.next, topic.permits) = (topic.acknowledged, 0);
            }
            peer.say(success(asked.request_id)).await;
        }
        Body::Flow(flow) => {
            topic.borrow_mut().permits += flow.message_permits;
            while topic.borrow().permits > 0 && topic.borrow().next < topic.borrow().length {
                let entry = topic.borrow().next;
                let texts: Vec<_> = (0..entry % 3 + 1).map(|at| Message::new(format!("{entry}.{at}"))).collect();
                let sender = Sender { name: "p", unix_ms: 1 };
                let encoded = encode_batch(entry * 10, &texts, sender, Default::default()).unwrap();
                peer.deliver_as(message(flow.consumer_id, entry), &encoded.metadata, encoded.payload).await;
                {
                    let mut topic = topic.borrow_mut();
                    topic.next += 1;
                    topic.permits = topic.permits.saturating_sub(texts.len() as u32);
                }
                if topic.borrow_mut().fails() {
                    return false;
                }
            }
        }
        Body::Ack(ack) => {
            {
                let mut topic = topic.borrow_mut();
                topic.acknowledged = topic.acknowledged.max(ack.message_id[0].entry_id + 1);
            }
            if topic.borrow_mut().fails() {
                let close = CommandCloseConsumer { consumer_id: ack.consumer_id, request_id: 0 };
                peer.say(Body::CloseConsumer(close)).await;
            }
            peer.say(Body::AckResponse(CommandAckResponse { request_id: ack.request_id, ..Default::default() })).await;
        }
        Body::CloseConsumer(close) => peer.say(success(close.request_id)).await,
        other => panic!("{other:?}"),
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_fails_messages_are_stored_once_and_in_order(
        seed in any::<u64>(), sizes in proptest::collection::vec(1u64..4, 1..40), faults in 0u32..12,
    ) {
        run(async {
            let fake = Fake::start().await;
            let rng = SmallRng::seed_from_u64(seed);
            let total = sizes.len();
            let log = RefCell::new(Log { rng, stored: Vec::new(), unanswered: Vec::new(), faults, total });
            let mut told = Vec::new();
            let produce = async {
                let client = fake.client();
                let producer = loop {
                    // A busy name is the caller's matter.
                    if let Ok(producer) = client.producer("t").name("p").create().await {
                        break producer;
                    }
                };
                let mut pending = Vec::new();
                let mut first = 0;
                for size in &sizes {
                    let batch = (0..*size).map(|at| Message::new(format!("{}", first + at))).collect();
                    pending.push(producer.send_batch(first, batch));
                    told.push((first, first + size - 1));
                    first += size;
                    tokio::task::yield_now().await;
                }
                for pending in pending {
                    pending.await.unwrap();
                }
                producer.flush().await.unwrap();
            };
            tokio::select! {
                () = produce => {}
                () = serve(&fake, &log, serve_producer) => {}
            }
            assert_eq!(log.borrow().stored, told);
        });
    }

    #[test]
    fn whatever_fails_messages_are_received_in_order_and_none_is_left_out(
        seed in any::<u64>(), length in 1u64..40, queue in 0u32..6, faults in 0u32..12,
    ) {
        run(async {
            let fake = Fake::start().await;
            let rng = SmallRng::seed_from_u64(seed);
            let topic = RefCell::new(Topic { rng, length, acknowledged: 0, next: 0, permits: 0, faults });
            let consume = async {
                let client = fake.client();
                let consumer =
                    client.consumer("t").subscription("s").receiver_queue(queue).subscribe().await.unwrap();
                if queue == 0 {
                    // Enough for one delivery of everything; what is dropped is granted again.
                    consumer.grant(200);
                }
                let (mut next, mut acknowledged) = (0, 0);
                while acknowledged < length {
                    match consumer.recv().await.unwrap() {
                        Event::Reconnected => next = acknowledged,
                        Event::Messages(entry) => {
                            if entry.id.entry < next {
                                // An ack whose receipt was lost, or one that was never told.
                                continue;
                            }
                            assert_eq!(entry.id, MessageId::of_entry(1, next));
                            assert_eq!(entry.messages.len() as u64, next % 3 + 1);
                            next += 1;
                            if consumer.ack_cumulative(&entry.id).await.is_ok() {
                                acknowledged = next;
                            } else {
                                // Perhaps it was taken note of: then the next is not this one.
                                let taken = topic.borrow().acknowledged;
                                acknowledged = acknowledged.max(taken);
                            }
                            if queue == 0 {
                                consumer.grant(entry.messages.len() as u32);
                            }
                        }
                        other => panic!("{other:?}"),
                    }
                }
            };
            tokio::select! {
                () = consume => {}
                () = serve(&fake, &topic, serve_consumer) => {}
            }
        });
    }
}
