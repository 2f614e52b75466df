// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How all functions fare, at one glance.

use std::time::Instant;

use fnstream_api::{FunctionStatus, FunctionUpdate};
use fnstream_core::ErrorCode;

use crate::support::{Fixture, LONG, code, echo, poison, stillborn, within_long};

#[tokio::test(flavor = "multi_thread")]
async fn a_line_for_each_function_with_the_reason_of_what_does_not_run() {
    let fixture = Fixture::new().await;
    let mut function = fixture.function(echo(), "in-a", "out").await;
    fixture.client.create_function("a", &function).await.unwrap();
    function.inputs = vec!["in-b".into()];
    fixture.client.create_function("b", &function).await.unwrap();
    fixture.client.stop_function("b").await.unwrap();
    fixture.client.produce("in-a", "x", &Default::default()).await.unwrap();
    fixture.client.consume("out", &within_long()).await.unwrap().unwrap();

    let until = Instant::now() + LONG;
    let functions = loop {
        let functions = fixture.client.status(None).await.unwrap();
        if functions[0].records_in == 1 {
            break functions;
        }
        assert!(Instant::now() < until, "{functions:?}");
    };
    let [a, b] = &functions[..] else { panic!("{functions:?}") };
    assert_eq!((a.name.as_str(), a.status, a.records_out, a.lag), ("a", FunctionStatus::Running, 1, Some(0)));
    assert_eq!(a.reason, None);
    assert!(a.memory_bytes > 0);
    assert_eq!((b.name.as_str(), b.status, b.lag), ("b", FunctionStatus::Stopped, None));
    assert!(b.reason.as_ref().unwrap().contains("told to stop"), "{b:?}");

    assert_eq!(fixture.client.status(Some("b")).await.unwrap()[0].name, "b");
    let error = fixture.client.status(Some("c")).await.unwrap_err();
    assert!(error.is(ErrorCode::FunctionNotFound), "{error}");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_and_its_tasks_are_counted_alike() {
    let fixture = Fixture::new().await;
    let function = fixture.function(poison(), "in", "out").await;
    fixture.client.create_function("f", &function).await.unwrap();
    for value in ["a", "x", "b"] {
        fixture.client.produce("in", value.to_owned(), &Default::default()).await.unwrap();
    }
    let described = fixture.described("f", |f| f.tasks.first().is_some_and(|task| task.records_in == 3)).await;
    assert_eq!(described.tasks[0].records_out, 3, "two results and a dead letter");
    let counts = |of: Vec<fnstream_api::FunctionSummary>| (of[0].records_in, of[0].records_out);
    assert_eq!(counts(fixture.client.status(None).await.unwrap()), (3, 3));
    fixture.client.stop_function("f").await.unwrap();
    assert_eq!(counts(fixture.client.status(None).await.unwrap()), (3, 3), "also when it rests");
    let fixture = fixture.restart().await;
    assert_eq!(counts(fixture.client.status(Some("f")).await.unwrap()), (3, 3));
    fixture.server.shutdown().await.unwrap();
}

/// Waits until the function has that state, has read and written so much, and has so much before it.
async fn counts(fixture: &Fixture, wanted: (FunctionStatus, u64, u64, Option<u64>)) {
    let until = Instant::now() + LONG;
    loop {
        let f = &fixture.client.status(Some("f")).await.unwrap()[0];
        if (f.status, f.records_in, f.records_out, f.lag) == wanted {
            break;
        }
        assert!(Instant::now() < until, "not {wanted:?}: {f:?}");
    }
    let described = fixture.client.describe_function("f").await.unwrap();
    if let [task] = &described.tasks[..] {
        assert_eq!((task.records_in, task.records_out, task.lag()), (wanted.1, wanted.2, wanted.3), "{task:?}");
    }
    if let Some(lag) = wanted.3 {
        let exposed = reqwest::get(fixture.url("/metrics")).await.unwrap().text().await.unwrap();
        let line = format!("\nfnstream_function_lag_records{{function=\"f\",topic=\"in\"}} {lag}\n");
        assert!(exposed.contains(&line), "not {line}: {exposed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_what_was_committed_whatever_the_function_is_at() {
    use FunctionStatus::{Failed, Running, Stopped};
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let function = fixture.function(poison(), "in", "out").await;
    client.create_function("f", &function).await.unwrap();
    counts(&fixture, (Running, 0, 0, Some(0))).await;
    client.produce_lines("in", "a\nx\nb", &Default::default()).await.unwrap();
    counts(&fixture, (Running, 3, 3, Some(0))).await;
    // A letter that fails again is written once more, and is no event of the input.
    for written in [4, 5] {
        let done = client.replay_dead_letters("f", &Default::default()).await.unwrap();
        assert_eq!((done.replayed, done.failed_again), (0, 1));
        counts(&fixture, (Running, 3, written, Some(0))).await;
    }
    let written = fixture.values("out").await.len() + fixture.values("f.dlq").await.len();
    assert_eq!((written, client.status(Some("f")).await.unwrap()[0].dead_lettered), (5, 1));

    client.stop_function("f").await.unwrap();
    counts(&fixture, (Stopped, 3, 5, None)).await;
    let fixture = fixture.restart().await;
    counts(&fixture, (Stopped, 3, 5, None)).await;

    let client = &fixture.client;
    client.produce_lines("in", "c\nd", &Default::default()).await.unwrap();
    let good = client.describe_function("f").await.unwrap().archive;
    let bad = fixture.function(stillborn(), "in", "out").await.archive;
    client.update_function("f", &FunctionUpdate { archive: Some(bad), ..Default::default() }).await.unwrap();
    client.start_function("f").await.unwrap();
    counts(&fixture, (Failed, 3, 5, Some(2))).await;
    let fixture = fixture.restart().await;
    counts(&fixture, (Failed, 3, 5, Some(2))).await;

    let client = &fixture.client;
    client.update_function("f", &FunctionUpdate { archive: Some(good), ..Default::default() }).await.unwrap();
    counts(&fixture, (Running, 5, 7, Some(0))).await;
    let echo = fixture.function(echo(), "in", "out").await.archive;
    client.update_function("f", &FunctionUpdate { archive: Some(echo), ..Default::default() }).await.unwrap();
    counts(&fixture, (Running, 5, 7, Some(0))).await;
    assert_eq!(client.replay_dead_letters("f", &Default::default()).await.unwrap().replayed, 1);
    counts(&fixture, (Running, 5, 8, Some(0))).await;
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_cannot_be_started_says_why() {
    let fixture = Fixture::new().await;
    let function = fixture.function(echo(), "in", "out").await;
    let digest = function.archive.strip_prefix("sha256:").unwrap().to_owned();
    fixture.client.create_function("f", &function).await.unwrap();
    std::fs::write(fixture.folder.path().join(format!("data/artifacts/{digest}.wasm")), "changed").unwrap();
    let fixture = fixture.restart().await;
    let until = Instant::now() + LONG;
    // Not ready, and then damaged.
    while reqwest::get(fixture.url("/readyz")).await.unwrap().status() != 500 {
        assert!(Instant::now() < until, "it does not come up");
    }
    let f = &fixture.client.status(None).await.unwrap()[0];
    assert_eq!(f.status, FunctionStatus::Failed);
    assert!(f.reason.as_ref().unwrap().ends_with("(FS-1204)"), "{f:?}");
    let log = fixture.client.function_logs("f", &Default::default()).await.unwrap();
    assert!(log.lines.last().unwrap().text.starts_with("could not be started"), "{log:?}");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_the_status_are_checked() {
    let fixture = Fixture::new().await;
    let response = reqwest::get(fixture.url("/api/v1/status?nam=f")).await.unwrap();
    let body = response.bytes().await.unwrap();
    assert_eq!(code(std::str::from_utf8(&body).unwrap()), "FS-1001");
    fixture.server.shutdown().await.unwrap();
}
