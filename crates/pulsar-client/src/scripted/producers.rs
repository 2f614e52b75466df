// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Producers that lose their broker at every step, and brokers that refuse.

use std::time::Duration;

use bytes::Bytes;

use super::{Fake, Peer, duplicate, error, producer_success, receipt, run};
use crate::error::Error;
use crate::message::Message;
use crate::producer::{Access, Producer};
use crate::proto::{Body, CommandCloseProducer, CommandProducer, CommandSend, CommandSendError, ServerError};

async fn producer(fake: &Fake) -> (Producer, Peer, CommandProducer) {
    let client = fake.client();
    let (producer, (peer, command)) = tokio::join!(client.producer("t").create(), fake.accept_producer());
    (producer.unwrap(), peer, command)
}

async fn sent(peer: &mut Peer, count: usize) -> (Vec<Bytes>, Vec<CommandSend>) {
    let (mut frames, mut commands) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (frame, command) = peer.sent().await;
        frames.push(frame);
        commands.push(command);
    }
    (frames, commands)
}

fn send_error(send: &CommandSend, error: ServerError) -> Body {
    Body::SendError(CommandSendError {
        producer_id: send.producer_id,
        // The broker names the highest.
        sequence_id: send.sequence_id.max(send.highest_sequence_id()),
        error: error as i32,
        message: "refused".into(),
    })
}

fn three(producer: &Producer) -> Vec<crate::producer::SendFuture> {
    vec![
        producer.send_batch(0, vec![Message::new("a"), Message::new("b")]),
        producer.send(Message::new("c")),
        producer.send_batch(3, vec![Message::new("d")]),
    ]
}

#[test]
fn what_is_not_acknowledged_is_sent_again_as_it_was() {
    for acknowledged in 0..=3 {
        run(async {
            let fake = Fake::start().await;
            let (producer, mut peer, first) = producer(&fake).await;
            let pending = three(&producer);
            let (frames, commands) = sent(&mut peer, 3).await;
            assert_eq!(commands.iter().map(|send| send.sequence_id).collect::<Vec<_>>(), [0, 2, 3]);
            for (entry, send) in commands.iter().take(acknowledged).enumerate() {
                peer.say(receipt(send, entry as u64)).await;
            }
            drop(peer);
            // Lost while it is found again, too.
            let mut peer = fake.accept().await;
            peer.asked_for_lookup().await;
            drop(peer);
            let mut peer = fake.accept_lookup().await;
            let again = peer.asked_for_producer().await;
            assert_eq!((again.producer_name(), again.user_provided_producer_name(), again.epoch()), ("p", false, 1));
            assert_eq!(again.producer_id, first.producer_id);
            drop(peer);
            let (mut peer, _) = fake.accept_producer().await;
            let (again, commands) = sent(&mut peer, 3 - acknowledged).await;
            assert_eq!(again, frames[acknowledged..]);
            for send in &commands {
                peer.say(duplicate(send)).await;
            }
            for (place, pending) in pending.into_iter().enumerate() {
                assert_eq!(pending.await.unwrap().duplicate, place >= acknowledged);
            }
            producer.flush().await.unwrap();
            assert_eq!(producer.last_sequence_id(), Some(3));
        });
    }
}

#[test]
fn a_creation_that_is_cut_is_tried_again() {
    run(async {
        let fake = Fake::start().await;
        let client = fake.client();
        let script = async {
            let mut peer = fake.accept_lookup().await;
            peer.asked_for_producer().await;
            drop(peer);
            let mut peer = fake.accept_lookup().await;
            let asked = peer.asked_for_producer().await;
            peer.say(error(asked.request_id, ServerError::ServiceNotReady)).await;
            peer.lookup().await;
            peer.producer().await;
            peer
        };
        let (producer, _peer) = tokio::join!(client.producer("t").create(), script);
        assert_eq!(producer.unwrap().name(), "p");
    });
}

#[test]
fn a_creation_that_is_refused_is_not_tried_again() {
    for code in [
        ServerError::ProducerBusy,
        ServerError::ProducerFenced,
        ServerError::TopicTerminatedError,
        ServerError::TopicNotFound,
        ServerError::IncompatibleSchema,
        ServerError::ProducerBlockedQuotaExceededError,
        ServerError::ProducerBlockedQuotaExceededException,
        ServerError::AuthorizationError,
        ServerError::NotAllowedError,
    ] {
        run(async {
            let fake = Fake::start().await;
            let client = fake.client();
            let (producer, _peer) = tokio::join!(client.producer("t").create(), async {
                let mut peer = fake.accept_lookup().await;
                let asked = peer.asked_for_producer().await;
                peer.say(error(asked.request_id, code)).await;
                peer
            });
            assert_eq!(producer.err(), Some(Error::of_server(code as i32, "refused")));
        });
    }
}

