// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `/api/v1/status`, `/metrics` and `/readyz`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::IntoResponse;
use fnstream_api::{ErrorBody, FunctionSummary};
use fnstream_core::ErrorCode;
use fnstream_core::error::internal;

use super::failure::{Answer, Failure};
use super::openapi;
use super::params::{BEHIND_HEADER, MAX_ROWS, Query, paged};
use crate::app::App;
use crate::app::pages::Page;
use crate::metrics;

/// How functions fare, in pages.
#[utoipa::path(get, path = "/api/v1/status", operation_id = "status", tag = openapi::FUNCTIONS,
    params(
        ("name" = Option<String>, Query, description = "this function only"),
        ("max" = Option<usize>, Query, description = MAX_ROWS),
        ("after" = Option<String>, Query, description = BEHIND_HEADER),
    ),
    responses(
        (status = 200, description = "the functions in the order of their names", body = Vec<FunctionSummary>,
            headers(("fs-next" = Option<String>, description = "the cursor of the next page, if there is one"))),
        (status = 400, description = "a parameter is not well formed", body = ErrorBody),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
    ))]
pub(super) async fn status(State(app): State<Arc<App>>, uri: Uri) -> Answer<impl IntoResponse> {
    let query = Query::parse(&uri, &["name", "max", "after"])?;
    let wanted = query.page()?;
    let page = match query.text("name")? {
        Some(name) => Page { rows: vec![app.inspection.status(name.to_owned()).await?], next: None },
        None => {
            let _memory = app.net.for_list().await?;
            app.inspection.status_page(wanted).await?
        }
    };
    Ok(paged(page))
}

/// What is counted, for monitoring.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Answer<impl IntoResponse> {
    let scrape = app.inspection.scrape(app.records.group_samples().await?).await?;
    let text = metrics::text_of(scrape).map_err(|e| Failure(internal(format!("metrics: {e}"))))?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text))
}

/// Whether work can be given to this server. One that holds functions back takes all other work, so it is ready, and says so; as
/// one does that other machines reach.
pub(super) async fn ready(State(app): State<Arc<App>>, unprotected: bool) -> Answer<String> {
    app.inspection.ready().await?;
    let mut told = "ready".to_owned();
    match app.inspection.held_back() {
        0 => {}
        count => told += &format!("; functions held back by a safe start: {count} ({})", ErrorCode::HeldBack),
    }
    if unprotected {
        told += &format!("; reachable from other machines, without authentication ({})", ErrorCode::Unprotected);
    }
    Ok(told + "\n")
}
