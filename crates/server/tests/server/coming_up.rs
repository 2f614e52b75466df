// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Whether a function that was created, changed or started comes up, and what becomes of an update that does not.

use std::io::Write;
use std::time::Duration;

use fnstream_api::{Client, ClientError, FunctionStatus, FunctionUpdate, LogOptions, RollbackRequest, UpWait};

use crate::grpc::{Grpc, refusal, yaml};
use crate::support::{Fixture, LONG, code, echo, never_up, stillborn, within_long};

const SHORT: Duration = Duration::from_millis(50);

/// A client that waits until functions are up.
fn waiting(fixture: &Fixture, time: Duration) -> Client {
    fixture.client.waiting(UpWait { time, keep_failed: false })
}

async fn with_artifact(fixture: &Fixture, artifact: Vec<u8>) -> FunctionUpdate {
    let digest = fixture.client.upload_artifact(artifact).await.unwrap().digest;
    FunctionUpdate { archive: Some(format!("sha256:{digest}")), ..FunctionUpdate::default() }
}

async fn produce(fixture: &Fixture, value: &str) {
    fixture.client.produce("in", value.to_owned(), &Default::default()).await.unwrap();
}

async fn next(fixture: &Fixture) -> String {
    let event = fixture.client.consume("out", &within_long()).await.unwrap().unwrap();
    serde_json::from_slice(&event.json).unwrap()
}

/// A server whose function `f` is up, copies `in` to `out` and has copied `a`.
async fn running() -> Fixture {
    let fixture = Fixture::new().await;
    let function = fixture.function(echo(), "in", "out").await;
    waiting(&fixture, LONG).create_function("f", &function).await.unwrap();
    produce(&fixture, "a").await;
    assert_eq!(next(&fixture).await, "a");
    fixture
}

async fn revisions(fixture: &Fixture) -> Vec<u64> {
    let kept = fixture.client.function_revisions("f").await.unwrap();
    kept.iter().map(|revision| revision.revision).collect()
}

