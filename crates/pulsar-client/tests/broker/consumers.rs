// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Consumers: acknowledgements, flow, failover, and moving about.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fnstream_pulsar_client::{
    Client, Consumer, ConsumerBuilder, Error, Event, InitialPosition, Message, SeekTo, SubscriptionType,
};

use crate::harness::{batch, messages, next_entry, send, texts, with_broker};

fn subscription(client: &Client, topic: &str) -> ConsumerBuilder {
    client.consumer(topic).subscription("s").initial_position(InitialPosition::Earliest)
}

#[test]
fn what_was_acknowledged_does_not_come_again() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).create().await.unwrap();
        let consumer = subscription(&client, &topic).subscribe().await.unwrap();
        send(&producer, &["a", "b", "c", "d", "e"]).await;
        let all = messages(&consumer, 5).await;
        consumer.ack_cumulative(&all[1].id).await.unwrap();
        consumer.ack(&all[3].id).await.unwrap();
        let place = consumer.last_message_id().await.unwrap();
        assert_eq!((place.last, place.mark_delete), (Some(all[4].id), Some(all[1].id)));
        consumer.close().await.unwrap();
        assert_eq!(consumer.recv().await.map(|event| matches!(event, Event::Closed(Error::Closed))), Ok(true));
        assert_eq!(consumer.recv().await.err(), Some(Error::Closed));

        let again = subscription(&client, &topic).subscribe().await.unwrap();
        assert_eq!(texts(&again, 2).await, ["c", "e"]);
    });
}

#[test]
fn a_batch_is_acknowledged_message_by_message() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).create().await.unwrap();
        producer.send_batch(0, batch(&["a", "b", "c", "d"])).await.unwrap();
        producer.send_batch(4, batch(&["e", "f"])).await.unwrap();
        let consumer = subscription(&client, &topic).subscribe().await.unwrap();
        let all = messages(&consumer, 6).await;
        consumer.ack_many(&[all[0].id, all[2].id]).await.unwrap();
        ns.unload("t");
        // The broker is set up without acknowledgements of single messages, or with: what it hides was acknowledged.
        let again = next_entry(&consumer).await;
        let left: Vec<_> = again.messages.iter().map(|message| message.id.batch_index.unwrap()).collect();
        assert!(left == [0, 1, 2, 3] || left == [1, 3], "{left:?}");
        consumer.ack_many(&[all[1].id, all[3].id]).await.unwrap();
        assert_eq!(consumer.last_message_id().await.unwrap().mark_delete, Some(again.id));
        consumer.ack_cumulative(&all[5].id).await.unwrap();
        assert_eq!(consumer.last_message_id().await.unwrap().mark_delete, Some(all[5].id.whole_entry()));
    });
}

#[test]
fn a_lost_place_is_found_again() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).create().await.unwrap();
        let consumer = subscription(&client, &topic).subscribe().await.unwrap();
        send(&producer, &["a", "b", "c"]).await;
        let all = messages(&consumer, 3).await;
        consumer.ack_cumulative(&all[0].id).await.unwrap();
        ns.unload("t");
        loop {
            match consumer.recv().await.unwrap() {
                Event::Reconnected => break,
                Event::Messages(entry) => panic!("{entry:?} before the consumer was reconnected"),
                _ => {}
            }
        }
        // The broker answers an ack before it stores it: rarely, it forgets one on its way out.
        let mut found = texts(&consumer, 1).await.concat();
        while !found.ends_with('c') {
            found += &texts(&consumer, 1).await.concat();
        }
        assert!(found == "bc" || found == "abc", "{found}");
    });
}

#[test]
fn what_is_not_acknowledged_comes_again_when_asked_for() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).create().await.unwrap();
        let consumer = subscription(&client, &topic).subscribe().await.unwrap();
        send(&producer, &["a", "b", "c"]).await;
        let all = messages(&consumer, 3).await;
        consumer.ack(&all[0].id).await.unwrap();
        consumer.redeliver_unacknowledged().unwrap();
        assert_eq!(texts(&consumer, 2).await, ["b", "c"]);
        consumer.negative_ack(&[all[1].id], Duration::from_millis(1));
        assert_eq!(texts(&consumer, 2).await, ["b", "c"]);
    });
}

