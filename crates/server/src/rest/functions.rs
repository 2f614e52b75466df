// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `/api/v1/functions`, `/api/v1/function/{name}` and `/api/v1/artifacts`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, FromRequest, Multipart, Request, State};
use axum::http::{Uri, header};
use bytes::Bytes;
use fnstream_api::{ErrorBody, Function, FunctionDescription, UploadedArtifact};
use fnstream_core::spec::check_name;
use fnstream_core::{Error, ErrorCode};
use utoipa::ToSchema;

use super::failure::{Answer, Failure};
use super::params::{Name, Query};
use super::{body, openapi};
use crate::app::{App, Archive, Incoming, NewFunction};

/// The largest description of a function.
const MAX_DESCRIPTION: usize = 1 << 20;

/// The names of all functions.
#[utoipa::path(get, path = "/api/v1/functions", operation_id = "list_functions", tag = openapi::FUNCTIONS,
    responses((status = 200, description = "the names in order", body = Vec<String>)))]
pub async fn list(State(app): State<Arc<App>>, uri: Uri) -> Answer<Json<Vec<String>>> {
    Query::parse(&uri, &[])?;
    Ok(Json(app.functions().await?))
}

/// A function and its artifact in one request.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the form for the published interface")]
struct FunctionUpload {
    /// The description; its `archive` may be left out.
    function: Function,
    /// The WebAssembly file.
    archive: openapi::Binary,
}

/// Registers a function and starts it.
///
/// A failure leaves the name free.
#[utoipa::path(post, path = "/api/v1/function/{name}", operation_id = "create_function", tag = openapi::FUNCTIONS,
    params(("name" = String, Path, description = "the function's name")),
    request_body(content((Function = "application/json"), (FunctionUpload = "multipart/form-data"))),
    responses(
        (status = 200, description = "registered and started", body = FunctionDescription),
        (status = 400, description = "the body is empty or not valid, or the artifact cannot be run", body = ErrorBody),
        (status = 403, description = "a folder is asked for that the server does not allow", body = ErrorBody),
        (status = 409, description = "a function of this name exists", body = ErrorBody),
        (status = 413, description = "the body is too large", body = ErrorBody),
    ))]
pub async fn create(
    State(app): State<Arc<App>>,
    Name(name): Name,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
) -> Answer<Json<FunctionDescription>> {
    Query::parse(request.uri(), &[])?;
    check_name("function", &name)?;
    let content_type = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |v| v.as_bytes());
    let (function, archive) = if content_type.to_ascii_lowercase().starts_with(b"multipart/form-data") {
        let (function, archive) = parts(&app, request).await?;
        (function, Archive::Bytes(archive))
    } else {
        let (head, body) = request.into_parts();
        let function: Function = body::json(&body::read(&head.headers, body, MAX_DESCRIPTION).await?)?;
        let text = function.archive.clone();
        (function, Archive::Named { text, local: client.ip().to_canonical().is_loopback() })
    };
    if let Some(other) = function.name.as_ref().filter(|n| **n != name) {
        return Err(Failure::invalid(format!("the body names the function '{other}', the path '{name}'")));
    }
    Ok(Json(app.create(NewFunction { name, archive, function }).await?))
}

/// The parts `function` and `archive` of a multipart body.
async fn parts(app: &Arc<App>, request: Request) -> Answer<(Function, Bytes)> {
    let broken = |e: &dyn std::fmt::Display| Failure::invalid(format!("the multipart body is not as expected: {e}"));
    let mut form = Multipart::from_request(request, &()).await.map_err(|e| broken(&e))?;
    let (mut function, mut archive) = (None, None);
    while let Some(mut field) = form.next_field().await.map_err(|e| broken(&e))? {
        let (slot, limit) = match field.name() {
            Some("function") => (&mut function, MAX_DESCRIPTION),
            Some("archive") => (&mut archive, app.config().max_artifact_bytes),
            other => {
                let other = other.unwrap_or_default().escape_debug().to_string();
                return Err(broken(&format!("part '{other}' is neither 'function' nor 'archive'")));
            }
        };
        let mut part = Incoming::new(app);
        while let Some(chunk) = field.chunk().await.map_err(|e| broken(&e))? {
            if part.len() + chunk.len() > limit {
                body::hear_out(async { while let Ok(Some(_)) = field.chunk().await {} }).await;
                let message = format!("a part of the body has more than {limit} bytes");
                return Err(Failure(Error::new(ErrorCode::BodyTooLarge, message)));
            }
            part.add(&chunk).await?;
        }
        *slot = Some(part.finish().await?);
    }
    let missing = |part: &str| broken(&format!("part '{part}' is missing"));
    let function = function.ok_or_else(|| missing("function"))?;
    let archive = archive.ok_or_else(|| missing("archive"))?;
    let mut function: serde_json::Value = body::json(&function)?;
    // The artifact is in the other part: what the description says of it is not needed.
    if let Some(fields) = function.as_object_mut() {
        fields.entry("archive").or_insert_with(|| "part".into());
    }
    let function = serde_json::from_value(function).map_err(|e| broken(&format!("part 'function': {e}")))?;
    Ok((function, archive))
}

