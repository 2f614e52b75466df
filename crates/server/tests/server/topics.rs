// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics by hand.

use std::time::Duration;

use fnstream_api::{
    ConsumeOptions, Function, FunctionDescription, FunctionStatus, FunctionUpdate, ProduceOptions, ReadFrom,
    RetentionBy, Selector, TopicChange, TopicRequest,
};

use fnstream_core::topic::TopicRef;
use fnstream_server::{AutoCreate, Retention};
use serde_json::json;

use crate::support::{Fixture, code, echo, within_long};

#[tokio::test]
async fn a_topic_is_made_seen_and_removed_but_not_while_it_is_used() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let request = TopicRequest {
        partitions: Some(3),
        retention_ms: Some(1000),
        retention_bytes: Some(1 << 20),
        retention_by: None,
    };
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

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_a_topic_does_not_have_is_the_servers_also_when_the_setting_came_later() {
    let fixture = Fixture::new().await;
    fixture.client.produce("old", "e", &Default::default()).await.unwrap();
    let request = TopicRequest { retention_ms: Some(1000), ..TopicRequest::default() };
    fixture.client.create_topic("own", &request).await.unwrap();
    let fixture = fixture
        .restart_as(|config| config.retention = Retention { max_bytes: Some(1 << 20), ..Retention::default() })
        .await;
    let client = &fixture.client;
    let old = client.describe_topic("old").await.unwrap();
    assert_eq!((old.retention_ms, old.retention_bytes), (None, Some(1 << 20)));
    assert!(old.retention_ms_is_default && old.retention_bytes_is_default);
    let own = client.describe_topic("own").await.unwrap();
    assert_eq!(
        (own.retention_ms, own.retention_ms_is_default, own.retention_bytes_is_default),
        (Some(1000), false, true)
    );

    let change = TopicChange {
        retention_ms: Some(None),
        retention_bytes: Some(Some(7)),
        retention_by: Some(RetentionBy::EventTime),
        ..TopicChange::default()
    };
    let altered = client.alter_topic("own", &change).await.unwrap().topic;
    assert_eq!((altered.retention_ms, altered.retention_ms_is_default), (None, true));
    assert_eq!((altered.retention_bytes, altered.retention_bytes_is_default), (Some(7), false));
    assert_eq!(altered.retention_by, RetentionBy::EventTime);
    let change = TopicChange { retention_bytes: Some(None), ..TopicChange::default() };
    let altered = client.alter_topic("own", &change).await.unwrap().topic;
    assert_eq!((altered.retention_bytes, altered.retention_by), (Some(1 << 20), RetentionBy::EventTime));
    assert_eq!(client.alter_topic("none", &change).await.unwrap_err().code(), "FS-1301");
    fixture.server.shutdown().await.unwrap();
}

