// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The gRPC interface: the same application as REST, on a port of its own and on that of REST ([`crate::one_port`]). It holds no rules of its own; those are in `app`
//! and `sql`.
//!
//! What the application answers, refusals included, is a message with a status code (`answer`); a gRPC status other than
//! OK says that the call itself could not be made (`transport`). The service of functions stands in `service`, that of consumer
//! groups in `groups`; beside them are health (`health`), which says what `/readyz` says, and reflection.

mod answer;
mod groups;
mod health;
mod message;
mod python;
mod service;
mod transport;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::{Request, Response, StatusCode, Version, header};
use fnstream_api::grpc::proto::consumer_group_service_server::ConsumerGroupServiceServer;
use fnstream_api::grpc::proto::function_stream_service_server::FunctionStreamServiceServer;
use fnstream_api::grpc::{FILE_DESCRIPTOR_SET, MAX_MESSAGE_BYTES, error_message};
use fnstream_core::budget::Budget;
use fnstream_core::error::internal;
use fnstream_core::{Error, ErrorCode, Result};
use tonic::Status;
use tonic::body::Body;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::codegen::Service;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;

use crate::app::App;
use crate::failure;
use crate::gate::Gate;
use crate::net::Interface;
use transport::{Guarded, Transport};

/// The one content type of gRPC; how messages are written may follow it.
const CONTENT_TYPE: &str = "application/grpc";

/// The interface as the network serves it.
pub(crate) struct Grpc {
    services: Guarded<Transport<Routes>>,
    gate: Arc<Gate>,
    budget: Budget,
}

impl Grpc {
    pub(crate) fn new(app: &Arc<App>, gate: Arc<Gate>) -> Result<Self> {
        let budget = app.net.budget.clone();
        let services = transport::guarded(Transport::new(routes(app, message::most(&budget).bytes)?));
        Ok(Grpc { services, gate, budget })
    }

    /// The answer to a caller that may not ask, or does not ask in gRPC: gRPC-Web, which pages could speak, is not served.
    fn refused(&self, request: &Request<axum::body::Body>) -> Option<Response<Body>> {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        if let Err(error) = self.gate.check(method, uri, headers) {
            failure::note(&error);
            return Some(Status::permission_denied(error_message(&error)).into_http());
        }
        let content_type = content_type(request);
        if is_of_grpc(content_type) {
            return None;
        }
        let message = format!("a call's content type is {CONTENT_TYPE}, not '{}'", content_type.escape_debug());
        let error = Error::new(ErrorCode::ContentTypeRefused, message);
        let mut answer = Status::invalid_argument(error_message(&error)).into_http();
        // As the protocol says, so that what is no gRPC client sees a refusal, too.
        *answer.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Some(answer)
    }
}

fn content_type<B>(request: &Request<B>) -> &str {
    request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn is_of_grpc(content_type: &str) -> bool {
    content_type.strip_prefix(CONTENT_TYPE).is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// Whether a request is a call of gRPC, and not one of REST.
pub(crate) fn is_call<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_2 && is_of_grpc(content_type(request))
}

impl Interface for Grpc {
    type Form = ();
    type Body = Body;
    const HTTP_2_ONLY: bool = true;

    fn answer(
        &self,
        request: Request<axum::body::Body>,
        _: SocketAddr,
    ) -> impl Future<Output = Response<Body>> + Send + 'static {
        let (mut services, budget) = (self.services.clone(), self.budget.clone());
        let refused = self.refused(&request);
        async move {
            if let Some(refused) = refused {
                return refused;
            }
            let (request, _memory) = match message::measured(&budget, request).await {
                Ok(measured) => measured,
                Err(error) => return Self::refuse(&(), error),
            };
            let answer = services.call(request).await.unwrap_or_else(|never| match never {});
            answer.map(Body::new)
        }
    }

    fn form<B>(_: &Request<B>) {}

    fn refuse((): &(), error: Error) -> Response<Body> {
        Status::unavailable(error_message(&error)).into_http()
    }
}

/// All services; a message has at most so many bytes, also when it is not compressed any more.
fn routes(app: &Arc<App>, most: usize) -> Result<Routes> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let broken = |e: tonic_reflection::server::Error| -> Error { internal(format!("reflection: {e}")) };
    let functions = FunctionStreamServiceServer::new(service::Functions::new(app.clone()))
        .max_decoding_message_size(most)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
        .accept_compressed(Gzip)
        .send_compressed(Gzip);
    let groups = ConsumerGroupServiceServer::new(groups::Groups::new(app.clone()))
        .max_decoding_message_size(most)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
        .accept_compressed(Gzip)
        .send_compressed(Gzip);
    let health = HealthServer::new(health::Readiness::new(app.clone())).accept_compressed(Gzip);
    Ok(Routes::new(functions)
        .add_service(groups)
        .add_service(health)
        .add_service(reflection().build_v1().map_err(broken)?.accept_compressed(Gzip))
        .add_service(reflection().build_v1alpha().map_err(broken)?.accept_compressed(Gzip))
        .prepare())
}