fn is_not_up(error: &ClientError, starts: &str) {
    assert_eq!(error.code(), "FS-1117", "{error}");
    assert!(error.to_string().starts_with(starts), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_answered_when_the_function_runs() {
    let fixture = running().await;
    let client = waiting(&fixture, LONG);
    let status = |function: fnstream_api::FunctionDescription| (function.status, function.tasks.len());
    let up = (FunctionStatus::Running, 1);
    assert_eq!(status(client.restart_function("f").await.unwrap()), up);
    fixture.client.stop_function("f").await.unwrap();
    assert_eq!(status(client.start_function("f").await.unwrap()), up);
    assert_eq!(status(client.start_function("f").await.unwrap()), up, "it runs already");
    let update = FunctionUpdate { output: Some("other".into()), ..FunctionUpdate::default() };
    assert_eq!(status(client.update_function("f", &update).await.unwrap()), up);
    let back = RollbackRequest { to: 1, ..RollbackRequest::default() };
    assert_eq!(status(client.rollback_function("f", back).await.unwrap().function), up);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_does_not_come_up_says_why_and_stays() {
    let fixture = Fixture::new().await;
    let function = fixture.function(stillborn(), "in", "out").await;
    let client = waiting(&fixture, LONG);
    let error = client.create_function("f", &function).await.unwrap_err();
    is_not_up(&error, "function 'f' was created, but does not come up: task 0: ");
    assert!(error.to_string().contains("(FS-1402)"), "{error}");
    let described = fixture.client.describe_function("f").await.unwrap();
    assert_eq!((described.status, described.revision), (FunctionStatus::Failed, 1));
    is_not_up(&client.start_function("f").await.unwrap_err(), "function 'f' was started, but does not come up: ");
    is_not_up(&client.restart_function("f").await.unwrap_err(), "function 'f' was restarted, but does not come up: ");
    // Whoever does not wait is answered as ever.
    fixture.client.create_function("g", &function).await.unwrap();
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_takes_longer_than_the_wait_is_there_and_says_what_it_waits_for() {
    let fixture = Fixture::new().await;
    let function = fixture.function(never_up(), "in", "out").await;
    let error = waiting(&fixture, SHORT).create_function("f", &function).await.unwrap_err();
    assert_eq!(error.code(), "FS-1118");
    let text = "function 'f' was created, but is not up after 50ms: task 0 starts its instance (FS-1118)";
    assert_eq!(error.to_string(), text);
    assert_eq!(fixture.client.list_functions().await.unwrap(), ["f"]);
    fixture.client.delete_function("f").await.unwrap();
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_does_not_come_up_goes_back_and_loses_nothing() {
    let fixture = running().await;
    let client = waiting(&fixture, LONG);
    let before = fixture.client.describe_function("f").await.unwrap();
    // It was stopped and started, which is no revision.
    fixture.client.stop_function("f").await.unwrap();
    client.start_function("f").await.unwrap();
    let error = client.update_function("f", &with_artifact(&fixture, stillborn()).await).await.unwrap_err();
    is_not_up(&error, "function 'f' was updated to revision 4, but does not come up: task 0: ");
    let came = "; revision 1 is in force again, as revision 5, and runs (FS-1117)";
    assert!(error.to_string().ends_with(came), "{error}");
    produce(&fixture, "b").await;
    assert_eq!(next(&fixture).await, "b");
    let after = fixture.client.describe_function("f").await.unwrap();
    assert_eq!((after.revision, &after.archive), (5, &before.archive));
    assert_eq!(revisions(&fixture).await, [5, 4, 1]);

    let fixture = fixture.restart().await;
    produce(&fixture, "c").await;
    assert_eq!(next(&fixture).await, "c");
    assert_eq!(fixture.values("out").await, ["a", "b", "c"]);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_goes_back_only_to_what_was_up_and_unless_it_is_told_not_to() {
    let fixture = running().await;
    let bad = with_artifact(&fixture, stillborn()).await;
    let keeping = fixture.client.waiting(UpWait { time: LONG, keep_failed: true });
    let error = keeping.update_function("f", &bad).await.unwrap_err();
    assert!(!error.to_string().contains("in force again"), "{error}");
    assert_eq!(revisions(&fixture).await, [2, 1]);
    // Revision 2 was not up.
    let client = waiting(&fixture, LONG);
    let update = FunctionUpdate { replicas: Some(2), ..FunctionUpdate::default() };
    let error = client.update_function("f", &update).await.unwrap_err();
    is_not_up(&error, "function 'f' was updated to revision 3, but does not come up: ");
    assert!(!error.to_string().contains("in force again"), "{error}");
    assert_eq!(revisions(&fixture).await, [3, 2, 1]);
    // One that is stopped is not to come up.
    fixture.client.stop_function("f").await.unwrap();
    let update = FunctionUpdate { replicas: Some(3), ..FunctionUpdate::default() };
    assert_eq!(client.update_function("f", &update).await.unwrap().status, FunctionStatus::Stopped);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_goes_back_although_its_caller_has_gone_away() {
    let fixture = running().await;
    let update = with_artifact(&fixture, never_up()).await;
    let body = serde_json::to_string(&update).unwrap();
    let head = "PATCH /api/v1/function/f?wait=1s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";
    let mut caller = fixture.connect();
    write!(caller, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    fixture.described("f", |f| f.revision == 2).await;
    drop(caller);
    fixture.described("f", |f| f.revision == 3 && f.status == FunctionStatus::Running).await;
    produce(&fixture, "b").await;
    assert_eq!(next(&fixture).await, "b");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_function_is_started_once_however_many_ask() {
    let fixture = running().await;
    let starts = async || {
        let log = fixture.client.function_logs("f", &LogOptions::default()).await.unwrap();
        log.lines.iter().filter(|line| line.text.starts_with("started, revision")).count()
    };
    let client = waiting(&fixture, LONG);
    let before = starts().await;
    fixture.client.stop_function("f").await.unwrap();
    let start = || client.start_function("f");
    let (a, b, c) = tokio::join!(start(), start(), start());
    for answer in [a, b, c] {
        assert_eq!(answer.unwrap().status, FunctionStatus::Running);
    }
    assert_eq!(starts().await, before + 1);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_or_stopped_meanwhile_is_not_waited_for() {
    let fixture = Fixture::new().await;
    let function = fixture.function(never_up(), "in", "out").await;
    for (code, ends) in [("FS-1102", true), ("FS-1104", false)] {
        let (client, function) = (waiting(&fixture, LONG * 5), function.clone());
        let create = tokio::spawn(async move { client.create_function("f", &function).await });
        while fixture.client.list_functions().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        fixture.described("f", |f| !f.tasks.is_empty()).await;
        if ends {
            fixture.client.delete_function("f").await.unwrap();
        } else {
            fixture.client.stop_function("f").await.unwrap();
        }
        assert_eq!(create.await.unwrap().unwrap_err().code(), code);
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_wait_is_a_duration_with_a_bound() {
    let fixture = Fixture::new().await;
    let client = reqwest::Client::new();
    for (path, what) in [
        ("f/start?wait=soon", "'wait'"),
        ("f/start?wait=11m", "'wait' is longer than 10m"),
        ("f/start?wait=1s&keep_failed=true", "'keep_failed' is not known here"),
        ("f/restart?waits=1s", "'waits' is not known here, known: wait"),
    ] {
        let response = client.post(fixture.url(&format!("/api/v1/function/{path}"))).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 400, "{path}");
        let text = response.text().await.unwrap();
        assert!(code(&text) == "FS-1001" && text.contains(what), "{path}: {text}");
    }
    let update = client.patch(fixture.url("/api/v1/function/f?keep_failed=true")).body("{}").send().await.unwrap();
    assert!(update.text().await.unwrap().contains("goes with 'wait'"));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_and_sql_say_the_same() {
    let fixture = Fixture::new().await;
    let grpc = Grpc::of(&fixture).await;
    let made = grpc.create(yaml("bad", &["in"], "out"), stillborn()).await;
    assert_eq!(refusal(&made), (422, "FS-1117"));
    assert!(made.message.starts_with("function 'bad' was created, but does not come up: task 0: "), "{made:?}");
    assert_eq!(refusal(&grpc.start("bad").await), (422, "FS-1117"));
    assert_eq!(refusal(&grpc.sql("restart function bad").await), (422, "FS-1117"));
    assert_eq!(refusal(&grpc.sql("start function bad").await), (422, "FS-1117"));

    assert_eq!(grpc.create(yaml("f", &["in"], "out"), echo()).await.status_code, 201);
    let request = fnstream_api::grpc::proto::CreateFunctionRequest {
        config_bytes: yaml("f", &["in"], "out").into(),
        function_bytes: stillborn().into(),
        or_replace: true,
        ..Default::default()
    };
    let replaced = grpc.create_as(request).await.unwrap();
    assert_eq!(refusal(&replaced), (422, "FS-1117"));
    assert!(replaced.message.contains("; revision 1 is in force again, as revision 3, and runs"), "{replaced:?}");
    produce(&fixture, "x").await;
    assert_eq!(next(&fixture).await, "x");

    // A caller with a deadline is answered before it: the function is there, and the text says that it is not up.
    let create = fnstream_api::grpc::proto::CreateFunctionRequest {
        config_bytes: yaml("slow", &["in"], "out").into(),
        function_bytes: never_up().into(),
        ..Default::default()
    };
    let mut request = tonic::Request::new(create);
    request.set_timeout(Duration::from_secs(4));
    let made = grpc.0.clone().create_function(request).await.unwrap().into_inner();
    assert_eq!(made.status_code, 201, "{made:?}");
    assert!(made.message.starts_with("function 'slow' was created, but is not up after "), "{made:?}");
    assert_eq!(grpc.drop_function("slow").await.status_code, 200);
    fixture.server.shutdown().await.unwrap();
}