#[test]
fn a_busy_name_is_waited_for_when_it_may_be_ones_own() {
    run(async {
        let fake = Fake::start().await;
        let (producer, peer, _) = producer(&fake).await;
        drop(peer);
        let mut peer = fake.accept_lookup().await;
        for _ in 0..3 {
            let asked = peer.asked_for_producer().await;
            peer.say(error(asked.request_id, ServerError::ProducerBusy)).await;
            peer.lookup().await;
        }
        peer.producer().await;
        let pending = producer.send(Message::new("a"));
        let (_, send) = peer.sent().await;
        peer.say(receipt(&send, 0)).await;
        pending.await.unwrap();
    });
}

#[test]
fn what_ends_a_producer_ends_everything_it_has_pending() {
    for code in [
        ServerError::ProducerFenced,
        ServerError::TopicTerminatedError,
        ServerError::TopicNotFound,
        ServerError::AuthorizationError,
    ] {
        let reason = Error::of_server(code as i32, "refused");
        // Told in answer to a message, and to a producer that comes back.
        for at_once in [true, false] {
            run(async {
                let fake = Fake::start().await;
                let (producer, mut peer, _) = producer(&fake).await;
                let pending = three(&producer);
                let (_, commands) = sent(&mut peer, 3).await;
                if at_once {
                    peer.say(send_error(&commands[0], code)).await;
                } else {
                    drop(peer);
                    peer = fake.accept_lookup().await;
                    let asked = peer.asked_for_producer().await;
                    peer.say(error(asked.request_id, code)).await;
                }
                for pending in pending {
                    assert_eq!(pending.await, Err(reason.clone()));
                }
                assert_eq!(producer.closed().await, reason);
                assert_eq!(producer.send(Message::new("late")).await, Err(reason.clone()));
                assert_eq!(producer.flush().await, Err(reason.clone()));
            });
        }
    }
}

#[test]
fn a_message_that_is_not_allowed_fails_alone() {
    run(async {
        let fake = Fake::start().await;
        let (producer, mut peer, _) = producer(&fake).await;
        let mut pending = three(&producer).into_iter();
        let (_, commands) = sent(&mut peer, 3).await;
        peer.say(send_error(&commands[0], ServerError::NotAllowedError)).await;
        peer.say(receipt(&commands[1], 0)).await;
        peer.say(receipt(&commands[2], 1)).await;
        assert!(matches!(pending.next().unwrap().await, Err(Error::NotAllowed(_))));
        assert_eq!(pending.next().unwrap().await.unwrap().message_id.entry, 0);
        assert_eq!(pending.next().unwrap().await.unwrap().message_id.entry, 1);
    });
}

#[test]
fn what_the_broker_could_not_store_is_sent_again_in_order() {
    run(async {
        let fake = Fake::start().await;
        let (producer, mut peer, _) = producer(&fake).await;
        let pending = three(&producer);
        let (frames, commands) = sent(&mut peer, 3).await;
        peer.say(send_error(&commands[1], ServerError::PersistenceError)).await;
        assert!(matches!(peer.command().await, Body::CloseProducer(_)));
        // An answer to what was sent before counts no longer.
        peer.say(receipt(&commands[2], 9)).await;
        peer.lookup().await;
        peer.producer().await;
        let (again, commands) = sent(&mut peer, 3).await;
        assert_eq!(again, frames);
        for (entry, send) in commands.iter().enumerate() {
            peer.say(receipt(send, entry as u64)).await;
        }
        for (entry, pending) in pending.into_iter().enumerate() {
            assert_eq!(pending.await.unwrap().message_id.entry, entry as u64);
        }
    });
}

#[test]
fn a_message_that_the_broker_passed_over_is_sent_again() {
    run(async {
        let fake = Fake::start().await;
        let (producer, mut peer, _) = producer(&fake).await;
        let pending = three(&producer);
        let (frames, commands) = sent(&mut peer, 3).await;
        peer.say(receipt(&commands[1], 0)).await;
        assert!(matches!(peer.command().await, Body::CloseProducer(_)));
        peer.lookup().await;
        peer.producer().await;
        let (again, commands) = sent(&mut peer, 3).await;
        assert_eq!(again, frames);
        for send in &commands {
            peer.say(receipt(send, 0)).await;
        }
        for pending in pending {
            pending.await.unwrap();
        }
    });
}

