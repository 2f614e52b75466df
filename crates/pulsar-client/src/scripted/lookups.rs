// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Finding the broker of a topic.

use super::{Fake, run};
use crate::error::Error;
use crate::proto::command_lookup_topic_response::LookupType;
use crate::proto::{Body, CommandLookupTopicResponse, CommandTopicMigrated, ServerError};

#[test]
fn another_broker_is_asked_with_authority() {
    run(async {
        let (first, second) = (Fake::start().await, Fake::start().await);
        let client = first.client();
        let script = async {
            let mut peer = first.accept().await;
            let lookup = peer.asked_for_lookup().await;
            assert_eq!((lookup.topic.as_str(), lookup.authoritative()), ("persistent://public/default/t", false));
            peer.answer_lookup(lookup.request_id, LookupType::Redirect, &second.url).await;
            let mut other = second.accept().await;
            let lookup = other.asked_for_lookup().await;
            assert!(lookup.authoritative());
            other.answer_lookup(lookup.request_id, LookupType::Connect, &second.url).await;
            // On the connection that was made for the question.
            other.producer().await;
            (peer, other)
        };
        let (producer, _peers) = tokio::join!(client.producer("t").create(), script);
        producer.unwrap();
    });
}

#[test]
fn brokers_that_point_at_each_other_are_given_up() {
    run(async {
        let fake = Fake::start().await;
        let client = fake.builder().operation_timeout(std::time::Duration::from_millis(300)).build().unwrap();
        let script = async {
            let mut peer = fake.accept().await;
            loop {
                let lookup = peer.asked_for_lookup().await;
                let url = fake.url.clone();
                peer.answer_lookup(lookup.request_id, LookupType::Redirect, &url).await;
            }
        };
        tokio::select! {
            producer = client.producer("t").create() =>
                assert!(matches!(producer, Err(Error::ServiceNotReady(_))), "{producer:?}"),
            () = script => {}
        }
    });
}

#[test]
fn a_proxy_is_told_whom_to_connect_with() {
    run(async {
        let fake = Fake::start().await;
        let client = fake.builder().listener_name("inside").build().unwrap();
        let script = async {
            let mut peer = fake.accept().await;
            let lookup = peer.asked_for_lookup().await;
            assert_eq!(lookup.advertised_listener_name.as_deref(), Some("inside"));
            peer.say(Body::LookupTopicResponse(CommandLookupTopicResponse {
                request_id: lookup.request_id,
                response: Some(LookupType::Connect as i32),
                broker_service_url: Some("pulsar://broker-7:6650".into()),
                proxy_through_service_url: Some(true),
                ..Default::default()
            }))
            .await;
            let (mut proxied, greeting) = fake.accept_with_greeting().await;
            assert_eq!(greeting.proxy_to_broker_url.as_deref(), Some("broker-7:6650"));
            proxied.producer().await;
            (peer, proxied)
        };
        let (producer, _peers) = tokio::join!(client.producer("t").create(), script);
        producer.unwrap();
    });
}

#[test]
fn what_may_pass_is_asked_again_and_what_stays_is_told() {
    run(async {
        let fake = Fake::start().await;
        let client = fake.client();
        let refuse = |request_id, error: ServerError| {
            Body::LookupTopicResponse(CommandLookupTopicResponse {
                request_id,
                response: Some(LookupType::Failed as i32),
                error: Some(error as i32),
                ..Default::default()
            })
        };
        let script = async {
            let mut peer = fake.accept().await;
            let lookup = peer.asked_for_lookup().await;
            peer.say(refuse(lookup.request_id, ServerError::ServiceNotReady)).await;
            peer.asked_for_lookup().await;
            drop(peer);
            let mut peer = fake.accept().await;
            let lookup = peer.asked_for_lookup().await;
            // A broker that points to nowhere.
            peer.answer_lookup(lookup.request_id, LookupType::Connect, "").await;
            let lookup = peer.asked_for_lookup().await;
            peer.say(refuse(lookup.request_id, ServerError::TopicNotFound)).await;
        };
        let (producer, ()) = tokio::join!(client.producer("t").create(), script);
        assert!(matches!(producer, Err(Error::TopicNotFound(_))), "{producer:?}");
    });
}

#[test]
fn a_topic_that_moved_to_another_cluster_is_followed() {
    run(async {
        let (blue, green) = (Fake::start().await, Fake::start().await);
        let client = blue.client();
        let (producer, (mut peer, command)) = tokio::join!(client.producer("t").create(), blue.accept_producer());
        let _producer = producer.unwrap();
        peer.say(Body::TopicMigrated(CommandTopicMigrated {
            resource_id: command.producer_id,
            resource_type: 0,
            broker_service_url: Some(green.url.clone()),
            broker_service_url_tls: None,
        }))
        .await;
        let (_peer, again) = green.accept_producer().await;
        assert_eq!((again.producer_id, again.epoch()), (command.producer_id, 1));
    });
}
