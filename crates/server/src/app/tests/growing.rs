// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A topic gets more partitions while functions keep state by its keys.

use fnstream_api::{Function, ProduceOptions, TopicChange, TopicRequest};

use super::cluster::{Cluster, Process};
use crate::gather::Asked;
use crate::sql;

/// A server with a function `f` that counts lines of `in`, one partition, and passes them on to `out`.
async fn counting(cluster: &Cluster) -> Process {
    let server = cluster.start(1).await;
    let digest = server.client.upload_artifact("count").await.unwrap().digest;
    let function = Function::new(format!("sha256:{digest}"), vec!["in".into()], "out");
    server.client.create_function("f", &function).await.unwrap();
    server
}

fn grow(partitions: u32) -> TopicChange {
    TopicChange { partitions: Some(partitions), ..TopicChange::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_not_parted_from_their_state_unless_that_is_fine() {
    let cluster = Cluster::new();
    let server = counting(&cluster).await;
    let client = &server.client;
    client.alter_topic("in", &grow(2)).await.expect("nothing is kept yet");
    let options = ProduceOptions { partition: Some(1), ..ProduceOptions::default() };
    client.produce("in", "k", &options).await.unwrap();
    server.described("f", "the event", |f| f.tasks.iter().any(|task| task.records_in == 1)).await;

    let refused = client.alter_topic("in", &TopicChange { retention_ms: Some(Some(1)), ..grow(3) }).await.unwrap_err();
    assert_eq!(refused.code(), "FS-1312", "{refused}");
    assert!(refused.to_string().contains("function 'f' keeps state by the keys of topic 'in'"), "{refused}");
    let before = client.describe_topic("in").await.unwrap();
    assert_eq!((before.partitions.len(), before.retention_ms), (2, None), "nothing has changed");
    client.alter_topic("in", &grow(2)).await.expect("it grows no further");
    // What it writes is not what its state goes by.
    assert_eq!(client.alter_topic("out", &grow(2)).await.unwrap().restarted, ["f"]);

    assert!(refused.advice().contains("'accept_moved_keys'"), "{}", refused.advice());
    let refused = sql::execute(&server.app, "alter topic in set (partitions = 3)", Asked::default()).await.unwrap_err();
    assert_eq!(refused.advice(), "see the page; repeat it with 'accept_moved_keys' = 'true' if that is fine");

    let accepted =
        "alter topic in set (partitions = 3, accept_moved_keys = true, retention = '7d', retention_bytes = default)";
    let answer = sql::execute(&server.app, accepted, Asked::default()).await.unwrap();
    assert_eq!(answer.message, "topic 'in' altered\nfunction 'f' restarted");
    let after = client.describe_topic("in").await.unwrap();
    assert_eq!((after.partitions.len(), after.retention_ms), (3, Some(7 * 86_400_000)));
    for wrong in ["partitions = many", "retention = soon", "retention_by = luck", "accept_moved_keys = 1"] {
        let refused = sql::execute(&server.app, &format!("alter topic in set ({wrong})"), Asked::default()).await;
        let message = refused.unwrap_err().message;
        assert!(message.starts_with(&format!("setting '{}': ", wrong.split_once(' ').unwrap().0)), "{message}");
    }
    server.end().await;
}

/// Its inputs are to be joined, perhaps: then both are to grow.
#[tokio::test(flavor = "multi_thread")]
async fn inputs_that_do_not_meet_any_more_are_named() {
    let cluster = Cluster::new();
    let server = cluster.start(1).await;
    for topic in ["left", "right"] {
        server.client.create_topic(topic, &TopicRequest::default()).await.unwrap();
    }
    let digest = server.client.upload_artifact("count").await.unwrap().digest;
    let function = Function::new(format!("sha256:{digest}"), vec!["left".into(), "right".into()], "out");
    server.client.create_function("f", &function).await.unwrap();
    let altered = server.client.alter_topic("left", &grow(2)).await.unwrap();
    assert_eq!(altered.notes.len(), 1);
    let unequal = "function 'f': input 'left' has 2 partitions and input 'right' 1: ";
    assert!(altered.notes[0].starts_with(unequal), "{:?}", altered.notes);
    let equal = server.client.alter_topic("right", &grow(2)).await.unwrap();
    assert_eq!((equal.restarted, equal.notes), (vec!["f".to_owned()], vec![]), "they meet again");
    server.end().await;
}
