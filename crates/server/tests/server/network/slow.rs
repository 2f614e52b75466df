// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What takes too long, and what may take as long as it likes.

use std::io::Write;
use std::time::Duration;

use fnstream_api::ProduceOptions;

use super::frames::{NoRoom, Received};
use super::{LARGE, ask, begin_to_send, closed, fixture, metric, until};
use crate::support::{answer, code, group};

/// Long for a machine that is busy with other things, and short for a test.
const SHORT: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_or_half_a_head_is_cut_and_one_that_waits_is_not() {
    let (fixture, _) = fixture(|config| config.network.head_timeout = SHORT).await;
    fixture.client.create_topic("t", &Default::default()).await.unwrap();
    let mut waiting = fixture.connect();
    let request = "GET /api/v1/consume/t HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    waiting.write_all(request.as_bytes()).unwrap();
    fixture.waiting("t", 1).await;

    let silent = fixture.connect();
    let mut half = fixture.connect();
    half.write_all(b"GET /healthz HTTP/1.1\r\nhos").unwrap();
    let mut half_of_http_2 = fixture.connect();
    half_of_http_2.write_all(b"PRI * HTTP/2.0\r\n").unwrap();
    for cut in [silent, half, half_of_http_2] {
        assert_eq!(closed(cut).await, "");
    }
    assert!(metric(&fixture, "fnstream_connections_cut_total{reason=\"slow_head\"}").await >= 3);
    // It has waited for longer than that.
    fixture.client.produce("t", "x", &ProduceOptions::default()).await.unwrap();
    assert_eq!(answer(&mut waiting), (200, "\"x\"".into()));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_anything_to_do_is_closed() {
    let (fixture, _) = fixture(|config| config.network.idle_timeout = SHORT).await;
    assert!(closed(ask(&fixture, "/healthz")).await.ends_with("ok\n"), "after its answer");
    let idle = fixture.connect();
    let farewell = tokio::task::spawn_blocking(move || NoRoom::new(idle).until_the_end());
    assert!(farewell.await.unwrap().iter().any(Received::is_farewell), "HTTP/2 says that it goes");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_coming_is_refused_with_its_reason() {
    let (fixture, budget) = fixture(|config| config.network.body_timeout = SHORT).await;
    for length in [100, LARGE] {
        let said = closed(begin_to_send(&fixture, "t", length, 10)).await;
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
        assert_eq!(code(said.split_once("\r\n\r\n").unwrap().1), "FS-1009");
    }
    let mut upload = fixture.connect();
    upload.write_all(b"POST /api/v1/artifacts HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nasm").unwrap();
    assert!(closed(upload).await.contains("FS-1009"));
    until("the memory of bodies is free", || budget.bodies.used() + budget.small.used() == 0).await;
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_is_given_up() {
    let (fixture, budget) = fixture(|config| config.network.answer_timeout = SHORT).await;
    fixture.client.produce("t", vec![b'x'; LARGE], &ProduceOptions::default()).await.unwrap();
    let unread = ask(&fixture, "/api/v1/consume/t?from=earliest&format=raw");
    until("it is answered", || budget.answers.peak() >= LARGE).await;
    until("its memory is free", || budget.answers.used() == 0).await;
    assert_eq!(metric(&fixture, "fnstream_connections_cut_total{reason=\"slow_reader\"}").await, 1);
    drop(unread);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_http_2_a_stream_that_nobody_reads_is_reset_and_the_connection_goes_on() {
    let (fixture, budget) = fixture(|config| config.network.answer_timeout = SHORT).await;
    fixture.client.produce("t", vec![b'x'; LARGE], &ProduceOptions::default()).await.unwrap();
    let stream = fixture.connect();
    let budget = tokio::task::spawn_blocking(move || {
        let mut client = NoRoom::new(stream);
        client.get(1, "/api/v1/consume/t?from=earliest");
        let reset = std::iter::repeat_with(|| client.receive()).find(|frame| frame.is_reset()).unwrap();
        assert_eq!(reset.stream, 1);
        client.ping();
        std::iter::repeat_with(|| client.receive()).find(|frame| frame.is_ping()).unwrap();
        budget
    });
    let budget = budget.await.unwrap();
    assert!(budget.answers.peak() >= LARGE, "it had been answered");
    until("its memory is free", || budget.answers.used() == 0).await;
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_on_slowly_is_not_cut() {
    let (fixture, _) = fixture(|config| config.network.body_timeout = SHORT).await;
    // More than 1 KiB in each time that it may make no progress, for several of these.
    let mut stream = begin_to_send(&fixture, "t", 8 << 10, 0);
    let mut pace = tokio::time::interval(SHORT / 3);
    for _ in 0..8 {
        pace.tick().await;
        stream.write_all(&[b'x'; 1 << 10]).unwrap();
    }
    assert!(fixture.client.consume("t", &group("g")).await.unwrap().is_some());
    fixture.server.shutdown().await.unwrap();
}
