// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Clients: what is known of topics, partitions, TLS and tokens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fnstream_pulsar_client::{
    Authentication, Client, Error, Event, Hashing, InitialPosition, Message, PartitionedConsumer, PartitionedProducer,
    TlsOptions, TopicsMode,
};

use crate::harness::{send, text, variable, with_broker};

#[test]
fn topics_are_counted_listed_and_found() {
    with_broker(|ns| async move {
        let client = ns.client();
        ns.create_partitioned("many", 3);
        client.producer(ns.topic("one")).create().await.unwrap();
        let fleeting = format!("non-persistent://{}/fleeting", ns.name());
        let _fleeting = client.producer(&fleeting).create().await.unwrap();

        assert_eq!(client.partitions(&ns.topic("many")).await, Ok(3));
        assert_eq!(client.partitions(&ns.topic("one")).await, Ok(0));
        let missing = client.partitions(&ns.topic("missing")).await;
        assert!(matches!(missing, Err(Error::TopicNotFound(_))), "{missing:?}");
        for (topic, exists) in [("many", true), ("one", true), ("missing", false)] {
            assert_eq!(client.exists(&ns.topic(topic)).await, Ok(exists), "{topic}");
        }

        let listed = |mode, pattern: Option<&str>| {
            let (client, name, pattern) = (client.clone(), ns.name().to_owned(), pattern.map(str::to_owned));
            async move {
                let mut topics = client.topics(&name, mode, pattern.as_deref()).await.unwrap();
                topics.retain(|topic| !topic.contains("__"));
                topics.sort();
                topics
            }
        };
        let many: Vec<_> = (0..3).map(|partition| ns.topic(&format!("many-partition-{partition}"))).collect();
        let stored: Vec<_> = many.iter().cloned().chain([ns.topic("one")]).collect();
        assert_eq!(listed(TopicsMode::Persistent, None).await, stored);
        assert_eq!(listed(TopicsMode::NonPersistent, None).await, [fleeting]);
        assert_eq!(listed(TopicsMode::All, None).await.len(), 5);
        let pattern = format!("{}/ma.*", ns.name());
        let found = listed(TopicsMode::Persistent, Some(&pattern)).await;
        assert!(!found.is_empty() && found.iter().all(|topic| topic.contains("/many")), "{found:?}");
    });
}

#[test]
fn a_topic_with_partitions_is_written_and_read_as_a_whole_while_it_grows() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        ns.create_partitioned("t", 2);
        let producer = PartitionedProducer::create(&client, client.producer(&topic), Hashing::Murmur3).await.unwrap();
        let options = client.consumer(&topic).subscription("s").initial_position(InitialPosition::Earliest);
        let consumer = PartitionedConsumer::subscribe(&client, options, Some(Duration::from_millis(20))).await.unwrap();
        assert_eq!((producer.partitions(), consumer.partitions()), (2, vec![0, 1]));
        ns.post(&format!("{}/partitions", ns.topic_path("t")), "4");
        producer.grow().await.unwrap();
        assert_eq!(producer.partitions(), 4);
        let mut told = BTreeMap::new();
        for number in 0..40 {
            let message = Message::new(format!("{number}")).key(format!("k{number}"));
            told.insert(format!("{number}"), Hashing::Murmur3.partition(message.key.as_ref().unwrap(), 4) as i32);
            producer.send(message).await.unwrap();
        }
        let mut found = BTreeMap::new();
        while found.len() < 40 {
            if let (consumer, Event::Messages(entry)) = consumer.recv().await.unwrap() {
                consumer.ack(&entry.id).await.unwrap();
                found.extend(entry.messages.iter().map(|message| (text(message), message.id.partition)));
            }
        }
        assert_eq!(found, told);
        assert_eq!(consumer.partitions(), [0, 1, 2, 3]);
        consumer.close().await.unwrap();
        producer.close().await.unwrap();
    });
}

#[test]
fn the_number_of_partitions_is_watched() {
    with_broker(|ns| async move {
        let client = ns.client();
        ns.create_partitioned("t", 2);
        let mut partitions = client.watch_partitions(&ns.topic("t"), Duration::from_millis(20)).await.unwrap();
        assert_eq!(*partitions.borrow_and_update(), 2);
        ns.post(&format!("{}/partitions", ns.topic_path("t")), "5");
        partitions.changed().await.unwrap();
        assert_eq!(*partitions.borrow_and_update(), 5);
        client.close().await;
        assert!(partitions.changed().await.is_err());
    });
}

