// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions that are updated, restarted and rolled back: what they have stays, and what is refused changes nothing.

use std::time::{Duration, Instant};

use fnstream_api::{
    Emitted, Function, FunctionDescription, FunctionStatus, FunctionUpdate, OnError, OnErrorAction, RollbackRequest,
    TopicRequest,
};

use crate::support::{Fixture, LONG, echo, now, trap, within_long};

/// A server that runs the function `f`, which copies `in` to `out`.
async fn running() -> Fixture {
    let fixture = Fixture::new().await;
    let function = fixture.function(echo(), "in", "out").await;
    fixture.client.create_function("f", &function).await.unwrap();
    fixture
}

/// A module that does what the echo does and is another artifact.
fn other_echo() -> Vec<u8> {
    let mut module = echo();
    // A custom section named "v" at the end.
    module.extend_from_slice(&[0, 2, 1, b'v']);
    module
}

async fn produce(fixture: &Fixture, value: &str) {
    fixture.client.produce("in", value.to_owned(), &Default::default()).await.unwrap();
}

async fn next(fixture: &Fixture, topic: &str) -> String {
    let event = fixture.client.consume(topic, &within_long()).await.unwrap().unwrap();
    serde_json::from_slice(&event.json).unwrap()
}

/// Waits until the function has consumed so many records.
async fn consumed(fixture: &Fixture, count: u64) -> FunctionDescription {
    fixture.described("f", |f| f.tasks.first().is_some_and(|task| task.records_in == count)).await
}

fn output(topic: &str) -> FunctionUpdate {
    FunctionUpdate { output: Some(topic.into()), ..FunctionUpdate::default() }
}

fn back_to(to: u64) -> RollbackRequest {
    RollbackRequest { to, ..RollbackRequest::default() }
}

