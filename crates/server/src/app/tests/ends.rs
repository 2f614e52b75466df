// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Whoever stops, restarts, changes or deletes a function is answered within a stated time, whatever the function does.

use std::time::{Duration, Instant};

use fnstream_api::{ConsumeOptions, Function, FunctionStatus, FunctionUpdate};

use super::cluster::{Cluster, LONG, Process};

/// A server with a function in the middle of a call that does not end by itself.
async fn stuck(cluster: &Cluster, artifact: &'static str) -> Process {
    let server = cluster.start(1).await;
    let digest = server.client.upload_artifact(artifact).await.unwrap().digest;
    let function = Function::new(format!("sha256:{digest}"), vec!["in".into()], "out");
    server.client.create_function("f", &function).await.unwrap();
    server.client.produce("in", "a".to_owned(), &Default::default()).await.unwrap();
    server.described("f", "a task that runs", |f| f.status == FunctionStatus::Running).await;
    server
}

async fn update_to_count(server: &Process) {
    let digest = server.client.upload_artifact("count").await.unwrap().digest;
    let update = FunctionUpdate { archive: Some(format!("sha256:{digest}")), ..FunctionUpdate::default() };
    server.client.update_function("f", &update).await.unwrap();
}

async fn next(server: &Process) -> String {
    let options = ConsumeOptions { timeout: Some(LONG), ..ConsumeOptions::default() };
    let event = server.client.consume("out", &options).await.unwrap().unwrap();
    serde_json::from_slice(&event.json).unwrap()
}

/// Twice the most that the cluster's servers state: their stop timeout is half a second.
const STATED: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread")]
async fn delete_interrupts_the_call_at_once() {
    let server = stuck(&Cluster::new(), "stuck").await;
    let id = server.app.entry_of("f").await.id;
    let begun = Instant::now();
    server.client.delete_function("f").await.unwrap();
    while server.engine.status(id).is_some() {
        assert!(begun.elapsed() < STATED, "the call goes on");
        tokio::task::yield_now().await;
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_restart_and_update_answer_and_the_record_is_processed_once() {
    let server = stuck(&Cluster::new(), "stuck").await;
    let begun = Instant::now();
    server.client.restart_function("f").await.unwrap();
    server.client.stop_function("f").await.unwrap();
    server.client.start_function("f").await.unwrap();
    update_to_count(&server).await;
    assert!(begun.elapsed() < 4 * STATED, "{:?}", begun.elapsed());
    server.client.produce("in", "b".to_owned(), &Default::default()).await.unwrap();
    assert_eq!((next(&server).await, next(&server).await), ("a".to_owned(), "b".to_owned()));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_cannot_even_be_interrupted_holds_up_nobody() {
    let server = stuck(&Cluster::new(), "stuck for good").await;
    let begun = Instant::now();
    update_to_count(&server).await;
    assert!(begun.elapsed() < STATED, "{:?}", begun.elapsed());
    assert_eq!(next(&server).await, "a");
    server.client.delete_function("f").await.unwrap();
    assert!(server.client.list_functions().await.unwrap().is_empty());
    server.app.close();
}
