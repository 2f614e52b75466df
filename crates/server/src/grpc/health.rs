// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The health service: serving means what `/readyz` means.
//!
//! A check looks anew each time. A watch is told when the server becomes ready and when it begins to close; whether the disk
//! still takes what is written it looks at as often as maintenance does.

use std::pin::Pin;
use std::sync::Arc;

use fnstream_api::grpc::proto::function_stream_service_server::SERVICE_NAME;
use tonic::codegen::tokio_stream::Stream;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::app::App;

/// See the module.
pub(super) struct Readiness {
    app: Arc<App>,
}

impl Readiness {
    pub(super) fn new(app: Arc<App>) -> Self {
        Readiness { app }
    }
}

type Told = Result<HealthCheckResponse, Status>;

#[tonic::async_trait]
impl Health for Readiness {
    type WatchStream = Pin<Box<dyn Stream<Item = Told> + Send>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if !is_ours(&service) {
            return Err(Status::not_found(format!("there is no service '{}'", service.escape_debug())));
        }
        Ok(Response::new(told(status(&self.app).await)))
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (tell, told) = tokio::sync::mpsc::channel(1);
        match is_ours(&request.into_inner().service) {
            true => drop(tokio::spawn(watch(self.app.clone(), tell))),
            // As the protocol asks for: the service may come later, which none of ours does.
            false => drop(tokio::spawn(unknown(self.app.clone(), tell))),
        }
        Ok(Response::new(Box::pin(ReceiverStream::new(told))))
    }
}

fn is_ours(service: &str) -> bool {
    service.is_empty() || service == SERVICE_NAME
}

fn told(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

async fn status(app: &Arc<App>) -> ServingStatus {
    match app.inspection.ready().await {
        Ok(()) => ServingStatus::Serving,
        Err(_) => ServingStatus::NotServing,
    }
}

/// Tells the status whenever it has changed, until nobody listens or the server closes, which is told last.
async fn watch(app: Arc<App>, tell: tokio::sync::mpsc::Sender<Told>) {
    let mut booted = app.inspection.booted();
    let mut timer = tokio::time::interval(app.config.maintenance_interval);
    let mut last = None;
    loop {
        // Looked at first: what the disk says takes a while, in which the server may have begun to close.
        let closing = app.ops.closing().is_cancelled();
        let now = if closing { ServingStatus::NotServing } else { status(&app).await };
        if last.replace(now) != Some(now) && tell.send(Ok(told(now))).await.is_err() {
            return;
        }
        if closing {
            return;
        }
        tokio::select! {
            Ok(()) = booted.changed() => {}
            _ = timer.tick() => {}
            () = app.ops.closing().cancelled() => {}
            () = tell.closed() => return,
        }
    }
}

async fn unknown(app: Arc<App>, tell: tokio::sync::mpsc::Sender<Told>) {
    if tell.send(Ok(told(ServingStatus::ServiceUnknown))).await.is_ok() {
        tokio::select! {
            () = app.ops.closing().cancelled() => {}
            () = tell.closed() => {}
        }
    }
}
