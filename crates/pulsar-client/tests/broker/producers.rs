// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Producers: access, sequence ids, deduplication, and what ends them.

use std::time::Duration;

use fnstream_pulsar_client::{Access, Compression, Error, InitialPosition, Message, Schema, SchemaKind};
use tokio::time::timeout;

use crate::harness::{batch, messages, send, texts, with_broker};

#[test]
fn messages_and_batches_arrive_in_order_however_compressed() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let mut told = Vec::new();
        let consumer = client
            .consumer(&topic)
            .subscription("s")
            .initial_position(InitialPosition::Earliest)
            .subscribe()
            .await
            .unwrap();
        for compression in
            [Compression::None, Compression::Lz4, Compression::Zlib, Compression::Zstd, Compression::Snappy]
        {
            let producer = client.producer(&topic).compression(compression).create().await.unwrap();
            let name = format!("{compression:?}");
            let single = producer.send(Message::new(format!("{name} single")));
            let batch = producer.send_batch(1, batch(&[&format!("{name} one"), &format!("{name} two")]));
            assert!(single.await.unwrap().message_id < batch.await.unwrap().message_id);
            told.extend([format!("{name} single"), format!("{name} one"), format!("{name} two")]);
            producer.close().await.unwrap();
        }
        assert_eq!(texts(&consumer, told.len()).await, told);
    });
}

#[test]
fn a_name_is_taken_once() {
    with_broker(|ns| async move {
        let client = ns.client();
        let first = client.producer(ns.topic("t")).name("p").create().await.unwrap();
        assert_eq!((first.name(), first.last_sequence_id(), first.topic_epoch()), ("p".into(), None, None));
        let second = client.producer(ns.topic("t")).name("p").create().await;
        assert!(matches!(second, Err(Error::ProducerBusy(_))), "{second:?}");
        first.close().await.unwrap();
        assert_eq!(first.ended(), Some(Error::Closed));
        client.producer(ns.topic("t")).name("p").create().await.unwrap();
    });
}

#[test]
fn a_repeated_batch_is_a_duplicate_and_the_last_sequence_id_is_remembered() {
    with_broker(|ns| async move {
        ns.policy("deduplication", "true");
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).name("p").create().await.unwrap();
        assert!(!producer.send_batch(10, batch(&["a", "b", "c"])).await.unwrap().duplicate);
        assert!(producer.send_batch(10, batch(&["a", "b", "c"])).await.unwrap().duplicate);
        // A duplicate that overtakes the acknowledgement of what precedes it.
        let both = (producer.send_batch(13, batch(&["d"])), producer.send_batch(10, batch(&["a", "b", "c"])));
        assert_eq!((both.0.await.unwrap().duplicate, both.1.await.unwrap().duplicate), (false, true));
        producer.close().await.unwrap();

        let again = client.producer(&topic).name("p").create().await.unwrap();
        assert_eq!(again.last_sequence_id(), Some(13));
        // Unless told otherwise, it counts on from there.
        assert!(!again.send(Message::new("e")).await.unwrap().duplicate);
        assert_eq!(again.last_sequence_id(), Some(14));
        assert!(again.send(Message::new("e").sequence_id(14)).await.unwrap().duplicate);
        ns.unload("t");
        assert!(again.send(Message::new("e").sequence_id(14)).await.unwrap().duplicate);

        let reader = client.reader(&topic).open().await.unwrap();
        for (text, sequence_id) in [("a", 10), ("b", 11), ("c", 12), ("d", 13), ("e", 14)] {
            let message = reader.next().await.unwrap();
            assert_eq!((message.payload.as_deref(), message.sequence_id), (Some(text.as_bytes()), sequence_id));
        }
        assert!(!reader.has_more().await.unwrap());
    });
}

#[test]
fn what_is_pending_when_the_topic_moves_is_stored_once() {
    with_broker(|ns| async move {
        ns.policy("deduplication", "true");
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).name("p").create().await.unwrap();
        let mut pending = Vec::new();
        for round in 0..40u64 {
            for at in 0..25 {
                let first = (round * 25 + at) * 2;
                pending.push(producer.send_batch(first, batch(&[&format!("{first}"), &format!("{}", first + 1)])));
            }
            if round % 10 == 5 {
                ns.unload("t");
            }
        }
        for receipt in pending {
            receipt.await.unwrap();
        }
        producer.flush().await.unwrap();
        assert_eq!(producer.last_sequence_id(), Some(1999));
        let reader = client.reader(&topic).open().await.unwrap();
        for number in 0..2000 {
            let message = reader.next().await.unwrap();
            assert_eq!(
                (message.payload.as_deref(), message.sequence_id),
                (Some(format!("{number}").as_bytes()), number)
            );
        }
        assert!(!reader.has_more().await.unwrap());
    });
}

