// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Consumers that lose their broker at every step, and what they grant, take and leave.

use std::time::Duration;

use bytes::Bytes;

use super::{Fake, Peer, error, message, run, success};
use crate::consumer::{Consumer, ConsumerBuilder, Event, InitialPosition, SeekTo, SubscriptionType};
use crate::error::Error;
use crate::frame::Frame;
use crate::message::{Message, Sender, encode_batch};
use crate::message_id::MessageId;
use crate::proto::{
    Body, CommandAckResponse, CommandActiveConsumerChange, CommandCloseConsumer, CommandGetLastMessageIdResponse,
    CommandMessage, CommandSubscribe, EncryptionKeys, MessageMetadata, ServerError,
};

async fn consumer_with(
    fake: &Fake,
    options: impl FnOnce(ConsumerBuilder) -> ConsumerBuilder,
) -> (Consumer, Peer, CommandSubscribe) {
    let client = fake.client();
    let builder = options(client.consumer("t").subscription("s"));
    let (consumer, (peer, command)) = tokio::join!(builder.subscribe(), fake.accept_consumer());
    (consumer.unwrap(), peer, command)
}

async fn text(consumer: &Consumer) -> String {
    match consumer.recv().await.unwrap() {
        Event::Messages(entry) => String::from_utf8(entry.messages[0].payload.clone().unwrap().to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_subscription_that_is_cut_is_asked_for_again() {
    run(async {
        let fake = Fake::start().await;
        let client = fake.client();
        let script = async {
            let mut peer = fake.accept_lookup().await;
            peer.asked_to_subscribe().await;
            drop(peer);
            let mut peer = fake.accept_lookup().await;
            let asked = peer.asked_to_subscribe().await;
            peer.say(error(asked.request_id, ServerError::ServiceNotReady)).await;
            peer.lookup().await;
            peer.subscribe().await;
            peer
        };
        let (consumer, _peer) = tokio::join!(client.consumer("t").subscription("s").subscribe(), script);
        assert!(consumer.unwrap().try_recv().is_none());
    });
}

#[test]
fn a_busy_subscription_is_the_callers_matter_until_it_is_ones_own() {
    run(async {
        let fake = Fake::start().await;
        let client = fake.client();
        let (consumer, _peer) = tokio::join!(client.consumer("t").subscription("s").subscribe(), async {
            let mut peer = fake.accept_lookup().await;
            let asked = peer.asked_to_subscribe().await;
            peer.say(error(asked.request_id, ServerError::ConsumerBusy)).await;
            peer
        });
        assert!(matches!(consumer, Err(Error::ConsumerBusy(_))), "{consumer:?}");

        let fake = Fake::start().await;
        let (consumer, peer, _) = consumer_with(&fake, |builder| builder).await;
        drop(peer);
        let mut peer = fake.accept_lookup().await;
        let asked = peer.asked_to_subscribe().await;
        peer.say(error(asked.request_id, ServerError::ConsumerBusy)).await;
        peer.lookup().await;
        peer.subscribe().await;
        assert!(matches!(consumer.recv().await, Ok(Event::Reconnected)));
    });
}

#[test]
fn a_consumer_that_does_not_reconnect_ends_with_its_broker() {
    run(async {
        let fake = Fake::start().await;
        let (consumer, mut peer, command) = consumer_with(&fake, |builder| builder.reconnects(false)).await;
        let closed = CommandCloseConsumer { consumer_id: command.consumer_id, request_id: 1 };
        peer.say(Body::CloseConsumer(closed)).await;
        assert!(matches!(consumer.recv().await, Ok(Event::Closed(_))));
        assert!(!consumer.is_connected());
    });
}

#[test]
fn what_was_not_handed_out_is_dropped_and_comes_again() {
    run(async {
        let fake = Fake::start().await;
        let (consumer, mut peer, command) = consumer_with(&fake, |builder| builder.receiver_queue(4)).await;
        assert_eq!(peer.flow().await, 4);
        for (entry, text) in [(0, "a"), (1, "b"), (2, "c")] {
            peer.deliver(command.consumer_id, entry, text).await;
        }
        assert_eq!(text(&consumer).await, "a");
        drop(peer);
        let (mut peer, again) = fake.accept_consumer().await;
        assert_eq!((again.consumer_id, again.start_message_id), (command.consumer_id, None));
        assert_eq!(peer.flow().await, 4);
        for (entry, text) in [(0, "a"), (1, "b")] {
            peer.deliver(command.consumer_id, entry, text).await;
        }
        assert!(matches!(consumer.recv().await, Ok(Event::Reconnected)));
        assert_eq!((text(&consumer).await, text(&consumer).await), ("a".into(), "b".into()));
        assert_eq!(peer.flow().await, 2);
    });
}

#[test]
fn a_grant_counts_messages_and_survives_the_connection() {
    run(async {
        let fake = Fake::start().await;
        let (consumer, mut peer, command) = consumer_with(&fake, |builder| builder.receiver_queue(0)).await;
        consumer.grant(5);
        assert_eq!(peer.flow().await, 5);
        peer.deliver(command.consumer_id, 0, "a").await;
        assert_eq!(text(&consumer).await, "a");
        peer.deliver(command.consumer_id, 1, "b").await;
        drop(peer);
        let (mut peer, _) = fake.accept_consumer().await;
        assert_eq!(peer.flow().await, 4);
        // A batch of three, of which the broker counts what is outstanding.
        let batch = [Message::new("b"), Message::new("c"), Message::new("d")];
        let encoded = encode_batch(0, &batch, Sender { name: "p", unix_ms: 1 }, Default::default()).unwrap();
        let command = CommandMessage { ack_set: vec![0b110], ..message(command.consumer_id, 1) };
        peer.deliver_as(command, &encoded.metadata, encoded.payload).await;
        while !matches!(consumer.recv().await, Ok(Event::Messages(_))) {}
        consumer.pause();
        consumer.grant(1);
        drop(peer);
        let (mut peer, _) = fake.accept_consumer().await;
        while !matches!(consumer.recv().await, Ok(Event::Reconnected)) {}
        consumer.resume();
        // Four, less two, and one more.
        assert_eq!(peer.flow().await, 3);
    });
}

#[test]
fn a_grant_makes_up_for_batches_that_exceeded_the_one_before() {
    run(async {
        let fake = Fake::start().await;
        let (consumer, mut peer, command) = consumer_with(&fake, |builder| builder.receiver_queue(0)).await;
        consumer.grant_up_to(2);
        assert_eq!(peer.flow().await, 2);
        let batch = ["a", "b", "c", "d", "e"].map(Message::new);
        let encoded = encode_batch(0, &batch, Sender { name: "p", unix_ms: 1 }, Default::default()).unwrap();
        for entry in [0, 1] {
            let command = message(command.consumer_id, entry);
            peer.deliver_as(command, &encoded.metadata, encoded.payload.clone()).await;
        }
        let mut come = 0;
        while come < 2 {
            come += u32::from(matches!(consumer.recv().await, Ok(Event::Messages(_))));
        }
        // Ten came, eight more than the broker was to send.
        consumer.grant_up_to(2);
        assert_eq!(peer.flow().await, 10);
        consumer.grant_up_to(2);
        consumer.grant_up_to(4);
        assert_eq!(peer.flow().await, 2, "nothing is missing of the first");
    });
}

#[test]
fn an_ack_ends_with_its_receipt_or_its_connection() {
    run(async {
        let fake = Fake::start().await;
        let (consumer, mut peer, command) = consumer_with(&fake, |builder| builder).await;
        peer.flow().await;
        let id = MessageId::of_entry(1, 0);
        for code in [None, Some(ServerError::UnknownError)] {
            let (result, ()) = tokio::join!(consumer.ack_cumulative(&id), async {
                let Body::Ack(ack) = peer.command().await else { panic!("no ack") };
                assert_eq!((ack.ack_type, ack.message_id.len()), (1, 1));
                peer.say(Body::AckResponse(CommandAckResponse {
                    consumer_id: command.consumer_id,
                    error: code.map(|code| code as i32),
                    message: Some("refused".into()),
                    request_id: ack.request_id,
                }))
                .await;
            });
            assert_eq!(result.is_ok(), code.is_none(), "{result:?}");
        }
        let (result, ()) = tokio::join!(consumer.ack(&id), async {
            peer.command().await;
            drop(peer);
        });
        assert!(matches!(result, Err(Error::Disconnected(_))), "{result:?}");
        let peer = fake.accept_lookup().await;
        assert!(matches!(consumer.ack(&id).await, Err(Error::Disconnected(_))));
        drop(peer);
    });
}

#[test]
fn what_cannot_be_read_is_told_and_passed_over() {
    run(async {
        let fake = Fake::start().await;
        let (consumer, mut peer, command) = consumer_with(&fake, |builder| builder.max_entry_size(1000)).await;
        let plain = MessageMetadata { producer_name: "p".into(), ..Default::default() };
        let broken = [
            MessageMetadata { compression: Some(3), uncompressed_size: Some(5), ..plain.clone() },
            MessageMetadata { compression: Some(1), uncompressed_size: Some(2000), ..plain.clone() },
            MessageMetadata { compression: Some(77), ..plain.clone() },
            MessageMetadata { num_messages_in_batch: Some(3), ..plain.clone() },
            MessageMetadata {
                encryption_keys: vec![EncryptionKeys { key: "k".into(), value: Bytes::new() }],
                ..plain.clone()
            },
        ];
        for (entry, metadata) in broken.iter().enumerate() {
            peer.deliver_as(message(command.consumer_id, entry as u64), metadata, "xx".into()).await;
        }
        peer.deliver(command.consumer_id, 9, "good").await;
        for entry in 0..broken.len() as u64 {
            let Event::Unreadable { id, error } = consumer.recv().await.unwrap() else { panic!("{entry} was read") };
            assert_eq!(id, MessageId::of_entry(1, entry));
            assert_eq!(error == Error::Encrypted, entry == 4, "{error:?}");
        }
        assert_eq!(text(&consumer).await, "good");
    });
}

#[test]
fn a_wrong_checksum_ends_the_connection() {
    run(async {
        let fake = Fake::start().await;
        let (consumer, mut peer, command) = consumer_with(&fake, |builder| builder).await;
        let body = Body::Message(message(command.consumer_id, 0));
        let frame = Frame::message(body, &MessageMetadata::default(), "payload".into());
        let mut bytes = frame.to_bytes().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        peer.write(&bytes).await;
        peer.until_ended().await;
        let (mut peer, _) = fake.accept_consumer().await;
        peer.deliver(command.consumer_id, 0, "a").await;
        assert!(matches!(consumer.recv().await, Ok(Event::Reconnected)));
        assert_eq!(text(&consumer).await, "a");
    });
}

#[test]
fn chunks_become_one_message_that_is_acknowledged_with_all_of_them() {
    run(async {
        let fake = Fake::start().await;
        let (consumer, mut peer, command) = consumer_with(&fake, |builder| builder.receiver_queue(0)).await;
        consumer.grant(1);
        assert_eq!(peer.flow().await, 1);
        for (index, text) in ["one ", "two ", "three"].into_iter().enumerate() {
            let metadata = MessageMetadata {
                producer_name: "p".into(),
                uuid: Some("u".into()),
                chunk_id: Some(index as i32),
                num_chunks_from_msg: Some(3),
                total_chunk_msg_size: Some(13),
                ..Default::default()
            };
            peer.deliver_as(message(command.consumer_id, index as u64), &metadata, text.into()).await;
        }
        let Event::Messages(entry) = consumer.recv().await.unwrap() else { panic!("no message") };
        assert_eq!(entry.messages[0].payload.as_deref(), Some(&b"one two three"[..]));
        assert_eq!((entry.id.entry, entry.id.first_chunk), (2, Some((1, 0))));
        // The message was granted, and each chunk took one.
        assert_eq!((peer.flow().await, peer.flow().await), (1, 1));
        let (result, ()) = tokio::join!(consumer.ack(&entry.messages[0].id), async {
            let Body::Ack(ack) = peer.command().await else { panic!("no ack") };
            assert_eq!(ack.message_id.iter().map(|id| id.entry_id).collect::<Vec<_>>(), [0, 1, 2]);
            peer.say(Body::AckResponse(CommandAckResponse { request_id: ack.request_id, ..Default::default() })).await;
        });
        result.unwrap();
    });
}

#[test]
fn a_move_waits_for_its_answer_before_it_subscribes_again() {
    run(async {
        let fake = Fake::start().await;
        let (consumer, mut peer, command) = consumer_with(&fake, |builder| builder).await;
        peer.flow().await;
        peer.deliver(command.consumer_id, 7, "old").await;
        let to = MessageId::of_entry(1, 3).at_index(1, 3);
        let script = async {
            let Body::Seek(seek) = peer.command().await else { panic!("no seek") };
            let place = seek.message_id.unwrap();
            assert_eq!((place.entry_id, &place.ack_set[..]), (3, &[0b110][..]));
            let close = CommandCloseConsumer { consumer_id: command.consumer_id, request_id: 0 };
            peer.say(Body::CloseConsumer(close)).await;
            peer.say(success(seek.request_id)).await;
            peer.lookup().await;
            peer.subscribe().await;
            peer.flow().await;
            let batch = [Message::new("x"), Message::new("y"), Message::new("z")];
            let encoded = encode_batch(0, &batch, Sender { name: "p", unix_ms: 1 }, Default::default()).unwrap();
            peer.deliver_as(message(command.consumer_id, 3), &encoded.metadata, encoded.payload).await;
        };
        let (moved, ()) = tokio::join!(consumer.seek(SeekTo::MessageId(to)), script);
        moved.unwrap();
        assert!(matches!(consumer.recv().await, Ok(Event::Reconnected)));
        assert_eq!(text(&consumer).await, "y");
    });
}

#[test]
fn a_move_that_fails_leaves_the_consumer_alive() {
    run(async {
        let fake = Fake::start().await;
        let (consumer, mut peer, command) = consumer_with(&fake, |builder| builder).await;
        peer.flow().await;
        let (refused, ()) = tokio::join!(consumer.seek(SeekTo::Earliest), async {
            let Body::Seek(seek) = peer.command().await else { panic!("no seek") };
            peer.say(error(seek.request_id, ServerError::MetadataError)).await;
        });
        assert!(matches!(refused, Err(Error::Metadata(_))), "{refused:?}");
        peer.deliver(command.consumer_id, 0, "a").await;
        assert_eq!(text(&consumer).await, "a");
        let (cut, ()) = tokio::join!(consumer.seek(SeekTo::Earliest), async {
            peer.command().await;
            drop(peer);
        });
        assert!(matches!(cut, Err(Error::Disconnected(_))), "{cut:?}");
        let (mut peer, _) = fake.accept_consumer().await;
        peer.deliver(command.consumer_id, 0, "a").await;
        assert!(matches!(consumer.recv().await, Ok(Event::Reconnected)));
        assert_eq!(text(&consumer).await, "a");
    });
}

#[test]
fn the_broker_tells_who_is_active_and_ends_what_it_ends() {
    run(async {
        let fake = Fake::start().await;
        let failover = |builder: ConsumerBuilder| builder.subscription_type(SubscriptionType::Failover);
        let (consumer, mut peer, command) = consumer_with(&fake, failover).await;
        for active in [false, true] {
            let consumer_id = command.consumer_id;
            let change = CommandActiveConsumerChange { consumer_id, is_active: Some(active) };
            peer.say(Body::ActiveConsumerChange(change)).await;
            assert!(matches!(consumer.recv().await, Ok(Event::Active(told)) if told == active));
            assert_eq!(consumer.is_active(), active);
        }
        peer.say(Body::ReachedEndOfTopic(crate::proto::CommandReachedEndOfTopic { consumer_id: command.consumer_id }))
            .await;
        assert!(matches!(consumer.recv().await, Ok(Event::EndOfTopic)));
        drop(peer);
        let mut peer = fake.accept_lookup().await;
        let asked = peer.asked_to_subscribe().await;
        peer.say(error(asked.request_id, ServerError::TopicNotFound)).await;
        assert!(matches!(consumer.recv().await, Ok(Event::Closed(Error::TopicNotFound(_)))));
        assert!(matches!(consumer.recv().await, Err(Error::TopicNotFound(_))));
        assert!(matches!(consumer.ack(&MessageId::EARLIEST).await, Err(Error::TopicNotFound(_))));
    });
}

#[test]
fn a_consumer_is_told_that_it_is_active_after_it_is_told_that_it_is_back() {
    run(async {
        let fake = Fake::start().await;
        let failover = |builder: ConsumerBuilder| builder.subscription_type(SubscriptionType::Failover);
        let (consumer, peer, command) = consumer_with(&fake, failover).await;
        drop(peer);
        let mut peer = fake.accept_lookup().await;
        let asked = peer.asked_to_subscribe().await;
        let change = CommandActiveConsumerChange { consumer_id: command.consumer_id, is_active: Some(true) };
        // In one piece with the answer, and even before it.
        let early = Frame::plain(Body::ActiveConsumerChange(change)).to_bytes();
        let answer = Frame::plain(success(asked.request_id)).to_bytes();
        peer.write(&[&early[..], &answer[..], &early[..]].concat()).await;
        assert!(matches!(consumer.recv().await, Ok(Event::Reconnected)));
        for _ in 0..2 {
            assert!(matches!(consumer.recv().await, Ok(Event::Active(true))));
        }
    });
}

#[test]
fn what_was_sent_before_a_redelivery_does_not_count() {
    run(async {
        let fake = Fake::start().await;
        let (consumer, mut peer, command) = consumer_with(&fake, |builder| builder.receiver_queue(2)).await;
        assert_eq!((peer.flow().await, command.consumer_epoch), (2, Some(0)));
        consumer.redeliver_unacknowledged().unwrap();
        let Body::RedeliverUnacknowledgedMessages(asked) = peer.command().await else { panic!("not asked") };
        assert_eq!(asked.consumer_epoch, Some(1));
        let plain = MessageMetadata::default();
        for (epoch, text) in [(0, "old"), (1, "new")] {
            let command = CommandMessage { consumer_epoch: Some(epoch), ..message(command.consumer_id, 0) };
            peer.deliver_as(command, &plain, text.into()).await;
        }
        assert_eq!(text(&consumer).await, "new");
        // Both count for the broker.
        assert_eq!((peer.flow().await, peer.flow().await), (1, 1));
    });
}

#[test]
fn refused_messages_are_asked_for_again_after_their_delay() {
    run(async {
        let fake = Fake::start().await;
        let shared = |builder: ConsumerBuilder| builder.subscription_type(SubscriptionType::Shared);
        let (consumer, mut peer, command) = consumer_with(&fake, shared).await;
        assert_eq!(command.consumer_epoch, None);
        peer.flow().await;
        consumer.negative_ack(&[MessageId::of_entry(1, 4)], Duration::from_millis(1));
        let Body::RedeliverUnacknowledgedMessages(asked) = peer.command().await else { panic!("not asked") };
        assert_eq!((asked.message_ids.len(), asked.message_ids[0].entry_id), (1, 4));
    });
}

#[test]
fn a_reader_resumes_behind_what_was_handed_out() {
    run(async {
        let fake = Fake::start().await;
        let client = fake.client();
        let open = client.reader("t").from(MessageId::of_entry(1, 5)).open();
        let (reader, (mut peer, command)) = tokio::join!(open, fake.accept_consumer());
        let reader = reader.unwrap();
        assert_eq!((command.durable, command.start_message_id.as_ref().unwrap().entry_id), (Some(false), 5));
        peer.flow().await;
        // The broker begins with the entry, or earlier.
        for (entry, text) in [(4, "early"), (5, "a"), (6, "b")] {
            peer.deliver(command.consumer_id, entry, text).await;
        }
        assert_eq!(reader.next().await.unwrap().payload.unwrap(), "a");
        drop(peer);
        let (mut peer, again) = fake.accept_consumer().await;
        assert_eq!(again.start_message_id.unwrap().entry_id, 5);
        for (entry, text) in [(5, "a"), (6, "b")] {
            peer.deliver(command.consumer_id, entry, text).await;
        }
        assert_eq!(reader.next().await.unwrap().payload.unwrap(), "b");
    });
}

#[test]
fn the_end_is_a_place() {
    run(async {
        let fake = Fake::start().await;
        let client = fake.client();
        let open =
            client.consumer("t").subscription("s").durable(false).initial_position(InitialPosition::Latest).subscribe();
        let script = async {
            let (mut peer, _) = fake.accept_consumer().await;
            peer.flow().await;
            let Body::GetLastMessageId(asked) = peer.command().await else { panic!("not asked") };
            peer.say(Body::GetLastMessageIdResponse(CommandGetLastMessageIdResponse {
                last_message_id: MessageId::of_entry(1, 8).data(),
                request_id: asked.request_id,
                consumer_mark_delete_position: None,
            }))
            .await;
            peer
        };
        let (consumer, peer) = tokio::join!(open, script);
        let consumer = consumer.unwrap();
        drop(peer);
        let (mut peer, again) = fake.accept_consumer().await;
        assert_eq!(again.start_message_id.unwrap().entry_id, 8);
        for (entry, text) in [(8, "before"), (9, "after")] {
            peer.deliver(again.consumer_id, entry, text).await;
        }
        assert!(matches!(consumer.recv().await, Ok(Event::Reconnected)));
        assert_eq!(text(&consumer).await, "after");
    });
}

#[test]
fn a_dropped_receive_loses_nothing() {
    run(async {
        let fake = Fake::start().await;
        let (consumer, mut peer, command) = consumer_with(&fake, |builder| builder).await;
        for _ in 0..3 {
            let given_up = tokio::time::timeout(Duration::from_millis(1), consumer.recv()).await;
            assert!(given_up.is_err());
        }
        peer.deliver(command.consumer_id, 0, "a").await;
        assert_eq!(text(&consumer).await, "a");
        drop(consumer);
        while !matches!(peer.command().await, Body::CloseConsumer(_)) {}
    });
}
