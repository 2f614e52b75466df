// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The REST interface: how requests and answers look over HTTP. It holds no rules of its own; those are in `app`.
//!
//! Every answer that is not a success has the body `{"code", "message", "advice"}`, also for paths, methods and bodies that
//! are wrong. Query parameters that a path does not know are refused, so that a misspelt one is not ignored.

mod apply;
mod backups;
mod body;
mod dead_letters;
mod encoding;
mod failure;
mod functions;
mod groups;
mod jobs;
mod local;
mod logs;
mod observe;
mod openapi;
mod params;
mod peers;
mod records;
mod requests;
mod revisions;
mod topics;
mod trigger;
mod upload;

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::response::{IntoResponse, Response};
use fnstream_core::{Error, ErrorCode};
use tonic::codegen::Service;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

use crate::app::App;
use crate::gate::Gate;
use failure::Failure;
pub use openapi::openapi_yaml;

/// The whole interface.
fn router(app: Arc<App>, unprotected: bool) -> Router {
    let (router, description) = openapi::parts();
    let published = axum::Json(description);
    router
        .route("/openapi.json", axum::routing::get(move || std::future::ready(published.clone())))
        .route("/healthz", axum::routing::get(|| std::future::ready("ok\n")))
        .route("/readyz", axum::routing::get(move |app: State<Arc<App>>| observe::ready(app, unprotected)))
        .route("/metrics", axum::routing::get(observe::metrics))
        .route(crate::peers::PATH, axum::routing::post(peers::ask))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        // Bodies are bounded where they are read, with an error of ours.
        .layer(DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(panicked))
        // A failure is noted where it becomes an answer.
        .layer(TraceLayer::new_for_http().on_failure(()))
        .with_state(app)
}

/// The interface as the network serves it.
pub(crate) struct Rest {
    app: Arc<App>,
    gate: Arc<Gate>,
    router: Router,
}

impl Rest {
    /// `unprotected` if other machines reach the server, by whichever interface.
    pub(crate) fn new(app: &Arc<App>, gate: Arc<Gate>, unprotected: bool) -> Self {
        Rest { app: app.clone(), gate, router: router(app.clone(), unprotected) }
    }
}

impl Rest {
    /// Answers a request.
    pub(crate) fn answer(
        &self,
        mut request: Request,
        client: SocketAddr,
    ) -> impl Future<Output = Response> + Send + 'static + use<> {
        request.extensions_mut().insert(ConnectInfo(client));
        let (app, gate, mut router) = (self.app.clone(), self.gate.clone(), self.router.clone());
        async move {
            let (head, body) = request.into_parts();
            let page = match gate.check(&head.method, &head.uri, &head.headers) {
                Ok(page) => page,
                Err(error) => {
                    body::refuse(&app, &head.headers, body).await;
                    return Self::refuse(error);
                }
            };
            match page {
                Some(page) if page.asks_first(&head) => page.may_ask(&head),
                page => {
                    let answer = router.call(Request::from_parts(head, body)).await;
                    let answer = answer.unwrap_or_else(|never| match never {});
                    match page {
                        Some(page) => page.may_read(answer),
                        None => answer,
                    }
                }
            }
        }
    }

    /// The answer to a request that is refused.
    pub(crate) fn refuse(error: Error) -> Response {
        Failure(error).into_response()
    }
}

async fn not_found(request: Request) -> Failure {
    Failure(Error::new(ErrorCode::NotFound, format!("nothing is served at '{}'", request.uri().path())))
}

async fn method_not_allowed(request: Request) -> Failure {
    let (method, path) = (request.method(), request.uri().path());
    Failure(Error::new(ErrorCode::MethodNotAllowed, format!("'{path}' does not take {method}")))
}

/// A bug of ours ends one request, not the server.
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let what = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = what.unwrap_or("unknown"), "a request's handler panicked");
    Failure(Error::new(ErrorCode::Panicked, "the server failed while it handled the request")).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer_like_any_other_error() {
        let response = panicked(Box::new("boom"));
        assert_eq!(response.status(), 500);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let error: fnstream_api::ErrorBody = serde_json::from_slice(&body).unwrap();
        assert_eq!(error.known_code(), Some(ErrorCode::Panicked));
        assert!(!error.message.contains("boom"), "what a bug says may hold what is not the client's");
    }
}