#[test]
fn an_exclusive_producer_admits_no_other() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let first = client.producer(&topic).access(Access::Exclusive).create().await.unwrap();
        assert!(first.topic_epoch().is_some());
        for access in [Access::Shared, Access::Exclusive] {
            let other = client.producer(&topic).access(access).create().await;
            assert!(matches!(other, Err(Error::ProducerBusy(_) | Error::ProducerFenced(_))), "{other:?}");
        }
    });
}

#[test]
fn a_fenced_producer_ends_with_what_it_has_pending() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let first = client.producer(&topic).name("a").access(Access::ExclusiveWithFencing).create().await.unwrap();
        send(&first, &["one"]).await;
        let second = client.producer(&topic).name("b").access(Access::ExclusiveWithFencing).create().await.unwrap();
        assert!(second.topic_epoch() > first.topic_epoch());
        let refused = first.send(Message::new("two")).await;
        assert!(matches!(refused, Err(Error::ProducerFenced(_))), "{refused:?}");
        assert!(matches!(first.closed().await, Error::ProducerFenced(_)));
        assert!(matches!(first.send(Message::new("three")).await, Err(Error::ProducerFenced(_))));
        // Nor can it come back with its old epoch.
        let back = client
            .producer(&topic)
            .name("a")
            .access(Access::Exclusive)
            .initial_topic_epoch(first.topic_epoch())
            .create()
            .await;
        assert!(matches!(back, Err(Error::ProducerFenced(_) | Error::ProducerBusy(_))), "{back:?}");
        send(&second, &["four"]).await;
    });
}

#[test]
fn a_producer_waits_for_its_turn() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let first = client.producer(&topic).access(Access::Exclusive).create().await.unwrap();
        let waiting = client.producer(&topic).name("w").access(Access::WaitForExclusive);
        let waiting = tokio::spawn(waiting.create());
        send(&first, &["one"]).await;
        assert!(!waiting.is_finished());
        first.close().await.unwrap();
        let second = waiting.await.unwrap().unwrap();
        send(&second, &["two"]).await;
    });
}

#[test]
fn who_gave_up_waiting_is_not_let_in() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let first = client.producer(&topic).access(Access::Exclusive).create().await.unwrap();
        let given_up = client.producer(&topic).name("w").access(Access::WaitForExclusive).create();
        // Long enough to be put into the queue, as what follows shows either way.
        let _ = timeout(Duration::from_millis(300), given_up).await;
        let next = tokio::spawn(client.producer(&topic).name("w").access(Access::WaitForExclusive).create());
        send(&first, &["one"]).await;
        first.close().await.unwrap();
        send(&next.await.unwrap().unwrap(), &["two"]).await;
    });
}

#[test]
fn a_terminated_topic_ends_its_producers() {
    with_broker(|ns| async move {
        let client = ns.client();
        let producer = client.producer(ns.topic("t")).create().await.unwrap();
        send(&producer, &["one"]).await;
        ns.post(&format!("{}/terminate", ns.topic_path("t")), "");
        let refused = producer.send(Message::new("two")).await;
        assert!(matches!(refused, Err(Error::TopicTerminated(_))), "{refused:?}");
        assert!(matches!(producer.closed().await, Error::TopicTerminated(_)));
        let other = client.producer(ns.topic("t")).create().await;
        assert!(matches!(other, Err(Error::TopicTerminated(_))), "{other:?}");
    });
}