/// Every event goes through once, whichever partition it is in, and whenever the topic grows.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_function_takes_the_partitions_that_its_topics_get() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let function = fixture.function(echo(), "in", "out").await;
    client.create_function("f", &function).await.unwrap();
    let produce = async |from: u32, partitions: u32| {
        for number in from..from + 30 {
            let options = ProduceOptions { partition: Some(number % partitions), ..ProduceOptions::default() };
            client.produce("in", format!("{number}"), &options).await.unwrap();
        }
    };
    produce(0, 1).await;
    let grow = |partitions| TopicChange { partitions: Some(partitions), ..TopicChange::default() };
    let altered = client.alter_topic("in", &grow(3)).await.unwrap();
    assert_eq!((altered.topic.partitions.len(), altered.restarted), (3, vec!["f".to_owned()]));
    produce(30, 3).await;
    // Its writer learns of an output's partitions, too.
    assert_eq!(client.alter_topic("out", &grow(2)).await.unwrap().restarted, ["f"]);
    produce(60, 3).await;
    let mut seen = Vec::new();
    while seen.len() < 90 {
        seen.push(client.consume("out", &within_long()).await.unwrap().unwrap().json);
    }
    seen.sort();
    let mut expected: Vec<_> = (0..90).map(|number| format!("\"{number}\"")).collect();
    expected.sort();
    assert_eq!(seen, expected);
    let consumed = |described: &FunctionDescription| described.tasks.len() == 3;
    fixture.described("f", consumed).await;

    let fewer = client.alter_topic("in", &grow(2)).await.unwrap_err();
    assert_eq!(fewer.code(), "FS-1311", "{fewer}");
    client.stop_function("f").await.unwrap();
    assert!(
        client.alter_topic("in", &grow(4)).await.unwrap().restarted.is_empty(),
        "a stopped one learns at its start"
    );
    client.start_function("f").await.unwrap();
    fixture.described("f", |described| described.tasks.len() == 4).await;
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
    client.produce("t", "a", &Default::default()).await.unwrap();
    assert_eq!(client.consume("t", &within_long()).await.unwrap().unwrap().json, "\"a\"");
    for event in ["b", "c", "d"] {
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
    // The group goes on, and what it missed is counted.
    while client.describe_topic("t").await.unwrap().partitions[0].earliest != "3" {}
    assert_eq!(client.consume("t", &within_long()).await.unwrap().unwrap().json, "\"d\"");
    let metrics = reqwest::get(fixture.url("/metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("fnstream_group_records_dropped_unread_total 2\n"), "{metrics}");
    fixture.server.shutdown().await.unwrap();
}

/// Who reads waits for a topic that is not there, and leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_only_consumed_from_is_not_made() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let soon = ConsumeOptions { timeout: Some(Duration::from_millis(20)), ..ConsumeOptions::default() };
    assert_eq!(client.consume("none", &soon).await.unwrap(), None);
    let from = ConsumeOptions { from: Some(ReadFrom::Position("7".into())), ..soon };
    assert_eq!(client.consume("none", &from).await.unwrap(), None);
    assert!(client.list_topics().await.unwrap().is_empty());

    let consumer = |topic: &'static str| {
        let client = client.clone();
        tokio::spawn(async move { client.consume(topic, &within_long()).await.unwrap().unwrap().json })
    };
    let (produced, made, named) = (consumer("produced"), consumer("made"), consumer("out"));
    fixture.waiting_clients(3).await;
    assert!(client.list_topics().await.unwrap().is_empty(), "while they wait neither");
    client.produce("produced", "a", &Default::default()).await.unwrap();
    assert_eq!(produced.await.unwrap(), "\"a\"");
    // It waits on at a topic that is made and empty, in any partition.
    client.create_topic("made", &TopicRequest { partitions: Some(2), ..TopicRequest::default() }).await.unwrap();
    fixture.waiting("made", 1).await;
    let second = ProduceOptions { partition: Some(1), ..ProduceOptions::default() };
    client.produce("made", "b", &second).await.unwrap();
    assert_eq!(made.await.unwrap(), "\"b\"");
    let function = fixture.function(echo(), "in", "out").await;
    client.create_function("f", &function).await.unwrap();
    client.produce("in", "c", &Default::default()).await.unwrap();
    assert_eq!(named.await.unwrap(), "\"c\"");
    fixture.waiting_clients(0).await;

    let waiting = consumer("never");
    fixture.waiting_clients(1).await;
    fixture.server.shutdown().await.unwrap();
    assert!(waiting.await.is_err(), "its end is told as that of any that waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_made_for_whom_the_server_allows() {
    let fixture = Fixture::with(|config| config.auto_create = AutoCreate::Functions).await;
    let client = &fixture.client;
    for refused in [
        client.produce("in", "a", &Default::default()).await.unwrap_err(),
        client.consume("in", &within_long()).await.unwrap_err(),
    ] {
        assert_eq!(refused.code(), "FS-1310", "{refused}");
        assert!(refused.to_string().contains("there is no topic 'in'"), "{refused}");
    }
    assert!(client.list_topics().await.unwrap().is_empty());
    let function = fixture.function(echo(), "in", "out").await;
    client.create_function("f", &function).await.unwrap();
    client.produce("in", "a", &Default::default()).await.unwrap();
    assert_eq!(client.consume("out", &within_long()).await.unwrap().unwrap().json, "\"a\"");

    let fixture = fixture.restart_as(|config| config.auto_create = AutoCreate::Off).await;
    let client = &fixture.client;
    fixture.described("f", |f| f.status == FunctionStatus::Running).await;
    let mut function = fixture.function(echo(), "in", "new").await;
    let refused = client.create_function("g", &function).await.unwrap_err();
    assert_eq!(refused.code(), "FS-1310", "{refused}");
    let update = FunctionUpdate { output: Some("new".into()), ..FunctionUpdate::default() };
    assert_eq!(client.update_function("f", &update).await.unwrap_err().code(), "FS-1310");
    assert_eq!(client.list_topics().await.unwrap(), ["f.dlq", "in", "out"], "nothing was made");
    client.create_topic("new", &TopicRequest::default()).await.unwrap();
    function.on_error.dead_letter_topic = Some("bad".into());
    assert_eq!(client.create_function("g", &function).await.unwrap_err().code(), "FS-1310", "it was named");
    function.on_error.dead_letter_topic = None;
    client.create_function("g", &function).await.unwrap();
    assert_eq!(client.list_topics().await.unwrap(), ["f.dlq", "g.dlq", "in", "new", "out"], "its own letters'");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_of_different_numbers_of_partitions_are_refused_unless_they_are_not_joined() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    for (topic, partitions) in [("two", 2), ("three", 3), ("also-three", 3)] {
        client
            .create_topic(topic, &TopicRequest { partitions: Some(partitions), ..TopicRequest::default() })
            .await
            .unwrap();
    }
    let digest = client.upload_artifact(echo()).await.unwrap().digest;
    let function = |inputs: &[&str]| {
        let inputs = inputs.iter().map(|input| input.parse().unwrap()).collect();
        Function::new(format!("sha256:{digest}"), inputs, "out")
    };
    let refused = client.create_function("f", &function(&["two", "three"])).await.unwrap_err();
    assert_eq!(refused.code(), "FS-1313", "{refused}");
    assert!(refused.to_string().contains("input 'two' has 2 partitions and input 'three' 3"), "{refused}");
    // One that is to be made gets as many as there are replicas.
    let refused = client.create_function("f", &function(&["three", "new"])).await.unwrap_err();
    assert!(refused.to_string().contains("input 'three' has 3 partitions and input 'new' 1"), "{refused}");
    assert_eq!(client.list_topics().await.unwrap(), ["also-three", "three", "two"], "nothing was made");

    client.create_function("equal", &function(&["three", "also-three"])).await.unwrap();
    client.create_function("made", &Function { replicas: 3, ..function(&["three", "new"]) }).await.unwrap();
    let apart = Function { selector: Some(Selector::GroupParallel), ..function(&["two", "three"]) };
    client.create_function("apart", &apart).await.unwrap();
    let union = Function { no_join: true, ..function(&["two", "three"]) };
    assert!(client.create_function("union", &union).await.unwrap().no_join);
    let joins = FunctionUpdate { no_join: Some(false), ..FunctionUpdate::default() };
    assert_eq!(client.update_function("union", &joins).await.unwrap_err().code(), "FS-1313");
    let other = FunctionUpdate { replicas: Some(2), ..FunctionUpdate::default() };
    assert!(client.update_function("union", &other).await.unwrap().no_join, "it stays");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_replicas_than_partitions_are_told() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    client.create_topic("in", &TopicRequest::default()).await.unwrap();
    let function = Function { replicas: 4, ..fixture.function(echo(), "in", "out").await };
    client.create_function("f", &function).await.unwrap();
    let notes = fixture.described("f", |f| f.status == FunctionStatus::Running).await.notes;
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0].starts_with("replicas is 4, but there is a task for each partition of the inputs: 1 task runs"),
        "{notes:?}"
    );
    let grow = TopicChange { partitions: Some(4), ..TopicChange::default() };
    client.alter_topic("in", &grow).await.unwrap();
    fixture.described("f", |f| f.tasks.len() == 4 && f.notes.is_empty()).await;
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
    for topic in ["orders%40prod", "t%2Fn%2Fx%40prod"] {
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
    for (input, output, code) in [
        ("in@prod", "out", "FS-1309"),
        ("in", "out@prod", "FS-1309"),
        ("in@kafka://h:1?acks=1", "out", "FS-1703"),
        ("in@pulsar://h:1?acks=1", "out", "FS-1703"),
        ("in@pulsar://h:1?initial_position=first", "out", "FS-1703"),
    ] {
        let error = fixture.client.create_function("f", &elsewhere(input, output)).await.unwrap_err();
        assert_eq!(error.code(), code, "{input} {output}");
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
        (json!([{"name": "in", "custer": "prod"}]), "there is no field 'custer'"),
        (json!([{"cluster": "prod"}]), "the field 'name' is missing"),
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
