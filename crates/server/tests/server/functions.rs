// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The life of functions.

use fnstream_api::{FunctionDescription, FunctionStatus};

use crate::support::{Fixture, echo, function, group, trap, within_long};

#[tokio::test]
async fn a_function_is_created_runs_is_seen_and_is_deleted() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let path = fixture.folder.path().join("echo.wasm");
    std::fs::write(&path, echo()).unwrap();
    client.create_function("f", &function(path.to_str().unwrap(), "in", "out")).await.unwrap();
    assert_eq!(client.list_functions().await.unwrap(), ["f"]);
    client.produce("in", "hello", &Default::default()).await.unwrap();
    assert_eq!(client.consume("out", &within_long()).await.unwrap().unwrap().json, "\"hello\"");

    let described = fixture.described("f", |f| f.tasks.first().is_some_and(|task| task.epoch == 2)).await;
    assert_eq!((described.status, described.desired.as_str()), (FunctionStatus::Running, "running"));
    assert_eq!((described.tasks[0].records_in, described.tasks[0].records_out), (1, 1));
    let partition = &described.tasks[0].partitions[0];
    assert_eq!((partition.topic.as_str(), partition.position.as_str(), partition.lag), ("in", "1", Some(0)));

    client.delete_function("f").await.unwrap();
    assert_eq!(client.list_functions().await.unwrap(), Vec::<String>::new());
    assert_eq!(client.describe_function("f").await.unwrap_err().code(), "FS-1102");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_creates_of_one_name_exactly_one_wins() {
    let fixture = Fixture::new().await;
    let function = fixture.function(echo(), "in", "out").await;
    for round in 0..5 {
        let name = format!("f{round}");
        let creates: Vec<_> = (0..10)
            .map(|_| {
                let (client, name, function) = (fixture.client.clone(), name.clone(), function.clone());
                tokio::spawn(async move { client.create_function(&name, &function).await })
            })
            .collect();
        let mut won = 0;
        for create in creates {
            match create.await.unwrap() {
                Ok(_) => won += 1,
                Err(error) => assert_eq!(error.code(), "FS-1101"),
            }
        }
        assert_eq!(won, 1);
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_name_can_be_deleted_and_created_again_at_once() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let function = fixture.function(echo(), "in", "out").await;
    for round in 0..50 {
        client.create_function("f", &function).await.unwrap();
        client.produce("in", format!("{round}"), &Default::default()).await.unwrap();
        client.delete_function("f").await.unwrap();
    }
    client.create_function("f", &function).await.unwrap();
    // The new function has no past: it reads its input from the beginning.
    client.produce("in", "last", &Default::default()).await.unwrap();
    while client.consume("out", &within_long()).await.unwrap().unwrap().json != "\"last\"" {}
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_stopped_function_stays_stopped_until_it_is_started() {
    let fixture = Fixture::new().await;
    let function = fixture.function(echo(), "in", "out").await;
    fixture.client.create_function("f", &function).await.unwrap();
    let stopped = fixture.client.stop_function("f").await.unwrap();
    assert_eq!((stopped.status, stopped.desired.as_str()), (FunctionStatus::Stopped, "stopped"));
    // Again is no error.
    fixture.client.stop_function("f").await.unwrap();

    let fixture = fixture.restart().await;
    assert_eq!(fixture.client.describe_function("f").await.unwrap().status, FunctionStatus::Stopped);
    fixture.client.produce("in", "x", &Default::default()).await.unwrap();
    let started = fixture.client.start_function("f").await.unwrap();
    assert_eq!(started.desired, "running");
    fixture.client.start_function("f").await.unwrap();
    assert_eq!(fixture.client.consume("out", &within_long()).await.unwrap().unwrap().json, "\"x\"");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_function_whose_artifact_is_lost_shows_why_and_harms_no_other() {
    let fixture = Fixture::new().await;
    let good = fixture.function(echo(), "in", "out").await;
    let lost = fixture.function(trap(), "in2", "out2").await;
    fixture.client.create_function("good", &good).await.unwrap();
    fixture.client.create_function("lost", &lost).await.unwrap();
    let digest = lost.archive.trim_start_matches("sha256:").to_owned();
    std::fs::remove_file(fixture.folder.path().join(format!("data/artifacts/{digest}.wasm"))).unwrap();

    let fixture = fixture.restart().await;
    fixture.client.produce("in", "x", &Default::default()).await.unwrap();
    assert_eq!(fixture.client.consume("out", &group("g")).await.unwrap().unwrap().json, "\"x\"");
    // Started while the server serves: it may not have been tried yet.
    let described = fixture.described("lost", |f| f.status != FunctionStatus::Starting).await;
    assert_eq!(described.status, FunctionStatus::Failed);
    let error = described.error.unwrap();
    assert_eq!(error.code, "FS-1204");
    assert!(error.message.contains(&digest), "{error:?}");
    // Mended by uploading it again.
    fixture.client.upload_artifact(trap()).await.unwrap();
    assert_eq!(fixture.client.start_function("lost").await.unwrap().error, None);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_function_and_its_artifact_can_come_in_one_request() {
    let fixture = Fixture::new().await;
    let mut body = Vec::new();
    body.extend_from_slice(b"--xyz\r\ncontent-disposition: form-data; name=\"function\"\r\n\r\n");
    body.extend_from_slice(br#"{"inputs":["in"],"output":"out"}"#);
    body.extend_from_slice(
        b"\r\n--xyz\r\ncontent-disposition: form-data; name=\"archive\"; filename=\"a.wasm\"\r\n\r\n",
    );
    body.extend_from_slice(&echo());
    body.extend_from_slice(b"\r\n--xyz--\r\n");
    let request = reqwest::Client::new().post(fixture.url("/api/v1/function/f"));
    let response = request.header("content-type", "multipart/form-data; boundary=xyz").body(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let described: FunctionDescription = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert!(described.archive.starts_with("sha256:"));
    fixture.client.produce("in", "x", &Default::default()).await.unwrap();
    assert_eq!(fixture.client.consume("out", &within_long()).await.unwrap().unwrap().json, "\"x\"");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_upload_that_no_function_uses_is_removed_after_its_grace() {
    let fixture = Fixture::with(|config| {
        config.upload_grace = std::time::Duration::ZERO;
        config.maintenance_interval = std::time::Duration::from_millis(5);
    })
    .await;
    fixture.client.upload_artifact(trap()).await.unwrap();
    let until = std::time::Instant::now() + crate::support::LONG;
    while !fixture.artifacts().is_empty() {
        assert!(std::time::Instant::now() < until, "still there: {:?}", fixture.artifacts());
        fixture.client.list_functions().await.unwrap();
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_function_that_traps_says_so_and_harms_no_other() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let (good, bad) = (fixture.function(echo(), "in", "out").await, fixture.function(trap(), "in", "other").await);
    client.create_function("good", &good).await.unwrap();
    client.create_function("bad", &bad).await.unwrap();
    client.produce("in", "x", &Default::default()).await.unwrap();
    assert_eq!(client.consume("out", &within_long()).await.unwrap().unwrap().json, "\"x\"");
    let failed = |f: &FunctionDescription| f.tasks.first().is_some_and(|task| task.last_error.is_some());
    let error = fixture.described("bad", failed).await.tasks[0].last_error.clone().unwrap();
    assert_eq!(error.code, "FS-1402");
    fixture.described("good", |f| f.status == FunctionStatus::Running).await;
    // It is stopped like any other.
    client.delete_function("bad").await.unwrap();
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_function_that_takes_no_requests_says_so_and_goes_on() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let function = fixture.function(echo(), "in", "out").await;
    client.create_function("f", &function).await.unwrap();
    let error = client.custom("f", 0, "hello").await.unwrap_err();
    assert_eq!(error.code(), "FS-1401");
    client.produce("in", "after", &Default::default()).await.unwrap();
    assert_eq!(client.consume("out", &within_long()).await.unwrap().unwrap().json, "\"after\"");
    assert_eq!(client.custom("f", 7, "hello").await.unwrap_err().code(), "FS-1105");
    assert_eq!(client.custom("none", 0, "hello").await.unwrap_err().code(), "FS-1102");
    client.stop_function("f").await.unwrap();
    assert_eq!(client.custom("f", 0, "hello").await.unwrap_err().code(), "FS-1105");
    fixture.server.shutdown().await.unwrap();
}
