// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! gRPC at the address of REST: the same service, behind the same checks and bounds.

use std::time::Duration;

use fnstream_api::grpc::GrpcClient;
use fnstream_api::grpc::proto::SqlRequest;
use fnstream_api::grpc::proto::function_stream_service_client::FunctionStreamServiceClient;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::yaml;
use crate::support::{Fixture, code, echo};

async fn channel(fixture: &Fixture, origin: Option<&'static str>) -> Channel {
    let mut endpoint = Channel::from_shared(fixture.url("")).unwrap();
    if let Some(origin) = origin {
        endpoint = endpoint.origin(origin.parse().unwrap());
    }
    endpoint.connect().await.unwrap()
}

/// Asks for the functions, with that metadata.
async fn asked(
    fixture: &Fixture,
    origin: Option<&'static str>,
    metadata: &[(&'static str, &'static str)],
) -> Result<i32, Status> {
    let mut client = FunctionStreamServiceClient::new(channel(fixture, origin).await);
    let mut request = Request::new(SqlRequest { sql: "show functions".into(), ..SqlRequest::default() });
    for (name, value) in metadata {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    client.execute_sql(request).await.map(|answer| answer.into_inner().status_code)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_serves_both_interfaces_at_once() {
    // With and without a port for gRPC alone.
    for alone in [true, false] {
        let fixture = Fixture::with(|config| {
            if !alone {
                config.grpc_listen = None;
            }
        });
        let fixture = fixture.await;
        let client = GrpcClient::connect(&fixture.url("")).await.unwrap();
        let made = client.create_function(yaml("f", &["in"], "out").into(), echo().into(), Default::default()).await;
        assert_eq!(made.unwrap().status_code, 201);
        assert_eq!(fixture.client.list_functions().await.unwrap(), ["f"], "REST shows what gRPC has made");
        fixture.client.delete_function("f").await.unwrap();
        assert_eq!(client.show_functions(None).await.unwrap().len(), 0);
        let refused = client.execute_sql("stop function g").await.unwrap();
        assert_eq!(refused.failure().unwrap().code, "FS-1102");
        fixture.server.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_checked_and_bounded_as_on_a_port_of_its_own() {
    let fixture = Fixture::new().await;
    assert_eq!(asked(&fixture, None, &[]).await.unwrap(), 200);
    for (origin, metadata, status, code) in [
        (Some("http://evil.example"), ("x-nothing", "x"), Code::PermissionDenied, "FS-1010"),
        (None, ("origin", "http://evil.example"), Code::PermissionDenied, "FS-1011"),
        (None, ("sec-fetch-site", "cross-site"), Code::PermissionDenied, "FS-1011"),
        (None, ("grpc-encoding", "zstd"), Code::Unimplemented, "FS-1015"),
    ] {
        let refused = asked(&fixture, origin, &[metadata]).await.unwrap_err();
        assert_eq!(refused.code(), status, "{metadata:?}: {refused:?}");
        assert!(refused.message().contains(code), "{metadata:?}: {refused:?}");
    }
    let mut client = FunctionStreamServiceClient::new(channel(&fixture, None).await);
    let mut late = Request::new(SqlRequest { sql: "show functions".into(), ..SqlRequest::default() });
    late.set_timeout(Duration::from_nanos(1));
    let refused = client.execute_sql(late).await.unwrap_err();
    assert!(matches!(refused.code(), Code::DeadlineExceeded | Code::Cancelled), "{refused:?}");
    let mut large = client.clone().max_encoding_message_size(usize::MAX);
    let sql = "x".repeat((64 << 20) + 1);
    let refused = large.execute_sql(SqlRequest { sql, ..SqlRequest::default() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_may_be_compressed_and_no_larger_for_it() {
    let fixture = Fixture::new().await;
    let mut client = FunctionStreamServiceClient::new(channel(&fixture, None).await)
        .max_encoding_message_size(usize::MAX)
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    let shown = |sql: String| SqlRequest { sql, ..SqlRequest::default() };
    let answer = client.execute_sql(shown("show functions".into())).await.unwrap();
    assert_eq!(answer.metadata().get("grpc-encoding").unwrap(), "gzip");
    assert_eq!(answer.into_inner().status_code, 200);
    // As a statement of that length: it is no SQL, and no message that is too large.
    let answer = client.execute_sql(shown("x".repeat(1 << 20))).await.unwrap().into_inner();
    assert_eq!(answer.status_code, 400);
    let refused = client.execute_sql(shown("x".repeat((64 << 20) + 1))).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().contains("FS-1003"), "{refused:?}");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_call_is_for_rest() {
    let fixture = Fixture::new().await;
    // gRPC is a protocol over HTTP/2, and its variant for pages is another.
    for content_type in ["application/grpc", "application/grpc-web", "application/json"] {
        let path = "/function_stream.FunctionStreamService/ExecuteSql";
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\ncontent-length: 0\r\n\
             connection: close\r\n\r\n"
        );
        let (status, body) = fixture.raw(request.as_bytes());
        assert_eq!((status, code(&body).as_str()), (404, "FS-1005"), "{content_type}: {body}");
    }
    fixture.server.shutdown().await.unwrap();
}
