// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the server's settings, and those of topics, do with a real Kafka cluster; see `kafka.rs` for where it is.

use std::time::{Duration, Instant};

use fnstream_api::{FunctionStatus, FunctionUpdate};

use crate::kafka::topic;
use crate::kafka_functions::{one_partition, read, say};
use crate::kafka_tools::{self as tools, Broker, until};
use crate::support::{Fixture, echo};

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_deleted_while_its_cluster_is_away_leaves_nothing_there_in_the_end() {
    let Some(broker) = Broker::start() else { return };
    let (input, output) = (broker.topic("in"), broker.topic("out"));
    let fixture = Fixture::new().await;
    one_partition(&fixture, &input).await;
    one_partition(&fixture, &output).await;
    let function = fixture.function(echo(), &input, &output).await;
    for name in ["f", "g"] {
        fixture.client.create_function(name, &function).await.unwrap();
        fixture.described(name, |f| f.tasks.first().is_some_and(|task| task.epoch == 1)).await;
    }
    let internal = |name: &str| tools::topics(&input, &format!(".{name}.")).len();
    assert_eq!((internal("f"), internal("g")), (2, 2));
    broker.script("stop");
    fixture.client.delete_function("f").await.unwrap();
    // What one server could not remove, the next one does.
    let fixture = fixture.restart().await;
    fixture.client.stop_function("g").await.unwrap();
    // Whoever only looks does not wait for long.
    let begun = Instant::now();
    fixture.client.describe_function("g").await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    broker.script("start");
    until("the topics of 'f' are still there", || internal("f") == 0);
    assert_eq!(internal("g"), 2, "those of others stay");
    // Nothing is noted any more.
    let fixture = fixture.restart().await;
    broker.script("stop");
    fixture.client.delete_function("g").await.unwrap();
    broker.script("start");
    until("the topics of 'g' are still there", || internal("g") == 0);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_made_with_the_partitions_and_copies_that_the_server_is_set_to() {
    let (Some(input), Some(output)) = (topic(), topic()) else { return };
    let fixture = Fixture::with(|config| config.kafka.partitions = Some(3)).await;
    let function = fixture.function(echo(), &input, &output).await;
    fixture.client.create_function("f", &function).await.unwrap();
    for topic in [&input, &output] {
        assert_eq!(fixture.client.describe_topic(topic).await.unwrap().partitions.len(), 3, "{topic}");
    }
    assert_eq!(fixture.described("f", |f| f.tasks.len() == 3).await.tasks.len(), 3);
    // The broker is alone.
    let fixture = fixture.restart_as(|config| config.kafka.replication = Some(3)).await;
    let Some(other) = topic() else { return };
    let function = fixture.function(echo(), &other, &output).await;
    let refused = fixture.client.create_function("g", &function).await.unwrap_err();
    assert_eq!(refused.code(), "FS-1703", "{refused}");
    assert!(refused.to_string().contains("of 1 partitions in 3 copies: "), "{refused}");
    // One that is there goes on with the topics that it has.
    fixture.described("f", |f| f.status == FunctionStatus::Running).await;
    fixture.client.delete_function("f").await.unwrap();
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_the_topic_does_not_take_fails_alone_where_it_is_emitted() {
    let (Some(input), Some(output)) = (topic(), topic()) else { return };
    let fixture = Fixture::new().await;
    one_partition(&fixture, &input).await;
    one_partition(&fixture, &output).await;
    tools::set(&output, "max.message.bytes", "2000").await;
    let function = fixture.function(echo(), &input, &output).await;
    fixture.client.create_function("f", &function).await.unwrap();
    let large = "x".repeat(3_000);
    say(&fixture, &input, &["a", &large, "b"]).await;
    read(&fixture, 3).await;
    assert_eq!(fixture.values(&output).await, ["a", "b"]);
    let letters = fixture.client.list_dead_letters("f", 10).await.unwrap().dead_letters;
    assert_eq!(letters.len(), 1);
    let letter = format!("{:?}", letters[0]);
    assert!(letter.contains("FS-1410"), "{letter}");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_does_its_work_and_is_shown_to_nobody() {
    let (Some(input), Some(output)) = (topic(), topic()) else { return };
    let address = std::env::var("FNSTREAM_KAFKA_SASL").unwrap();
    let fixture = Fixture::new().await;
    one_partition(&fixture, &input).await;
    one_partition(&fixture, &output).await;
    say(&fixture, &input, &["a"]).await;
    let with = |topic: &str, password: &str| {
        let name = topic.split_once('@').unwrap().0;
        let user = "security.protocol=sasl_plaintext&sasl.mechanism=PLAIN&sasl.username=admin";
        format!("{name}@kafka://{address}?{user}&sasl.password={password}")
    };
    let function = fixture.function(echo(), &with(&input, "admin-secret"), &with(&output, "admin-secret")).await;
    fixture.client.create_function("f", &function).await.unwrap();
    read(&fixture, 1).await;
    let shown = reqwest::get(fixture.url("/api/v1/function/f")).await.unwrap().text().await.unwrap();
    assert!(shown.contains("sasl.password=********") && !shown.contains("admin-secret"), "{shown}");
    // What was shown may be written again, with another option.
    let shown = fixture.client.describe_function("f").await.unwrap().inputs[0].clone();
    let update = FunctionUpdate {
        inputs: Some(vec![format!("{shown}&on-lost-position=latest").parse().unwrap()]),
        ..FunctionUpdate::default()
    };
    fixture.client.update_function("f", &update).await.unwrap();
    let revisions = format!("{:?}", fixture.client.function_revisions("f").await.unwrap());
    assert!(revisions.contains("inputs") && !revisions.contains("admin-secret"), "{revisions}");
    let fixture = fixture.restart().await;
    say(&fixture, &input, &["b"]).await;
    read(&fixture, 2).await;
    assert_eq!(fixture.values(&output).await, ["a", "b"]);
    let wrong = fixture.function(echo(), &with(&input, "geheim"), &with(&output, "geheim")).await;
    let refused = fixture.client.create_function("g", &wrong).await.unwrap_err();
    assert!(refused.code() == "FS-1532" && !refused.to_string().contains("geheim"), "{refused}");
    let masked = fixture.function(echo(), &with(&input, "********"), &with(&output, "********")).await;
    let refused = fixture.client.create_function("g", &masked).await.unwrap_err();
    assert!(refused.code() == "FS-1103" && refused.to_string().contains("is the mask"), "{refused}");
    fixture.client.delete_function("f").await.unwrap();
    fixture.server.shutdown().await.unwrap();
}
