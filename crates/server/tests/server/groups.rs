// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Consumer groups with acknowledgement: what is not acknowledged comes again, what is does not.

use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use fnstream_api::{
    ClientError, ConsumeOptions, Data, GroupReset, LeasedEvent, ProduceOptions, SkippedEvents, TakeOptions,
    TopicChange, TopicRequest,
};
use fnstream_frame::{FrameBuilder, HeadersBuilder, RecordRef};

use crate::support::{Fixture, LONG, code, group, now};

const SHORT: Duration = Duration::from_millis(20);

fn some(max: u32) -> TakeOptions {
    TakeOptions { max: Some(max), lease: Some(LONG * 10), ..TakeOptions::default() }
}

fn waiting(max: u32) -> TakeOptions {
    TakeOptions { wait: Some(LONG), ..some(max) }
}

fn values(events: &[LeasedEvent]) -> Vec<&str> {
    let value = |event: &LeasedEvent| matches!(event.value, Some(Data::Text(_)));
    assert!(events.iter().all(value), "{events:?} are not all text");
    events
        .iter()
        .filter_map(|event| if let Some(Data::Text(text)) = &event.value { Some(text.as_str()) } else { None })
        .collect()
}

fn receipts(events: &[LeasedEvent]) -> Vec<String> {
    events.iter().map(|event| event.receipt.clone()).collect()
}

async fn with(lines: &str) -> Fixture {
    let fixture = Fixture::new().await;
    fixture.client.produce_lines("t", lines.to_owned(), &ProduceOptions::default()).await.unwrap();
    fixture
}

