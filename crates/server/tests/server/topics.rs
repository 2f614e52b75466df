// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics by hand.

use fnstream_api::TopicRequest;

use crate::support::{Fixture, echo};

#[tokio::test]
async fn a_topic_is_made_seen_and_removed_but_not_while_it_is_used() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let request = TopicRequest { partitions: Some(3), retention_ms: Some(1000), retention_bytes: Some(1 << 20) };
    let made = client.create_topic("t", &request).await.unwrap();
    assert_eq!(made, client.describe_topic("t").await.unwrap());
    assert_eq!((made.partitions.len(), made.retention_ms, made.retention_bytes), (3, Some(1000), Some(1 << 20)));
    assert_eq!(client.create_topic("t", &request).await.unwrap_err().code(), "FS-1302");

    let function = fixture.function(echo(), "t", "out").await;
    client.create_function("f", &function).await.unwrap();
    assert_eq!(client.describe_topic("t").await.unwrap().read_by, ["f"]);
    assert_eq!(client.describe_topic("out").await.unwrap().written_by, ["f"]);
    for used in ["t", "out", "f.dlq"] {
        assert_eq!(client.delete_topic(used).await.unwrap_err().code(), "FS-1303");
    }
    client.delete_function("f").await.unwrap();
    client.delete_topic("t").await.unwrap();
    // What the function wrote stays, its dead letters too.
    assert_eq!(client.list_topics().await.unwrap(), ["f.dlq", "out"]);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn topics_that_a_function_names_are_made_with_its_replicas() {
    let fixture = Fixture::new().await;
    let mut function = fixture.function(echo(), "in", "out").await;
    function.replicas = 4;
    fixture.client.create_function("f", &function).await.unwrap();
    for topic in ["in", "out"] {
        assert_eq!(fixture.client.describe_topic(topic).await.unwrap().partitions.len(), 4, "{topic}");
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_retention_drops_is_told_and_not_jumped_silently() {
    let fixture = Fixture::with(|config| config.maintenance_interval = std::time::Duration::from_millis(5)).await;
    let client = &fixture.client;
    client.create_topic("t", &TopicRequest { retention_bytes: Some(1), ..TopicRequest::default() }).await.unwrap();
    for event in ["a", "b", "c"] {
        client.produce("t", event, &Default::default()).await.unwrap();
    }
    // Until retention has come by, the oldest event can be read.
    let http = reqwest::Client::new();
    loop {
        let response = http.get(fixture.url("/api/v1/consume/t?from=0&timeout=0ms")).send().await.unwrap();
        if response.status() == 410 {
            assert_eq!(crate::support::code(&response.text().await.unwrap()), "FS-1304");
            break;
        }
        assert_eq!(response.status(), 200);
    }
    fixture.server.shutdown().await.unwrap();
}
