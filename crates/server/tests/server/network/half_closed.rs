// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Clients that end their side of a connection once they have asked, and clients that are gone.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use fnstream_api::{ProduceOptions, TopicRequest};
use rustix::net::sockopt::set_socket_linger;
use tokio::task::JoinSet;

use super::{LARGE, begin_to_send, closed, fixture, until};
use crate::support::{Fixture, code, group, now};

const CONSUME: &[u8] = b"GET /api/v1/consume/t?group=g HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Sends this, ends its side, and reads what there is to read.
fn asked(fixture: &Fixture, request: &[u8]) -> String {
    let mut stream = fixture.connect();
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    rest(stream)
}

fn rest(mut stream: TcpStream) -> String {
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

/// The statuses of what was answered, in order.
fn statuses(said: &str) -> Vec<u16> {
    let lines = said.split("HTTP/1.1 ").skip(1);
    lines.map(|line| line[..3].parse().unwrap()).collect()
}

/// A consumer that waits at `t`.
async fn waits(fixture: &Fixture, request: &[u8]) -> TcpStream {
    let mut stream = fixture.connect();
    stream.write_all(request).unwrap();
    fixture.waiting("t", 1).await;
    stream
}

async fn with_topic() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.client.create_topic("t", &TopicRequest::default()).await.unwrap();
    fixture
}

async fn produce(fixture: &Fixture, event: &'static str) {
    fixture.client.produce("t", event, &ProduceOptions::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_asked_all_that_it_asks_gets_all_answers() {
    let fixture = Fixture::new().await;
    let get = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let put = "PUT /api/v1/produce/t HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nevent";
    let chunked = "PUT /api/v1/produce/t HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\nevent\r\n0\r\n\r\n";
    let create = "POST /api/v1/topic/made HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                  content-length: 2\r\n\r\n{}";
    for request in [get, put, chunked, create] {
        for _ in 0..20 {
            let said = asked(&fixture, request.as_bytes());
            assert_eq!(statuses(&said).len(), 1, "{request}: {said}");
            assert!(matches!(statuses(&said)[0], 200 | 201 | 409), "{request}: {said}");
        }
    }
    let old = asked(&fixture, b"GET /healthz HTTP/1.0\r\n\r\n");
    assert!(old.contains(" 200 OK") && old.ends_with("ok\n"), "{old}");
    let pipelined = asked(&fixture, [get, put, get, chunked, get].concat().as_bytes());
    assert_eq!(statuses(&pipelined), [200; 5], "{pipelined}");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_ends_when_its_client_has_nothing_more_to_ask() {
    let fixture = Fixture::new().await;
    let mut stream = fixture.connect();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut first = [0; 17];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK\r\n");
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(rest(stream).ends_with("ok\n"));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_ends_too_early_is_refused_and_nothing_of_it_is_kept() {
    let fixture = with_topic().await;
    for body in ["content-length: 10\r\n\r\nhalf", "transfer-encoding: chunked\r\n\r\n5\r\nha"] {
        let said = asked(&fixture, format!("PUT /api/v1/produce/t HTTP/1.1\r\nhost: localhost\r\n{body}").as_bytes());
        assert_eq!(statuses(&said), [400], "{said}");
        assert_eq!(code(said.split_once("\r\n\r\n").unwrap().1), "FS-1001");
    }
    assert!(fixture.client.consume("t", &now()).await.unwrap().is_none());
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_ended_its_side_gets_its_event_or_its_time_runs_out() {
    let fixture = with_topic().await;
    let stream = waits(&fixture, CONSUME).await;
    stream.shutdown(Shutdown::Write).unwrap();
    produce(&fixture, "first").await;
    let said = tokio::task::spawn_blocking(move || rest(stream)).await.unwrap();
    assert_eq!(statuses(&said).last(), Some(&200), "{said}");
    assert!(said.ends_with("\"first\""), "{said}");
    // Both at once: there is an event, and there is none.
    produce(&fixture, "second").await;
    let said = asked(&fixture, CONSUME);
    assert!(said.ends_with("\"second\""), "{said}");
    let said = asked(&fixture, b"GET /api/v1/consume/t?group=g&timeout=50ms HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert_eq!(statuses(&said).last(), Some(&204), "{said}");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_gone_takes_nothing_however_it_left() {
    let fixture = with_topic().await;
    let old = b"GET /api/v1/consume/t?group=g HTTP/1.0\r\n\r\n".as_slice();
    for (request, leaves) in [(CONSUME, "closes"), (CONSUME, "resets"), (CONSUME, "half, then whole"), (old, "closes")]
    {
        let stream = waits(&fixture, request).await;
        match leaves {
            "half, then whole" => stream.shutdown(Shutdown::Write).unwrap(),
            "resets" => set_socket_linger(&stream, Some(Duration::ZERO)).unwrap(),
            _ => {}
        }
        drop(stream);
        // At the same moment: the consumer must not have it.
        produce(&fixture, "event").await;
        let kept = fixture.client.consume("t", &group("g")).await.unwrap().unwrap();
        assert_eq!(kept.json, "\"event\"", "{leaves}");
        fixture.waiting("t", 0).await;
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_on_its_way_when_the_server_ends_is_taken() {
    let (fixture, budget) = fixture(|_| ()).await;
    let mut stream = begin_to_send(&fixture, "t", LARGE, 10);
    until("its body is awaited", || budget.bodies.used() > 0).await;
    let (address, folder) = (fixture.server.local_addr(), fixture.folder);
    let end = tokio::spawn(fixture.server.shutdown());
    until("nobody else is taken in", || TcpStream::connect(address).is_err()).await;
    stream.write_all(&vec![b'x'; LARGE - 10]).unwrap();
    assert!(closed(stream).await.starts_with("HTTP/1.1 200 "));
    end.await.unwrap().unwrap();
    let fixture = Fixture::open(folder, |_| ()).await;
    let event = fixture.client.consume("t", &now()).await.unwrap().unwrap();
    assert_eq!(event.json.len(), LARGE + 2);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_consumers_that_dies_is_let_go_and_takes_nothing() {
    const CROWD: usize = 400;
    let (fixture, budget) = fixture(|_| ()).await;
    fixture.client.create_topic("t", &TopicRequest::default()).await.unwrap();
    let crowd: Vec<_> = (0..CROWD)
        .map(|_| {
            let mut stream = fixture.connect();
            stream.write_all(CONSUME).unwrap();
            stream
        })
        .collect();
    fixture.waiting("t", CROWD as u64).await;
    drop(crowd);
    let mut events = JoinSet::new();
    for number in 0..10 {
        let client = fixture.client.clone();
        events.spawn(async move { client.produce("t", format!("{number}"), &ProduceOptions::default()).await });
    }
    events.join_all().await;
    for _ in 0..10 {
        assert!(fixture.client.consume("t", &group("g")).await.unwrap().is_some());
    }
    fixture.waiting("t", 0).await;
    assert_eq!(budget.answers.used(), 0);
    fixture.server.shutdown().await.unwrap();
}
