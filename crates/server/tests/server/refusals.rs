// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Every way to be refused, with its status and code, always as JSON.

use std::io::{Read, Write};

use fnstream_api::ErrorBody;
use reqwest::Method;

use crate::support::{Fixture, answer, code, echo, function};

async fn ask(fixture: &Fixture, method: Method, path: &str, body: &str) -> (u16, String) {
    let request = reqwest::Client::new().request(method, fixture.url(path)).body(body.to_owned());
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let json = response.headers().get("content-type").is_some_and(|t| t == "application/json");
    let text = response.text().await.unwrap();
    if status >= 400 && !text.is_empty() {
        assert!(json, "{status} {path} is not json: {text:?}");
    }
    (status, text)
}

#[tokio::test]
async fn every_refusal_has_its_status_its_code_and_an_advice() {
    let fixture = Fixture::new().await;
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    let with = |field: &str| format!(r#"{{"archive":"a","inputs":["i"],"output":"o",{field}}}"#);
    let valid = r#"{"archive":"nowhere.wasm","inputs":["i"],"output":"o"}"#;
    for (method, path, body, status, expected) in [
        (&post, "/api/v1/function/f", "", 400, "FS-1002"),
        (&post, "/api/v1/function/f", "{", 400, "FS-1001"),
        (&post, "/api/v1/function/f", "[]", 400, "FS-1001"),
        (&post, "/api/v1/function/f", r#"{"inputs":["i"],"output":"o"}"#, 400, "FS-1001"),
        (&post, "/api/v1/function/f", r#"{"archive":"a","inputs":["i"],"output":"o","x":1}"#, 400, "FS-1001"),
        (&post, "/api/v1/function/f", r#"{"archive":"a","inputs":["i"],"output":"o","replicas":-1}"#, 400, "FS-1001"),
        (&post, "/api/v1/function/f", r#"{"archive":"a","inputs":["i"],"output":"o","replicas":0}"#, 400, "FS-1103"),
        (&post, "/api/v1/function/f", r#"{"archive":"a","inputs":[],"output":"o"}"#, 400, "FS-1103"),
        (&post, "/api/v1/function/f", r#"{"archive":"a","inputs":["i"],"output":"i"}"#, 400, "FS-1103"),
        (&post, "/api/v1/function/f", r#"{"archive":"a","inputs":["../i"],"output":"o"}"#, 400, "FS-1103"),
        (&post, "/api/v1/function/f", r#"{"name":"g","archive":"a","inputs":["i"],"output":"o"}"#, 400, "FS-1001"),
        (&post, "/api/v1/function/f", valid, 400, "FS-1201"),
        (&post, "/api/v1/function/f", r#"{"archive":"/dev/zero","inputs":["i"],"output":"o"}"#, 400, "FS-1201"),
        (&post, "/api/v1/function/f", r#"{"archive":"/","inputs":["i"],"output":"o"}"#, 400, "FS-1201"),
        (&post, "/api/v1/function/f", r#"{"archive":"sha256:../x","inputs":["i"],"output":"o"}"#, 400, "FS-1001"),
        (&post, "/api/v1/function/f", &with(r#""limits":{"cpu":1}"#), 400, "FS-1001"),
        (&post, "/api/v1/function/f", &with(r#""limits":{"memory":-1}"#), 400, "FS-1001"),
        (&post, "/api/v1/function/f", &with(r#""limits":{"memory":"lots"}"#), 400, "FS-1103"),
        (&post, "/api/v1/function/f", &with(r#""limits":{"memory":1}"#), 400, "FS-1103"),
        (&post, "/api/v1/function/f", &with(r#""limits":{"call-time":"0s"}"#), 400, "FS-1103"),
        (&post, "/api/v1/function/f", &with(r#""on-error":{"action":"retry"}"#), 400, "FS-1001"),
        (&post, "/api/v1/function/f", &with(r#""on-error":{"tries":1}"#), 400, "FS-1001"),
        (&post, "/api/v1/function/f", &with(r#""on-error":{"action":"skip","dead-letter-topic":"t"}"#), 400, "FS-1103"),
        (&post, "/api/v1/function/f", &with(r#""on-error":{"dead-letter-topic":"i"}"#), 400, "FS-1103"),
        (&post, "/api/v1/function/f", &with(r#""on_error":{}"#), 400, "FS-1001"),
        (&post, "/api/v1/function/f", &with(r#""env":{"A=B":"c"}"#), 400, "FS-1103"),
        (&post, "/api/v1/function/f", &with(r#""env":{"A":1}"#), 400, "FS-1001"),
        (&post, "/api/v1/function/f", &with(r#""files":[{"host":"tmp"}]"#), 400, "FS-1103"),
        (&post, "/api/v1/function/f", &with(r#""files":[{"host":"/a/../tmp"}]"#), 400, "FS-1103"),
        (&post, "/api/v1/function/f", &with(r#""files":[{"path":"/tmp"}]"#), 400, "FS-1001"),
        (&post, "/api/v1/function/f", &with(r#""files":[{"host":"/tmp"}]"#), 403, "FS-1108"),
        (&post, "/api/v1/function/f?force=1", valid, 400, "FS-1001"),
        (&post, "/api/v1/function/f/start", "", 404, "FS-1102"),
        (&post, "/api/v1/function/f/stop", "", 404, "FS-1102"),
        (&get, "/api/v1/function/f", "", 404, "FS-1102"),
        (&delete, "/api/v1/function/f", "", 404, "FS-1102"),
        (&put, "/api/v1/function/f", "", 405, "FS-1006"),
        (&post, "/api/v1/functions", "", 405, "FS-1006"),
        (&post, "/api/v1/artifacts", "", 400, "FS-1002"),
        (&put, "/api/v1/produce/t", "", 400, "FS-1002"),
        (&put, "/api/v1/produce/t?partition=x", "e", 400, "FS-1001"),
        (&put, "/api/v1/produce/t?partition=7", "e", 404, "FS-1307"),
        (&put, "/api/v1/produce/t?keys=a", "e", 400, "FS-1001"),
        (&post, "/api/v1/produce/t", "e", 405, "FS-1006"),
        (&get, "/api/v1/consume/t?timeout=5", "", 400, "FS-1001"),
        (&get, "/api/v1/consume/t?timout=5s", "", 400, "FS-1001"),
        (&get, "/api/v1/consume/t?group=..", "", 400, "FS-1004"),
        (&get, "/api/v1/consume/t?group=g&from=latest", "", 400, "FS-1001"),
        (&get, "/api/v1/consume/t?from=first", "", 400, "FS-1001"),
        (&get, "/api/v1/consume/t?from=99", "", 400, "FS-1305"),
        (&get, "/api/v1/consume/t?from=earliest&partition=3", "", 404, "FS-1307"),
        (&get, "/api/v1/consume/t?format=xml", "", 400, "FS-1001"),
        (&get, "/api/v1/consume/t?max=2", "", 400, "FS-1001"),
        (&get, "/api/v1/consume/t?format=frame&max=0", "", 400, "FS-1001"),
        (&delete, "/api/v1/consume/t", "", 405, "FS-1006"),
        (&get, "/api/v1/topic/none", "", 404, "FS-1301"),
        (&delete, "/api/v1/topic/none", "", 404, "FS-1301"),
        (&post, "/api/v1/topic/t", "", 409, "FS-1302"),
        (&post, "/api/v1/topic/u", r#"{"partitions":0}"#, 400, "FS-1001"),
        (&post, "/api/v1/topic/u", r#"{"partitions":1025}"#, 400, "FS-1001"),
        (&post, "/api/v1/topic/u", r#"{"partition":1}"#, 400, "FS-1001"),
        (&get, "/", "", 404, "FS-1005"),
        (&get, "/api/v1/function/", "", 404, "FS-1005"),
        (&get, "/api/v2/functions", "", 404, "FS-1005"),
    ] {
        let (got, text) = ask(&fixture, method.clone(), path, body).await;
        assert_eq!((got, code(&text).as_str()), (status, expected), "{method} {path} {body}: {text}");
    }
    let (status, _) = ask(&fixture, Method::HEAD, "/api/v1/consume/t", "").await;
    assert_eq!(status, 405, "HEAD would take an event without giving it");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn json_that_does_not_fit_is_refused_with_its_place() {
    let fixture = Fixture::new().await;
    let (_, text) = ask(&fixture, Method::POST, "/api/v1/function/f", "{\n  \"archive\": 1\n}").await;
    let body: ErrorBody = serde_json::from_str(&text).unwrap();
    assert!(body.message.contains("line 2, column 14: a string is expected, not the number '1'"), "{body:?}");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_artifact_that_is_no_function_is_refused_and_leaves_nothing() {
    let fixture = Fixture::new().await;
    for (artifact, expected) in [
        (b"\0asm, or not".to_vec(), "FS-1202"),
        (echo()[..40].to_vec(), "FS-1202"),
        (wat::parse_str("(module)").unwrap(), "FS-1203"),
    ] {
        let path = fixture.folder.path().join("bad.wasm");
        std::fs::write(&path, &artifact).unwrap();
        let bad = function(path.to_str().unwrap(), "i", "o");
        let error = fixture.client.create_function("f", &bad).await.unwrap_err();
        assert_eq!(error.code(), expected, "{error}");
        assert_eq!(fixture.artifacts(), Vec::<String>::new());
    }
    // The name is free.
    let good = fixture.function(echo(), "i", "o").await;
    fixture.client.create_function("f", &good).await.unwrap();
    let error = fixture.client.create_function("f", &good).await.unwrap_err();
    assert_eq!(error.code(), "FS-1101");
    assert_eq!(fixture.artifacts().len(), 1);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_without_being_taken() {
    let fixture = Fixture::new().await;
    // A gibibyte is announced; nothing of it is sent, since the client asks first.
    let asks = "PUT /api/v1/produce/t HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 1073741824\r\nexpect: 100-continue\r\n\r\n";
    let (status, body) = fixture.raw(asks.as_bytes());
    assert_eq!((status, code(&body).as_str()), (413, "FS-1003"));

    // A client that just sends is read out, so that it sees the answer.
    let response = reqwest::Client::new().put(fixture.url("/api/v1/produce/t")).body(vec![b'x'; 40 << 20]);
    let response = response.send().await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(code(&response.text().await.unwrap()), "FS-1003");

    // Without a length the bound is found while reading.
    let mut stream = fixture.connect();
    stream
        .write_all(
            b"PUT /api/v1/produce/t HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n",
        )
        .unwrap();
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..20 {
        stream.write_all(b"100000\r\n").unwrap();
        stream.write_all(&chunk).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let (status, body) = answer(&mut stream);
    assert_eq!((status, code(&body).as_str()), (413, "FS-1003"));

    // The largest body that is allowed is.
    let response = reqwest::Client::new().put(fixture.url("/api/v1/produce/t")).body(vec![b'x'; 16 << 20]);
    assert_eq!(response.send().await.unwrap().status(), 200);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let fixture = Fixture::new().await;
    let client = fixture.client.clone();
    fixture.server.shutdown().await.unwrap();
    let error = client.list_functions().await.unwrap_err();
    assert_eq!(error.code(), "FS-1704");
    assert!(error.to_string().contains(client.url()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_told_so_with_a_code() {
    let fixture = Fixture::new().await;
    let header = |bytes: usize| format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(bytes));
    let many = "x: y\r\n".repeat(120);
    for (what, request, status, expected) in [
        ("no request line", "nonsense\r\n\r\n".to_owned(), 400, "FS-1001"),
        ("a handshake of TLS", "\x16\x03\x01\x02\0\x01\0\x01\u{7f}\x03\x03".to_owned(), 400, "FS-1001"),
        (
            "a line that is no header",
            "GET /healthz HTTP/1.1\r\nhost: localhost\r\nno header\r\n\r\n".to_owned(),
            400,
            "FS-1001",
        ),
        ("another version", "GET /healthz HTTP/9.9\r\n\r\n".to_owned(), 400, "FS-1001"),
        (
            "a length that is none",
            "PUT /api/v1/produce/t HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n".to_owned(),
            400,
            "FS-1001",
        ),
        ("a long path", format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(66_000)), 414, "FS-1013"),
        ("many headers", format!("GET /healthz HTTP/1.1\r\n{many}\r\n"), 431, "FS-1014"),
        ("a large header", header(900_000), 431, "FS-1014"),
    ] {
        let (got, body) = fixture.raw(request.as_bytes());
        assert_eq!((got, code(&body).as_str()), (status, expected), "{what}: {body}");
    }
    // On a connection that was good so far.
    let mut stream = fixture.connect();
    stream.write_all(b"PUT /api/v1/produce/t HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nx").unwrap();
    let mut first = [0; 1000];
    let read = stream.read(&mut first).unwrap();
    assert!(first[..read].starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&first[..read]));
    stream.write_all(b"nonsense\r\n\r\n").unwrap();
    let (status, body) = answer(&mut stream);
    assert_eq!((status, code(&body).as_str()), (400, "FS-1001"));
    for (request, status, expected) in [
        ("BREW /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", 405, "FS-1006"),
        ("OPTIONS * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", 404, "FS-1005"),
        ("CONNECT localhost:1 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", 404, "FS-1005"),
    ] {
        let (got, body) = fixture.raw(request.as_bytes());
        assert_eq!((got, code(&body).as_str()), (status, expected), "{request}: {body}");
    }
    // The port of gRPC.
    let mut stream = std::net::TcpStream::connect(fixture.server.grpc_addr().unwrap()).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let (status, body) = answer(&mut stream);
    assert_eq!((status, code(&body).as_str()), (400, "FS-1001"));
    assert!(body.contains("gRPC"), "{body}");
    fixture.server.shutdown().await.unwrap();
}

/// What an empty body should have been depends on the path.
#[tokio::test]
async fn an_empty_body_is_advised_about_by_what_belongs_there() {
    let fixture = Fixture::new().await;
    for (method, path, message, advice) in [
        (Method::POST, "/api/v1/artifacts", "the artifact is empty", "the bytes of the artifact"),
        (Method::PUT, "/api/v1/produce/t", "the request has no body: ", "send the event"),
        (Method::POST, "/api/v1/function/f", "the request has no body", "as JSON"),
    ] {
        let (_, text) = ask(&fixture, method, path, "").await;
        let body: ErrorBody = serde_json::from_str(&text).unwrap();
        assert!(body.message.starts_with(message) && body.advice.contains(advice), "{path}: {body:?}");
    }
}

#[tokio::test]
async fn a_misspelt_function_is_told_with_the_nearest_that_is_one() {
    let fixture = Fixture::new().await;
    let function = fixture.function(echo(), "i", "o").await;
    fixture.client.create_function("word-count", &function).await.unwrap();
    for (name, meant) in [("word-cuont", true), ("Word_Count", true), ("billing", false)] {
        let error = fixture.client.describe_function(name).await.unwrap_err();
        assert_eq!(error.code(), "FS-1102");
        let expected = if meant { "did you mean 'word-count'? see " } else { "see " };
        assert!(error.advice().starts_with(expected), "{name}: {}", error.advice());
    }
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_query_parameter_that_cannot_be_read_is_quoted() {
    let fixture = Fixture::new().await;
    for (query, what) in [
        ("partition=x", "query parameter 'partition': 'x' is not a whole number"),
        ("partition=-1", "query parameter 'partition': '-1' is too small"),
        ("null=yes", "query parameter 'null': 'yes' is neither true nor false"),
    ] {
        let (status, text) = ask(&fixture, Method::PUT, &format!("/api/v1/produce/t?{query}"), "e").await;
        let body: ErrorBody = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &*body.message), (400, what));
    }
    fixture.server.shutdown().await.unwrap();
}
