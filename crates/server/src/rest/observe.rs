// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `/api/v1/status`, `/metrics` and `/readyz`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::IntoResponse;
use fnstream_api::{ErrorBody, FunctionSummary};
use fnstream_core::error::internal;

use super::failure::{Answer, Failure};
use super::openapi;
use super::params::Query;
use crate::app::App;
use crate::metrics;

/// How all functions fare.
#[utoipa::path(get, path = "/api/v1/status", operation_id = "status", tag = openapi::FUNCTIONS,
    params(("name" = Option<String>, Query, description = "this function only")),
    responses(
        (status = 200, description = "the functions in the order of their names", body = Vec<FunctionSummary>),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
    ))]
pub(super) async fn status(State(app): State<Arc<App>>, uri: Uri) -> Answer<Json<Vec<FunctionSummary>>> {
    let query = Query::parse(&uri, &["name"])?;
    Ok(Json(app.inspection.status(query.text("name")?.map(str::to_owned)).await?))
}

/// What is counted, for monitoring.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Answer<impl IntoResponse> {
    let text =
        metrics::text_of(app.inspection.scrape().await?).map_err(|e| Failure(internal(format!("metrics: {e}"))))?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text))
}

/// Whether work can be given to this server.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Answer<&'static str> {
    app.inspection.ready().await?;
    Ok("ready\n")
}
