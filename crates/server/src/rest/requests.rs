// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `/api/v1/function/{name}/custom` and `/exec`: requests to a running function, beside its records.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use fnstream_api::{ErrorBody, ExecRequest};

use super::failure::{Answer, Failure};
use super::params::{Name, Query, number};
use super::{body, openapi};
use crate::app::App;
use crate::net::{self, Counted};
use fnstream_api::json::base64;

/// Asks a running function something of its own; body and answer are bytes that mean what the function says.
///
/// The function's `custom` hook is called between two batches of the task. What it writes and emits is committed with them.
#[utoipa::path(post, path = "/api/v1/function/{name}/custom", operation_id = "custom", tag = openapi::FUNCTIONS,
    params(
        ("name" = String, Path, description = "the function's name"),
        ("task" = Option<u32>, Query, description = "the index of the task to ask, 0 when it is not given"),
    ),
    request_body(content = openapi::Binary, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "the function's answer", body = openapi::Binary, content_type = "application/octet-stream"),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
        (status = 409, description = "the function, or its task, is not running", body = ErrorBody),
        (status = 422, description = "the function failed", body = ErrorBody),
    ))]
pub(super) async fn custom(State(app): State<Arc<App>>, Name(name): Name, request: Request) -> Answer<Response> {
    let task = Query::parse(request.uri(), &["task"])?.read("task", number::<u32>)?.unwrap_or(0);
    let (head, body) = request.into_parts();
    let payload = body::read(&app, &head.headers, body, app.most_produced()).await?;
    let answer = app.instances.custom(name, task, payload.to_vec()).await?;
    let budget = &app.net.budget;
    let memory = net::memory(budget, &budget.results, answer.len()).await?;
    let counted = Extension(Counted(Arc::new(memory)));
    Ok(([(CONTENT_TYPE, "application/octet-stream")], counted, answer).into_response())
}

/// Hands code or modules to the instances of all tasks of a function that takes them.
///
/// It lasts as long as the instances do: a function that needs it after a restart is handed it again.
#[utoipa::path(post, path = "/api/v1/function/{name}/exec", operation_id = "exec", tag = openapi::FUNCTIONS,
    params(("name" = String, Path, description = "the function's name")),
    request_body = ExecRequest,
    responses(
        (status = 200, description = "all instances took it"),
        (status = 400, description = "the body is not valid", body = ErrorBody),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
        (status = 409, description = "the function is not running", body = ErrorBody),
        (status = 422, description = "the function failed", body = ErrorBody),
    ))]
pub(super) async fn exec(State(app): State<Arc<App>>, Name(name): Name, request: Request) -> Answer<()> {
    Query::parse(request.uri(), &[])?;
    let (head, body) = request.into_parts();
    let body = body::read(&app, &head.headers, body, app.most_artifact()).await?;
    let request: ExecRequest = body::json(&body)?;
    let modules = request.modules.into_iter().map(|module| {
        let bytes = base64(&module.bytes).map_err(|why| {
            Failure::invalid(format!("the bytes of module '{}' are not base64: {why}", module.name.escape_debug()))
        })?;
        Ok((module.name, bytes))
    });
    let modules = modules.collect::<Answer<_>>()?;
    Ok(app.instances.exec(name, request.class_name, modules).await?)
}
