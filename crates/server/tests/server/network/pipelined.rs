// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Requests that come behind each other on one connection, whole and in part.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use fnstream_api::{ProduceOptions, TopicRequest};

use super::closed;
use crate::support::{Fixture, code, group};

const GET: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
const CONSUME: &str = "GET /api/v1/consume/t?group=g HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// The next answer of a connection: its status and its body.
fn answered(stream: &mut TcpStream) -> (u16, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap_or_else(|e| panic!("{e} after {:?}", String::from_utf8_lossy(&head)));
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let status = head["HTTP/1.1 ".len()..][..3].parse().unwrap();
    if status < 200 {
        return answered(stream);
    }
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or_default()];
    stream.read_exact(&mut body).unwrap();
    (status, String::from_utf8(body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_head_behind_a_request_waits_for_its_other_half() {
    let fixture = Fixture::new().await;
    let head = "PUT /api/v1/produce/t HTTP/1.1\r\nhost: localhost\r\n";
    let put = format!("{head}content-length: 5\r\n\r\nevent");
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n5\r\nevent\r\n0\r\n\r\n");
    for first in [GET, &put, &chunked, &[GET, &put, GET].concat()] {
        let answers = first.matches("HTTP/1.1\r\n").count();
        // The next may be cut anywhere; it has a body, so that its end shows as well.
        for cut in (1..put.len()).step_by(3) {
            let mut stream = fixture.connect();
            stream.write_all(format!("{first}{}", &put[..cut]).as_bytes()).unwrap();
            for _ in 0..answers {
                assert_eq!(answered(&mut stream).0, 200, "{first:?} before {:?}", &put[..cut]);
            }
            stream.write_all(&put.as_bytes()[cut..]).unwrap();
            assert_eq!(answered(&mut stream).0, 200, "{first:?} then {:?}", &put[..cut]);
        }
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_head_behind_a_consumer_that_waits_is_not_its_end() {
    let fixture = Fixture::new().await;
    fixture.client.create_topic("t", &TopicRequest::default()).await.unwrap();
    let produce = async |event: &'static str| {
        fixture.client.produce("t", event, &ProduceOptions::default()).await.unwrap();
    };
    // With the request, or when it waits already.
    let waits = async |half: &str, late: bool| {
        let mut stream = fixture.connect();
        let (first, then) = if late { ("", half) } else { (half, "") };
        stream.write_all(format!("{CONSUME}{first}").as_bytes()).unwrap();
        fixture.waiting("t", 1).await;
        stream.write_all(then.as_bytes()).unwrap();
        stream
    };
    for (cut, late) in [1, GET.len() / 2, GET.len() - 1].into_iter().flat_map(|cut| [(cut, false), (cut, true)]) {
        let (half, rest) = GET.split_at(cut);
        let mut stream = waits(half, late).await;
        produce("first").await;
        assert_eq!(answered(&mut stream), (200, "\"first\"".into()), "{half:?}");
        stream.write_all(rest.as_bytes()).unwrap();
        assert_eq!(answered(&mut stream), (200, "ok\n".into()), "{half:?}");

        // One that ends its side is asked, and has its event.
        let mut stream = waits(half, late).await;
        stream.shutdown(Shutdown::Write).unwrap();
        produce("second").await;
        assert_eq!(answered(&mut stream), (200, "\"second\"".into()), "{half:?}");
        let rest = closed(stream).await;
        assert!(!rest.contains(" 200 "), "half a request is answered: {rest}");

        // One that is gone takes nothing.
        drop(waits(half, late).await);
        produce("third").await;
        let kept = fixture.client.consume("t", &group("g")).await.unwrap().unwrap();
        assert_eq!(kept.json, "\"third\"", "{half:?}");
        fixture.waiting("t", 0).await;
    }
    fixture.server.shutdown().await.unwrap();
}

/// A head of so many bytes in all.
fn head(bytes: usize) -> String {
    let (begin, end) = ("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ", "\r\n\r\n");
    format!("{begin}{}{end}", "a".repeat(bytes - begin.len() - end.len()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_refused_from_its_first_byte_too_many_on_in_whatever_pieces_it_comes() {
    const MOST: usize = 384 << 10;
    let fixture = Fixture::new().await;
    for (bytes, status) in [(MOST - 1, 200), (MOST, 200), (MOST + 1, 431), (MOST + 5_000, 431), (2 * MOST, 431)] {
        for piece in [1_000, 60_000, 200_000, bytes] {
            let mut stream = fixture.connect();
            stream.set_nodelay(true).unwrap();
            for piece in head(bytes).as_bytes().chunks(piece) {
                // It may be refused before all of it is sent.
                if stream.write_all(piece).is_err() {
                    break;
                }
            }
            let (found, body) = answered(&mut stream);
            assert_eq!(found, status, "{bytes} bytes in pieces of {piece}: {body}");
            if status == 431 {
                assert_eq!(code(&body), "FS-1014");
                assert_eq!(closed(stream).await, "", "the connection is closed");
            }
        }
    }
    fixture.server.shutdown().await.unwrap();
}
