// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Requests byte by byte as browsers send them on behalf of a page. `make browser` has a browser send them.

use fnstream_api::grpc::proto::SqlRequest;
use fnstream_api::grpc::proto::function_stream_service_client::FunctionStreamServiceClient;
use fnstream_api::{FunctionStatus, ProduceOptions};
use tonic::codegen::{Service, http};
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::grpc;
use crate::support::{Fixture, code, echo, now};

const EVIL: &str = "origin: http://evil.example\r\n";

/// A request, with the headers that the browser adds.
fn sent(fixture: &Fixture, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let host = if headers.contains("host:") { "" } else { "host: localhost\r\n" };
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\n{host}{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    fixture.raw(request.as_bytes())
}

/// The paths that a page would like to ask, by what they do.
const PATHS: &[(&str, &str)] = &[
    ("POST", "/api/v1/function/f/stop"),
    ("POST", "/api/v1/function/g"),
    ("DELETE", "/api/v1/function/f"),
    ("PUT", "/api/v1/produce/in"),
    ("POST", "/api/v1/artifacts"),
    ("POST", "/api/v1/topic/new"),
    ("DELETE", "/api/v1/topic/kept"),
    ("GET", "/api/v1/consume/kept?timeout=0s"),
    ("GET", "/api/v1/consume/misspelt?timeout=0s"),
    ("GET", "/api/v1/functions"),
    ("GET", "/api/v1/function/f"),
    ("GET", "/api/v1/status"),
    ("GET", "/openapi.json"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("OPTIONS", "/api/v1/function/f"),
    ("GET", "/nowhere"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_reads_and_changes_nothing() {
    let fixture = Fixture::new().await;
    let function = fixture.function(echo(), "in", "out").await;
    fixture.client.create_function("f", &function).await.unwrap();
    fixture.client.produce("kept", "event", &ProduceOptions::default()).await.unwrap();
    let artifacts = fixture.artifacts();
    let form = "------x\r\ncontent-disposition: form-data; name=\"function\"\r\n\r\n{\"inputs\":[\"in\"],\"output\":\"o\"}\r\n\
                ------x\r\ncontent-disposition: form-data; name=\"archive\"; filename=\"a\"\r\n\r\n\0asm\r\n------x--\r\n";
    for (method, path) in PATHS {
        for (headers, expected) in [
            // fetch and forms; and from a page without an origin.
            (format!("{EVIL}content-type: text/plain\r\n"), "FS-1011"),
            (format!("{EVIL}content-type: multipart/form-data; boundary=----x\r\n"), "FS-1011"),
            ("origin: null\r\ncontent-type: application/x-www-form-urlencoded\r\n".to_owned(), "FS-1011"),
            // fetch without CORS, images, scripts, frames, links.
            (
                "sec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors\r\nsec-fetch-dest: image\r\n".to_owned(),
                "FS-1011",
            ),
            ("sec-fetch-site: same-site\r\nsec-fetch-mode: navigate\r\n".to_owned(), "FS-1011"),
            // WebSocket and EventSource.
            (
                format!("{EVIL}upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAA\r\n"),
                "FS-1011",
            ),
            (format!("{EVIL}accept: text/event-stream\r\n"), "FS-1011"),
            // The question before a request of another kind.
            (format!("{EVIL}access-control-request-method: {method}\r\n"), "FS-1011"),
            // A name that was made to lead here.
            ("host: evil.example:7300\r\nsec-fetch-site: same-origin\r\n".to_owned(), "FS-1010"),
            ("host: evil.example\r\norigin: http://evil.example\r\n".to_owned(), "FS-1010"),
        ] {
            let (status, body) = sent(&fixture, method, path, &headers, form);
            assert_eq!((status, code(&body).as_str()), (403, expected), "{method} {path} {headers}: {body}");
        }
    }
    assert_eq!(fixture.client.list_functions().await.unwrap(), ["f"]);
    let described = fixture.client.describe_function("f").await.unwrap();
    assert!(!matches!(described.status, FunctionStatus::Stopped | FunctionStatus::Stopping), "{described:?}");
    assert_eq!(fixture.artifacts(), artifacts);
    for topic in ["misspelt", "new"] {
        assert_eq!(fixture.client.describe_topic(topic).await.unwrap_err().code(), "FS-1301", "{topic}");
    }
    assert_eq!(fixture.values("in").await, Vec::<String>::new(), "nothing was produced");
    let event = fixture.client.consume("kept", &now()).await.unwrap();
    assert_eq!(event.unwrap().json, "\"event\"", "nothing was consumed");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_the_settings_allow_is_told_that_it_may() {
    let fixture = Fixture::with(|config| {
        config.allowed_origins = vec!["https://console.example".to_owned()];
        config.allowed_hosts = vec!["streams.example".to_owned()];
    });
    let fixture = fixture.await;
    let client = reqwest::Client::new();
    let page = |request: reqwest::RequestBuilder| request.header("origin", "https://console.example").send();
    let url = fixture.url("/api/v1/produce/t");
    let asked = client.request(reqwest::Method::OPTIONS, &url).header("access-control-request-method", "PUT");
    let asked = page(asked.header("access-control-request-headers", "content-type,fs-key")).await.unwrap();
    assert_eq!(asked.status(), 204);
    assert_eq!(asked.headers()["access-control-allow-origin"], "https://console.example");
    assert!(asked.headers()["access-control-allow-methods"].to_str().unwrap().contains("PUT"));
    assert_eq!(asked.headers()["access-control-allow-headers"], "content-type,fs-key");
    let produced = page(client.put(&url).header("content-type", "text/plain").body("event")).await.unwrap();
    assert_eq!(produced.status(), 200);
    assert_eq!(produced.headers()["access-control-allow-origin"], "https://console.example");
    // What a form can send needs a type that says what it is.
    let refused = page(client.post(fixture.url("/api/v1/function/f/stop"))).await.unwrap();
    assert_eq!((refused.status().as_u16(), code(&refused.text().await.unwrap()).as_str()), (415, "FS-1012"));
    let stop = client.post(fixture.url("/api/v1/function/f/stop")).header("content-type", "application/json");
    let unknown = page(stop).await.unwrap();
    assert_eq!(unknown.headers()["access-control-allow-origin"], "https://console.example");
    assert_eq!((unknown.status().as_u16(), code(&unknown.text().await.unwrap()).as_str()), (404, "FS-1102"));
    let other = client.get(fixture.url("/healthz")).header("origin", "https://other.example").send().await.unwrap();
    assert!(!other.headers().contains_key("access-control-allow-origin"));

    let (status, _) = sent(&fixture, "GET", "/healthz", "host: streams.example:80\r\n", "");
    assert_eq!(status, 200);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_refused_for_the_name_it_uses_sees_why_whatever_it_sends() {
    let fixture = Fixture::new().await;
    let body = "x".repeat(8 << 20);
    let (status, body) = sent(&fixture, "PUT", "/api/v1/produce/t", "host: streams.example\r\n", &body);
    assert_eq!((status, code(&body).as_str()), (403, "FS-1010"));
    assert!(body.contains("'streams.example'") && body.contains("service.allowed_hosts"), "{body}");
    let http_1_0 = fixture.raw(b"GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(http_1_0, (200, "ok\n".to_owned()), "no browser asks without a host");
    fixture.server.shutdown().await.unwrap();
}

async fn call(url: &str, authority: Option<&str>, origin: Option<&'static str>) -> Result<(), tonic::Status> {
    let mut endpoint = Channel::from_shared(url.to_owned()).unwrap();
    if let Some(authority) = authority {
        endpoint = endpoint.origin(authority.parse().unwrap());
    }
    let mut client = FunctionStreamServiceClient::new(endpoint.connect().await.unwrap());
    let mut request = Request::new(SqlRequest { sql: "show functions".into(), ..SqlRequest::default() });
    if let Some(origin) = origin {
        request.metadata_mut().insert("origin", origin.parse().unwrap());
    }
    client.execute_sql(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_is_not_for_pages_either() {
    let fixture = Fixture::new().await;
    let url = grpc::url(&fixture);
    call(&url, None, None).await.unwrap();
    call(&url, Some("http://localhost:1"), None).await.unwrap();
    for (authority, origin, expected) in [
        (Some("http://evil.example"), None, "FS-1010"),
        (None, Some("http://evil.example"), "FS-1011"),
        (None, Some("null"), "FS-1011"),
    ] {
        let status = call(&url, authority, origin).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
        assert!(status.message().contains(expected), "{status:?}");
    }
    let mut channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    let mut post = async |content_type: &str| {
        let request = http::Request::post("/function_stream.FunctionStreamService/ExecuteSql");
        let request = request.header("content-type", content_type).body(tonic::body::Body::empty()).unwrap();
        std::future::poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
        channel.call(request).await.unwrap()
    };
    for content_type in
        ["application/grpc-web", "application/grpc-web-text", "application/json", "text/plain", "application/grpcx"]
    {
        let answer = post(content_type).await;
        assert_eq!(answer.status(), 415, "{content_type}");
        let message = answer.headers()["grpc-message"].to_str().unwrap().to_owned();
        assert!(message.contains("FS-1012"), "{message}");
    }
    assert_eq!(post("application/grpc+proto").await.status(), 200);
    fixture.server.shutdown().await.unwrap();
}
