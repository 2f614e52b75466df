// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Producing in all its forms.

use fnstream_api::{ConsumeOptions, ProduceOptions, ReadFrom, TopicRequest, header};
use fnstream_frame::{Frame, FrameBuilder, RecordRef};

use crate::support::{Fixture, now, within_long};

#[tokio::test]
async fn an_event_comes_back_with_its_key_headers_and_place() {
    let fixture = Fixture::new().await;
    let all: Vec<u8> = (0..=255).collect();
    let options = ProduceOptions {
        partition: None,
        key: Some(all.clone()),
        headers: vec![("trace=id".into(), all.clone()), ("again".into(), b"1".to_vec()), ("again".into(), vec![])],
        timestamp: None,
    };
    let produced = fixture.client.produce("t", "hello", &options).await.unwrap();
    assert_eq!((produced.count, produced.runs[0].first.as_str()), (1, "0"));
    let event = fixture.client.consume("t", &within_long()).await.unwrap().unwrap();
    assert_eq!(event.json, "\"hello\"");
    assert_eq!((event.key, event.headers), (options.key, options.headers));
    assert_eq!((event.partition, event.position.as_str(), event.next_position.as_str()), (0, "0", "1"));
    assert!(event.timestamp > 1_700_000_000_000);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_event_has_the_time_that_its_producer_gives_it() {
    let fixture = Fixture::new().await;
    for time in [i64::MIN, -1, 0, 1_700_000_000_000] {
        let options = ProduceOptions { timestamp: Some(time), ..ProduceOptions::default() };
        fixture.client.produce("t", "x", &options).await.unwrap();
        assert_eq!(fixture.client.consume("t", &within_long()).await.unwrap().unwrap().timestamp, time);
    }
    let frame = {
        let mut frame = FrameBuilder::new();
        frame.push(RecordRef::new(b"x"));
        frame.to_bytes()
    };
    for (query, content) in [("timestamp=soon", "text/plain"), ("timestamp=1", header::FRAME)] {
        let url = fixture.url(&format!("/api/v1/produce/t?{query}"));
        let answer = reqwest::Client::new().put(url).header("content-type", content).body(frame.clone()).send().await;
        assert_eq!(answer.unwrap().status(), 400, "{query} {content}");
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_absent_key_is_not_an_empty_one() {
    let fixture = Fixture::new().await;
    for key in [None, Some(vec![])] {
        let options = ProduceOptions { key: key.clone(), ..ProduceOptions::default() };
        fixture.client.produce("t", "x", &options).await.unwrap();
        assert_eq!(fixture.client.consume("t", &within_long()).await.unwrap().unwrap().key, key);
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_payload_that_is_not_utf8_is_given_without_loss() {
    let fixture = Fixture::new().await;
    let payload = b"\xff\xfe\x00binary".to_vec();
    fixture.client.produce("t", payload.clone(), &Default::default()).await.unwrap();
    let from = |format: &str| fixture.url(&format!("/api/v1/consume/t?from=0&format={format}"));
    let get = async |format: &str| reqwest::get(from(format)).await.unwrap();
    let json = get("json").await;
    assert_eq!(json.headers()[header::ENCODING], "base64");
    assert_eq!(json.text().await.unwrap(), "\"//4AYmluYXJ5\"");
    assert_eq!(get("base64").await.text().await.unwrap(), "//4AYmluYXJ5");
    assert_eq!(get("raw").await.bytes().await.unwrap(), payload);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn lines_are_events_each() {
    let fixture = Fixture::new().await;
    let produced = fixture.client.produce_lines("t", "a\r\nb\n{\"c\":1}", &Default::default()).await.unwrap();
    assert_eq!(produced.count, 3);
    for expected in ["\"a\"", "\"b\"", "\"{\\\"c\\\":1}\""] {
        assert_eq!(fixture.client.consume("t", &within_long()).await.unwrap().unwrap().json, expected);
    }
    let error = fixture.client.produce_lines("t", "a\n\nb", &Default::default()).await.unwrap_err();
    assert!(error.to_string().contains("line 2 is empty"), "{error}");
    assert_eq!(fixture.client.consume("t", &now()).await.unwrap(), None, "nothing of a refused body is there");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_frame_keeps_its_records_keys_and_times() {
    let fixture = Fixture::new().await;
    let mut frame = FrameBuilder::new();
    for i in 0..10_000i64 {
        frame.push(RecordRef::new(&i.to_le_bytes()).with_key(Some(b"k")).at(i).on(3));
    }
    fixture.client.produce_frame("t", frame.to_bytes()).await.unwrap();
    let options = ConsumeOptions { from: Some(ReadFrom::Earliest), ..within_long() };
    let (bytes, next) = fixture.client.consume_frame("t", &options, 65_536).await.unwrap().unwrap();
    let read = Frame::parse(&bytes).unwrap();
    assert_eq!((read.len(), next.as_str()), (10_000, "10000"));
    let last = read.record(9_999);
    assert_eq!((last.timestamp, last.key, last.channel), (9_999, Some(&b"k"[..]), 0));

    for bad in [&b"FSF"[..], &frame.to_bytes()[..100]] {
        assert_eq!(fixture.client.produce_frame("t", bad.to_vec()).await.unwrap_err().code(), "FS-1001");
    }
    let empty = FrameBuilder::new().to_bytes();
    assert_eq!(fixture.client.produce_frame("t", empty).await.unwrap_err().code(), "FS-1002");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_key_decides_the_partition_and_a_partition_can_be_named() {
    let fixture = Fixture::new().await;
    let topic = TopicRequest { partitions: Some(8), ..TopicRequest::default() };
    fixture.client.create_topic("t", &topic).await.unwrap();
    let expected = fnstream_core::record::partition_for_key(b"alice", 8);
    let url = fixture.url("/api/v1/produce/t?key=alice");
    for _ in 0..3 {
        let response = reqwest::Client::new().put(&url).body("x").send().await.unwrap();
        let produced: fnstream_api::Produced = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(produced.runs[0].partition, expected);
    }
    let options = ProduceOptions { partition: Some(5), ..ProduceOptions::default() };
    assert_eq!(fixture.client.produce("t", "x", &options).await.unwrap().runs[0].partition, 5);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_null_value_is_neither_an_empty_one_nor_the_text_null() {
    let fixture = Fixture::new().await;
    let key = Some(b"k".to_vec());
    let headers = vec![("why".to_owned(), b"gone".to_vec())];
    let options =
        ProduceOptions { key: key.clone(), headers: headers.clone(), timestamp: Some(7), ..ProduceOptions::default() };
    assert_eq!(fixture.client.produce_null("t", &options).await.unwrap().count, 1);
    fixture.client.produce("t", "null", &Default::default()).await.unwrap();
    let mut frame = FrameBuilder::new();
    frame.push(RecordRef::new(b""));
    frame.push(RecordRef::null());
    fixture.client.produce_frame("t", frame.to_bytes()).await.unwrap();

    for (json, is_null) in [("null", true), ("\"null\"", false), ("\"\"", false), ("null", true)] {
        let event = fixture.client.consume("t", &within_long()).await.unwrap().unwrap();
        assert_eq!((event.json.as_ref(), event.is_null), (json.as_bytes(), is_null), "at {}", event.position);
        if event.position == "0" {
            assert_eq!((event.key, event.headers, event.timestamp), (key.clone(), headers.clone(), 7));
        }
    }
    for format in ["json", "raw", "base64"] {
        let answer = async |at: u32| {
            let url = fixture.url(&format!("/api/v1/consume/t?from={at}&format={format}"));
            let answer = reqwest::get(url).await.unwrap();
            let headers = [header::NULL, header::ENCODING].map(|name| answer.headers().get(name).cloned());
            (headers, answer.status(), answer.text().await.unwrap())
        };
        let ([null, encoding], status, body) = answer(0).await;
        assert_eq!((null.unwrap(), encoding, status.as_u16()), ("true".parse().unwrap(), None, 200), "{format}");
        assert_eq!(body, if format == "json" { "null" } else { "" });
        assert_eq!(answer(2).await.0[0], None, "an empty value is none that is null, {format}");
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_null_value_with_a_body_or_of_many_events_is_refused() {
    let fixture = Fixture::new().await;
    for (query, content, body, why) in [
        ("null=true", "text/plain", "x", "an event whose value is null has no body"),
        ("null=true", header::LINES, "", "but the content type 'application/x-ndjson' is of several"),
        ("null=true", header::FRAME, "", "is of several"),
        ("null=yes", "text/plain", "", "'null'"),
        ("null=true&null=true", "text/plain", "", "null"),
        ("null=false", "text/plain", "", "the request has no body"),
    ] {
        let url = fixture.url(&format!("/api/v1/produce/t?{query}"));
        let answer = reqwest::Client::new().put(url).header("content-type", content).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{query} {content}");
        let told = answer.text().await.unwrap();
        assert!(told.contains(why), "{query} {content}: {told}");
    }
    assert_eq!(fixture.client.list_topics().await.unwrap(), Vec::<String>::new(), "nothing was appended");
    fixture.server.shutdown().await.unwrap();
}
