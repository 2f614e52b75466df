// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `/api/v1/function/{name}/logs`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::Uri;
use fnstream_api::units::parse_duration;
use fnstream_api::{ErrorBody, LogPage};

use super::failure::{Answer, Failure};
use super::openapi;
use super::params::{Name, Query, number};
use crate::app::{App, LogReading};
use crate::net::Presence;

/// How many lines are given when nothing is said.
const DEFAULT_TAIL: usize = 100;

/// What a function printed and what happened to it.
///
/// The newest lines are kept, about 1 to 2 MiB of each function.
#[utoipa::path(get, path = "/api/v1/function/{name}/logs", operation_id = "function_logs", tag = openapi::FUNCTIONS,
    params(
        ("name" = String, Path, description = "the function's name"),
        ("tail" = Option<u64>, Query, description = "at most so many of the newest lines; 100 without it and without 'after'"),
        ("after" = Option<String>, Query, description = "all lines behind this place: the 'next' of an earlier answer"),
        ("wait" = Option<String>, Query, description = "when there is none, wait so long for the next line, such as 30s"),
    ),
    responses(
        (status = 200, description = "the lines, none when none came in time", body = LogPage),
        (status = 400, description = "a parameter is not well formed", body = ErrorBody),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
    ))]
pub(super) async fn read(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Presence>,
    Name(name): Name,
    uri: Uri,
) -> Answer<Json<LogPage>> {
    let query = Query::parse(&uri, &["tail", "after", "wait"])?;
    let reading = match (query.read("tail", number)?, query.text("after")?) {
        (Some(_), Some(_)) => {
            return Err(Failure::invalid("'after' gives all that follows: give either 'tail' or 'after'"));
        }
        (tail, None) => LogReading::Tail(tail.unwrap_or(DEFAULT_TAIL)),
        (None, Some(place)) => match place.parse() {
            Ok(place) => LogReading::After(place),
            Err(_) => return Err(Failure::invalid("query parameter 'after' is not the 'next' of an earlier answer")),
        },
    };
    let wait = query.read("wait", parse_duration)?;
    Ok(Json(client.while_there(app.inspection.logs(name, reading, wait)).await?))
}
