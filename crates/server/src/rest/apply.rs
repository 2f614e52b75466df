// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `/api/v1/apply`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, Request, State};
use fnstream_api::{Applied, ErrorBody};

use super::failure::{Answer, Failure};
use super::local::is_local;
use super::params::{Query, WAIT, boolean};
use super::{body, openapi};
use crate::app::{App, Apply, Archive, Described};
use crate::most::Most;

/// The largest description of a function.
const MAX_DESCRIPTION: usize = 1 << 20;

/// Makes a function what a config.yaml says: creates it, or changes it in place.
///
/// The answer says what differed, field by field. With `dry_run` nothing else is done.
#[utoipa::path(post, path = "/api/v1/apply", operation_id = "apply", tag = openapi::FUNCTIONS,
    params(
        ("archive" = Option<String>, Query, description = "what to run: sha256:<digest> of an uploaded artifact, or a path on the server; without it, what the description names"),
        ("dry_run" = Option<bool>, Query, description = "only look what would change"),
        ("wait" = Option<String>, Query, description = WAIT),
        ("keep_failed" = Option<bool>, Query, description = "with 'wait': a change that does not come up stays in force"),
    ),
    request_body(content = String, content_type = "application/yaml"),
    responses(
        (status = 200, description = "applied, or what would be", body = Applied),
        (status = 400, description = "the description is not valid, or the artifact cannot be run", body = ErrorBody),
        (status = 403, description = "a folder is asked for that the server does not allow", body = ErrorBody),
        (status = 413, description = "the body is too large", body = ErrorBody),
        (status = 422, description = "it does not come up; the message says what is in force", body = ErrorBody),
        (status = 504, description = "in force, and not up when the wait ended", body = ErrorBody),
    ))]
pub(super) async fn apply(
    State(app): State<Arc<App>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
) -> Answer<Json<Applied>> {
    let query = Query::parse(request.uri(), &["archive", "dry_run", "wait", "keep_failed"])?;
    let wait = query.wait()?;
    let dry_run = query.read("dry_run", boolean)?.unwrap_or_default();
    let named = query.text("archive")?.map(str::to_owned);
    let (head, body) = request.into_parts();
    let config = body::read(&app, &head.headers, body, Most::always(MAX_DESCRIPTION)).await?;
    let Described { spec, archive, notes } = app.shelf.described(config).await?;
    let text = named
        .or(archive)
        .ok_or_else(|| Failure::invalid("there is no archive: neither the query nor the description names one"))?;
    let archive = Archive::Named { text, local: is_local(&app, client, &head.headers) };
    Ok(Json(app.functions.apply(Apply { spec, archive, notes }, dry_run, wait).await?))
}
