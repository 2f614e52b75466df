// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions that are moved in their inputs.

use std::time::{Duration, Instant};

use fnstream_api::{
    Client, Function, FunctionStatus, FunctionUpdate, Moved, OnError, OnErrorAction, Place, ProduceOptions,
    SeekRequest, TopicRequest, UpWait,
};
use fnstream_core::spec::Beginning;

use crate::grpc::{Grpc, yaml};
use crate::support::{Fixture, LONG, code, echo, poison, stillborn};

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
async fn only_the_input_that_is_named_is_moved() {
    let fixture = Fixture::new().await;
    let mut function = fixture.function(echo(), "in", "out").await;
    function.groups = vec![[function.inputs.remove(0), "side".into()].to_vec()];
    let client = waiting(&fixture);
    client.create_function("f", &function).await.unwrap();
    produce(&fixture, "in", &["a"]).await;
    emits(&fixture, &["a"]).await;
    produce(&fixture, "side", &["x"]).await;
    emits(&fixture, &["a", "x"]).await;
    let side = SeekRequest { topic: Some("side".into()), ..to(Place::Earliest) };
    let sought = client.seek_function("f", &side).await.unwrap();
    assert_eq!(sought.moved, [Moved { topic: "side".into(), ..moved(0, "1", "0") }]);
    emits(&fixture, &["a", "x", "x"]).await;
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_moved_before_it_was_ever_up() {
    let fixture = Fixture::new().await;
    let function = fixture.function(stillborn(), "in", "out").await;
    fixture.client.create_function("f", &function).await.unwrap();
    fixture.described("f", |f| f.status == FunctionStatus::Failed).await;
    fixture.client.stop_function("f").await.unwrap();
    produce(&fixture, "in", &["a", "b", "c"]).await;
    fixture.client.seek_function("f", &to(Place::At(0, 2))).await.unwrap();
    let digest = fixture.client.upload_artifact(echo()).await.unwrap().digest;
    let update = FunctionUpdate { archive: Some(format!("sha256:{digest}")), ..Default::default() };
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
async fn a_function_that_is_stuck_at_a_record_or_was_behind_retention_is_moved() {
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
    client.start_function("f").await.unwrap();
    emits(&fixture, &["good", "kept"]).await;
    let task = fixture.client.describe_function("f").await.unwrap().tasks.remove(0);
    assert_eq!(task.last_error.unwrap().code, "FS-1304", "it goes on by itself, and tells");
    client.seek_function("f", &to(Place::Earliest)).await.unwrap();
    emits(&fixture, &["good", "kept", "kept"]).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_function_begins_where_it_is_said_and_goes_on_from_there() {
    let fixture = Fixture::new().await;
    fixture.client.create_topic("in", &TopicRequest { partitions: Some(2), ..TopicRequest::default() }).await.unwrap();
    let at = |ms| ProduceOptions { timestamp: Some(ms), partition: Some(0), ..ProduceOptions::default() };
    for (value, ms) in [("a", 1_000), ("b", 5_000), ("c", 2_000)] {
        fixture.client.produce("in", value.to_owned(), &at(ms)).await.unwrap();
    }
    let other = ProduceOptions { partition: Some(1), ..at(1_000) };
    fixture.client.produce("in", "z".to_owned(), &other).await.unwrap();
    let client = waiting(&fixture);
    for (name, from) in [("all", None), ("new", Some(Beginning::Latest)), ("since", Some(Beginning::Time(3_000)))] {
        let function = Function { from, ..fixture.function(echo(), "in", name).await };
        let made = client.create_function(name, &function).await.unwrap();
        assert_eq!(made.from, from);
        assert_eq!(made.revision, 1);
    }
    // A description over gRPC says it too, and SQL shows it.
    let grpc = Grpc::of(&fixture).await;
    let config = yaml("told", &["in"], "told") + "from: latest\n";
    assert_eq!(grpc.create(config, echo()).await.status_code, 201);
    let shown = grpc.sql("describe function told").await.data.unwrap();
    assert!(shown.windows(6).any(|at| at == b"latest"));
    // One that does not come up has its place all the same.
    let function = Function { from: Some(Beginning::Latest), ..fixture.function(stillborn(), "in", "late").await };
    client.create_function("late", &function).await.unwrap_err();
    fixture.client.produce("in", "d".to_owned(), &at(9_000)).await.unwrap();
    let digest = fixture.client.upload_artifact(echo()).await.unwrap().digest;
    let mended = FunctionUpdate { archive: Some(format!("sha256:{digest}")), ..FunctionUpdate::default() };
    assert_eq!(client.update_function("late", &mended).await.unwrap().from, Some(Beginning::Latest));
    let fixture = fixture.restart().await;
    for (name, values) in [
        ("all", &["a", "b", "c", "d", "z"][..]),
        ("new", &["d"]),
        ("since", &["b", "c", "d"]),
        ("late", &["d"]),
        ("told", &["d"]),
    ] {
        fixture.described(name, |f| f.tasks.len() == 2 && f.tasks.iter().all(|t| t.lag() == Some(0))).await;
        let mut got = fixture.values(name).await;
        got.sort();
        assert_eq!(got, values, "{name}");
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_inputs_and_several_outputs_are_said_over_rest_too() {
    let fixture = Fixture::new().await;
    let digest = fixture.client.upload_artifact(echo()).await.unwrap().digest;
    let body = format!(r#"{{"archive":"sha256:{digest}","groups":[["a","b"],["c"]],"outputs":["out","p"]}}"#);
    let url = fixture.url("/api/v1/function/f");
    let client = reqwest::Client::new();
    let made = client.post(&url).body(body).send().await.unwrap();
    assert_eq!(made.status().as_u16(), 200, "{}", made.text().await.unwrap());
    let described = fixture.client.describe_function("f").await.unwrap();
    assert_eq!(described.groups, [vec!["a", "b"], vec!["c"]]);
    assert_eq!(described.outputs, ["out", "p"]);
    for topic in ["a", "b", "c"] {
        produce(&fixture, topic, &[topic]).await;
    }
    fixture.described("f", |f| f.tasks.iter().all(|t| t.lag() == Some(0) && t.records_in == 3)).await;
    let mut got = fixture.values("out").await;
    got.sort();
    assert_eq!(got, ["a", "b", "c"]);
    for (body, says) in [
        (r#"{"groups":[["a"],["b"],["c"]]}"#, "inputs cannot change"),
        (r#"{"output":"x","outputs":["y"]}"#, "output and outputs are both given"),
    ] {
        let refused = client.patch(&url).body(body).send().await.unwrap();
        let text = refused.text().await.unwrap();
        assert!(code(&text) == "FS-1103" && text.contains(says), "{text}");
    }
    let changed = client.patch(&url).body(r#"{"outputs":["out"]}"#).send().await.unwrap();
    assert_eq!(changed.status().as_u16(), 200);
    assert_eq!(fixture.client.describe_function("f").await.unwrap().outputs, ["out"]);
    fixture.server.shutdown().await.unwrap();
}
