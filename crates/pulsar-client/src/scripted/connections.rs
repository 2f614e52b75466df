// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Greetings, signs of life, credentials, and frames that are none.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::{Fake, connected, error, run};
use crate::auth::Authentication;
use crate::error::Error;
use crate::proto::{Body, CommandAuthChallenge, CommandPing, ServerError};

#[test]
fn a_greeting_that_is_cut_is_said_again() {
    run(async {
        let fake = Fake::start().await;
        let client = fake.client();
        let script = async {
            drop(fake.accept_silently().await);
            let mut peer = fake.accept_silently().await;
            peer.greeting().await;
            drop(peer);
            let mut peer = fake.accept_silently().await;
            peer.greeting().await;
            peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            fake.accept_producer().await
        };
        let (producer, _script) = tokio::join!(client.producer("t").create(), script);
        producer.unwrap();
    });
}

#[test]
fn refused_credentials_are_not_tried_again() {
    run(async {
        let fake = Fake::start().await;
        let client = fake.builder().authentication(Authentication::token("wrong")).build().unwrap();
        let script = async {
            let mut peer = fake.accept_silently().await;
            let greeting = peer.greeting().await;
            assert_eq!(greeting.auth_method_name.as_deref(), Some("token"));
            assert_eq!(greeting.auth_data.as_deref(), Some(&b"wrong"[..]));
            peer.say(error(u64::MAX, ServerError::AuthenticationError)).await;
        };
        let (producer, ()) = tokio::join!(client.producer("t").create(), script);
        assert!(matches!(producer, Err(Error::AuthenticationFailed(_))), "{producer:?}");
    });
}

#[test]
fn an_expired_token_is_renewed_in_the_greeting_and_after_it() {
    run(async {
        let fake = Fake::start().await;
        let asked = AtomicUsize::new(0);
        let supplier = move || Ok(format!("token-{}", asked.fetch_add(1, Ordering::SeqCst)));
        let client = fake.builder().authentication(Authentication::token_supplier(supplier)).build().unwrap();
        let challenge = || Body::AuthChallenge(CommandAuthChallenge::default());
        let script = async {
            let mut peer = fake.accept_silently().await;
            assert_eq!(peer.greeting().await.auth_data.unwrap(), "token-0");
            peer.say(challenge()).await;
            let Body::AuthResponse(answer) = peer.command().await else { panic!("no answer") };
            assert_eq!(answer.response.unwrap().auth_data.unwrap(), "token-1");
            peer.say(connected()).await;
            peer.lookup().await;
            peer.producer().await;
            peer.say(challenge()).await;
            let Body::AuthResponse(answer) = peer.command().await else { panic!("no answer") };
            assert_eq!(answer.response.unwrap().auth_data.unwrap(), "token-2");
        };
        let (producer, ()) = tokio::join!(client.producer("t").create(), script);
        producer.unwrap();
    });
}

#[test]
fn a_token_that_cannot_be_renewed_ends_the_producer() {
    run(async {
        let fake = Fake::start().await;
        let asked = AtomicUsize::new(0);
        let supplier = move || match asked.fetch_add(1, Ordering::SeqCst) {
            0 => Ok("token".into()),
            _ => Err(Error::AuthenticationFailed("no token left".into())),
        };
        let client = fake.builder().authentication(Authentication::token_supplier(supplier)).build().unwrap();
        let (producer, (mut peer, _)) = tokio::join!(client.producer("t").create(), fake.accept_producer());
        peer.say(Body::AuthChallenge(CommandAuthChallenge::default())).await;
        // The next connection lacks a token, too.
        assert!(matches!(producer.unwrap().closed().await, Error::AuthenticationFailed(_)));
    });
}