#[test]
fn a_shared_subscription_delivers_again_what_was_refused() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).create().await.unwrap();
        let builder = subscription(&client, &topic).subscription_type(SubscriptionType::Shared);
        let consumer = builder.clone().subscribe().await.unwrap();
        send(&producer, &["a", "b", "c"]).await;
        let all = messages(&consumer, 3).await;
        consumer.negative_ack(&[all[1].id], Duration::from_millis(1));
        let again = next_entry(&consumer).await;
        assert_eq!((again.id, again.redelivery_count), (all[1].id, 1));
        let other = builder.subscribe().await.unwrap();
        drop(consumer);
        assert_eq!(texts(&other, 3).await.len(), 3);
    });
}

#[test]
fn nothing_comes_that_was_not_granted() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).create().await.unwrap();
        send(&producer, &["a", "b", "c", "d"]).await;
        let consumer = subscription(&client, &topic).receiver_queue(0).subscribe().await.unwrap();
        // An answer of the broker that follows whatever it has sent.
        consumer.last_message_id().await.unwrap();
        assert!(consumer.try_recv().is_none());
        consumer.grant(2);
        assert_eq!(texts(&consumer, 2).await, ["a", "b"]);
        consumer.last_message_id().await.unwrap();
        assert!(consumer.try_recv().is_none());
        // What is granted and did not come stays granted.
        consumer.pause();
        consumer.grant(1);
        consumer.last_message_id().await.unwrap();
        assert!(consumer.try_recv().is_none());
        consumer.resume();
        assert_eq!(texts(&consumer, 1).await, ["c"]);
    });
}

#[test]
fn a_small_queue_lets_everything_through() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).create().await.unwrap();
        for first in 0..100 {
            producer.send_batch(first * 3, batch(&["a", "b", "c"])).await.unwrap();
        }
        for queue in [1, 2, 5] {
            let consumer = subscription(&client, &topic)
                .subscription(format!("s{queue}"))
                .receiver_queue(queue)
                .subscribe()
                .await
                .unwrap();
            messages(&consumer, 300).await;
        }
    });
}

#[test]
fn a_callback_tells_that_something_came() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).create().await.unwrap();
        let consumer = subscription(&client, &topic).subscribe().await.unwrap();
        let (calls, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Notify::new()));
        let (count, tell) = (calls.clone(), told.clone());
        consumer.on_ready(Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            tell.notify_one();
        }));
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        send(&producer, &["a"]).await;
        let entry = loop {
            told.notified().await;
            if let Some(Event::Messages(entry)) = consumer.try_recv() {
                break entry;
            }
        };
        assert_eq!(entry.messages.len(), 1);
    });
}

async fn until_active(consumer: &Consumer) {
    while !matches!(consumer.recv().await.unwrap(), Event::Active(true)) {}
}

#[test]
fn one_consumer_of_a_failover_subscription_is_active() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).create().await.unwrap();
        let builder = subscription(&client, &topic).subscription_type(SubscriptionType::Failover);
        let a = builder.clone().name("a").subscribe().await.unwrap();
        until_active(&a).await;
        let b = builder.clone().name("b").subscribe().await.unwrap();
        // The broker chooses, and may change its mind.
        let Event::Active(b_is_active) = b.recv().await.unwrap() else { panic!("not told") };
        let (first, second) = if b_is_active { (b, a) } else { (a, b) };
        send(&producer, &["x", "y"]).await;
        let all = messages(&first, 2).await;
        first.ack_cumulative(&all[0].id).await.unwrap();
        while let Some(event) = second.try_recv() {
            assert!(matches!(event, Event::Active(false)), "{event:?}");
        }
        first.close().await.unwrap();
        until_active(&second).await;
        assert_eq!(texts(&second, 1).await, ["y"]);
        let exclusive = subscription(&client, &topic).subscribe().await;
        assert!(matches!(exclusive, Err(Error::ConsumerBusy(_))), "{exclusive:?}");
    });
}

#[test]
fn keys_stay_with_one_consumer() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let kind = SubscriptionType::KeyShared { hash_ranges: Vec::new(), allow_out_of_order: false };
        let builder = subscription(&client, &topic).subscription_type(kind);
        let (a, b) = (builder.clone().subscribe().await.unwrap(), builder.subscribe().await.unwrap());
        let producer = client.producer(&topic).create().await.unwrap();
        for number in 0..200u32 {
            producer.send(Message::new("x").key(format!("k{}", number % 20))).await.unwrap();
        }
        let mut owner = std::collections::BTreeMap::new();
        for _ in 0..200 {
            let (name, event) = tokio::select! {
                event = a.recv() => ("a", event.unwrap()),
                event = b.recv() => ("b", event.unwrap()),
            };
            let Event::Messages(entry) = event else { continue };
            let key = entry.messages[0].key.clone().unwrap();
            assert_eq!(*owner.entry(key).or_insert(name), name);
        }
        assert_eq!(owner.len(), 20);
    });
}