#[test]
fn a_deleted_topic_ends_its_producers_if_it_is_not_made_again() {
    with_broker(|ns| async move {
        let client = ns.client();
        let producer = client.producer(ns.topic("t")).create().await.unwrap();
        send(&producer, &["one"]).await;
        ns.policy("autoTopicCreation", r#"{"allowAutoTopicCreation": false}"#);
        ns.admin("DELETE", &format!("{}?force=true", ns.topic_path("t")), "");
        let refused = producer.send(Message::new("two")).await;
        assert!(matches!(refused, Err(Error::TopicNotFound(_))), "{refused:?}");
        assert!(!client.exists(&ns.topic("t")).await.unwrap());
    });
}

#[test]
fn a_message_that_is_too_large_is_refused_and_nothing_else() {
    with_broker(|ns| async move {
        let client = ns.client();
        let producer = client.producer(ns.topic("t")).create().await.unwrap();
        let limit = producer.max_message_size();
        let refused = producer.send(Message::new(vec![0; limit])).await;
        assert!(matches!(refused, Err(Error::MessageTooLarge { .. })), "{refused:?}");
        let large = producer.send(Message::new(vec![7; limit - 1000])).await.unwrap();
        let reader = client.reader(ns.topic("t")).from(large.message_id).open().await.unwrap();
        assert_eq!(reader.next().await.unwrap().payload.unwrap(), vec![7; limit - 1000]);
    });
}

#[test]
fn a_topic_whose_backlog_is_full_takes_messages_again_when_there_is_room() {
    for policy in ["producer_exception", "producer_request_hold"] {
        with_broker(|ns| async move {
            let client = ns.client();
            let topic = ns.topic("t");
            let consumer = client.consumer(&topic).subscription("s").subscribe().await.unwrap();
            let producer = client.producer(&topic).create().await.unwrap();
            send(&producer, &["one"]).await;
            ns.policy("backlogQuota", &format!(r#"{{"limitSize": 1, "limitTime": -1, "policy": "{policy}"}}"#));

            // The broker asks for room when a producer comes: one whose topic moved, or a new one.
            ns.unload("t");
            let mut waiting = Box::pin(producer.send(Message::new("two")));
            assert!(timeout(Duration::from_secs(1), &mut waiting).await.is_err());
            let refused = timeout(Duration::from_secs(1), client.producer(&topic).create()).await.unwrap();
            assert!(matches!(refused, Err(Error::QuotaExceeded(_))), "{refused:?}");

            let first = messages(&consumer, 1).await.remove(0);
            consumer.ack(&first.id).await.unwrap();
            assert!(!waiting.await.unwrap().duplicate);
            assert_eq!(texts(&consumer, 1).await, ["two"]);
        });
    }
}

#[test]
fn a_schema_that_does_not_fit_is_refused() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let schema = |field: &str| {
            let data = format!(r#"{{"type":"record","name":"R","fields":[{{"name":"f","type":"{field}"}}]}}"#);
            Schema::new(SchemaKind::AVRO, "R", data)
        };
        assert_eq!(client.get_schema(&topic, None).await.unwrap(), None);
        let producer = client.producer(&topic).schema(schema("int")).create().await.unwrap();
        let version = producer.schema_version().unwrap();
        assert_eq!(client.get_or_create_schema(&topic, schema("int")).await.unwrap(), version);
        let found = client.get_schema(&topic, Some(version.clone())).await.unwrap().unwrap();
        assert_eq!((found.kind, found.data), (SchemaKind::AVRO, schema("int").data));
        let refused = client.producer(&topic).schema(schema("string")).create().await;
        assert!(matches!(refused, Err(Error::IncompatibleSchema(_))), "{refused:?}");
        let sent = producer.send(Message::new("x")).await.unwrap();
        let reader = client.reader(&topic).from(sent.message_id).open().await.unwrap();
        assert_eq!(reader.next().await.unwrap().schema_version, Some(version));
    });
}

#[test]
fn batches_form_by_themselves() {
    with_broker(|ns| async move {
        let client = ns.client();
        let producer = client.producer(ns.topic("t")).create().await.unwrap().batching(Default::default());
        let sent: Vec<_> = (0..500).map(|number| producer.send(Message::new(format!("{number}")))).collect();
        producer.flush().await.unwrap();
        let mut entries = std::collections::BTreeSet::new();
        for receipt in sent {
            entries.insert(receipt.await.unwrap().message_id.whole_entry());
        }
        assert!(entries.len() < 250, "{} entries", entries.len());
        let alone = producer.send(Message::new("alone")).await.unwrap();
        let reader = client.reader(ns.topic("t")).open().await.unwrap();
        for number in 0..500 {
            let message = reader.next().await.unwrap();
            assert_eq!((message.payload.unwrap(), message.sequence_id), (format!("{number}").into(), number));
        }
        assert_eq!(reader.next().await.unwrap().id, alone.message_id);
    });
}