/// What a function is and how it fares.
#[utoipa::path(get, path = "/api/v1/function/{name}", operation_id = "describe_function", tag = openapi::FUNCTIONS,
    params(("name" = String, Path, description = "the function's name")),
    responses(
        (status = 200, description = "the function", body = FunctionDescription),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
    ))]
pub async fn describe(State(app): State<Arc<App>>, Name(name): Name, uri: Uri) -> Answer<Json<FunctionDescription>> {
    Query::parse(&uri, &[])?;
    Ok(Json(app.describe(name).await?))
}

/// Removes a function with its state; its topics stay.
#[utoipa::path(delete, path = "/api/v1/function/{name}", operation_id = "delete_function", tag = openapi::FUNCTIONS,
    params(("name" = String, Path, description = "the function's name")),
    responses(
        (status = 200, description = "removed; the name is free"),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
    ))]
pub async fn delete(State(app): State<Arc<App>>, Name(name): Name, uri: Uri) -> Answer<()> {
    Query::parse(&uri, &[])?;
    Ok(app.delete(name).await?)
}

/// Lets a stopped function run, also after a restart of the server.
#[utoipa::path(post, path = "/api/v1/function/{name}/start", operation_id = "start_function", tag = openapi::FUNCTIONS,
    params(("name" = String, Path, description = "the function's name")),
    responses(
        (status = 200, description = "the function, which comes up", body = FunctionDescription),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
    ))]
pub async fn start(State(app): State<Arc<App>>, Name(name): Name, uri: Uri) -> Answer<Json<FunctionDescription>> {
    Query::parse(&uri, &[])?;
    Ok(Json(app.start(name).await?))
}

/// Lets a function finish what it began and then rest, also after a restart of the server.
#[utoipa::path(post, path = "/api/v1/function/{name}/stop", operation_id = "stop_function", tag = openapi::FUNCTIONS,
    params(("name" = String, Path, description = "the function's name")),
    responses(
        (status = 200, description = "the function, stopped or still stopping", body = FunctionDescription),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
    ))]
pub async fn stop(State(app): State<Arc<App>>, Name(name): Name, uri: Uri) -> Answer<Json<FunctionDescription>> {
    Query::parse(&uri, &[])?;
    Ok(Json(app.stop(name).await?))
}

/// Uploads an artifact for functions that are created later; one that no function uses is removed after a while.
#[utoipa::path(post, path = "/api/v1/artifacts", operation_id = "upload", tag = openapi::FUNCTIONS,
    request_body(content = openapi::Binary, content_type = "application/wasm"),
    responses(
        (status = 200, description = "stored", body = UploadedArtifact),
        (status = 400, description = "the body is empty", body = ErrorBody),
        (status = 413, description = "the body is too large", body = ErrorBody),
    ))]
pub async fn upload(State(app): State<Arc<App>>, request: Request) -> Answer<Json<UploadedArtifact>> {
    Query::parse(request.uri(), &[])?;
    let (head, body) = request.into_parts();
    let artifact = body::read_artifact(&app, &head.headers, body).await?;
    if artifact.is_empty() {
        return Err(Failure::new(ErrorCode::EmptyBody, "the request has no body"));
    }
    Ok(Json(app.upload(artifact).await?))
}