#[test]
fn a_subscription_moves() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).create().await.unwrap();
        let consumer = subscription(&client, &topic).subscribe().await.unwrap();
        send(&producer, &["a"]).await;
        let entry = producer.send_batch(1, batch(&["b", "c"])).await.unwrap().message_id;
        send(&producer, &["d"]).await;
        let all = messages(&consumer, 4).await;
        consumer.ack_cumulative(&all[3].id).await.unwrap();
        for (to, told) in [
            (SeekTo::Earliest, "abcd"),
            (SeekTo::MessageId(entry), "bcd"),
            (SeekTo::MessageId(entry.at_index(1, 2)), "cd"),
            (SeekTo::After(entry.at_index(1, 2)), "d"),
            (SeekTo::After(entry), "d"),
            (SeekTo::Timestamp(all[0].publish_time), "abcd"),
        ] {
            consumer.seek(to).await.unwrap();
            assert_eq!(texts(&consumer, told.len()).await.concat(), told, "{to:?}");
        }
        consumer.seek(SeekTo::Latest).await.unwrap();
        send(&producer, &["e"]).await;
        assert_eq!(texts(&consumer, 1).await, ["e"]);
    });
}

#[test]
fn null_values_and_keys_of_any_bytes_arrive_as_they_were() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let consumer = subscription(&client, &topic).subscribe().await.unwrap();
        let producer = client.producer(&topic).create().await.unwrap();
        let sent = [
            Message::null().key("k"),
            Message::new(""),
            Message::new("v").key(&[0xff, 0xfe][..]).ordering_key("o").event_time(5).property("p", "q"),
        ];
        for message in &sent {
            producer.send(message.clone()).await.unwrap();
        }
        producer.send_batch(3, sent.to_vec()).await.unwrap();
        for (at, found) in messages(&consumer, 6).await.iter().enumerate() {
            let told = &sent[at % 3];
            assert_eq!(
                (&found.payload, &found.key, &found.ordering_key),
                (&told.payload, &told.key, &told.ordering_key)
            );
            assert_eq!((&found.properties, found.event_time), (&told.properties, told.event_time));
            assert_eq!((found.sequence_id, &found.producer_name), (at as u64, &producer.name()));
        }
    });
}

#[test]
fn the_end_of_a_terminated_topic_is_told() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).create().await.unwrap();
        send(&producer, &["a"]).await;
        ns.post(&format!("{}/terminate", ns.topic_path("t")), "");
        let consumer = subscription(&client, &topic).subscribe().await.unwrap();
        let entry = next_entry(&consumer).await;
        consumer.ack(&entry.id).await.unwrap();
        assert!(matches!(consumer.recv().await.unwrap(), Event::EndOfTopic));
        let reader = client.reader(&topic).open().await.unwrap();
        reader.next().await.unwrap();
        assert!(matches!(reader.next().await, Err(Error::TopicTerminated(_))));
    });
}

#[test]
fn a_deleted_topic_ends_its_consumers_if_it_is_not_made_again() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        client.producer(&topic).create().await.unwrap().close().await.unwrap();
        let consumer = subscription(&client, &topic).subscribe().await.unwrap();
        ns.policy("autoTopicCreation", r#"{"allowAutoTopicCreation": false}"#);
        ns.admin("DELETE", &format!("{}?force=true", ns.topic_path("t")), "");
        let ended = consumer.recv().await.unwrap();
        assert!(matches!(ended, Event::Closed(Error::TopicNotFound(_))), "{ended:?}");
        let missing = subscription(&client, &ns.topic("other")).force_topic_creation(false).subscribe().await;
        assert!(matches!(missing, Err(Error::TopicNotFound(_))), "{missing:?}");
    });
}

#[test]
fn a_subscription_is_removed() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).create().await.unwrap();
        let consumer = subscription(&client, &topic).subscribe().await.unwrap();
        let ids = send(&producer, &["a", "b"]).await;
        consumer.ack_cumulative(&ids[1]).await.unwrap();
        consumer.unsubscribe(false).await.unwrap();
        let anew = subscription(&client, &topic).subscribe().await.unwrap();
        assert_eq!(texts(&anew, 2).await, ["a", "b"]);
    });
}
