// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is true of every call: size, form, health, reflection, the end.

use bytes::Bytes;
use fnstream_api::grpc::MAX_MESSAGE_BYTES;
use fnstream_api::grpc::proto::{Response, SqlRequest, StatusCode};
use fnstream_server::Server;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_request};

use super::{Grpc, refusal, url, yaml};
use crate::support::{Fixture, config, echo};

/// A message of about so many bytes, most of them an artifact that is none.
async fn sent(grpc: &Grpc, bytes: usize) -> Result<Response, Status> {
    grpc.try_create(yaml("f", &["in"], "out"), vec![0; bytes]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_bound_is_refused_and_one_below_it_is_looked_at() {
    let fixture = Fixture::new().await;
    let grpc = Grpc::of(&fixture).await;
    let looked_at = sent(&grpc, MAX_MESSAGE_BYTES - 1024).await.unwrap();
    assert_eq!(refusal(&looked_at), (400, "FS-1202"), "{}", looked_at.message);
    let status = sent(&grpc, 65 << 20).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().starts_with("the message has more than 67108864 bytes (FS-1003): "), "{status:?}");
    assert_eq!(grpc.create(yaml("f", &["in"], "out"), echo()).await.status_code, 201, "the connection goes on");
    fixture.server.shutdown().await.unwrap();
}

/// A call with bytes that are whatever they are.
async fn raw(fixture: &Fixture, method: &'static str, bytes: &[u8]) -> Result<(), Status> {
    let channel = Channel::from_shared(url(fixture)).unwrap().connect().await.unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let codec = Raw;
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(method);
    client.unary(Request::new(Bytes::copy_from_slice(bytes)), path, codec).await.map(drop)
}

/// Passes bytes through.
#[derive(Default, Clone, Copy)]
struct Raw;

impl tonic::codec::Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;
    fn encoder(&mut self) -> Raw {
        Raw
    }
    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl tonic::codec::Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, to: &mut tonic::codec::EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put(to, item);
        Ok(())
    }
}

impl tonic::codec::Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut tonic::codec::DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = bytes::Buf::remaining(from);
        Ok(Some(bytes::Buf::copy_to_bytes(from, length)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_call_of_ours_is_a_grpc_status() {
    let fixture = Fixture::new().await;
    let service = "/function_stream.FunctionStreamService/ExecuteSql";
    let malformed = raw(&fixture, service, b"\xff\xff\xff\xff").await.unwrap_err();
    assert_eq!(malformed.code(), Code::InvalidArgument, "{malformed:?}");
    assert!(malformed.message().contains("FS-1001"), "{malformed:?}");
    // A string that is no utf-8.
    let not_text = raw(&fixture, service, b"\x0a\x02\xff\xfe").await.unwrap_err();
    assert_eq!(not_text.code(), Code::InvalidArgument, "{not_text:?}");
    for unknown in ["/function_stream.FunctionStreamService/Nothing", "/other.Service/Method"] {
        assert_eq!(raw(&fixture, unknown, b"").await.unwrap_err().code(), Code::Unimplemented, "{unknown}");
    }
    let grpc = Grpc::of(&fixture).await;
    let mut request = Request::new(SqlRequest { sql: "show functions".into(), ..SqlRequest::default() });
    request.metadata_mut().insert("grpc-timeout", "soon".parse().unwrap());
    let status = grpc.0.clone().execute_sql(request).await.unwrap_err();
    assert!(matches!(status.code(), Code::InvalidArgument | Code::Internal), "{status:?}");
    assert_eq!(grpc.sql("show functions").await.status_code, StatusCode::Ok as i32);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_what_readiness_says_until_the_end() {
    let fixture = Fixture::new().await;
    let channel = Channel::from_shared(url(&fixture)).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    let serving = |answer: HealthCheckResponse| answer.status().as_str_name();
    for service in ["", "function_stream.FunctionStreamService"] {
        let request = HealthCheckRequest { service: service.into() };
        let mut watch = health.watch(request.clone()).await.unwrap().into_inner();
        let mut told = serving(watch.message().await.unwrap().unwrap());
        if told == "NOT_SERVING" {
            told = serving(watch.message().await.unwrap().unwrap());
        }
        assert_eq!(told, "SERVING");
        assert_eq!(serving(health.check(request).await.unwrap().into_inner()), "SERVING");
    }
    let unknown = HealthCheckRequest { service: "other".into() };
    assert_eq!(health.check(unknown.clone()).await.unwrap_err().code(), Code::NotFound);
    let mut stays_unknown = health.watch(unknown).await.unwrap().into_inner();
    assert_eq!(serving(stays_unknown.message().await.unwrap().unwrap()), "SERVICE_UNKNOWN");

    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(serving(watch.message().await.unwrap().unwrap()), "SERVING");
    let ended = std::time::Instant::now();
    fixture.server.shutdown().await.unwrap();
    assert!(ended.elapsed() < std::time::Duration::from_secs(15), "a watch does not hold the end up");
    assert_eq!(serving(watch.message().await.unwrap().unwrap()), "NOT_SERVING");
    assert!(watch.message().await.unwrap().is_none(), "the watch ends orderly");
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_describes_the_service() {
    let fixture = Fixture::new().await;
    let channel = Channel::from_shared(url(&fixture)).unwrap().connect().await.unwrap();
    let mut client = ServerReflectionClient::new(channel);
    let mut ask = async |wanted: MessageRequest| {
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(wanted) };
        let asked = tonic::codegen::tokio_stream::iter([request]);
        let mut answers = client.server_reflection_info(asked).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap().message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(services) = ask(MessageRequest::ListServices(String::new())).await else {
        panic!("no list of services")
    };
    let names: Vec<_> = services.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["function_stream.FunctionStreamService", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let symbol = server_reflection_request::MessageRequest::FileContainingSymbol(
        "function_stream.FunctionStreamService.CreateFunction".into(),
    );
    let MessageResponse::FileDescriptorResponse(files) = ask(symbol).await else { panic!("no file") };
    assert!(!files.file_descriptor_proto.is_empty());
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_address_that_is_taken_is_refused_and_none_means_no_grpc() {
    let fixture = Fixture::with(|config| config.grpc_listen = None).await;
    assert_eq!(fixture.server.grpc_addr(), None);
    let folder = tempfile::tempdir().unwrap();
    let mut taken = config(folder.path());
    taken.grpc_listen = Some(fixture.server.local_addr().to_string());
    let error = Server::start(taken).await.err().unwrap();
    assert_eq!(error.code.as_str(), "FS-1702");
    assert!(error.message.contains("--grpc-listen"), "{error}");
    assert!(!folder.path().join("data").exists(), "refused before anything is made");
    fixture.server.shutdown().await.unwrap();
}
