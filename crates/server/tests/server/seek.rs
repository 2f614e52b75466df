// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions that are moved in their inputs.

use std::time::{Duration, Instant};

use fnstream_api::{
    Client, Function, FunctionStatus, Moved, OnError, OnErrorAction, Place, ProduceOptions, SeekRequest, TopicRequest,
    UpWait,
};

use crate::support::{Fixture, LONG, code, echo, poison};

fn to(place: Place) -> SeekRequest {
    SeekRequest { to: place, topic: None }
}

fn waiting(fixture: &Fixture) -> Client {
    fixture.client.waiting(UpWait { time: LONG, keep_failed: false })
}

async fn produce(fixture: &Fixture, topic: &str, values: &[&str]) {
    for value in values {
        fixture.client.produce(topic, (*value).to_owned(), &ProduceOptions::default()).await.unwrap();
    }
}

/// Waits until the output has these values and no more are to come.
async fn emits(fixture: &Fixture, values: &[&str]) {
    fixture.described("f", |f| f.status == FunctionStatus::Running && f.tasks.iter().all(|t| t.lag() == Some(0))).await;
    assert_eq!(fixture.values("out").await, values);
}

fn moved(partition: u32, from: &str, to: &str) -> Moved {
    Moved { topic: "in".into(), partition, from: Some(from.into()), to: to.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_reads_again_or_past_what_it_has_not_read() {
    let fixture = Fixture::new().await;
    let function = fixture.function(echo(), "in", "out").await;
    let client = waiting(&fixture);
    client.create_function("f", &function).await.unwrap();
    produce(&fixture, "in", &["a", "b"]).await;
    emits(&fixture, &["a", "b"]).await;
    fixture.client.stop_function("f").await.unwrap();
    produce(&fixture, "in", &["c"]).await;
    let sought = client.seek_function("f", &to(Place::At(0, 1))).await.unwrap();
    assert_eq!((sought.function.status, &sought.moved[..]), (FunctionStatus::Stopped, &[moved(0, "2", "1")][..]));
    client.start_function("f").await.unwrap();
    emits(&fixture, &["a", "b", "b", "c"]).await;
    // One that runs is moved too, and a restart of the server changes nothing.
    client.seek_function("f", &to(Place::Earliest)).await.unwrap();
    emits(&fixture, &["a", "b", "b", "c", "a", "b", "c"]).await;
    fixture.client.stop_function("f").await.unwrap();
    produce(&fixture, "in", &["d"]).await;
    client.seek_function("f", &to(Place::Latest)).await.unwrap();
    let fixture = fixture.restart().await;
    produce(&fixture, "in", &["e"]).await;
    waiting(&fixture).start_function("f").await.unwrap();
    emits(&fixture, &["a", "b", "b", "c", "a", "b", "c", "e"]).await;
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_moved_before_it_was_ever_up() {
    let fixture = Fixture::new().await;
    let function = fixture.function(crate::support::stillborn(), "in", "out").await;
    fixture.client.create_function("f", &function).await.unwrap();
    fixture.described("f", |f| f.status == FunctionStatus::Failed).await;
    fixture.client.stop_function("f").await.unwrap();
    produce(&fixture, "in", &["a", "b", "c"]).await;
    fixture.client.seek_function("f", &to(Place::At(0, 2))).await.unwrap();
    let digest = fixture.client.upload_artifact(echo()).await.unwrap().digest;
    let update = fnstream_api::FunctionUpdate { archive: Some(format!("sha256:{digest}")), ..Default::default() };
    fixture.client.update_function("f", &update).await.unwrap();
    waiting(&fixture).start_function("f").await.unwrap();
    emits(&fixture, &["c"]).await;
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_the_first_record_that_is_not_older() {
    let fixture = Fixture::new().await;
    let function = fixture.function(echo(), "in", "out").await;
    let client = waiting(&fixture);
    client.create_function("f", &function).await.unwrap();
    for (value, timestamp) in [("a", 1_000), ("b", 3_000), ("late", 2_000), ("c", 5_000)] {
        let options = ProduceOptions { timestamp: Some(timestamp), ..ProduceOptions::default() };
        fixture.client.produce("in", value.to_owned(), &options).await.unwrap();
    }
    emits(&fixture, &["a", "b", "late", "c"]).await;
    for (ms, position) in [(1_500, "1"), (3_000, "1"), (3_001, "3"), (0, "0"), (5_001, "4")] {
        fixture.client.stop_function("f").await.unwrap();
        let sought = client.seek_function("f", &to(Place::Time(ms))).await.unwrap();
        assert_eq!(sought.moved[0].to, position, "{ms}");
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_stuck_at_a_record_or_behind_retention_gets_on() {
    let fixture = Fixture::with(|config| config.maintenance_interval = Duration::from_millis(5)).await;
    let client = waiting(&fixture);
    let small = TopicRequest { retention_bytes: Some(1), ..TopicRequest::default() };
    fixture.client.create_topic("in", &small).await.unwrap();
    let on_error = OnError { action: Some(OnErrorAction::Stop), retries: Some(0), ..OnError::default() };
    let function = Function { on_error, ..fixture.function(poison(), "in", "out").await };
    client.create_function("f", &function).await.unwrap();
    produce(&fixture, "in", &["x1", "good"]).await;
    fixture.described("f", |f| f.status == FunctionStatus::Failed).await;
    client.seek_function("f", &to(Place::At(0, 1))).await.unwrap();
    emits(&fixture, &["good"]).await;

    fixture.client.stop_function("f").await.unwrap();
    produce(&fixture, "in", &["dropped", "kept"]).await;
    let until = Instant::now() + LONG;
    while fixture.client.describe_topic("in").await.unwrap().partitions[0].earliest != "3" {
        assert!(Instant::now() < until, "retention drops nothing");
    }
    let error = client.start_function("f").await.unwrap_err();
    assert!(error.code() == "FS-1117" && error.to_string().contains("(FS-1304)"), "{error}");
    let reason = fixture.client.status(Some("f")).await.unwrap().remove(0).reason.unwrap();
    assert!(reason.contains("cannot go on from its place") && !reason.contains("started or updated"), "{reason}");
    client.seek_function("f", &to(Place::Earliest)).await.unwrap();
    emits(&fixture, &["good", "kept"]).await;
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_move_that_is_refused_changes_nothing() {
    let fixture = Fixture::new().await;
    let function = Function { inputs: vec!["in".into(), "in2".into()], ..fixture.function(echo(), "in", "out").await };
    fixture.client.create_function("f", &function).await.unwrap();
    produce(&fixture, "in", &["a"]).await;
    emits(&fixture, &["a"]).await;
    let client = reqwest::Client::new();
    for (path, body, status, refusal, says) in [
        ("f", r#"{"to":"first"}"#, 400, "FS-1001", "is none of earliest, latest"),
        ("f", r#"{"to":"0:1"}"#, 400, "FS-1001", "has several inputs"),
        ("f", r#"{"to":"0:2","topic":"in"}"#, 400, "FS-1305", "past the end, which is 1"),
        ("f", r#"{"to":"1:0","topic":"in"}"#, 404, "FS-1307", "no input with a partition 1"),
        ("f", r#"{"to":"latest","topic":"out"}"#, 400, "FS-1001", "'out' is not an input"),
        ("g", r#"{"to":"latest"}"#, 404, "FS-1102", "no function 'g'"),
    ] {
        let request = client.post(fixture.url(&format!("/api/v1/function/{path}/seek"))).body(body);
        let response = request.send().await.unwrap();
        let got = response.status().as_u16();
        let text = response.text().await.unwrap();
        assert_eq!((got, code(&text).as_str()), (status, refusal), "{body}: {text}");
        assert!(text.contains(says), "{body}: {text}");
    }
    assert_eq!(fixture.client.describe_function("f").await.unwrap().revision, 1);
    produce(&fixture, "in", &["b"]).await;
    emits(&fixture, &["a", "b"]).await;
    fixture.server.shutdown().await.unwrap();
}