#[tokio::test]
async fn an_updated_function_goes_on_where_it_stands() {
    let fixture = running().await;
    produce(&fixture, "a").await;
    assert_eq!(next(&fixture, "out").await, "a");
    let on_error = OnError { action: Some(OnErrorAction::Skip), ..OnError::default() };
    let config = Some([("k".to_owned(), "v".to_owned())].into());
    let updated = fixture.client.update_function("f", &FunctionUpdate { on_error, config, ..output("other") }).await;
    let updated = updated.unwrap();
    assert_eq!((updated.revision, updated.desired.as_str(), updated.outputs), (2, "running", vec!["other".into()]));
    assert_eq!((updated.on_error.action, updated.config["k"].as_str()), (Some(OnErrorAction::Skip), "v"));
    produce(&fixture, "b").await;
    assert_eq!(next(&fixture, "other").await, "b", "nothing is processed again");
    // What is there already changes nothing.
    let same = fixture.client.update_function("f", &output("other")).await.unwrap();
    assert_eq!(same.revision, 2);

    let fixture = fixture.restart().await;
    produce(&fixture, "c").await;
    assert_eq!(next(&fixture, "other").await, "c");
    assert!(fixture.client.consume("out", &now()).await.unwrap().is_none());
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_update_that_is_refused_leaves_the_function_running() {
    let fixture = running().await;
    let client = reqwest::Client::new();
    for (path, body, status, code) in [
        ("f", "", 400, "FS-1002"),
        ("f", r#"{"replica":2}"#, 400, "FS-1001"),
        ("f", r#"{"name":"g"}"#, 400, "FS-1001"),
        ("f", r#"{"inputs":["other"]}"#, 400, "FS-1103"),
        ("f", r#"{"output":"in"}"#, 400, "FS-1103"),
        ("f", r#"{"replicas":0}"#, 400, "FS-1103"),
        ("f", r#"{"limits":{"memory":"lots"}}"#, 400, "FS-1103"),
        ("f", r#"{"files":[{"host":"/tmp"}]}"#, 403, "FS-1108"),
        ("f", r#"{"archive":"nowhere.wasm"}"#, 400, "FS-1201"),
        ("none", r#"{"replicas":2}"#, 404, "FS-1102"),
    ] {
        let request = client.patch(fixture.url(&format!("/api/v1/function/{path}"))).body(body);
        let response = request.send().await.unwrap();
        let got = response.status().as_u16();
        let text = response.text().await.unwrap();
        assert_eq!((got, crate::support::code(&text).as_str()), (status, code), "{body}: {text}");
    }
    let bad = fixture.folder.path().join("bad.wasm");
    std::fs::write(&bad, b"\0asm, or not").unwrap();
    let archive = Some(bad.to_str().unwrap().to_owned());
    let error = fixture
        .client
        .update_function("f", &FunctionUpdate { archive, ..FunctionUpdate::default() })
        .await
        .unwrap_err();
    assert_eq!(error.code(), "FS-1202");
    assert_eq!(fixture.artifacts().len(), 1, "what was refused is not kept");
    let described = fixture.client.describe_function("f").await.unwrap();
    assert_eq!((described.revision, described.status == FunctionStatus::Stopping), (1, false));
    produce(&fixture, "x").await;
    assert_eq!(next(&fixture, "out").await, "x");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_stopped_function_stays_stopped_when_it_is_changed() {
    let fixture = running().await;
    fixture.client.stop_function("f").await.unwrap();
    let updated = fixture.client.update_function("f", &output("other")).await.unwrap();
    assert_eq!((updated.revision, updated.status), (3, FunctionStatus::Stopped));
    let error = fixture.client.restart_function("f").await.unwrap_err();
    assert_eq!(error.code(), "FS-1105");
    let back = fixture.client.rollback_function("f", RollbackRequest { with_state: true, ..back_to(1) }).await.unwrap();
    assert_eq!((back.function.revision, back.function.status), (4, FunctionStatus::Stopped));
    produce(&fixture, "x").await;
    fixture.client.start_function("f").await.unwrap();
    assert_eq!(next(&fixture, "out").await, "x");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_restarted_function_runs_on() {
    let fixture = running().await;
    produce(&fixture, "a").await;
    assert_eq!(next(&fixture, "out").await, "a");
    let restarted = fixture.client.restart_function("f").await.unwrap();
    assert_eq!((restarted.revision, restarted.desired.as_str()), (1, "running"));
    produce(&fixture, "b").await;
    assert_eq!(next(&fixture, "out").await, "b");
    assert_eq!(fixture.client.restart_function("none").await.unwrap_err().code(), "FS-1102");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn revisions_tell_what_changed_and_keep_their_artifacts() {
    let fixture = Fixture::with(|config| {
        config.upload_grace = Duration::ZERO;
        config.maintenance_interval = Duration::from_millis(5);
    })
    .await;
    let path = fixture.folder.path().join("echo.wasm");
    std::fs::write(&path, echo()).unwrap();
    let archive = path.to_str().unwrap().to_owned();
    fixture.client.create_function("f", &Function::new(&archive, vec!["in".into()], "out")).await.unwrap();
    std::fs::write(&path, other_echo()).unwrap();
    let update = FunctionUpdate { archive: Some(archive), replicas: Some(2), ..FunctionUpdate::default() };
    fixture.client.update_function("f", &update).await.unwrap();
    fixture.client.stop_function("f").await.unwrap();
    fixture.client.update_function("f", &output("other")).await.unwrap();
    let revisions = fixture.client.function_revisions("f").await.unwrap();
    let told: Vec<_> = revisions.iter().map(|of| (of.revision, of.changed.join(" "), of.state, of.current)).collect();
    let expected = [
        (4, "output".to_owned(), false, true),
        (2, "archive replicas".to_owned(), true, false),
        (1, String::new(), true, false),
    ];
    assert_eq!(told, expected);
    assert_ne!(revisions[1].archive, revisions[2].archive);
    assert!(revisions.windows(2).all(|pair| pair[0].created_ms >= pair[1].created_ms));
    assert_eq!(fixture.client.function_revisions("none").await.unwrap_err().code(), "FS-1102");

    // Sweeping goes on all the while: what is uploaded and nobody's goes, what a revision has stays.
    fixture.client.upload_artifact(trap()).await.unwrap();
    let until = Instant::now() + LONG;
    while fixture.artifacts().len() != 2 {
        assert!(Instant::now() < until, "{:?}", fixture.artifacts());
        fixture.client.list_functions().await.unwrap();
    }
    let back = fixture.client.rollback_function("f", back_to(1)).await.unwrap();
    assert_eq!(back.function.archive, revisions[2].archive);
    fixture.client.delete_function("f").await.unwrap();
    while !fixture.artifacts().is_empty() {
        assert!(Instant::now() < until, "{:?}", fixture.artifacts());
        fixture.client.list_functions().await.unwrap();
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_rollback_without_state_goes_on_where_the_function_stands() {
    let fixture = running().await;
    fixture.client.update_function("f", &output("other")).await.unwrap();
    produce(&fixture, "a").await;
    assert_eq!(next(&fixture, "other").await, "a");
    consumed(&fixture, 1).await;
    let back = fixture.client.rollback_function("f", back_to(1)).await.unwrap();
    assert_eq!((back.to, back.function.revision, &back.function.outputs), (1, 3, &vec!["out".to_owned()]));
    assert_eq!((back.emitted, back.consumed), (Some(vec![Emitted { topic: "other".into(), records: 1 }]), Some(1)));
    let notes = [
        "1 record was emitted to other since then, dead letters counted in: they stay",
        "1 input record was processed since then: what they left in the state stays",
        "dead letters that were written to f.dlq since then stay there",
    ];
    assert_eq!(back.notes, notes);
    produce(&fixture, "b").await;
    assert_eq!(next(&fixture, "out").await, "b");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_rollback_with_state_reads_on_or_again_as_it_is_told() {
    let fixture = running().await;
    for value in ["a", "b"] {
        produce(&fixture, value).await;
    }
    consumed(&fixture, 2).await;
    let config = Some([("k".to_owned(), "v".to_owned())].into());
    fixture.client.update_function("f", &FunctionUpdate { config, ..FunctionUpdate::default() }).await.unwrap();
    produce(&fixture, "c").await;
    consumed(&fixture, 3).await;

    let with_state = RollbackRequest { with_state: true, ..back_to(1) };
    let back = fixture.client.rollback_function("f", with_state).await.unwrap();
    assert_eq!((back.function.revision, back.consumed, back.function.config.len()), (3, Some(1), 0));
    produce(&fixture, "d").await;
    for value in ["a", "b", "c", "d"] {
        assert_eq!(next(&fixture, "out").await, value);
    }
    consumed(&fixture, 4).await;
    // Revision 2 ended after c.
    let again = RollbackRequest { to: 2, with_state: true, reprocess: true };
    let back = fixture.client.rollback_function("f", again).await.unwrap();
    assert_eq!((back.function.revision, back.consumed), (4, Some(1)));
    assert!(back.notes[1].ends_with("that is done again, and the outputs come again"), "{:?}", back.notes);
    produce(&fixture, "e").await;
    for value in ["d", "e"] {
        assert_eq!(next(&fixture, "out").await, value);
    }
    // The counters go on, so that what was done can always be told.
    consumed(&fixture, 6).await;
    let fixture = fixture.restart().await;
    produce(&fixture, "f").await;
    assert_eq!(next(&fixture, "out").await, "f");
    assert_eq!(fixture.client.function_revisions("f").await.unwrap().len(), 4);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_rollback_that_is_refused_leaves_the_function_running() {
    let fixture = running().await;
    fixture.client.update_function("f", &output("other")).await.unwrap();
    let client = reqwest::Client::new();
    for (path, body, status, code) in [
        ("f", "", 400, "FS-1002"),
        ("f", "{}", 400, "FS-1001"),
        ("f", r#"{"to":1,"state":true}"#, 400, "FS-1001"),
        ("f", r#"{"to":9}"#, 404, "FS-1106"),
        ("f", r#"{"to":2}"#, 400, "FS-1001"),
        ("f", r#"{"to":2,"with_state":true}"#, 400, "FS-1001"),
        ("f", r#"{"to":1,"reprocess":true}"#, 400, "FS-1001"),
        ("none", r#"{"to":1}"#, 404, "FS-1102"),
    ] {
        let request = client.post(fixture.url(&format!("/api/v1/function/{path}/rollback"))).body(body);
        let response = request.send().await.unwrap();
        let got = response.status().as_u16();
        let text = response.text().await.unwrap();
        assert_eq!((got, crate::support::code(&text).as_str()), (status, code), "{body}: {text}");
    }
    assert_eq!(fixture.client.describe_function("f").await.unwrap().revision, 2);
    produce(&fixture, "x").await;
    assert_eq!(next(&fixture, "other").await, "x");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn records_that_were_dropped_are_not_promised_to_be_processed_again() {
    let fixture = Fixture::with(|config| config.maintenance_interval = Duration::from_millis(5)).await;
    let topic = TopicRequest { retention_bytes: Some(1), ..TopicRequest::default() };
    fixture.client.create_topic("in", &topic).await.unwrap();
    let function = fixture.function(echo(), "in", "out").await;
    fixture.client.create_function("f", &function).await.unwrap();
    produce(&fixture, "a").await;
    consumed(&fixture, 1).await;
    fixture.client.update_function("f", &output("other")).await.unwrap();
    for (value, count) in [("b", 2), ("c", 3), ("d", 4)] {
        produce(&fixture, value).await;
        consumed(&fixture, count).await;
    }
    let until = Instant::now() + LONG;
    while fixture.client.describe_topic("in").await.unwrap().partitions[0].earliest != "3" {
        assert!(Instant::now() < until, "retention drops nothing");
    }
    let again = RollbackRequest { to: 1, with_state: true, reprocess: true };
    let error = fixture.client.rollback_function("f", again).await.unwrap_err();
    assert_eq!(error.code(), "FS-1304", "{error}");
    assert_eq!(fixture.client.describe_function("f").await.unwrap().revision, 2);
    fixture.client.rollback_function("f", RollbackRequest { reprocess: false, ..again }).await.unwrap();
    fixture.server.shutdown().await.unwrap();
}
