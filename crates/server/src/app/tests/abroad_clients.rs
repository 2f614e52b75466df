// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Clients that name topics of another cluster, called `abroad`, in requests to a server.

use fnstream_api::{
    ConsumeOptions, Events, GroupReset, ProduceOptions, Producer, ReadFrom, RetentionBy, TakeOptions, TopicChange,
    TopicRequest,
};
use fnstream_core::topics::{Retention, Topics};

use super::abroad::{one_server, topic, values, write};
use super::cluster::{LONG, Process};
use crate::gather::Asked;
use crate::sql;

fn options(group: &str) -> ConsumeOptions {
    ConsumeOptions { timeout: Some(LONG), group: Some(group.to_owned()), ..ConsumeOptions::default() }
}

/// The next value of a group, as JSON.
async fn next(server: &Process, topic: &str, options: &ConsumeOptions) -> Option<String> {
    let consumed = server.client.consume(topic, options).await.unwrap();
    consumed.map(|of| String::from_utf8_lossy(&of.json).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_made_changed_and_deleted_where_it_is() {
    let (cluster, server) = one_server().await;
    let request = TopicRequest { partitions: Some(2), retention_ms: Some(5_000), ..TopicRequest::default() };
    let made = server.client.create_topic("t@abroad", &request).await.unwrap();
    assert_eq!((made.name.as_str(), made.partitions.len(), made.retention_ms), ("t@abroad", 2, Some(5_000)));
    assert_eq!(cluster.abroad.describe(&topic("t@abroad")).unwrap().partitions.len(), 2);
    assert!(cluster.broker.describe(&topic("t")).is_err(), "nothing of the name is made here");

    // One of the same name here is another.
    server.client.create_topic("t", &TopicRequest::default()).await.unwrap();
    let change = TopicChange { partitions: Some(3), ..TopicChange::default() };
    let altered = server.client.alter_topic("t@abroad", &change).await.unwrap();
    assert_eq!(altered.topic.partitions.len(), 3);
    let statement = "alter topic 't@abroad' set (partitions = 4)";
    let answer = sql::execute(&server.app, statement, Asked::default()).await.unwrap();
    assert_eq!(answer.message, "topic 't@abroad' altered");
    assert_eq!(cluster.abroad.describe(&topic("t@abroad")).unwrap().partitions.len(), 4);
    assert_eq!(server.client.describe_topic("t").await.unwrap().partitions.len(), 1);
    server.client.delete_topic("t@abroad").await.unwrap();
    assert_eq!(server.client.describe_topic("t@abroad").await.unwrap_err().code(), "FS-1301");
    assert_eq!(server.client.describe_topic("t").await.unwrap().name, "t");

    // The defaults of this server do not hold there, and ages are counted otherwise.
    let plain = server.client.create_topic("plain@abroad", &TopicRequest::default()).await.unwrap();
    assert_eq!((plain.retention_ms, plain.retention_ms_is_default), (None, true));
    let request = TopicRequest { retention_by: Some(RetentionBy::Arrival), ..TopicRequest::default() };
    assert_eq!(server.client.create_topic("by@abroad", &request).await.unwrap_err().code(), "FS-1316");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_names_no_topic_is_refused() {
    let (_cluster, server) = one_server().await;
    for (text, code) in [
        ("in@nowhere", "FS-1309"),
        ("in@kafka://h:1", "FS-1309"),
        ("in?x=1", "FS-1004"),
        ("../in", "FS-1004"),
        ("t/../in", "FS-1004"),
        ("../in@abroad", "FS-1004"),
        ("in@abroad?partition=1", "FS-1004"),
    ] {
        let refused = server.client.describe_topic(text).await.unwrap_err();
        assert_eq!(refused.code(), code, "{text}: {refused}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_produced_and_consumed_where_the_topic_is() {
    let (cluster, server) = one_server().await;
    for name in ["t", "t@abroad"] {
        server.client.create_topic(name, &TopicRequest::default()).await.unwrap();
    }
    server.client.produce("t@abroad", "far", &ProduceOptions::default()).await.unwrap();
    server.client.produce("t", "near", &ProduceOptions::default()).await.unwrap();
    assert_eq!(
        (values(&cluster.abroad, "t@abroad"), values(&cluster.broker, "t")),
        (vec!["far".into()], vec!["near".into()])
    );

    // A group has a place in each.
    assert_eq!(next(&server, "t@abroad", &options("g")).await.as_deref(), Some("\"far\""));
    assert_eq!(next(&server, "t", &options("g")).await.as_deref(), Some("\"near\""));
    let told = server.client.describe_group("t@abroad", "g").await.unwrap();
    assert_eq!((told.topic.as_str(), told.lag, told.dead_letter_topic), ("t@abroad", Some(0), None));
    let groups = server.client.list_groups("t@abroad").await.unwrap();
    assert_eq!(groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["g"]);

    // From a position nothing moves.
    let earliest = ConsumeOptions { from: Some(ReadFrom::Earliest), group: None, ..options("") };
    assert_eq!(next(&server, "t@abroad", &earliest).await.as_deref(), Some("\"far\""));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_topic_elsewhere_is_woken_by_what_comes_there_alone() {
    let (cluster, server) = one_server().await;
    for name in ["t", "t@abroad"] {
        server.client.create_topic(name, &TopicRequest::default()).await.unwrap();
    }
    let client = server.client.clone();
    let waiting = tokio::spawn(async move { client.consume("t@abroad", &options("g")).await });
    // It waits there, and is counted there.
    loop {
        if server.client.describe_topic("t@abroad").await.unwrap().waiting_consumers == 1 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(server.client.describe_topic("t").await.unwrap().waiting_consumers, 0);
    write(&cluster.broker, "t", "near");
    write(&cluster.abroad, "t@abroad", "far");
    let consumed = waiting.await.unwrap().unwrap().unwrap();
    assert_eq!(&consumed.json[..], b"\"far\"");

    // Nobody would tell of a topic that is made there.
    let refused = server.client.consume("none@abroad", &options("g")).await.unwrap_err();
    assert_eq!(refused.code(), "FS-1301");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_with_own_topics_only_is_refused_with_what_serves_instead() {
    let (cluster, server) = one_server().await;
    cluster.abroad.create(&topic("t@abroad"), 1, Retention::default()).unwrap();
    write(&cluster.abroad, "t@abroad", "one");
    let client = &server.client;
    // A name that nobody else knows is given up.
    let mut drawn = Producer::new(client, "t@abroad").unwrap();
    drawn.send(Events::One("two".into()), &ProduceOptions::default()).await.unwrap();
    assert_eq!(drawn.name(), "");
    let to_earliest = GroupReset { to: Some("earliest".into()), position: None, time_ms: None, partition: None };
    let refused = [
        Producer::resume(client, "t@abroad", "p").await.unwrap_err(),
        client.describe_producer("t@abroad", "p").await.unwrap_err(),
        client.take("t@abroad", "g", &TakeOptions::default()).await.unwrap_err(),
        client.acknowledge("t@abroad", "g", vec!["1".into()]).await.unwrap_err(),
        client.reset_group("t@abroad", "g", &to_earliest).await.unwrap_err(),
        client.delete_group("t@abroad", "g").await.unwrap_err(),
    ];
    for refused in refused {
        assert_eq!(refused.code(), "FS-1316", "{refused}");
    }
    assert_eq!(values(&cluster.abroad, "t@abroad"), ["one", "two"]);
    server.end().await;
}
