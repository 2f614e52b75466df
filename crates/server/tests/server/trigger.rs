// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a function would do with an event: told, with nothing kept.

use fnstream_api::{
    FunctionDescription, FunctionStatus, Limits, LogOptions, OnError, OnErrorAction, ProduceOptions, RecordHeader,
    TopicRequest, Trigger, Triggered,
};

use crate::support::{Fixture, complain, poison, word_count};

fn event(value: &str) -> Trigger {
    Trigger { value: Some(value.to_owned()), ..Trigger::default() }
}

/// Key and value of each event that would be emitted.
fn emitted(triggered: &Triggered) -> Vec<(Option<&str>, &str)> {
    triggered.emitted.iter().map(|event| (event.key.as_deref(), event.value.as_deref().unwrap())).collect()
}

/// All that a function and its topics show of what was done.
async fn seen(fixture: &Fixture, name: &str) -> (FunctionDescription, Vec<String>, Vec<String>) {
    let description = fixture.client.describe_function(name).await.unwrap();
    let metrics = reqwest::get(fixture.url("/metrics")).await.unwrap().text().await.unwrap();
    let counted = ["records_in", "records_out", "records_failed", "restarts", "commits", "dead_lettered"];
    let counts = metrics.lines().filter(|line| counted.iter().any(|word| line.contains(word)));
    let mut values = fixture.values("in").await;
    values.extend(fixture.values("out").await);
    (description, counts.map(str::to_owned).collect(), values)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_trigger_meets_the_same_state_whether_the_function_runs_or_not() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let function = fixture.function(word_count(), "in", "out").await;
    client.create_function("f", &function).await.unwrap();
    client.produce("in", "a a", &ProduceOptions::default()).await.unwrap();
    fixture.described("f", |f| f.tasks.first().is_some_and(|task| task.records_in == 1)).await;
    for stopped in [false, true] {
        if stopped {
            client.stop_function("f").await.unwrap();
        }
        let before = seen(&fixture, "f").await;
        for _ in 0..3 {
            let triggered = client.trigger("f", &event("a b")).await.unwrap();
            assert_eq!(emitted(&triggered), [(Some("a"), "3"), (Some("b"), "1")]);
            assert_eq!((triggered.task, triggered.state_changes, triggered.timer_changes), (0, 2, 0));
            assert_eq!(triggered.revision, before.0.revision);
            let keys: Vec<_> = triggered.state.iter().map(|key| (&*key.store, &*key.key, &*key.change)).collect();
            // A map's entries, by the key of each.
            assert_eq!(keys, [("counts", "/m//a", "put"), ("counts", "/m//b", "put")]);
            assert_eq!((triggered.emitted[0].topic.as_str(), triggered.error), ("out", None));
        }
        assert_eq!(seen(&fixture, "f").await, before, "stopped: {stopped}");
    }
    client.start_function("f").await.unwrap();
    client.produce("in", "a b", &ProduceOptions::default()).await.unwrap();
    fixture.described("f", |f| f.tasks.first().is_some_and(|task| task.records_in == 2)).await;
    assert_eq!(fixture.values("out").await, ["1", "2", "3", "1"]);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_stuck_is_triggered_and_stays_stuck() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let mut function = fixture.function(poison(), "in", "out").await;
    function.on_error = OnError { action: Some(OnErrorAction::Stop), retries: Some(0), ..OnError::default() };
    client.create_function("f", &function).await.unwrap();
    client.produce("in", "x", &ProduceOptions::default()).await.unwrap();
    // Its first epoch, without records, may still be in flight when the record fails.
    fixture.described("f", |f| f.status == FunctionStatus::Failed && f.tasks[0].epoch == 1).await;
    let before = seen(&fixture, "f").await;
    let headers = vec![RecordHeader { name: "h".into(), value: "1".into() }];
    let trigger = Trigger { key: Some("k".into()), headers: headers.clone(), timestamp_ms: Some(7), ..event("good") };
    let good = client.trigger("f", &trigger).await.unwrap();
    assert_eq!((emitted(&good), good.error.clone()), (vec![(Some("k"), "good")], None));
    let first = &good.emitted[0];
    assert_eq!((first.headers.clone(), first.timestamp_ms, &*first.encoding), (headers, 7, "utf-8"));
    let bad = client.trigger("f", &event("x again")).await.unwrap();
    let error = bad.error.unwrap();
    assert_eq!((error.code.as_str(), bad.emitted.len(), bad.state_changes), ("FS-1402", 0, 0));
    assert!(error.message.contains("unreachable") && error.backtrace.is_some(), "{error:?}");
    let bytes = Trigger { encoding: Some("base64".into()), ..event("/w==") };
    let bytes = client.trigger("f", &bytes).await.unwrap();
    assert_eq!((emitted(&bytes), &*bytes.emitted[0].encoding), (vec![(None, "/w==")], "base64"));
    assert_eq!(seen(&fixture, "f").await, before);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_or_a_partition_says_whose_state_is_met() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let topic = TopicRequest { partitions: Some(4), ..TopicRequest::default() };
    client.create_topic("in", &topic).await.unwrap();
    let mut function = fixture.function(word_count(), "in", "out").await;
    function.replicas = 4;
    client.create_function("f", &function).await.unwrap();
    let keyed = ProduceOptions { key: Some(b"user".to_vec()), ..ProduceOptions::default() };
    client.produce("in", "a", &keyed).await.unwrap();
    fixture.described("f", |f| f.tasks.iter().map(|task| task.records_in).sum::<u64>() == 1).await;
    let of_key = client.trigger("f", &Trigger { key: Some("user".into()), ..event("a") }).await.unwrap();
    assert_eq!(emitted(&of_key), [(Some("a"), "2")]);
    for partition in 0..4 {
        let triggered = client.trigger("f", &Trigger { partition: Some(partition), ..event("a") }).await.unwrap();
        let count = if partition == of_key.task { "2" } else { "1" };
        assert_eq!((triggered.task, emitted(&triggered)), (partition, vec![(Some("a"), count)]));
    }
    for (trigger, code) in [
        (Trigger { partition: Some(4), ..event("a") }, "FS-1307"),
        (Trigger { input: Some("other".into()), ..event("a") }, "FS-1001"),
        (Trigger { encoding: Some("hex".into()), ..event("a") }, "FS-1001"),
    ] {
        assert_eq!(client.trigger("f", &trigger).await.unwrap_err().code(), code);
    }
    assert_eq!(client.trigger("none", &event("a")).await.unwrap_err().code(), "FS-1102");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_triggered_call_prints_is_told_and_not_logged() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let function = fixture.function(complain(), "in", "out").await;
    client.create_function("f", &function).await.unwrap();
    let triggered = client.trigger("f", &event("one\ntwo")).await.unwrap();
    let lines: Vec<_> = triggered.logs.iter().map(|line| (&*line.from, &*line.text)).collect();
    assert_eq!(lines, [("stderr", "one"), ("stderr", "two")]);
    assert!(triggered.emitted.is_empty());
    // What is logged later is behind all that was logged before.
    client.produce("in", "logged", &ProduceOptions::default()).await.unwrap();
    fixture.described("f", |f| f.tasks.first().is_some_and(|task| task.records_in == 1)).await;
    client.stop_function("f").await.unwrap();
    let page = client.function_logs("f", &LogOptions::default()).await.unwrap();
    let logged: Vec<_> = page.lines.iter().map(|line| line.text.as_str()).collect();
    assert!(logged.contains(&"logged") && !logged.contains(&"one"), "{logged:?}");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_does_not_end_is_ended_at_the_limit() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let text = r#"(module (memory (export "memory") 1) (func (export "process") (loop $on (br $on))))"#;
    let mut function = fixture.function(wat::parse_str(text).unwrap(), "in", "out").await;
    function.limits = Limits::default();
    function.limits.set("call-time", "200ms").unwrap();
    client.create_function("f", &function).await.unwrap();
    let triggered = client.trigger("f", &event("a")).await.unwrap();
    assert_eq!(triggered.error.unwrap().code, "FS-1403");
    fixture.server.shutdown().await.unwrap();
}
