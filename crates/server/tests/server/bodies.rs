// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Bodies whose meaning headers change: compressed, of other types, with keys and headers of their own.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fnstream_api::{ConsumeOptions, ReadFrom, header};
use fnstream_frame::Frame;

use crate::support::{Fixture, code, now};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

async fn put(fixture: &Fixture, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, String) {
    let mut request = reqwest::Client::new().put(fixture.url("/api/v1/produce/t"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn a_compressed_body_is_what_it_holds() {
    let fixture = Fixture::new().await;
    for (coding, bytes) in
        [("gzip", gzip(b"a\nb")), ("deflate", deflate(b"c\nd")), ("zstd", zstd(b"e\nf")), ("identity", b"g".to_vec())]
    {
        let headers = [("content-encoding", coding), ("content-type", header::LINES)];
        assert_eq!(put(&fixture, &headers, bytes).await.0, 200, "{coding}");
    }
    assert_eq!(put(&fixture, &[("content-encoding", "gzip")], gzip(b"as\nit is")).await.0, 200);
    assert_eq!(fixture.values("t").await, ["a", "b", "c", "d", "e", "f", "g", "as\nit is"]);
    // Other bodies, too.
    let request = reqwest::Client::new().post(fixture.url("/api/v1/topic/u")).header("content-encoding", "gzip");
    assert_eq!(request.body(gzip(br#"{"partitions":3}"#)).send().await.unwrap().status(), 200);
    assert_eq!(fixture.client.describe_topic("u").await.unwrap().partitions.len(), 3);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_compressed_body_has_the_limit_of_a_plain_one() {
    let fixture = Fixture::with(|config| config.max_produce_bytes = 1 << 20).await;
    let most = vec![b'x'; 1 << 20];
    let more = vec![b'x'; 1 << 28];
    for (coding, compress) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("deflate", deflate), ("zstd", zstd)] {
        let headers = [("content-encoding", coding)];
        assert_eq!(put(&fixture, &headers, compress(&most)).await.0, 200, "{coding}");
        let bomb = compress(&more);
        assert!(bomb.len() < 1 << 20, "{coding}: {}", bomb.len());
        for body in [bomb, compress(&[&most[..], b"x"].concat())] {
            let (status, body) = put(&fixture, &headers, body).await;
            assert_eq!((status, code(&body).as_str()), (413, "FS-1003"), "{coding}: {body}");
        }
        let mut cut = compress(b"text");
        cut.pop();
        let (status, body) = put(&fixture, &headers, cut).await;
        assert_eq!((status, code(&body).as_str()), (400, "FS-1001"), "{coding}: {body}");
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_not_understood_is_refused() {
    let fixture = Fixture::new().await;
    for (name, value, expected) in [
        ("content-encoding", "br", (415, "FS-1015")),
        ("content-encoding", "gzip, gzip", (415, "FS-1015")),
        ("content-transfer-encoding", "base64", (415, "FS-1015")),
        ("content-range", "bytes 0-0/2", (400, "FS-1001")),
        ("content-type", "multipart/form-data; boundary=x", (415, "FS-1012")),
        ("content-type", "application/x-ndjson; charset=utf-16", (415, "FS-1012")),
    ] {
        let (status, body) = put(&fixture, &[(name, value)], b"x".to_vec()).await;
        assert_eq!((status, code(&body).as_str()), expected, "{name}: {value}: {body}");
    }
    let (status, body) = fixture.raw(
        b"PUT /api/v1/produce/t HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    );
    assert_eq!((status, code(&body).as_str()), (415, "FS-1015"), "{body}");
    for (path, coding) in [("artifacts", "gzip"), ("function/f", "br")] {
        let request = reqwest::Client::new().post(fixture.url(&format!("/api/v1/{path}")));
        let request = request.header("content-encoding", coding).header("content-type", "application/json");
        let answer = request.body("{}").send().await.unwrap();
        let (status, body) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert_eq!((status, code(&body).as_str()), (415, "FS-1015"), "{path}: {body}");
    }
    assert_eq!(fixture.client.list_topics().await.unwrap(), Vec::<String>::new(), "nothing was appended");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn lines_have_several_names() {
    let fixture = Fixture::new().await;
    for name in header::LINES_TOO.iter().chain([&header::LINES]) {
        let (status, body) = put(&fixture, &[("content-type", *name)], b"a\nb".to_vec()).await;
        assert!(status == 200 && body.contains("\"count\":2"), "{name}: {body}");
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn events_as_json_have_what_no_http_header_holds() {
    let fixture = Fixture::new().await;
    let (key, all) = ("k".repeat(500_000), (0..=255).collect::<Vec<u8>>());
    let headers: Vec<String> = (0..300).map(|n| format!("{{\"name\":\"h{n}\",\"value\":\"v\"}}")).collect();
    let body = format!(
        "{{\"key\":\"{key}\",\"headers\":[{}],\"timestamp\":5,\"value\":{{\"base64\":\"{}\"}}}}\n{{\"value\":null}}\n{{\"value\":\"\"}}",
        headers.join(","),
        STANDARD.encode(&all),
    );
    let of_request = [("content-type", header::EVENTS), ("fs-key", "own"), ("fs-header", "first=1")];
    let (status, answer) = put(&fixture, &of_request, body.into_bytes()).await;
    assert!(status == 200 && answer.contains("\"count\":3"), "{answer}");
    let options = ConsumeOptions { from: Some(ReadFrom::Earliest), ..now() };
    let (frame, _) = fixture.client.consume_frame("t", &options, 10).await.unwrap().unwrap();
    let frame = Frame::parse(&frame).unwrap();
    let first = frame.record(0);
    assert_eq!((first.key, first.timestamp, first.value), (Some(key.as_bytes()), 5, Some(&all[..])));
    assert_eq!((first.headers.iter().count(), first.headers.get("first")), (301, Some(&b"1"[..])));
    let (second, third) = (frame.record(1), frame.record(2));
    assert_eq!((second.value, third.value, second.key), (None, Some(&b""[..]), Some(&b"own"[..])));
    assert!(second.timestamp > 1_700_000_000_000);

    for (body, why) in [
        ("{\"value\":\"a\"}\n{\"value\":1}", "event 2: "),
        ("{\"value\":\"a\",\"kye\":1}", "there is no field 'kye'"),
        (" \n", "there is no event"),
    ] {
        let (status, answer) = put(&fixture, &[("content-type", header::EVENTS)], body.into()).await;
        assert!(status == 400 && answer.contains(why), "{body}: {answer}");
    }
    assert_eq!(fixture.values("t").await.len(), 3, "nothing of a refused body is there");
    fixture.server.shutdown().await.unwrap();
}