#[test]
fn a_ping_is_answered_and_a_silent_broker_is_given_up() {
    run(async {
        let fake = Fake::start().await;
        let client = fake.builder().keep_alive(Duration::from_millis(400)).build().unwrap();
        let (producer, (mut peer, _)) = tokio::join!(client.producer("t").create(), fake.accept_producer());
        let producer = producer.unwrap();
        peer.say(Body::Ping(CommandPing {})).await;
        while !matches!(peer.received().await.unwrap().body, Body::Pong(_)) {}
        // From now on the broker is silent.
        assert!(matches!(peer.received().await.unwrap().body, Body::Ping(_)));
        assert!(peer.received().await.is_none());
        let (_peer, again) = fake.accept_producer().await;
        assert_eq!(again.producer_name.as_deref(), Some("p"));
        drop(producer);
    });
}

#[test]
fn whatever_is_asked_ends_with_the_connection() {
    run(async {
        let fake = Fake::start().await;
        let client = fake.builder().operation_timeout(Duration::from_millis(1)).build().unwrap();
        let (schema, topics, ()) =
            tokio::join!(client.get_schema("t", None), client.topics("a/b", Default::default(), None), async {
                let mut peer = fake.accept().await;
                peer.command().await;
                peer.command().await;
            });
        assert!(matches!(schema, Err(Error::Disconnected(_) | Error::Timeout(_))), "{schema:?}");
        assert!(matches!(topics, Err(Error::Disconnected(_) | Error::Timeout(_))), "{topics:?}");
    });
}

#[test]
fn an_answer_that_does_not_come_is_missed_in_time() {
    run(async {
        let fake = Fake::start().await;
        let client = fake.builder().operation_timeout(Duration::from_millis(20)).build().unwrap();
        let (producer, _peer) = tokio::join!(client.producer("t").create(), async {
            let mut peer = fake.accept().await;
            peer.asked_for_lookup().await;
            peer
        });
        assert!(matches!(producer, Err(Error::Timeout(_))), "{producer:?}");
    });
}

#[test]
fn a_frame_that_is_none_ends_the_connection() {
    for garbage in [
        // Larger than anything may be; a command beyond its frame; no command at all.
        &[0xff, 0xff, 0xff, 0xff][..],
        &[0, 0, 0, 8, 0, 0, 0, 5, 0, 0, 0, 0],
        &[0, 0, 0, 5, 0, 0, 0, 1, 0xff],
        &[0, 0, 0, 0],
    ] {
        run(async {
            let fake = Fake::start().await;
            let client = fake.client();
            let (producer, (mut peer, _)) = tokio::join!(client.producer("t").create(), fake.accept_producer());
            peer.write(garbage).await;
            peer.until_ended().await;
            fake.accept_producer().await;
            assert_eq!(producer.unwrap().ended(), None);
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_frame_makes_the_client_panic(frames in proptest::collection::vec(
        (1u8..42, proptest::collection::vec(any::<u8>(), 0..40)), 1..8,
    )) {
        run(async {
            let fake = Fake::start().await;
            let client = fake.client();
            let (consumer, (mut peer, _)) =
                tokio::join!(client.consumer("t").subscription("s").subscribe(), fake.accept_consumer());
            let consumer = consumer.unwrap();
            for (field, body) in frames {
                // A command of any kind, whose content is arbitrary, with something behind it.
                let tag = u32::from(field) << 3 | 2;
                let mut command = vec![8, field];
                prost::encoding::encode_varint(tag.into(), &mut command);
                prost::encoding::encode_varint(body.len() as u64 / 2, &mut command);
                command.extend_from_slice(&body[..body.len() / 2]);
                let mut frame = Vec::new();
                frame.extend_from_slice(&(command.len() as u32 + 4 + body.len() as u32 / 2).to_be_bytes());
                frame.extend_from_slice(&(command.len() as u32).to_be_bytes());
                frame.extend_from_slice(&command);
                frame.extend_from_slice(&body[..body.len() / 2]);
                peer.write(&frame).await;
            }
            drop(peer);
            // The client lives on.
            fake.accept_consumer().await;
            while consumer.try_recv().is_some() {}
            assert!(consumer.is_connected() || consumer.try_recv().is_none());
        });
    }
}
