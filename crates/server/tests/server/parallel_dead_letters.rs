// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Dead letters of functions whose input groups have tasks of their own: each task has its own place in them.

use std::time::Instant;

use fnstream_api::units::Quantity;
use fnstream_api::{
    DeadLetter, DeadLetterDrop, DeadLetterSelection, FunctionUpdate, OnError, ProduceOptions, Selector, TopicRequest,
};

use crate::support::{Fixture, LONG, echo, poison};

/// A function that reads each of these topics by tasks of its own, with letters of some of the bad records in them.
async fn parallel(fixture: &Fixture, lines: &[(&str, &str)]) {
    for (topic, lines) in lines.iter().filter(|(_, lines)| !lines.is_empty()) {
        produce(fixture, topic, lines).await;
    }
    let mut function = fixture.function(poison(), lines[0].0, "out").await;
    function.inputs = lines.iter().map(|(topic, _)| (*topic).into()).collect();
    function.selector = Some(Selector::GroupParallel);
    function.on_error = OnError { retries: Some(0), ..OnError::default() };
    fixture.client.create_function("f", &function).await.unwrap();
}

async fn produce(fixture: &Fixture, topic: &str, lines: &str) {
    fixture.client.produce_lines(topic, lines.to_owned(), &ProduceOptions::default()).await.unwrap();
}

/// The values of the letters that wait, when there are so many.
async fn waiting(fixture: &Fixture, wanted: impl Fn(u64) -> bool) -> Vec<String> {
    let until = Instant::now() + LONG;
    loop {
        let dead_letters = fixture.client.list_dead_letters("f", 100).await.unwrap();
        // They are counted and listed one after the other: one that goes in between is in the one and not in the other.
        let agree = dead_letters.waiting == Some(dead_letters.dead_letters.len() as u64);
        if agree && wanted(dead_letters.waiting.unwrap_or_default()) {
            let mut values: Vec<_> =
                dead_letters.dead_letters.into_iter().map(|DeadLetter { value, .. }| value.unwrap()).collect();
            values.sort();
            return values;
        }
        let (waiting, listed) = (dead_letters.waiting, &dead_letters.dead_letters);
        assert!(Instant::now() < until, "{waiting:?} letters wait, and listed are {listed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_wait_for_the_task_that_wrote_them_and_no_other() {
    let fixture = Fixture::new().await;
    parallel(&fixture, &[("left", "x1\na"), ("right", "x2\nb")]).await;
    assert_eq!(waiting(&fixture, |count| count == 2).await, ["x1", "x2"]);

    // From now on a bad record holds its task up. The one of the right group does nothing for an order therefore.
    let on_error = OnError {
        retries: Some(1_000_000),
        backoff: Some(Quantity::Number(3_600_000)),
        max_backoff: Some(Quantity::Number(3_600_000)),
        ..OnError::default()
    };
    let update = FunctionUpdate { on_error, ..FunctionUpdate::default() };
    fixture.client.update_function("f", &update).await.unwrap();
    produce(&fixture, "right", "x3").await;
    fixture.described("f", |f| f.tasks.iter().any(|task| task.index == 1 && task.last_error.is_some())).await;
    let client = fixture.client.clone();
    let order = DeadLetterDrop { all: true, ..DeadLetterDrop::default() };
    let dropping = tokio::spawn(async move { client.drop_dead_letters("f", &order).await });
    assert_eq!(waiting(&fixture, |count| count < 2).await, ["x2"], "its own task has not gone past it");

    // The order ends with the task that was to do it; what it left is there to be ordered again.
    let digest = fixture.client.upload_artifact(echo()).await.unwrap().digest;
    let update = FunctionUpdate { archive: Some(format!("sha256:{digest}")), ..FunctionUpdate::default() };
    fixture.client.update_function("f", &update).await.unwrap();
    assert_eq!(dropping.await.unwrap().unwrap_err().code(), "FS-1105");
    fixture.described("f", |f| f.tasks.iter().any(|task| task.index == 1 && task.records_in == 3)).await;
    let done = fixture.client.replay_dead_letters("f", &DeadLetterSelection::default()).await.unwrap();
    assert_eq!((done.replayed, done.failed_again, done.waiting, done.finished), (1, 0, 0, true));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_every_task_are_found_in_a_topic_of_many_partitions() {
    let fixture = Fixture::new().await;
    for (topic, partitions) in [("left", 2), ("right", 1), ("f.dlq", 3)] {
        let request = TopicRequest { partitions: Some(partitions), ..TopicRequest::default() };
        fixture.client.create_topic(topic, &request).await.unwrap();
    }
    // Tasks 0 and 2 read the partitions of the left topic, task 1 the right one.
    parallel(&fixture, &[("left", ""), ("right", "x2\nb")]).await;
    for (partition, lines) in [(0, "x0\na"), (1, "x1\nc")] {
        let options = ProduceOptions { partition: Some(partition), ..ProduceOptions::default() };
        fixture.client.produce_lines("left", lines.to_owned(), &options).await.unwrap();
    }
    assert_eq!(waiting(&fixture, |count| count == 3).await, ["x0", "x1", "x2"]);
    let places = fixture.client.list_dead_letters("f", 100).await.unwrap().dead_letters;
    let mut places: Vec<_> =
        places.iter().map(|dead_letter| (dead_letter.value.as_deref().unwrap(), dead_letter.id.as_str())).collect();
    places.sort_unstable();
    assert_eq!(places, [("x0", "0:0"), ("x1", "2:0"), ("x2", "1:0")], "each task has a partition of its own");

    let digest = fixture.client.upload_artifact(echo()).await.unwrap().digest;
    let update = FunctionUpdate { archive: Some(format!("sha256:{digest}")), ..FunctionUpdate::default() };
    fixture.client.update_function("f", &update).await.unwrap();
    fixture.described("f", |f| f.tasks.len() == 3 && f.tasks.iter().all(|task| task.epoch > 0)).await;
    let done = fixture.client.replay_dead_letters("f", &DeadLetterSelection { count: Some(2) }).await.unwrap();
    assert_eq!((done.replayed, done.waiting, done.finished), (2, 1, true));
    assert_eq!(waiting(&fixture, |count| count == 1).await, ["x1"], "the oldest go first, partition by partition");
    let done = fixture
        .client
        .drop_dead_letters("f", &DeadLetterDrop { all: true, ..DeadLetterDrop::default() })
        .await
        .unwrap();
    assert_eq!((done.dropped, done.waiting, done.finished), (1, 0, true));
    fixture.server.shutdown().await.unwrap();
}
