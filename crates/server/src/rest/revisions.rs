// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Changes of `/api/v1/function/{name}`, and its past.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::Uri;
use fnstream_api::{
    ErrorBody, FunctionDescription, FunctionUpdate, RevisionDescription, RollbackRequest, RolledBack, SeekRequest,
    Sought,
};
use fnstream_core::spec::check_name;

use super::failure::Answer;
use super::params::{Name, Query, WAIT};
use super::upload::{UpdateUpload, asked, check_named};
use super::{body, openapi};
use crate::app::App;
use crate::most::Most;

/// The largest request for a rollback or a move.
const MAX_REQUEST: usize = 4 << 10;

/// Changes what a function is; it goes on with its state from where it stands.
///
/// What is not given stays. A change is a new revision; what is refused leaves the function running as it was. With `wait`, a
/// change that does not come up is replaced by the description before it, if the function was up with that.
#[utoipa::path(patch, path = "/api/v1/function/{name}", operation_id = "update_function", tag = openapi::FUNCTIONS,
    params(
        ("name" = String, Path, description = "the function's name"),
        ("wait" = Option<String>, Query, description = WAIT),
        ("keep_failed" = Option<bool>, Query, description = "with 'wait': a change that does not come up stays in force"),
    ),
    request_body(content((FunctionUpdate = "application/json"), (UpdateUpload = "multipart/form-data"))),
    responses(
        (status = 200, description = "the function with its new revision", body = FunctionDescription),
        (status = 400, description = "the change is not valid, or the artifact cannot be run", body = ErrorBody),
        (status = 403, description = "a folder is asked for that the server does not allow", body = ErrorBody),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
        (status = 413, description = "the body is too large", body = ErrorBody),
        (status = 422, description = "it does not come up; the message says what is in force", body = ErrorBody),
        (status = 504, description = "in force, and not up when the wait ended", body = ErrorBody),
    ))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    Name(name): Name,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
) -> Answer<Json<FunctionDescription>> {
    let wait = Query::parse(request.uri(), &["wait", "keep_failed"])?.wait()?;
    check_name("function", &name)?;
    let (update, archive) = asked(&app, client, request, |update: &FunctionUpdate| update.archive.as_ref()).await?;
    check_named(&update.name, &name)?;
    Ok(Json(app.functions.update(name, update, archive, wait).await?))
}

/// Ends a function's tasks, which finish what they began, and starts them anew.
#[utoipa::path(post, path = "/api/v1/function/{name}/restart", operation_id = "restart_function",
    tag = openapi::FUNCTIONS,
    params(
        ("name" = String, Path, description = "the function's name"),
        ("wait" = Option<String>, Query, description = WAIT),
    ),
    responses(
        (status = 200, description = "the function, which comes up", body = FunctionDescription),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
        (status = 409, description = "the function is stopped", body = ErrorBody),
        (status = 422, description = "restarted, and does not come up", body = ErrorBody),
        (status = 504, description = "restarted, and not up when the wait ended", body = ErrorBody),
    ))]
pub(super) async fn restart(
    State(app): State<Arc<App>>,
    Name(name): Name,
    uri: Uri,
) -> Answer<Json<FunctionDescription>> {
    let wait = Query::parse(&uri, &["wait"])?.wait()?;
    Ok(Json(app.functions.restart(name, wait).await?))
}

/// The revisions of a function that are kept, the newest first.
#[utoipa::path(get, path = "/api/v1/function/{name}/revisions", operation_id = "list_revisions",
    tag = openapi::FUNCTIONS,
    params(("name" = String, Path, description = "the function's name")),
    responses(
        (status = 200, description = "the revisions", body = Vec<RevisionDescription>),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
    ))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Name(name): Name,
    uri: Uri,
) -> Answer<Json<Vec<RevisionDescription>>> {
    Query::parse(&uri, &[])?;
    Ok(Json(app.functions.revisions(name).await?))
}

/// Puts the description of an earlier revision in force again, and its state, if that is asked for.
///
/// The answer says what cannot be undone.
#[utoipa::path(post, path = "/api/v1/function/{name}/rollback", operation_id = "rollback_function",
    tag = openapi::FUNCTIONS,
    params(
        ("name" = String, Path, description = "the function's name"),
        ("wait" = Option<String>, Query, description = WAIT),
    ),
    request_body(content((RollbackRequest = "application/json"))),
    responses(
        (status = 200, description = "rolled back, as a new revision", body = RolledBack),
        (status = 400, description = "the revision is the present one", body = ErrorBody),
        (status = 404, description = "there is no function of this name, or no such revision of it", body = ErrorBody),
        (status = 409, description = "the state of the revision is not kept", body = ErrorBody),
        (status = 410, description = "records that are to be processed again were dropped", body = ErrorBody),
        (status = 422, description = "rolled back, and does not come up", body = ErrorBody),
        (status = 504, description = "rolled back, and not up when the wait ended", body = ErrorBody),
    ))]
pub(super) async fn rollback(
    State(app): State<Arc<App>>,
    Name(name): Name,
    request: Request,
) -> Answer<Json<RolledBack>> {
    let wait = Query::parse(request.uri(), &["wait"])?.wait()?;
    let (head, body) = request.into_parts();
    let rollback: RollbackRequest =
        body::json(&body::read(&app, &head.headers, body, Most::always(MAX_REQUEST)).await?)?;
    Ok(Json(app.functions.rollback(name, rollback, wait).await?))
}

/// Has a function read on from another place of its inputs, running or not; its state stays.
#[utoipa::path(post, path = "/api/v1/function/{name}/seek", operation_id = "seek_function",
    tag = openapi::FUNCTIONS,
    params(
        ("name" = String, Path, description = "the function's name"),
        ("wait" = Option<String>, Query, description = WAIT),
    ),
    request_body(content((SeekRequest = "application/json"))),
    responses(
        (status = 200, description = "moved, as a new revision", body = Sought),
        (status = 400, description = "it is no place in its inputs, or past the end", body = ErrorBody),
        (status = 404, description = "there is no function of this name, or no such partition", body = ErrorBody),
        (status = 410, description = "the position was dropped", body = ErrorBody),
        (status = 422, description = "moved, and does not come up", body = ErrorBody),
        (status = 504, description = "moved, and not up when the wait ended", body = ErrorBody),
    ))]
pub(super) async fn seek(State(app): State<Arc<App>>, Name(name): Name, request: Request) -> Answer<Json<Sought>> {
    let wait = Query::parse(request.uri(), &["wait"])?.wait()?;
    let (head, body) = request.into_parts();
    let seek: SeekRequest = body::json(&body::read(&app, &head.headers, body, Most::always(MAX_REQUEST)).await?)?;
    Ok(Json(app.functions.seek(name, seek, wait).await?))
}
