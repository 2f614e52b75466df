// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `/api/v1/functions`, `/api/v1/function/{name}` and `/api/v1/artifacts`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::Uri;
use axum::response::IntoResponse;
use fnstream_api::{ErrorBody, Function, FunctionDescription, UploadedArtifact};
use fnstream_core::spec::check_name;
use fnstream_core::{Error, ErrorCode};

use super::failure::{Answer, Failure};
use super::params::{BEHIND_HEADER, Name, Query, WAIT, paged};
use super::upload::{FunctionUpload, asked, check_named};
use super::{body, openapi};
use crate::app::pages::Page;
use crate::app::{App, NewFunction};

/// The names of all functions; a page of them with `max` or `after`.
#[utoipa::path(get, path = "/api/v1/functions", operation_id = "list_functions", tag = openapi::FUNCTIONS,
    params(
        ("max" = Option<usize>, Query, description = "a page of at most so many, never more than 1000; all when neither this nor 'after' is given"),
        ("after" = Option<String>, Query, description = BEHIND_HEADER),
    ),
    responses(
        (status = 200, description = "the names in order", body = Vec<String>,
            headers(("fs-next" = Option<String>, description = "the cursor of the next page, if there is one"))),
        (status = 400, description = "a parameter is not well formed", body = ErrorBody),
    ))]
pub(super) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Answer<impl IntoResponse> {
    let query = Query::parse(&uri, &["max", "after"])?;
    let _memory = app.net.for_list().await?;
    let page = match query.is_empty() {
        true => Page { rows: app.functions.names().await?, next: None },
        false => app.functions.names_page(query.page()?).await?,
    };
    Ok(paged(page))
}

/// Registers a function and starts it.
///
/// A failure leaves the name free.
#[utoipa::path(post, path = "/api/v1/function/{name}", operation_id = "create_function", tag = openapi::FUNCTIONS,
    params(
        ("name" = String, Path, description = "the function's name"),
        ("wait" = Option<String>, Query, description = WAIT),
    ),
    request_body(content((Function = "application/json"), (FunctionUpload = "multipart/form-data"))),
    responses(
        (status = 200, description = "registered and started", body = FunctionDescription),
        (status = 400, description = "the body is empty or not valid, or the artifact cannot be run", body = ErrorBody),
        (status = 403, description = "a folder is asked for that the server does not allow", body = ErrorBody),
        (status = 409, description = "a function of this name exists", body = ErrorBody),
        (status = 413, description = "the body is too large", body = ErrorBody),
        (status = 422, description = "registered, and does not come up", body = ErrorBody),
        (status = 504, description = "registered, and not up when the wait ended", body = ErrorBody),
    ))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Name(name): Name,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
) -> Answer<Json<FunctionDescription>> {
    let wait = Query::parse(request.uri(), &["wait"])?.wait()?;
    check_name("function", &name)?;
    let (function, archive) = asked(&app, client, request, |function: &Function| Some(&function.archive)).await?;
    let archive = archive.ok_or_else(|| Failure::invalid("there is no archive"))?;
    check_named(&function.name, &name)?;
    Ok(Json(app.functions.create(NewFunction { name, archive, function }, wait).await?))
}

/// What a function is and how it fares.
#[utoipa::path(get, path = "/api/v1/function/{name}", operation_id = "describe_function", tag = openapi::FUNCTIONS,
    params(("name" = String, Path, description = "the function's name")),
    responses(
        (status = 200, description = "the function", body = FunctionDescription),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
    ))]
pub(super) async fn describe(
    State(app): State<Arc<App>>,
    Name(name): Name,
    uri: Uri,
) -> Answer<Json<FunctionDescription>> {
    Query::parse(&uri, &[])?;
    Ok(Json(app.inspection.describe(name).await?))
}

/// Removes a function with its state; its topics stay.
#[utoipa::path(delete, path = "/api/v1/function/{name}", operation_id = "delete_function", tag = openapi::FUNCTIONS,
    params(("name" = String, Path, description = "the function's name")),
    responses(
        (status = 200, description = "removed; the name is free"),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
    ))]
pub(super) async fn delete(State(app): State<Arc<App>>, Name(name): Name, uri: Uri) -> Answer<()> {
    Query::parse(&uri, &[])?;
    Ok(app.functions.delete(name).await?)
}

/// Lets a stopped function run, also after a restart of the server.
#[utoipa::path(post, path = "/api/v1/function/{name}/start", operation_id = "start_function", tag = openapi::FUNCTIONS,
    params(
        ("name" = String, Path, description = "the function's name"),
        ("wait" = Option<String>, Query, description = WAIT),
    ),
    responses(
        (status = 200, description = "the function, which comes up", body = FunctionDescription),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
        (status = 422, description = "started, and does not come up", body = ErrorBody),
        (status = 504, description = "started, and not up when the wait ended", body = ErrorBody),
    ))]
pub(super) async fn start(
    State(app): State<Arc<App>>,
    Name(name): Name,
    uri: Uri,
) -> Answer<Json<FunctionDescription>> {
    let wait = Query::parse(&uri, &["wait"])?.wait()?;
    Ok(Json(app.functions.start(name, wait).await?))
}

/// Lets a function finish what it began and then rest, also after a restart of the server.
#[utoipa::path(post, path = "/api/v1/function/{name}/stop", operation_id = "stop_function", tag = openapi::FUNCTIONS,
    params(("name" = String, Path, description = "the function's name")),
    responses(
        (status = 200, description = "the function, stopped or still stopping", body = FunctionDescription),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
    ))]
pub(super) async fn stop(State(app): State<Arc<App>>, Name(name): Name, uri: Uri) -> Answer<Json<FunctionDescription>> {
    Query::parse(&uri, &[])?;
    Ok(Json(app.functions.stop(name).await?))
}

/// Uploads an artifact for functions that are created later; one that no function uses is removed after a while.
#[utoipa::path(post, path = "/api/v1/artifacts", operation_id = "upload", tag = openapi::FUNCTIONS,
    request_body(content = openapi::Binary, content_type = "application/wasm"),
    responses(
        (status = 200, description = "stored", body = UploadedArtifact),
        (status = 400, description = "the body is empty", body = ErrorBody),
        (status = 413, description = "the body is too large", body = ErrorBody),
    ))]
pub(super) async fn upload(State(app): State<Arc<App>>, request: Request) -> Answer<Json<UploadedArtifact>> {
    Query::parse(request.uri(), &[])?;
    let (head, body) = request.into_parts();
    let artifact = body::read_artifact(&app, &head.headers, body).await?;
    if artifact.is_empty() {
        return Err(Failure(
            Error::new(ErrorCode::EmptyBody, "the artifact is empty")
                .advising("send the bytes of the artifact as the request's body; look whether the file is empty"),
        ));
    }
    Ok(Json(app.shelf.upload(artifact).await?))
}
