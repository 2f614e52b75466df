// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the server says of its own interface.

use crate::support::Fixture;

#[tokio::test]
async fn the_description_is_served_and_the_committed_one_is_current() {
    let fixture = Fixture::new().await;
    let response = reqwest::get(fixture.url("/openapi.json")).await.unwrap();
    let served: serde_json::Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    for (path, methods) in [
        ("/api/v1/functions", vec!["get"]),
        ("/api/v1/function/{name}", vec!["delete", "get", "patch", "post"]),
        ("/api/v1/function/{name}/rollback", vec!["post"]),
        ("/api/v1/produce/{queue}", vec!["put"]),
        ("/api/v1/consume/{queue}", vec!["get"]),
    ] {
        let mut described: Vec<_> = served["paths"][path].as_object().unwrap().keys().cloned().collect();
        described.sort();
        assert_eq!(described, methods, "{path}");
    }
    let committed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi.yaml")).unwrap();
    assert!(committed == fnstream_server::openapi_yaml().unwrap(), "openapi.yaml is not current: run 'make openapi'");
    assert_eq!(reqwest::get(fixture.url("/healthz")).await.unwrap().status(), 200);
    fixture.server.shutdown().await.unwrap();
}
