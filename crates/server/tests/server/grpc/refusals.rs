// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is refused, with which status and code; a refusal leaves nothing behind.

use fnstream_api::grpc::proto::{CreatePythonFunctionRequest, ShowFunctionsRequest};

use super::{Grpc, refusal, yaml};
use crate::support::{Fixture, echo};

#[tokio::test(flavor = "multi_thread")]
async fn bad_creates_are_refused_by_what_is_wrong_and_leave_nothing() {
    let fixture = Fixture::new().await;
    let grpc = Grpc::of(&fixture).await;
    let good = yaml("f", &["in"], "out");
    let cases = [
        ("no config", Vec::<u8>::new(), echo(), 400, "FS-1103"),
        ("config that is no utf-8", b"name: \xff\xfe".to_vec(), echo(), 400, "FS-1103"),
        ("config that is no yaml", b"name: [f".to_vec(), echo(), 400, "FS-1103"),
        (
            "config without inputs",
            b"name: f\noutputs: [{output-type: log, topic: o}]\n".to_vec(),
            echo(),
            400,
            "FS-1103",
        ),
        ("name that leaves its place", good.replace("name: f", "name: ../f").into(), echo(), 400, "FS-1103"),
        ("a zip that is cut off", good.clone().into(), b"PK\x03\x04".to_vec(), 400, "FS-1206"),
        ("no artifact", good.clone().into(), Vec::new(), 400, "FS-1202"),
        ("garbage", good.clone().into(), b"garbage that is no wasm".to_vec(), 400, "FS-1202"),
        ("cut off", good.clone().into(), echo()[..40].to_vec(), 400, "FS-1202"),
        ("a module that is no function", good.clone().into(), wat::parse_str("(module)").unwrap(), 400, "FS-1203"),
    ];
    for (what, config, artifact, status, code) in cases {
        let answer = grpc.create(config, artifact).await;
        assert_eq!(refusal(&answer), (status, code), "{what}: {}", answer.message);
    }
    assert!(grpc.show(None).await.is_empty());
    assert!(fixture.client.list_topics().await.unwrap().is_empty());
    assert!(fixture.artifacts().is_empty());
    assert_eq!(grpc.create(good, echo()).await.status_code, 201, "the name is free");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_problems_of_a_config_are_told_with_their_places() {
    let fixture = Fixture::new().await;
    let grpc = Grpc::of(&fixture).await;
    let config = "nam: f\ninput-groups:\n  - inputs: [{input-type: log, topic: 'a b'}]\noutputs: []\nreplicas: 0\n";
    let answer = grpc.create(config, echo()).await;
    assert_eq!(refusal(&answer), (400, "FS-1103"));
    for problem in ["1:1", "'nam'", "name", "a b", "replicas"] {
        assert!(answer.message.contains(problem), "{problem}: {}", answer.message);
    }
    assert!(answer.message.lines().count() >= 4, "{}", answer.message);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_not_to_be() {
    let fixture = Fixture::new().await;
    let grpc = Grpc::of(&fixture).await;
    for answer in [grpc.start("none").await, grpc.stop("none").await, grpc.drop_function("none").await] {
        assert_eq!(refusal(&answer), (404, "FS-1102"));
        assert!(answer.message.starts_with("there is no function 'none' (FS-1102): "), "{}", answer.message);
    }
    for name in ["", "../x", "a b", "ä"] {
        assert_eq!(refusal(&grpc.start(name).await), (400, "FS-1004"), "{name:?}");
    }
    let python = CreatePythonFunctionRequest { class_name: "Count".into(), ..Default::default() };
    let answer = grpc.0.clone().create_python_function(python).await.unwrap().into_inner();
    assert_eq!(refusal(&answer), (400, "FS-1206"), "without modules");
    let filter = ShowFunctionsRequest { filter: Some("a\\".into()), ..ShowFunctionsRequest::default() };
    let answer = grpc.0.clone().show_functions(filter).await.unwrap().into_inner();
    assert_eq!((answer.status_code, answer.error_code.as_str()), (400, "FS-1001"));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_over_the_servers_bound_is_refused_by_its_size() {
    let fixture = Fixture::with(|config| config.max_artifact_bytes = 100).await;
    let grpc = Grpc::of(&fixture).await;
    let answer = grpc.create(yaml("f", &["in"], "out"), echo()).await;
    assert_eq!(refusal(&answer), (413, "FS-1003"));
    fixture.server.shutdown().await.unwrap();
}
