// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The gRPC interface: the same application as REST, on a port of its own. It holds no rules of its own; those are in `app`
//! and `sql`.
//!
//! What the application answers, refusals included, is a message with a status code (`answer`); a gRPC status other than
//! OK says that the call itself could not be made (`transport`). The service of functions stands in `service`; beside it
//! are health (`health`), which says what `/readyz` says, and reflection.

mod answer;
mod health;
mod service;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use fnstream_api::grpc::proto::function_stream_service_server::FunctionStreamServiceServer;
use fnstream_api::grpc::{FILE_DESCRIPTOR_SET, MAX_MESSAGE_BYTES};
use fnstream_core::error::internal;
use fnstream_core::{Error, Result};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic_health::pb::health_server::HealthServer;

use crate::app::App;
use transport::Transport;

/// How often a connection is asked whether its client is still there, and how long that may take.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Calls of one connection at a time.
const STREAMS: u32 = 128;

/// Serves until the application closes, then until the calls that came before have been answered.
pub(crate) fn serve(app: Arc<App>, listener: TcpListener) -> Result<impl Future<Output = Result<()>> + Send> {
    let routes = routes(&app)?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(KEEPALIVE));
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(STREAMS);
    let closing = app.ops.closing().clone().cancelled_owned();
    let serving = server.serve_with_incoming_shutdown(transport::guarded(Transport::new(routes)), incoming, closing);
    Ok(async move { serving.await.map_err(|e| internal(format!("the gRPC server ended: {e}"))) })
}

fn routes(app: &Arc<App>) -> Result<Routes> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let broken = |e: tonic_reflection::server::Error| -> Error { internal(format!("reflection: {e}")) };
    let functions = FunctionStreamServiceServer::new(service::Functions::new(app.clone()))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    Ok(Routes::new(functions)
        .add_service(HealthServer::new(health::Readiness::new(app.clone())))
        .add_service(reflection().build_v1().map_err(broken)?)
        .add_service(reflection().build_v1alpha().map_err(broken)?)
        .prepare())
}