#[test]
fn a_duplicate_may_be_recognized_before_what_precedes_it_is_stored() {
    run(async {
        let fake = Fake::start().await;
        let (producer, mut peer, _) = producer(&fake).await;
        let mut pending = three(&producer);
        let (_, commands) = sent(&mut peer, 3).await;
        peer.say(duplicate(&commands[2])).await;
        assert!(pending.pop().unwrap().await.unwrap().duplicate);
        peer.say(receipt(&commands[0], 0)).await;
        peer.say(receipt(&commands[0], 0)).await;
        peer.say(receipt(&commands[1], 1)).await;
        for pending in pending {
            assert!(!pending.await.unwrap().duplicate);
        }
    });
}

#[test]
fn a_producer_that_the_broker_closes_comes_back_on_the_same_connection() {
    run(async {
        let fake = Fake::start().await;
        let (producer, mut peer, command) = producer(&fake).await;
        let pending = producer.send(Message::new("a"));
        let (frame, _) = peer.sent().await;
        let close = CommandCloseProducer { producer_id: command.producer_id, request_id: 0 };
        peer.say(Body::CloseProducer(close)).await;
        peer.lookup().await;
        // Taken back before it is used: the answer does not count.
        let asked = peer.asked_for_producer().await;
        peer.say(Body::CloseProducer(close)).await;
        peer.say(Body::ProducerSuccess(producer_success(asked.request_id))).await;
        loop {
            match peer.command().await {
                Body::LookupTopic(lookup) => {
                    let url = fake.url.clone();
                    let connect = crate::proto::command_lookup_topic_response::LookupType::Connect;
                    peer.answer_lookup(lookup.request_id, connect, &url).await;
                }
                Body::Producer(asked) => {
                    peer.say(Body::ProducerSuccess(producer_success(asked.request_id))).await;
                    break;
                }
                Body::CloseProducer(_) => {}
                other => panic!("{other:?}"),
            }
        }
        let (again, send) = peer.sent().await;
        assert_eq!(again, frame);
        peer.say(receipt(&send, 0)).await;
        pending.await.unwrap();
    });
}

#[test]
fn waiting_for_exclusive_access_survives_the_connection() {
    run(async {
        let fake = Fake::start().await;
        let client = fake.builder().operation_timeout(Duration::from_secs(5)).build().unwrap();
        let not_ready = |request_id| {
            let success = producer_success(request_id);
            Body::ProducerSuccess(crate::proto::CommandProducerSuccess { producer_ready: Some(false), ..success })
        };
        let script = async {
            let mut peer = fake.accept_lookup().await;
            let asked = peer.asked_for_producer().await;
            assert_eq!(asked.producer_access_mode, Some(2));
            peer.say(not_ready(asked.request_id)).await;
            drop(peer);
            let mut peer = fake.accept_lookup().await;
            let asked = peer.asked_for_producer().await;
            peer.say(not_ready(asked.request_id)).await;
            let success = producer_success(asked.request_id);
            let ready = crate::proto::CommandProducerSuccess { topic_epoch: Some(7), ..success };
            peer.say(Body::ProducerSuccess(ready)).await;
            peer
        };
        let (producer, peer) = tokio::join!(client.producer("t").access(Access::WaitForExclusive).create(), script);
        assert_eq!(producer.as_ref().unwrap().topic_epoch(), Some(7));
        drop(peer);
        let (_peer, again) = fake.accept_producer().await;
        // It does not queue up behind others with an epoch that may be over.
        assert_eq!((again.topic_epoch, again.producer_access_mode), (Some(7), Some(1)));
    });
}

#[test]
fn an_exclusive_producer_may_be_in_its_own_way_for_a_while() {
    for ends in [false, true] {
        run(async {
            let fake = Fake::start().await;
            let client =
                fake.builder().operation_timeout(Duration::from_millis(100)).keep_alive(Duration::from_millis(200));
            let client = client.build().unwrap();
            let (producer, (peer, _)) =
                tokio::join!(client.producer("t").access(Access::Exclusive).create(), fake.accept_producer());
            let producer = producer.unwrap();
            drop(peer);
            let mut peer = fake.accept_lookup().await;
            let mut refused = 0;
            loop {
                let asked = peer.asked_for_producer().await;
                if refused == 3 && !ends {
                    peer.say(Body::ProducerSuccess(producer_success(asked.request_id))).await;
                    let pending = producer.send(Message::new("a"));
                    let (_, send) = peer.sent().await;
                    peer.say(receipt(&send, 0)).await;
                    pending.await.unwrap();
                    return;
                }
                peer.say(error(asked.request_id, ServerError::ProducerFenced)).await;
                refused += 1;
                tokio::select! {
                    () = peer.lookup() => {}
                    reason = producer.closed() => {
                        assert!(matches!(reason, Error::ProducerFenced(_)), "{reason:?}");
                        assert!(ends && refused > 3, "{refused}");
                        return;
                    }
                }
            }
        });
    }
}

