// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions that read and write topics of a real Kafka cluster; see `kafka.rs` for where it is.

use std::time::Instant;

use fnstream_api::{FunctionStatus, ProduceOptions, SeekRequest, TopicRequest};

use crate::kafka::topic;
use crate::support::{Fixture, LONG, echo, word_count};

pub(crate) async fn one_partition(fixture: &Fixture, topic: &str) {
    fixture.client.create_topic(topic, &TopicRequest { partitions: Some(1), ..TopicRequest::default() }).await.unwrap();
}

pub(crate) async fn say(fixture: &Fixture, topic: &str, values: &[&str]) {
    for value in values {
        fixture.client.produce(topic, (*value).to_owned(), &ProduceOptions::default()).await.unwrap();
    }
}

pub(crate) async fn read(fixture: &Fixture, count: u64) {
    let all = |f: &fnstream_api::FunctionDescription| f.tasks.iter().map(|task| task.records_in).sum::<u64>() == count;
    fixture.described("f", all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_counted_between_topics_of_kafka_also_those_from_before() {
    let (Some(input), Some(output)) = (topic(), topic()) else { return };
    let fixture = Fixture::new().await;
    one_partition(&fixture, &input).await;
    one_partition(&fixture, &output).await;
    say(&fixture, &input, &["hello", "world", "hello"]).await;
    let words = format!("{input}?group_id=words&partition=0&auto.offset.reset=earliest");
    let function = fixture.function(word_count(), &words, &output).await;
    fixture.client.create_function("f", &function).await.unwrap();
    say(&fixture, &input, &["hello", "world"]).await;
    read(&fixture, 5).await;
    assert_eq!(fixture.values(&output).await, ["1", "1", "2", "3", "2"]);

    // State and positions survive a server that is started anew, stopped or running.
    fixture.client.stop_function("f").await.unwrap();
    say(&fixture, &input, &["world"]).await;
    let fixture = fixture.restart().await;
    fixture.client.start_function("f").await.unwrap();
    read(&fixture, 6).await;
    let fixture = fixture.restart().await;
    say(&fixture, &input, &["hello"]).await;
    read(&fixture, 7).await;
    assert_eq!(fixture.values(&output).await[5..], ["3", "4"]);
    assert_eq!(fixture.client.describe_group(&input, "words").await.unwrap().lag, Some(0));
    fixture.client.delete_function("f").await.unwrap();
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_and_outputs_may_be_in_two_clusters() {
    let (Some(far_in), Some(far_out)) = (topic(), topic()) else { return };
    let fixture = Fixture::new().await;
    for topic in [&far_in, &far_out] {
        one_partition(&fixture, topic).await;
    }
    // From Kafka to the embedded log and from there to Kafka again.
    let inward = fixture.function(word_count(), &format!("{far_in}?group_id=inward"), "between").await;
    fixture.client.create_function("f", &inward).await.unwrap();
    let outward = fixture.function(echo(), "between", &far_out).await;
    fixture.client.create_function("g", &outward).await.unwrap();
    say(&fixture, &far_in, &["a", "b", "a"]).await;
    fixture.described("g", |g| g.tasks.iter().map(|task| task.records_in).sum::<u64>() == 3).await;
    assert_eq!(fixture.values(&far_out).await, ["1", "1", "2"]);
    // The group shows how far it is, a moment later.
    let begun = Instant::now();
    while !fixture.client.describe_group(&far_in, "inward").await.is_ok_and(|group| group.lag == Some(0)) {
        assert!(begun.elapsed() < LONG, "the group does not follow");
    }
    let fixture = fixture.restart().await;
    say(&fixture, &far_in, &["a"]).await;
    fixture.described("g", |g| g.tasks.iter().map(|task| task.records_in).sum::<u64>() == 4).await;
    assert_eq!(fixture.values(&far_out).await, ["1", "1", "2", "3"]);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn seven_functions_of_one_group_and_partition_live_and_die_side_by_side() {
    let (Some(input), Some(output)) = (topic(), topic()) else { return };
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    one_partition(&fixture, &input).await;
    one_partition(&fixture, &output).await;
    let named = format!("{input}?group_id=all&partition=0");
    let function = fixture.function(echo(), &named, &output).await;
    let names: Vec<_> = (0..7).map(|n| format!("f{n}")).collect();
    for name in &names {
        client.create_function(name, &function).await.unwrap();
        // It has its place: one that comes later begins where the group is.
        fixture.described(name, |f| f.tasks.first().is_some_and(|task| task.epoch == 1)).await;
    }
    say(&fixture, &input, &["x"]).await;
    for name in &names {
        fixture.described(name, |f| f.tasks.iter().map(|task| task.records_in).sum::<u64>() == 1).await;
    }
    for name in &names[..3] {
        client.stop_function(name).await.unwrap();
    }
    say(&fixture, &input, &["y"]).await;
    for name in &names[..3] {
        client.start_function(name).await.unwrap();
    }
    for name in &names {
        fixture.described(name, |f| f.tasks.iter().map(|task| task.records_in).sum::<u64>() == 2).await;
        client.delete_function(name).await.unwrap();
    }
    assert_eq!(fixture.values(&output).await.len(), 14);
    for _ in 0..5 {
        client.create_function("quick", &function).await.unwrap();
        let described = client.describe_function("quick").await.unwrap();
        assert_ne!(described.status, FunctionStatus::Failed);
        client.delete_function("quick").await.unwrap();
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_on_kafka_is_moved_with_its_group() {
    let (Some(input), Some(output)) = (topic(), topic()) else { return };
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    one_partition(&fixture, &input).await;
    one_partition(&fixture, &output).await;
    say(&fixture, &input, &["a", "b"]).await;
    let mut function = fixture.function(echo(), &format!("{input}?group_id=moved"), &output).await;
    function.from = Some("latest".parse().unwrap());
    client.create_function("f", &function).await.unwrap();
    fixture.described("f", |f| f.tasks.first().is_some_and(|task| task.epoch == 1)).await;
    say(&fixture, &input, &["c"]).await;
    read(&fixture, 1).await;
    assert_eq!(fixture.values(&output).await, ["c"], "it began at the end");
    let seek = |to: &str| SeekRequest { to: to.parse().unwrap(), topic: None };
    let sought = client.seek_function("f", &seek("earliest")).await.unwrap();
    assert_eq!((sought.moved[0].from.as_deref(), sought.moved[0].to.as_str()), (Some("3"), "0"));
    read(&fixture, 4).await;
    assert_eq!(fixture.values(&output).await, ["c", "a", "b", "c"]);
    // Also while it is stopped, and over a restart of the server.
    client.stop_function("f").await.unwrap();
    client.seek_function("f", &seek("0:1")).await.unwrap();
    let fixture = fixture.restart().await;
    fixture.client.start_function("f").await.unwrap();
    read(&fixture, 6).await;
    assert_eq!(fixture.values(&output).await[4..], ["b", "c"]);
    assert_eq!(fixture.client.seek_function("f", &seek("0:9")).await.unwrap_err().code(), "FS-1305");
    fixture.client.delete_function("f").await.unwrap();
    let named = fixture.function(echo(), &format!("{input}?group_id=moved&partition=0"), &output).await;
    fixture.client.create_function("g", &named).await.unwrap();
    let refused = fixture.client.seek_function("g", &seek("earliest")).await.unwrap_err();
    assert_eq!(refused.code(), "FS-1112", "{refused}");
    assert!(refused.to_string().contains("one partition is named"), "{refused}");
    fixture.server.shutdown().await.unwrap();
}
