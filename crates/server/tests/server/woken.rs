// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Whoever waits for a topic that is not there is woken by whatever makes it.

use std::time::Duration;

use fnstream_api::{ApplyRequest, Events, FunctionUpdate, Producer, RollbackRequest, TakeOptions, TopicRequest};

use crate::grpc::{Grpc, yaml};
use crate::support::{Fixture, LONG, echo, within_long};

/// Has both kinds of consumers wait for topics that are not there. What makes the topics is to wake all of them: nothing else tells them
/// to look again, and what is appended to a topic that is there does not.
async fn woken(fixture: &Fixture, topics: &[&'static str], make: impl AsyncFnOnce()) {
    let there = fixture.client.list_topics().await.unwrap();
    assert!(!topics.iter().any(|topic| there.iter().any(|name| name == topic)), "{topics:?} are to be made");
    let mut waiting = Vec::new();
    for topic in topics.iter().copied() {
        let client = fixture.client.clone();
        waiting.push(tokio::spawn(async move { client.consume(topic, &within_long()).await.unwrap().is_some() }));
        let client = fixture.client.clone();
        let options = TakeOptions { wait: Some(LONG), ..TakeOptions::default() };
        waiting.push(tokio::spawn(async move { !client.take(topic, "g", &options).await.unwrap().events.is_empty() }));
    }
    fixture.waiting_clients(waiting.len() as u64).await;
    make().await;
    for topic in topics {
        fixture.client.produce(topic, "x", &Default::default()).await.unwrap();
    }
    for (number, consumer) in waiting.into_iter().enumerate() {
        assert!(consumer.await.unwrap(), "{:?} was not seen by consumer {}", topics[number / 2], number % 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_clients() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    woken(&fixture, &["produced"], async || drop(client.produce("produced", "x", &Default::default()).await.unwrap()))
        .await;
    let lines = async || client.produce_lines("lines", "x".to_owned(), &Default::default()).await.unwrap();
    woken(&fixture, &["lines"], async || drop(lines().await)).await;
    woken(&fixture, &["numbered"], async || {
        let mut producer = Producer::new(client, "numbered").unwrap();
        producer.send(Events::Lines("x".into()), &Default::default()).await.unwrap();
    })
    .await;
    woken(&fixture, &["by-hand"], async || {
        let topic = TopicRequest { partitions: Some(3), ..TopicRequest::default() };
        client.create_topic("by-hand", &topic).await.unwrap();
    })
    .await;
    // The dead letters of a group.
    woken(&fixture, &["lines.last.dlq"], async || {
        let once = TakeOptions { max_deliveries: Some(1), ..TakeOptions::default() };
        let taken = client.take("lines", "last", &once).await.unwrap().events;
        client.give_back("lines", "last", vec![taken[0].receipt.clone()], Duration::ZERO).await.unwrap();
    })
    .await;
    fixture.waiting_clients(0).await;
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn by_functions() {
    let open = tempfile::tempdir().unwrap();
    let folder = open.path().to_owned();
    std::fs::write(folder.join("f.wasm"), echo()).unwrap();
    std::fs::write(folder.join("f.yaml"), yaml("sql", &["sql-in"], "sql-out")).unwrap();
    let fixture = Fixture::with(|config| config.archive_dirs = vec![folder]).await;
    let (client, grpc) = (&fixture.client, Grpc::of(&fixture).await);
    woken(&fixture, &["in", "out", "f.dlq"], async || {
        let function = fixture.function(echo(), "in", "out").await;
        client.create_function("f", &function).await.unwrap();
    })
    .await;
    woken(&fixture, &["updated"], async || {
        let update = FunctionUpdate { output: Some("updated".into()), ..FunctionUpdate::default() };
        client.update_function("f", &update).await.unwrap();
    })
    .await;
    // A former revision has an output that is not there any more.
    client.delete_topic("out").await.unwrap();
    woken(&fixture, &["out"], async || {
        drop(client.rollback_function("f", RollbackRequest { to: 1, ..Default::default() }).await.unwrap())
    })
    .await;
    woken(&fixture, &["grpc-in", "grpc-out", "grpc.dlq"], async || {
        drop(grpc.create(yaml("grpc", &["grpc-in"], "grpc-out"), echo()).await);
    })
    .await;
    woken(&fixture, &["sql-in", "sql-out", "sql.dlq"], async || {
        let path = |name: &str| open.path().join(name).display().to_string();
        let (function, config) = (path("f.wasm"), path("f.yaml"));
        grpc.sql(format!("create function with ('function_path'='{function}', 'config_path'='{config}')")).await;
    })
    .await;
    let archive = format!("sha256:{}", client.upload_artifact(echo()).await.unwrap().digest);
    let apply = async |output: &str| {
        let config = yaml("applied", &["applied-in"], output).into_bytes();
        client.apply(ApplyRequest { config, archive: archive.clone(), dry_run: false }).await.unwrap();
    };
    woken(&fixture, &["applied-in", "applied-out", "applied.dlq"], async || apply("applied-out").await).await;
    woken(&fixture, &["applied-anew"], async || apply("applied-anew").await).await;
    fixture.waiting_clients(0).await;
    fixture.server.shutdown().await.unwrap();
}
