// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Readers: where they begin, where they go on, and compacted topics.

use fnstream_pulsar_client::{Message, Reader, SeekTo};

use crate::harness::{Namespace, batch, send, text, with_broker};

async fn rest(reader: &Reader) -> Vec<String> {
    let mut found = Vec::new();
    while reader.has_more().await.unwrap() {
        found.push(text(&reader.next().await.unwrap()));
    }
    found
}

#[test]
fn a_reader_begins_where_it_is_told() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).create().await.unwrap();
        let first = send(&producer, &["a"]).await[0];
        let entry = producer.send_batch(1, batch(&["b", "c", "d"])).await.unwrap().message_id;
        let last = send(&producer, &["e"]).await[0];
        let reader = || client.reader(&topic);
        let latest = reader().latest().open().await.unwrap();
        assert!(!latest.has_more().await.unwrap());
        for (builder, told) in [
            (reader().earliest(), "abcde"),
            (reader().from(first), "abcde"),
            (reader().after(first), "bcde"),
            (reader().from(entry), "bcde"),
            (reader().from(entry.at_index(1, 3)), "cde"),
            (reader().after(entry.at_index(1, 3)), "de"),
            (reader().after(entry.at_index(2, 3)), "e"),
            (reader().after(entry), "e"),
            (reader().from(last), "e"),
            (reader().after(last), ""),
        ] {
            let reader = builder.open().await.unwrap();
            assert_eq!(rest(&reader).await.concat(), told);
            assert!(!reader.has_more().await.unwrap());
        }
        send(&producer, &["f"]).await;
        assert_eq!(rest(&latest).await, ["f"]);
    });
}

#[test]
fn a_reader_at_the_end_of_an_empty_topic_reads_what_comes() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).create().await.unwrap();
        let reader = client.reader(&topic).latest().open().await.unwrap();
        assert!(!reader.has_more().await.unwrap());
        ns.unload("t");
        send(&producer, &["a"]).await;
        assert_eq!(text(&reader.next().await.unwrap()), "a");
    });
}

#[test]
fn a_reader_goes_on_where_it_was_when_the_topic_moves() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).create().await.unwrap();
        let reader = client.reader(&topic).receiver_queue(7).open().await.unwrap();
        let mut number = 0u64;
        for _ in 0..4 {
            for _ in 0..5 {
                let texts: Vec<_> = (number..number + 4).map(|number| Message::new(format!("{number}"))).collect();
                producer.send_batch(number, texts).await.unwrap();
                number += 4;
            }
            // In the middle of a batch.
            for told in number - 20..number - 10 {
                assert_eq!(text(&reader.next().await.unwrap()), format!("{told}"));
            }
            ns.unload("t");
            for told in number - 10..number {
                assert_eq!(text(&reader.next().await.unwrap()), format!("{told}"));
            }
        }
        assert!(!reader.has_more().await.unwrap());
    });
}

#[test]
fn a_reader_moves() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).create().await.unwrap();
        send(&producer, &["a"]).await;
        let entry = producer.send_batch(1, batch(&["b", "c"])).await.unwrap().message_id;
        send(&producer, &["d"]).await;
        let reader = client.reader(&topic).open().await.unwrap();
        assert_eq!(rest(&reader).await.concat(), "abcd");
        for (to, told) in [
            (SeekTo::Earliest, "abcd"),
            (SeekTo::After(entry.at_index(0, 2)), "cd"),
            (SeekTo::MessageId(entry), "bcd"),
            (SeekTo::Latest, ""),
            (SeekTo::Timestamp(0), "abcd"),
        ] {
            reader.seek(to).await.unwrap();
            assert_eq!(rest(&reader).await.concat(), told, "{to:?}");
        }
        reader.seek(SeekTo::Latest).await.unwrap();
        send(&producer, &["e"]).await;
        assert_eq!(text(&reader.next().await.unwrap()), "e");
    });
}

async fn compact(ns: &Namespace, topic: &str) {
    ns.put(&format!("{}/compaction", ns.topic_path(topic)), "");
    loop {
        let status = ns.admin("GET", &format!("{}/compaction", ns.topic_path(topic)), "");
        if status.contains("SUCCESS") {
            return;
        }
        assert!(!status.contains("ERROR"), "{status}");
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_compacted_topic_has_the_latest_message_of_each_key_and_no_tombstones() {
    with_broker(|ns| async move {
        let client = ns.client();
        let topic = ns.topic("t");
        let producer = client.producer(&topic).create().await.unwrap();
        let with_key = |key: &str, value: &str| Message::new(value.to_owned()).key(key.to_owned());
        // "gone" in a batch, "left" in an entry of its own, both by a null value; "empty" by an empty one.
        for message in [with_key("left", "1"), with_key("kept", "1"), with_key("empty", "1")] {
            producer.send(message).await.unwrap();
        }
        producer
            .send_batch(3, vec![with_key("gone", "1"), with_key("kept", "2"), with_key("other", "1")])
            .await
            .unwrap();
        producer.send_batch(6, vec![Message::null().key("gone"), with_key("kept", "3")]).await.unwrap();
        producer.send(Message::null().key("left")).await.unwrap();
        producer.send(Message::new("").key("empty")).await.unwrap();
        compact(&ns, "t").await;
        producer.send(with_key("late", "1")).await.unwrap();

        let seen = |reader: Reader| async move {
            let mut seen = Vec::new();
            while reader.has_more().await.unwrap() {
                let message = reader.next().await.unwrap();
                seen.push((String::from_utf8(message.key.clone().unwrap().to_vec()).unwrap(), text(&message)));
            }
            seen
        };
        let compacted = seen(client.reader(&topic).read_compacted(true).open().await.unwrap()).await;
        let told =
            [("other", "1"), ("kept", "3"), ("late", "1")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(compacted, told);
        let all = seen(client.reader(&topic).open().await.unwrap()).await;
        assert_eq!(all.len(), 11);
        assert_eq!(all[8..10], [("left".to_owned(), "null".to_owned()), ("empty".to_owned(), String::new())]);
    });
}