fn error_code(error: &ClientError) -> String {
    match error {
        ClientError::Server { body, .. } => body.code.clone(),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_not_given_again_and_the_rest_is_also_after_a_restart() {
    let fixture = with("a\nb\nc\nd").await;
    let taken = fixture.client.take("t", "g", &some(3)).await.unwrap().events;
    assert_eq!((values(&taken), taken[0].deliveries), (vec!["a", "b", "c"], 1));
    // Out of order, so that it has to be remembered beyond the group's place.
    let settled = fixture.client.acknowledge("t", "g", receipts(&taken[1..2])).await.unwrap();
    assert_eq!((settled.done, settled.refused.len()), (1, 0));
    assert_eq!(
        values(&fixture.client.take("t", "g", &some(9)).await.unwrap().events),
        ["d"],
        "what is leased is not given"
    );
    assert!(fixture.client.take("t", "g", &some(9)).await.unwrap().events.is_empty());
    let fixture = fixture.restart().await;
    // A take goes as far as the next event that is acknowledged.
    let mut again = fixture.client.take("t", "g", &some(9)).await.unwrap().events;
    again.extend(fixture.client.take("t", "g", &some(9)).await.unwrap().events);
    assert_eq!(values(&again), ["a", "c", "d"], "a restart ends the leases");
    // A receipt of before counts as long as nobody else has the event.
    let lost = fixture.client.acknowledge("t", "g", receipts(&taken[..1])).await.unwrap();
    assert_eq!((lost.done, lost.refused), (0, receipts(&taken[..1])));
    assert_eq!(fixture.client.acknowledge("t", "g", receipts(&again)).await.unwrap().done, 3);
    assert_eq!(fixture.client.acknowledge("t", "g", receipts(&again)).await.unwrap().done, 3, "once more is no error");
    let fixture = fixture.restart().await;
    assert!(fixture.client.take("t", "g", &some(9)).await.unwrap().events.is_empty());
    let described = fixture.client.describe_group("t", "g").await.unwrap();
    assert_eq!(
        (described.lag, described.partitions[0].position.as_str(), described.acknowledges),
        (Some(0), "4", true)
    );
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_ends_wakes_who_waits_and_its_receipt_is_refused_then() {
    let fixture = with("a").await;
    let hangs = fixture.client.take("t", "g", &TakeOptions { lease: Some(SHORT), ..some(1) }).await.unwrap().events;
    // It is woken by nothing but the end of the lease.
    let taken = fixture.client.take("t", "g", &waiting(1)).await.unwrap().events;
    assert_eq!((values(&taken), taken[0].deliveries), (vec!["a"], 2));
    let url = fixture.url("/api/v1/topic/t/group/g/ack");
    let body = format!(r#"{{"receipts":["{}"]}}"#, hangs[0].receipt);
    let refused =
        reqwest::Client::new().post(&url).header("content-type", "application/json").body(body).send().await.unwrap();
    assert_eq!(refused.status(), 409);
    let body: serde_json::Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!((&body["code"], &body["done"]), (&"FS-1322".into(), &0.into()));
    assert_eq!(body["refused"], serde_json::json!([hangs[0].receipt]));
    assert_eq!(fixture.client.extend("t", "g", receipts(&hangs), LONG).await.unwrap().refused, receipts(&hangs));
    assert_eq!(fixture.client.extend("t", "g", receipts(&taken), LONG).await.unwrap().done, 1);
    assert_eq!(fixture.client.acknowledge("t", "g", receipts(&taken)).await.unwrap().done, 1);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_back_comes_again_at_once_or_after_its_delay() {
    let fixture = with("a\nb\nc").await;
    let taken = fixture.client.take("t", "g", &some(2)).await.unwrap().events;
    fixture.client.give_back("t", "g", receipts(&taken[1..]), Duration::ZERO).await.unwrap();
    fixture.client.give_back("t", "g", receipts(&taken[..1]), LONG * 10).await.unwrap();
    let next = fixture.client.take("t", "g", &some(9)).await.unwrap().events;
    assert_eq!(values(&next), ["b", "c"], "what is given back comes before what is new, and not before its time");
    let described = fixture.client.describe_group("t", "g").await.unwrap();
    let of = &described.partitions[0];
    assert_eq!((of.lag, of.leased, of.returned, of.position.as_str()), (Some(3), 2, 1, "0"));
    // The delay outlives a restart, and so does the count of deliveries.
    let fixture = fixture.restart().await;
    assert_eq!(values(&fixture.client.take("t", "g", &some(9)).await.unwrap().events), ["b", "c"]);
    fixture
        .client
        .reset_group("t", "g", &GroupReset { to: Some("earliest".into()), ..Default::default() })
        .await
        .unwrap();
    assert_eq!(values(&fixture.client.take("t", "g", &some(9)).await.unwrap().events), ["a", "b", "c"]);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_as_many_deliveries_as_may_be_an_event_is_a_dead_letter_once() {
    let fixture = Fixture::new().await;
    let options =
        ProduceOptions { key: Some(b"k".to_vec()), headers: vec![("h".into(), b"1".to_vec())], ..Default::default() };
    fixture.client.produce("t", "bad", &options).await.unwrap();
    fixture.client.produce("t", "good", &Default::default()).await.unwrap();
    let twice = TakeOptions { max_deliveries: Some(2), ..some(1) };
    for delivery in 1..=2 {
        let taken = fixture.client.take("t", "g", &twice).await.unwrap().events;
        assert_eq!((values(&taken), taken[0].deliveries), (vec!["bad"], delivery));
        fixture.client.give_back("t", "g", receipts(&taken), Duration::ZERO).await.unwrap();
    }
    // It is there as soon as it was given back for the last time.
    let letter = fixture.client.consume("t.g.dlq", &group("letters")).await.unwrap().unwrap();
    assert_eq!((&letter.json[..], letter.key.as_deref()), (&b"\"bad\""[..], Some(&b"k"[..])));
    let header = |name: &str| {
        let found = letter.headers.iter().find(|(of, _)| of == name);
        found.map(|(_, value)| String::from_utf8(value.clone()).unwrap()).unwrap_or_else(|| panic!("no {name}"))
    };
    assert_eq!([header("h"), header("fs-dlq-code"), header("fs-dlq-group")], ["1", "FS-1326", "g"]);
    assert_eq!([header("fs-dlq-topic"), header("fs-dlq-position"), header("fs-dlq-attempts")], ["t", "0", "2"]);
    let fixture = fixture.restart().await;
    // By the end of its lease, too; this one waits for whoever takes next.
    let taken = fixture
        .client
        .take("t", "g", &TakeOptions { lease: Some(SHORT), max_deliveries: Some(1), ..some(9) })
        .await
        .unwrap()
        .events;
    assert_eq!(values(&taken), ["good"]);
    let none = TakeOptions { wait: Some(SHORT * 20), ..some(9) };
    assert!(fixture.client.take("t", "g", &none).await.unwrap().events.is_empty());
    assert_eq!(fixture.values("t.g.dlq").await, ["bad", "good"]);
    assert_eq!(fixture.client.describe_group("t", "g").await.unwrap().lag, Some(0));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_either_acknowledges_or_takes() {
    let fixture = with("a\nb\nc").await;
    assert_eq!(fixture.client.consume("t", &group("g")).await.unwrap().unwrap().json, "\"a\"");
    assert!(!fixture.client.describe_group("t", "g").await.unwrap().acknowledges);
    assert_eq!(values(&fixture.client.take("t", "g", &some(1)).await.unwrap().events), ["b"], "from its place on");
    let refused = fixture.client.consume("t", &group("g")).await.unwrap_err();
    assert_eq!(error_code(&refused), "FS-1321");
    assert_eq!(
        fixture.client.consume("t", &group("h")).await.unwrap().unwrap().json,
        "\"a\"",
        "another group is another"
    );
    let groups = fixture.client.list_groups("t").await.unwrap();
    let told: Vec<_> = groups.iter().map(|of| (of.name.as_str(), of.acknowledges, of.lag, of.leased)).collect();
    assert_eq!(told, [("g", true, Some(2), 1), ("h", false, Some(2), 0)]);
    fixture.client.delete_group("t", "g").await.unwrap();
    assert_eq!(error_code(&fixture.client.describe_group("t", "g").await.unwrap_err()), "FS-1323");
    assert_eq!(
        fixture.client.consume("t", &group("g")).await.unwrap().unwrap().json,
        "\"a\"",
        "a new group begins anew"
    );
    // A topic that is made anew has none of the old one's groups.
    fixture.client.take("t", "x", &some(1)).await.unwrap();
    fixture.client.delete_topic("t").await.unwrap();
    fixture.client.produce("t", "new", &Default::default()).await.unwrap();
    assert_eq!(fixture.client.list_groups("t").await.unwrap(), []);
    assert_eq!(fixture.client.consume("t", &group("x")).await.unwrap().unwrap().json, "\"new\"");
    assert_eq!(values(&fixture.client.take("t", "y", &some(5)).await.unwrap().events), ["new"]);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_on_where_it_is_told_and_its_receipts_end() {
    let fixture = Fixture::new().await;
    for (value, timestamp) in [("a", 100), ("b", 200), ("c", 300)] {
        let options = ProduceOptions { timestamp: Some(timestamp), ..Default::default() };
        fixture.client.produce("t", value, &options).await.unwrap();
    }
    let none = GroupReset::default();
    let place = |to: &str| GroupReset { position: Some(to.into()), ..GroupReset::default() };
    for (to, expected) in [
        (GroupReset { time_ms: Some(150), ..none.clone() }, &["b", "c"][..]),
        (GroupReset { to: Some("1970-01-01T00:00:00.150Z".into()), ..none.clone() }, &["b", "c"]),
        (GroupReset { to: Some("time=201".into()), ..none.clone() }, &["c"]),
        (place("2"), &["c"]),
        (GroupReset { to: Some("latest".into()), ..none.clone() }, &[]),
        (GroupReset { time_ms: Some(301), ..none.clone() }, &[]),
        (GroupReset { to: Some("earliest".into()), ..none.clone() }, &["a", "b", "c"]),
    ] {
        // A group that takes, made by the reset; then the same one, which acknowledges since.
        for kind in ["plain", "acks"] {
            fixture.client.reset_group("t", kind, &to).await.unwrap();
        }
        assert_eq!(values(&fixture.client.take("t", "acks", &some(9)).await.unwrap().events), expected, "{to:?}");
        let consumed =
            fixture.client.consume("t", &ConsumeOptions { group: Some("plain".into()), ..now() }).await.unwrap();
        assert_eq!(
            consumed.map(|event| String::from_utf8_lossy(&event.json).into_owned()),
            expected.first().map(|v| format!("\"{v}\""))
        );
    }
    let held = fixture.client.describe_group("t", "acks").await.unwrap().partitions[0].leased;
    assert_eq!(held, 3);
    let taken = fixture.client.take("t", "other", &some(1)).await.unwrap().events;
    fixture.client.reset_group("t", "other", &place("0")).await.unwrap();
    assert_eq!(fixture.client.acknowledge("t", "other", receipts(&taken)).await.unwrap().refused.len(), 1);
    for (to, code) in [(place("4"), "FS-1305"), (place("x"), "FS-1001"), (none.clone(), "FS-1001")] {
        let refused = fixture.client.reset_group("t", "acks", &to).await.unwrap_err();
        assert_eq!(error_code(&refused), code, "{to:?}");
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_before_it_has_an_answer_takes_nothing_along() {
    let fixture = Fixture::new().await;
    fixture.client.create_topic("t", &TopicRequest::default()).await.unwrap();
    for round in 0..20 {
        let mut gone = fixture.connect();
        let request = "POST /api/v1/topic/t/group/g/take?wait=60s&lease=1h HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n";
        gone.write_all(request.as_bytes()).unwrap();
        fixture.waiting("t", 1).await;
        drop(gone);
        fixture.waiting("t", 0).await;
        fixture.client.produce("t", format!("{round}"), &Default::default()).await.unwrap();
        let taken = fixture.client.take("t", "g", &waiting(1)).await.unwrap().events;
        assert_eq!((values(&taken), taken[0].deliveries), (vec![&*round.to_string()], 1));
        fixture.client.acknowledge("t", "g", receipts(&taken)).await.unwrap();
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_share_the_events_of_all_partitions() {
    let fixture = Fixture::new().await;
    let topic = TopicRequest { partitions: Some(3), ..TopicRequest::default() };
    fixture.client.create_topic("t", &topic).await.unwrap();
    for n in 0..300 {
        let options = ProduceOptions { partition: Some(n % 3), ..Default::default() };
        fixture.client.produce("t", format!("{n}"), &options).await.unwrap();
    }
    let consumers: Vec<_> = (0..6)
        .map(|_| {
            let client = fixture.client.clone();
            tokio::spawn(async move {
                let mut all = Vec::new();
                loop {
                    let taken = client.take("t", "g", &some(7)).await.unwrap().events;
                    if taken.is_empty() {
                        return all;
                    }
                    assert_eq!(client.acknowledge("t", "g", receipts(&taken)).await.unwrap().done, taken.len() as u64);
                    all.extend(values(&taken).into_iter().map(|value| value.parse::<u32>().unwrap()));
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for consumer in consumers {
        all.extend(consumer.await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (0..300).collect::<Vec<_>>());
    assert_eq!(fixture.client.describe_group("t", "g").await.unwrap().lag, Some(0));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_no_head_can_carry_is_refused_before_the_group_moves() {
    let fixture = Fixture::new().await;
    let mut headers = HeadersBuilder::new();
    (0..150).for_each(|n| headers.push(&format!("h{n}"), b"v").unwrap());
    let (large, none) = (vec![b'k'; 100_000], HeadersBuilder::new());
    let mut frame = FrameBuilder::new();
    frame.push(RecordRef::new(b"many").with_headers(headers.as_headers()));
    frame.push(RecordRef::new(b"large").with_key(Some(&large)).with_headers(none.as_headers()));
    // Each byte takes three in a header.
    frame.push(RecordRef::new(b"coded").with_key(Some(&[0xff; 6_000])));
    frame.push(RecordRef::new(b"fits").with_key(Some(&[b'k'; 10_000])));
    fixture.client.produce_frame("t", frame.to_bytes()).await.unwrap();
    for value in ["many", "large", "coded"] {
        for format in ["json", "raw", "base64"] {
            for at in ["", "&group=g", "&from=0"].map(|at| at.to_owned()) {
                if at == "&from=0" && value != "many" {
                    continue;
                }
                let answer =
                    reqwest::get(fixture.url(&format!("/api/v1/consume/t?format={format}{at}"))).await.unwrap();
                assert_eq!(answer.status(), 422, "{value} {format} {at}");
                let body = answer.text().await.unwrap();
                assert_eq!(code(&body), "FS-1320");
                assert!(body.contains("format=ndjson") && body.contains("format=frame"), "{body}");
            }
        }
        for group in ["g", "default"] {
            let url = fixture.url(&format!("/api/v1/consume/t?group={group}&format=ndjson"));
            let line = reqwest::get(url).await.unwrap();
            assert_eq!((line.status().as_u16(), &line.headers()["fs-count"]), (200, &"1".parse().unwrap()));
            let event: serde_json::Value = serde_json::from_str(&line.text().await.unwrap()).unwrap();
            assert_eq!(event["value"], value);
            match value {
                "many" => assert_eq!(event["headers"].as_array().unwrap().len(), 150),
                "large" => assert_eq!(event["key"].as_str().unwrap().len(), 100_000),
                _ => assert_eq!(event["key"]["base64"].as_str().unwrap().len(), 8_000),
            }
        }
    }
    let event = fixture.client.consume("t", &group("g")).await.unwrap().unwrap();
    assert_eq!((&event.json[..], event.key.unwrap().len()), (&b"\"fits\""[..], 10_000));
    // With acknowledgement all of them travel.
    assert_eq!(
        values(&fixture.client.take("t", "acks", &some(9)).await.unwrap().events),
        ["many", "large", "coded", "fits"]
    );
    fixture.server.shutdown().await.unwrap();
}

/// A group that retention overtakes goes on with what is left. What it had not acknowledged is told once and counted.
#[tokio::test(flavor = "multi_thread")]
async fn what_retention_drops_of_a_group_is_told_once_and_counted() {
    let fixture = Fixture::with(|config| config.maintenance_interval = Duration::from_millis(5)).await;
    let client = &fixture.client;
    let topic = TopicRequest { partitions: Some(2), ..TopicRequest::default() };
    client.create_topic("t", &topic).await.unwrap();
    let produce = async |value: &'static str, partition| {
        let options = ProduceOptions { partition: Some(partition), ..ProduceOptions::default() };
        client.produce("t", value, &options).await.unwrap();
    };
    for value in ["a", "b", "c", "d", "e"] {
        produce(value, 1).await;
    }
    let taken = client.take("t", "g", &some(4)).await.unwrap();
    assert_eq!((values(&taken.events), taken.skipped), (vec!["a", "b", "c", "d"], vec![]));
    let of = receipts(&taken.events);
    client.acknowledge("t", "g", vec![of[0].clone(), of[2].clone()]).await.unwrap();
    client.give_back("t", "g", of[3..].to_vec(), Duration::ZERO).await.unwrap();
    // All but the newest event of each partition goes.
    let small = TopicChange { retention_bytes: Some(Some(1)), ..TopicChange::default() };
    client.alter_topic("t", &small).await.unwrap();
    while client.describe_topic("t").await.unwrap().partitions[1].earliest != "4" {}
    // Of the four b was leased and d given back.
    let missed = |from: &str, events| SkippedEvents { partition: 1, from: from.into(), events };
    let taken = client.take("t", "g", &some(9)).await.unwrap();
    assert_eq!((values(&taken.events), taken.skipped), (vec!["e"], vec![missed("1", 2)]));
    assert_eq!(client.take("t", "g", &some(9)).await.unwrap().skipped, [], "it is told once");
    let counted = async || {
        let metrics = reqwest::get(fixture.url("/metrics")).await.unwrap().text().await.unwrap();
        let line =
            metrics.lines().find(|line| line.starts_with("fnstream_group_records_dropped_unread_total ")).unwrap();
        line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()
    };
    assert_eq!(counted().await, 2);

    // What is dropped a second time before anybody is told is told together, but not by who asks for another partition.
    for value in ["f", "g", "h"] {
        produce(value, 1).await;
    }
    while client.describe_topic("t").await.unwrap().partitions[1].earliest != "7" {}
    let elsewhere = TakeOptions { partition: Some(0), ..some(9) };
    let none = client.take("t", "g", &elsewhere).await.unwrap();
    assert_eq!((none.events.len(), none.skipped), (0, vec![]));
    // With lines the head has it.
    let url = fixture.url("/api/v1/topic/t/group/lines/take?format=ndjson&max=9");
    client.reset_group("t", "lines", &GroupReset { to: Some("earliest".into()), ..Default::default() }).await.unwrap();
    produce("i", 1).await;
    while client.describe_topic("t").await.unwrap().partitions[1].earliest != "8" {}
    let answer = reqwest::Client::new().post(url).send().await.unwrap();
    assert_eq!(answer.headers()["fs-skipped-from"], "1:7");
    let taken = client.take("t", "g", &some(9)).await.unwrap();
    assert_eq!((values(&taken.events), taken.skipped), (vec!["i"], vec![missed("4", 4)]));
    assert_eq!(counted().await, 7, "four of one group, and one of the other");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_gives_what_comes_and_keeps_it_leased() {
    let fixture = with("a\nb").await;
    let mut stream = fixture.connect();
    let head = "POST /api/v1/topic/t/group/g/take?format=sse&lease=1h HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut seen = String::new();
    let mut until = |stream: &mut std::net::TcpStream, wanted: &str| {
        use std::io::Read;
        let mut piece = [0; 4096];
        while !seen.contains(wanted) {
            let read = stream.read(&mut piece).unwrap();
            assert!(read > 0, "it ended: {seen}");
            seen.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
        seen.clone()
    };
    until(&mut stream, "\"value\":\"b\"}\n\n");
    fixture.client.produce("t", "c", &Default::default()).await.unwrap();
    let seen = until(&mut stream, "\"value\":\"c\"}\n\n");
    assert!(
        seen.contains("content-type: text/event-stream") && seen.contains("id: 0:0\ndata: {\"receipt\":\""),
        "{seen}"
    );
    let of = &fixture.client.describe_group("t", "g").await.unwrap().partitions[0];
    assert_eq!((of.leased, of.lag), (3, Some(3)));
    drop(stream);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_well_formed_is_refused_by_name() {
    let fixture = with("a").await;
    let post = |path: &str, body: &str| {
        format!(
            "POST /api/v1/topic/t/group/{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for (path, body, status, expected, word) in [
        ("g/take?max=0", "", 400, "FS-1001", "'max' is 0"),
        ("g/take?lease=13h", "", 400, "FS-1001", "the lease is"),
        ("g/take?max_deliveries=0", "", 400, "FS-1001", "at least once"),
        ("g/take?wait=2h", "", 400, "FS-1001", "'wait' is"),
        ("g/take?format=xml", "", 400, "FS-1001", "'xml' is not json, ndjson or sse"),
        ("g/take?format=sse&wait=1s", "", 400, "FS-1001", "has no meaning"),
        ("g/take?partition=7", "", 404, "FS-1307", "partition 7"),
        (".g/take", "", 400, "FS-1004", "group name"),
        ("g/ack", "", 400, "FS-1002", ""),
        ("g/ack", r#"{"receipts":[]}"#, 400, "FS-1001", "0 receipts"),
        ("g/ack", r#"{"receipts":["x"]}"#, 400, "FS-1001", "'x' is not a receipt"),
        ("g/ack", r#"{"receipts":["x"],"delay":"1s"}"#, 400, "FS-1001", "neither 'delay' nor 'lease'"),
        ("g/nack", r#"{"receipts":["x"],"delay":"8d"}"#, 400, "FS-1001", "the delay is"),
        ("g/extend", r#"{"receipts":["x"],"lease":"0s"}"#, 400, "FS-1001", "the lease is"),
    ] {
        let (got, text) = fixture.raw(post(path, body).as_bytes());
        assert_eq!((got, code(&text).as_str()), (status, expected), "{path} {body}: {text}");
        assert!(text.contains(word), "{path}: {text}");
    }
    let gone = fixture.client.acknowledge("t", "nobody", vec!["A".repeat(48)]).await.unwrap_err();
    assert_eq!(error_code(&gone), "FS-1323");
    let long = fixture.client.take("t", &"g".repeat(252), &TakeOptions { max_deliveries: Some(1), ..some(1) }).await;
    assert_eq!(error_code(&long.unwrap_err()), "FS-1004", "its dead letters would have nowhere to go");
    fixture.server.shutdown().await.unwrap();
}

/// With many clients, since one that is woken at the very moment at which it leaves may still be given something.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_takes_nothing_for_clients_that_are_gone() {
    let fixture = Fixture::new().await;
    fixture.client.create_topic("t", &TopicRequest::default()).await.unwrap();
    for _ in 0..20 {
        let mut stream = BufReader::new(fixture.connect());
        let head =
            "POST /api/v1/topic/t/group/g/take?format=sse HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
        stream.get_mut().write_all(head.as_bytes()).unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    }
    fixture.client.produce("t", "a".to_owned(), &ProduceOptions::default()).await.unwrap();
    let taken = fixture.client.take("t", "g", &waiting(1)).await.unwrap().events;
    assert_eq!((values(&taken), taken[0].deliveries), (vec!["a"], 1));
    fixture.server.shutdown().await.unwrap();
}
