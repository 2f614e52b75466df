// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Consuming: nothing is missed, nothing given twice, and whoever goes away takes nothing along.

use std::collections::BTreeSet;
use std::io::Write;

use fnstream_api::{ConsumeOptions, ReadFrom, TopicRequest};

use crate::support::{Fixture, group, now, within_long};

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_consumer_is_woken_by_the_event() {
    let fixture = Fixture::new().await;
    fixture.client.create_topic("t", &TopicRequest::default()).await.unwrap();
    let client = fixture.client.clone();
    let waiting = tokio::spawn(async move { client.consume("t", &ConsumeOptions::default()).await });
    fixture.waiting("t", 1).await;
    fixture.client.produce("t", r#"{"name":"rbt"}"#, &Default::default()).await.unwrap();
    let event = waiting.await.unwrap().unwrap().unwrap();
    assert_eq!(event.json, r#""{\"name\":\"rbt\"}""#);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn nothing_in_time_is_no_content() {
    let fixture = Fixture::new().await;
    let response = reqwest::get(fixture.url("/api/v1/consume/t?timeout=20ms")).await.unwrap();
    assert_eq!(response.status(), 204);
    let response = reqwest::get(fixture.url("/api/v1/consume/t?timeout=0ms&from=latest")).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["fs-next-position"]), (204, &"0".parse().unwrap()));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_of_one_group_share_the_events_and_groups_each_get_all() {
    let fixture = Fixture::new().await;
    let topic = TopicRequest { partitions: Some(3), ..TopicRequest::default() };
    fixture.client.create_topic("t", &topic).await.unwrap();
    let consumer = |name: &'static str| {
        let client = fixture.client.clone();
        tokio::spawn(async move { client.consume("t", &group(name)).await.unwrap().unwrap().json.to_vec() })
    };
    let waiting: Vec<_> = (0..30).map(|i| consumer(if i % 2 == 0 { "a" } else { "b" })).collect();
    let expected: BTreeSet<Vec<u8>> = (0..15).map(|i| format!("\"event-{i}\"").into_bytes()).collect();
    for i in 0..15 {
        fixture.client.produce("t", format!("event-{i}"), &Default::default()).await.unwrap();
    }
    let mut got = [BTreeSet::new(), BTreeSet::new()];
    for (i, consumer) in waiting.into_iter().enumerate() {
        assert!(got[i % 2].insert(consumer.await.unwrap()), "an event was given twice to one group");
    }
    assert_eq!(got, [expected.clone(), expected]);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_groups_place_survives_a_restart() {
    let fixture = Fixture::new().await;
    fixture.client.produce_lines("t", "a\nb", &Default::default()).await.unwrap();
    assert_eq!(fixture.client.consume("t", &within_long()).await.unwrap().unwrap().json, "\"a\"");
    let fixture = fixture.restart().await;
    assert_eq!(fixture.client.consume("t", &within_long()).await.unwrap().unwrap().json, "\"b\"");
    assert_eq!(fixture.client.consume("t", &now()).await.unwrap(), None);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn reading_from_a_position_moves_no_group_and_says_where_to_go_on() {
    let fixture = Fixture::new().await;
    fixture.client.produce_lines("t", "a\nb\nc", &Default::default()).await.unwrap();
    let mut from = ReadFrom::Earliest;
    for expected in ["\"a\"", "\"b\"", "\"c\""] {
        let options = ConsumeOptions { from: Some(from), ..within_long() };
        let event = fixture.client.consume("t", &options).await.unwrap().unwrap();
        assert_eq!(event.json, expected);
        from = ReadFrom::Position(event.next_position);
    }
    assert_eq!(fixture.client.consume("t", &within_long()).await.unwrap().unwrap().json, "\"a\"");

    let topic = TopicRequest { partitions: Some(2), ..TopicRequest::default() };
    fixture.client.create_topic("wide", &topic).await.unwrap();
    let options = ConsumeOptions { from: Some(ReadFrom::Earliest), ..now() };
    let error = fixture.client.consume("wide", &options).await.unwrap_err();
    assert!(error.is(fnstream_core::ErrorCode::PartitionNeeded) && error.advice().contains("'partition'"), "{error}");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_goes_away_while_it_waits_takes_no_event() {
    let fixture = Fixture::new().await;
    fixture.client.create_topic("t", &TopicRequest::default()).await.unwrap();
    for i in 0..20 {
        let mut gone = fixture.connect();
        gone.write_all(b"GET /api/v1/consume/t HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut half = fixture.connect();
        half.write_all(b"GET /api/v1/consume/t HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        fixture.waiting("t", 2).await;
        drop(gone);
        half.shutdown(std::net::Shutdown::Both).unwrap();
        fixture.waiting("t", 0).await;
        fixture.client.produce("t", format!("{i}"), &Default::default()).await.unwrap();
        let event = fixture.client.consume("t", &within_long()).await.unwrap().unwrap();
        assert_eq!(event.json, format!("\"{i}\""));
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_topic_ends_the_waiting_for_it() {
    let fixture = Fixture::new().await;
    fixture.client.create_topic("t", &TopicRequest::default()).await.unwrap();
    let mut waiting = fixture.connect();
    waiting.write_all(b"GET /api/v1/consume/t HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    fixture.waiting("t", 1).await;
    fixture.client.delete_topic("t").await.unwrap();
    // Whether it finds the topic gone or made anew is a matter of who is faster; what it must not do is wait on.
    fixture.client.produce("t", "x", &Default::default()).await.unwrap();
    let (status, body) = crate::support::answer(&mut waiting);
    assert!(status == 404 || (status == 200 && body == "\"x\""), "{status} {body}");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_made_by_whoever_comes_first() {
    let fixture = Fixture::new().await;
    let client = fixture.client.clone();
    let waiting = tokio::spawn(async move { client.consume("t", &within_long()).await });
    fixture.client.produce("t", "x", &Default::default()).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().unwrap().json, "\"x\"");
    fixture.server.shutdown().await.unwrap();
}