#[test]
fn a_creation_that_is_given_up_is_taken_back() {
    run(async {
        let fake = Fake::start().await;
        let client = fake.client();
        let mut peer = {
            let create = client.producer("t").create();
            tokio::pin!(create);
            let script = async {
                let mut peer = fake.accept_lookup().await;
                peer.asked_for_producer().await;
                peer
            };
            tokio::select! {
                producer = &mut create => panic!("{producer:?}"),
                peer = script => peer,
            }
        };
        assert!(matches!(peer.command().await, Body::CloseProducer(_)));
    });
}

#[test]
fn a_producer_that_is_closed_on_its_way_back_is_taken_back() {
    run(async {
        let fake = Fake::start().await;
        let (producer, peer, _) = producer(&fake).await;
        drop(peer);
        let mut peer = fake.accept_lookup().await;
        peer.asked_for_producer().await;
        producer.close().await.unwrap();
        assert!(matches!(peer.command().await, Body::CloseProducer(_)));
    });
}

#[test]
fn a_full_queue_refuses_and_says_when_it_has_room() {
    run(async {
        let fake = Fake::start().await;
        let client = fake.client();
        let (producer, (mut peer, _)) =
            tokio::join!(client.producer("t").max_pending(2, 1 << 20).create(), fake.accept_producer());
        let producer = producer.unwrap();
        let first = producer.send(Message::new("a"));
        let _second = producer.send(Message::new("b"));
        assert_eq!(producer.send(Message::new("c")).await, Err(Error::QueueFull));
        let (_, commands) = sent(&mut peer, 2).await;
        let (ready, ()) = tokio::join!(producer.ready(), peer.say(receipt(&commands[0], 0)));
        ready.unwrap();
        first.await.unwrap();
        let _third = producer.send(Message::new("c"));
        assert_eq!(peer.sent().await.1.sequence_id, 2);
        // One that is larger than the queue is accepted, if it is alone.
        drop(producer);
    });
}

#[test]
fn invalid_messages_are_refused_before_they_are_sent() {
    run(async {
        let fake = Fake::start().await;
        let (producer, mut peer, _) = producer(&fake).await;
        for batch in [
            vec![],
            vec![Message::new("a").deliver_at(5)],
            vec![Message::new("a"), Message { schema_version: Some(Bytes::from_static(b"1")), ..Message::new("b") }],
            vec![Message::new("a"), Message { replicate_to: vec!["x".into()], ..Message::new("b") }],
        ] {
            let refused = producer.send_batch(0, batch).await;
            assert!(matches!(refused, Err(Error::InvalidMessage(_))), "{refused:?}");
        }
        let beyond = producer.send_batch(u64::MAX, vec![Message::new("a"), Message::new("b")]).await;
        assert!(matches!(beyond, Err(Error::InvalidMessage(_))), "{beyond:?}");
        let large = producer.send(Message::new(vec![0; 100_001])).await;
        assert!(matches!(large, Err(Error::MessageTooLarge { limit: 100_000, .. })), "{large:?}");
        let _pending = producer.send(Message::new("good"));
        assert_eq!(peer.sent().await.1.sequence_id, 0);
    });
}

#[test]
fn closing_takes_leave_once_everything_is_stored() {
    run(async {
        let fake = Fake::start().await;
        let (producer, mut peer, _) = producer(&fake).await;
        let pending = producer.send(Message::new("a"));
        let script = async {
            let (_, send) = peer.sent().await;
            peer.say(receipt(&send, 0)).await;
            let Body::CloseProducer(close) = peer.command().await else { panic!("no leave taken") };
            peer.say(super::success(close.request_id)).await;
        };
        let (closed, ()) = tokio::join!(producer.close(), script);
        closed.unwrap();
        pending.await.unwrap();
        assert_eq!(producer.ended(), Some(Error::Closed));
    });
}
