// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions whose position in a topic of a real Kafka cluster is gone; see `kafka.rs` for where it is.

use fnstream_api::{FunctionStatus, FunctionUpdate};

use crate::kafka::topic;
use crate::kafka_functions::{one_partition, read, say};
use crate::kafka_tools as tools;
use crate::support::{Fixture, echo};

/// A stopped function that has read two records.
async fn stopped(input: &str, output: &str) -> Fixture {
    let fixture = Fixture::new().await;
    one_partition(&fixture, input).await;
    one_partition(&fixture, output).await;
    say(&fixture, input, &["a", "b"]).await;
    let function = fixture.function(echo(), &format!("{input}?group_id=lost"), output).await;
    fixture.client.create_function("f", &function).await.unwrap();
    read(&fixture, 2).await;
    fixture.client.stop_function("f").await.unwrap();
    fixture
}

/// Has it go on elsewhere, and waits for how many records it has read then.
async fn go_on(fixture: &Fixture, input: &str, word: &str, count: u64) {
    let input = format!("{input}?group_id=lost&on-lost-position={word}").parse().unwrap();
    let update = FunctionUpdate { inputs: Some(vec![input]), ..FunctionUpdate::default() };
    fixture.client.update_function("f", &update).await.unwrap();
    read(fixture, count).await;
}

async fn refused(fixture: &Fixture, why: &str) {
    let described = fixture.described("f", |f| f.status == FunctionStatus::Failed).await;
    let error = described.tasks[0].last_error.clone().unwrap();
    assert_eq!(error.code, "FS-1317");
    assert!(error.message.contains(why), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_stops_where_retention_has_passed_its_position_unless_its_input_says_more() {
    let (Some(input), Some(output)) = (topic(), topic()) else { return };
    let fixture = stopped(&input, &output).await;
    say(&fixture, &input, &["c", "d"]).await;
    tools::delete_records(&input, 3).await;
    // It is no secret whether it is started by its user or with its server.
    let _ = fixture.client.start_function("f").await;
    refused(&fixture, "from position 2 on; the oldest left is at 3,").await;
    let fixture = fixture.restart().await;
    refused(&fixture, "from position 2 on; the oldest left is at 3,").await;
    go_on(&fixture, &input, "earliest", 3).await;
    assert_eq!(fixture.values(&output).await, ["a", "b", "d"]);
    fixture.client.stop_function("f").await.unwrap();
    say(&fixture, &input, &["e", "f", "g"]).await;
    tools::delete_records(&input, 6).await;
    let _ = fixture.client.start_function("f").await;
    say(&fixture, &input, &["h"]).await;
    read(&fixture, 5).await;
    assert_eq!(fixture.values(&output).await, ["a", "b", "d", "g", "h"]);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_stops_where_its_topic_was_made_anew_unless_its_input_says_more() {
    let (Some(input), Some(output)) = (topic(), topic()) else { return };
    let fixture = stopped(&input, &output).await;
    tools::delete(&input).await;
    one_partition(&fixture, &input).await;
    say(&fixture, &input, &["c"]).await;
    let _ = fixture.client.start_function("f").await;
    refused(&fixture, "ends at 1, before position 2: the topic was made anew").await;
    go_on(&fixture, &input, "latest", 2).await;
    let described = fixture.described("f", |f| f.status == FunctionStatus::Running).await;
    assert!(described.tasks[0].last_error.clone().unwrap().message.contains("it goes on at 1"), "{described:?}");
    say(&fixture, &input, &["d"]).await;
    read(&fixture, 3).await;
    assert_eq!(fixture.values(&output).await, ["a", "b", "d"]);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_functions_of_one_group_one_runs() {
    let (Some(input), Some(output)) = (topic(), topic()) else { return };
    let fixture = stopped(&input, &output).await;
    let client = &fixture.client;
    let second = fixture.function(echo(), &format!("{input}?group_id=lost"), &output).await;
    // While the first one rests it may be replaced, and the second one goes on where the group is.
    client.create_function("g", &second).await.unwrap();
    say(&fixture, &input, &["c"]).await;
    fixture.described("g", |g| g.tasks.iter().map(|task| task.records_in).sum::<u64>() == 1).await;
    let error = client.start_function("f").await.unwrap_err();
    assert_eq!(error.code(), "FS-1537", "{error}");
    assert!(error.to_string().contains("function 'g' reads topic"), "{error}");
    let third = fixture.function(echo(), &format!("{input}?group_id=lost&partition=0"), &output).await;
    assert_eq!(client.create_function("h", &third).await.unwrap_err().code(), "FS-1537");
    let apart = fixture.function(echo(), &format!("{input}?group_id=apart"), &output).await;
    client.create_function("h", &apart).await.unwrap();
    let update = FunctionUpdate { inputs: Some(second.inputs.clone()), ..FunctionUpdate::default() };
    assert_eq!(client.update_function("h", &update).await.unwrap_err().code(), "FS-1537");
    client.stop_function("g").await.unwrap();
    client.start_function("f").await.unwrap();
    say(&fixture, &input, &["d"]).await;
    read(&fixture, 3).await;
    fixture.server.shutdown().await.unwrap();
}
