// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics of a real Kafka cluster in requests: `FNSTREAM_KAFKA` is its address (`scripts/kafka.sh start` prints it). Without it these
//! tests are skipped, and say so; in continuous integration that is a failure.

use fnstream_api::{ConsumeOptions, ProduceOptions, ReadFrom, TopicChange, TopicRequest};

use crate::support::{Fixture, LONG};

/// A topic's text that no other test has; `None`, said aloud, where there is no broker.
#[allow(clippy::print_stderr, reason = "it is to be seen that a test is skipped")]
pub(crate) fn topic() -> Option<String> {
    let Ok(broker) = std::env::var("FNSTREAM_KAFKA") else {
        assert!(std::env::var_os("CI").is_none(), "FNSTREAM_KAFKA names no broker: see scripts/kafka.sh");
        eprintln!("SKIPPED: FNSTREAM_KAFKA names no broker: see scripts/kafka.sh");
        return None;
    };
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
    Some(format!("t-{}@kafka://{broker}", uuid.trim()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_kafka_is_one_of_the_api() {
    let Some(topic) = topic() else { return };
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let request = TopicRequest { partitions: Some(2), retention_ms: Some(3_600_000), ..TopicRequest::default() };
    let made = client.create_topic(&topic, &request).await.unwrap();
    assert_eq!((made.name.as_str(), made.partitions.len(), made.retention_ms), (topic.as_str(), 2, Some(3_600_000)));
    assert_eq!((made.created_ms, made.partitions[0].bytes), (None, None), "what Kafka does not tell is not shown");

    // Who waits for an event is woken by it.
    let group = ConsumeOptions { timeout: Some(LONG), group: Some("g".into()), ..ConsumeOptions::default() };
    let waiting = {
        let (client, topic, group) = (client.clone(), topic.clone(), group.clone());
        tokio::spawn(async move { client.consume(&topic, &group).await })
    };
    while client.describe_topic(&topic).await.unwrap().waiting_consumers == 0 {}
    let options = ProduceOptions { key: Some(b"k".to_vec()), ..ProduceOptions::default() };
    let produced = client.produce(&topic, "one", &options).await.unwrap();
    let consumed = waiting.await.unwrap().unwrap().unwrap();
    assert_eq!((&consumed.json[..], consumed.key.as_deref()), (&b"\"one\""[..], Some(&b"k"[..])));
    assert_eq!(consumed.partition, produced.runs[0].partition);
    let told = client.describe_group(&topic, "g").await.unwrap();
    assert_eq!((told.lag, told.partitions[consumed.partition as usize].position.as_str()), (Some(0), "1"));

    // From a position on, as often as one likes.
    let from = ConsumeOptions {
        from: Some(ReadFrom::Earliest),
        partition: Some(consumed.partition),
        group: None,
        ..group.clone()
    };
    for _ in 0..2 {
        assert_eq!(&client.consume(&topic, &from).await.unwrap().unwrap().json[..], b"\"one\"");
    }
    let change = TopicChange { partitions: Some(3), retention_ms: Some(None), ..TopicChange::default() };
    let altered = client.alter_topic(&topic, &change).await.unwrap().topic;
    assert_eq!((altered.partitions.len(), altered.retention_ms, altered.retention_ms_is_default), (3, None, true));
    client.delete_topic(&topic).await.unwrap();
    assert_eq!(client.describe_topic(&topic).await.unwrap_err().code(), "FS-1301");
    fixture.server.shutdown().await.unwrap();
}