#[test]
fn tls_needs_a_trusted_authority() {
    let (Some(url), Some(ca)) = (variable("FNSTREAM_PULSAR_SSL"), variable("FNSTREAM_PULSAR_CA")) else { return };
    with_broker(|ns| async move {
        let trusting = |hostname_verification| TlsOptions { ca_file: Some(ca.clone().into()), hostname_verification };
        for tls in [trusting(true), trusting(false)] {
            let client = Client::builder(&url).tls(tls).build().unwrap();
            let producer = client.producer(ns.topic("t")).create().await.unwrap();
            send(&producer, &["a"]).await;
        }
        for hostname_verification in [true, false] {
            // The system trusts other authorities.
            let tls = TlsOptions { ca_file: None, hostname_verification };
            let Ok(client) = Client::builder(&url).tls(tls).build() else { continue };
            let refused = client.producer(ns.topic("t")).create().await;
            assert!(matches!(refused, Err(Error::Tls(_))), "{refused:?}");
        }
        let nothing = TlsOptions { ca_file: Some("/dev/null".into()), ..TlsOptions::default() };
        assert!(matches!(Client::builder(&url).tls(nothing).build(), Err(Error::Tls(_))));
    });
}

#[test]
fn a_token_says_who_the_client_is() {
    let names = ["FNSTREAM_PULSAR_TOKEN", "FNSTREAM_PULSAR_GUEST_TOKEN", "FNSTREAM_PULSAR_EXPIRED_TOKEN"];
    let [Some(admin), Some(guest), Some(expired)] = names.map(variable) else { return };
    with_broker(|ns| async move {
        let url = std::env::var("FNSTREAM_PULSAR").unwrap();
        let client = |authentication| Client::builder(&url).authentication(authentication).build().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{admin}\n")).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        for authentication in [
            Authentication::token(&admin),
            Authentication::token_file(file.path()),
            Authentication::token_supplier(move || {
                count.fetch_add(1, Ordering::SeqCst);
                Ok(admin.clone())
            }),
        ] {
            let producer = client(authentication).producer(ns.topic("t")).create().await.unwrap();
            send(&producer, &["a"]).await;
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);

        let refused = client(Authentication::token(&guest)).producer(ns.topic("t")).create().await;
        assert!(matches!(refused, Err(Error::AuthorizationFailed(_))), "{refused:?}");
        let subscribed =
            client(Authentication::token(&guest)).consumer(ns.topic("t")).subscription("s").subscribe().await;
        assert!(matches!(subscribed, Err(Error::AuthorizationFailed(_))), "{subscribed:?}");
        for authentication in [
            Authentication::token(&expired),
            Authentication::token("nonsense"),
            Authentication::token_file("/nonexistent"),
        ] {
            let refused = client(authentication).producer(ns.topic("t")).create().await;
            assert!(matches!(refused, Err(Error::AuthenticationFailed(_))), "{refused:?}");
        }
    });
}

#[test]
fn a_closed_client_ends_what_it_made() {
    with_broker(|ns| async move {
        let client = ns.client();
        let producer = client.producer(ns.topic("t")).create().await.unwrap();
        let consumer = client.consumer(ns.topic("t")).subscription("s").subscribe().await.unwrap();
        client.close().await;
        assert_eq!(producer.closed().await, Error::Closed);
        assert_eq!(producer.send(Message::new("x")).await, Err(Error::Closed));
        assert!(matches!(consumer.recv().await, Ok(Event::Closed(Error::Closed))));
        assert!(matches!(client.producer(ns.topic("t")).create().await, Err(Error::Closed)));
    });
}

#[test]
fn a_broker_that_is_not_there_is_an_error_in_time() {
    with_broker(|ns| async move {
        // A port that nobody listens at: it was given up just now.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("pulsar://127.0.0.1:{port}");
        let nowhere = Client::builder(&url).operation_timeout(Duration::from_millis(300)).build().unwrap();
        let refused = nowhere.producer(ns.topic("t")).create().await;
        assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
        // One of several hosts is enough.
        let hosts = std::env::var("FNSTREAM_PULSAR").unwrap().replace("pulsar://", &format!("{url},"));
        for _ in 0..2 {
            Client::builder(&hosts).build().unwrap().producer(ns.topic("t")).create().await.unwrap();
        }
    });
}
