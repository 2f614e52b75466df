// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics by hand.

use fnstream_api::TopicRequest;

use fnstream_core::topic::TopicRef;
use serde_json::json;

use crate::support::{Fixture, code, echo, within_long};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_pulsars_form_is_a_name_like_any_other() {
    let fixture = Fixture::new().await;
    let (input, output) = ("persistent://shop/eu/orders", "shop/eu/done");
    let client = &fixture.client;
    client.create_topic(input, &TopicRequest { partitions: Some(2), ..TopicRequest::default() }).await.unwrap();
    let mut function = fixture.function(echo(), input, output).await;
    function.on_error.dead_letter_topic = Some("non-persistent://shop/eu/bad".into());
    client.create_function("f", &function).await.unwrap();
    client.produce(input, "e", &Default::default()).await.unwrap();
    let event = client.consume(output, &within_long()).await.unwrap().unwrap();
    assert_eq!(event.json, "\"e\"");
    let topics = [input, "non-persistent://shop/eu/bad", output];
    let mut sorted = topics.map(str::to_owned);
    sorted.sort();
    assert_eq!(client.list_topics().await.unwrap(), sorted);
    let described = client.describe_function("f").await.unwrap();
    assert_eq!((&described.inputs[0], &described.outputs[0]), (&input.to_owned(), &output.to_owned()));
    assert_eq!(client.describe_topic(input).await.unwrap().read_by, ["f"]);
    let metrics = reqwest::get(fixture.url("/metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"topic="persistent://shop/eu/orders""#), "{metrics}");

    // It is kept over a restart, with its records and its groups' places.
    let fixture = fixture.restart().await;
    let client = &fixture.client;
    assert_eq!(client.list_topics().await.unwrap(), sorted);
    client.produce(input, "f", &Default::default()).await.unwrap();
    assert_eq!(client.consume(output, &within_long()).await.unwrap().unwrap().json, "\"f\"");
    client.delete_function("f").await.unwrap();
    for topic in topics {
        client.delete_topic(topic).await.unwrap();
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_another_cluster_is_refused_wherever_it_is_named() {
    let fixture = Fixture::new().await;
    let http = reqwest::Client::new();
    for topic in ["orders%40prod", "orders%40kafka%3A%2F%2Fh%3A9092", "t%2Fn%2Fx%40pulsar%3A%2F%2Fh"] {
        for (method, path) in [
            ("PUT", format!("produce/{topic}")),
            ("GET", format!("consume/{topic}?timeout=1ms")),
            ("POST", format!("topic/{topic}")),
            ("GET", format!("topic/{topic}")),
            ("DELETE", format!("topic/{topic}")),
        ] {
            let request = http.request(method.parse().unwrap(), fixture.url(&format!("/api/v1/{path}")));
            let request = if method == "PUT" { request.body("x") } else { request };
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 400, "{method} {path}");
            let body = answer.text().await.unwrap();
            assert_eq!(code(&body), "FS-1309", "{method} {path}: {body}");
        }
    }
    let body = reqwest::get(fixture.url("/api/v1/topic/orders%40prod")).await.unwrap().text().await.unwrap();
    assert!(body.contains("topic 'orders@prod' is of the cluster 'prod', which this server does not know"), "{body}");

    let function = fixture.function(echo(), "in", "out").await;
    let elsewhere = |input: &str, output: &str| fnstream_api::Function {
        inputs: vec![input.parse().unwrap()],
        output: Some(output.parse().unwrap()),
        ..function.clone()
    };
    for (input, output) in [("in@prod", "out"), ("in", "out@prod"), ("in@kafka://h:1", "out")] {
        let error = fixture.client.create_function("f", &elsewhere(input, output)).await.unwrap_err();
        assert_eq!(error.code(), "FS-1309", "{input} {output}");
    }
    // Options have a meaning for brokers only: here they would have no effect.
    let error = fixture.client.create_function("f", &elsewhere("in?group_id=g", "out")).await.unwrap_err();
    assert_eq!(error.code(), "FS-1103");
    assert!(error.to_string().contains("'in?group_id=g'"), "{error}");
    assert_eq!(fixture.client.list_topics().await.unwrap(), Vec::<String>::new(), "nothing was made");

    fixture.client.create_function("f", &function).await.unwrap();
    let update =
        fnstream_api::FunctionUpdate { output: Some("out@prod".parse::<TopicRef>().unwrap()), ..Default::default() };
    assert_eq!(fixture.client.update_function("f", &update).await.unwrap_err().code(), "FS-1309");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_may_be_named_by_its_parts_and_is_shown_as_text() {
    let fixture = Fixture::new().await;
    let archive = fixture.function(echo(), "in", "out").await.archive;
    let post = async |name: &str, inputs: serde_json::Value| {
        let body = json!({ "archive": archive, "inputs": inputs, "output": {"name": "out"} }).to_string();
        let url = fixture.url(&format!("/api/v1/function/{name}"));
        let request = reqwest::Client::new().post(url).header("content-type", "application/json").body(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(post("f", json!(["in", {"name": "t/n/in"}])).await.0, 200);
    let url = fixture.url("/api/v1/function/f");
    let described: serde_json::Value =
        serde_json::from_slice(&reqwest::get(url).await.unwrap().bytes().await.unwrap()).unwrap();
    assert_eq!((&described["inputs"], &described["outputs"]), (&json!(["in", "t/n/in"]), &json!(["out"])));
    for (inputs, why) in [
        (json!([{"name": "in", "custer": "prod"}]), "unknown field `custer`"),
        (json!([{"cluster": "prod"}]), "missing field `name`"),
        (json!(["in@"]), "names no cluster after '@'"),
        (json!(["in%"]), "'%25' stands for '%'"),
        (json!([7]), "a topic as text, or an object"),
    ] {
        let (status, body) = post("g", inputs).await;
        assert_eq!((status, code(&body).as_str()), (400, "FS-1001"), "{body}");
        assert!(body.contains(why), "{why}: {body}");
    }
    fixture.server.shutdown().await.unwrap();
}
