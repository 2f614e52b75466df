// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The life of a function over gRPC, and over restarts of the server.

use fnstream_api::grpc::proto::CreateFunctionRequest;

use super::{Grpc, yaml};
use crate::support::{Fixture, echo, group, trap, within_long};

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_created_stopped_started_and_dropped() {
    let fixture = Fixture::new().await;
    let grpc = Grpc::of(&fixture).await;
    let made = grpc.create(yaml("word-count", &["in"], "out"), echo()).await;
    assert_eq!((made.status_code, made.message.as_str()), (201, "function 'word-count' created and started"));
    grpc.becomes("word-count", "Running").await;
    let shown = grpc.show(None).await;
    assert_eq!(
        (shown[0].name.as_str(), shown[0].task_type.as_str(), shown[0].revision),
        ("word-count", "processor", 1)
    );

    fixture.client.produce("in", "one", &Default::default()).await.unwrap();
    assert_eq!(fixture.client.consume("out", &within_long()).await.unwrap().unwrap().json, "\"one\"");
    let stopped = grpc.stop("word-count").await;
    assert_eq!((stopped.status_code, stopped.message.as_str()), (200, "function 'word-count' stopped"));
    let shown = grpc.show(None).await;
    assert_eq!(shown[0].status, "Stopped");
    assert!(shown[0].reason.contains("was told to stop"), "{}", shown[0].reason);
    assert_eq!(grpc.stop("word-count").await.status_code, 200, "it is stopped already");

    fixture.client.produce("in", "two", &Default::default()).await.unwrap();
    assert_eq!(grpc.start("word-count").await.message, "function 'word-count' started");
    assert_eq!(grpc.start("word-count").await.status_code, 200, "it runs already");
    assert_eq!(fixture.client.consume("out", &within_long()).await.unwrap().unwrap().json, "\"two\"");
    assert_eq!(grpc.drop_function("word-count").await.message, "function 'word-count' dropped");
    assert!(grpc.show(None).await.is_empty());
    assert_eq!(fixture.client.list_topics().await.unwrap(), ["in", "out", "word-count.dlq"], "topics stay");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_outlives_a_restart_of_the_server() {
    let fixture = Fixture::new().await;
    let grpc = Grpc::of(&fixture).await;
    for name in ["runs", "rests", "fails"] {
        let stop = if name == "fails" { "on-error: {action: stop, retries: 0}\n" } else { "" };
        let artifact = if name == "fails" { trap() } else { echo() };
        let config = yaml(name, &[&format!("{name}-in")], &format!("{name}-out")) + stop;
        let made = grpc.create(config, artifact).await;
        assert_eq!(made.status_code, 201, "{made:?}");
    }
    grpc.stop("rests").await;
    fixture.client.produce("fails-in", "x", &Default::default()).await.unwrap();
    grpc.becomes("fails", "Error").await;
    let fixture = fixture.restart().await;
    let grpc = Grpc::of(&fixture).await;
    grpc.becomes("runs", "Running").await;
    grpc.becomes("rests", "Stopped").await;
    grpc.becomes("fails", "Error").await;
    let failed = grpc.show(Some("f%")).await;
    assert_eq!(failed.len(), 1);
    assert!(failed[0].reason.contains("FS-1402"), "{}", failed[0].reason);
    grpc.start("rests").await;
    let fixture = fixture.restart().await;
    Grpc::of(&fixture).await.becomes("rests", "Running").await;
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_free_again_at_once_fifty_times() {
    let fixture = Fixture::new().await;
    let grpc = Grpc::of(&fixture).await;
    for round in 0..50 {
        let made = grpc.create(yaml("f", &["in"], "out"), echo()).await;
        assert_eq!(made.status_code, 201, "round {round}: {made:?}");
        let event = format!("{round}");
        fixture.client.produce("in", event.clone(), &Default::default()).await.unwrap();
        // Each begins at the earliest event that the log has, so the newest comes last.
        for past in 0..=round {
            let came = fixture.client.consume("out", &within_long()).await.unwrap().unwrap();
            assert_eq!(came.json, format!("\"{past}\""), "round {round}");
        }
        assert_eq!(grpc.drop_function("f").await.status_code, 200);
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn three_functions_on_one_topic_each_see_all_of_it() {
    let fixture = Fixture::new().await;
    let grpc = Grpc::of(&fixture).await;
    for name in ["a", "b", "c"] {
        assert_eq!(grpc.create(yaml(name, &["shared"], &format!("{name}-out")), echo()).await.status_code, 201);
    }
    for event in ["1", "2"] {
        fixture.client.produce("shared", event, &Default::default()).await.unwrap();
    }
    for name in ["a", "b", "c"] {
        for event in ["\"1\"", "\"2\""] {
            let came = fixture.client.consume(&format!("{name}-out"), &group("g")).await.unwrap().unwrap();
            assert_eq!(came.json, event, "{name}");
        }
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_keeps_or_replaces_what_is_there_when_it_is_told_to() {
    let fixture = Fixture::new().await;
    let grpc = Grpc::of(&fixture).await;
    let request = |config: String| CreateFunctionRequest {
        config_bytes: config.into(),
        function_bytes: echo().into(),
        ..CreateFunctionRequest::default()
    };
    let keep = |config| CreateFunctionRequest { if_not_exists: true, ..request(config) };
    let replace = |config| CreateFunctionRequest { or_replace: true, ..request(config) };
    let config = yaml("f", &["in"], "out");
    assert_eq!(grpc.create_as(keep(config.clone())).await.unwrap().status_code, 201);
    let kept = grpc.create_as(keep(yaml("f", &["other"], "elsewhere"))).await.unwrap();
    assert_eq!((kept.status_code, kept.message.as_str()), (200, "function 'f' exists and stays as it is"));
    assert_eq!(fixture.client.describe_function("f").await.unwrap().inputs, ["in"]);

    fixture.client.produce("in", "1", &Default::default()).await.unwrap();
    assert_eq!(fixture.client.consume("out", &within_long()).await.unwrap().unwrap().json, "\"1\"");
    let replaced = grpc.create_as(replace(yaml("f", &["in"], "new-out"))).await.unwrap();
    assert_eq!((replaced.status_code, replaced.message.as_str()), (200, "function 'f' is at revision 2"));
    fixture.client.produce("in", "2", &Default::default()).await.unwrap();
    let came = fixture.client.consume("new-out", &within_long()).await.unwrap().unwrap();
    assert_eq!(came.json, "\"2\"", "it goes on from where it stood");
    let same = grpc.create_as(replace(yaml("f", &["in"], "new-out"))).await.unwrap();
    assert_eq!(same.message, "function 'f' is at revision 2", "nothing changes");
    assert_eq!(grpc.create_as(replace(yaml("g", &["in"], "out"))).await.unwrap().status_code, 201, "there is none yet");

    let refused = grpc.create_as(replace(yaml("f", &["in", "more"], "new-out"))).await.unwrap();
    assert_eq!(super::refusal(&refused), (400, "FS-1103"));
    assert!(refused.message.contains("inputs cannot change from 'in' to '[in, more]'"), "{}", refused.message);
    let both = CreateFunctionRequest { if_not_exists: true, ..replace(yaml("f", &["in"], "out")) };
    assert_eq!(super::refusal(&grpc.create_as(both).await.unwrap()), (400, "FS-1001"));
    fixture.server.shutdown().await.unwrap();
}
