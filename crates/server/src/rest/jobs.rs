// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `/api/v1/jobs` and `/api/v1/job/{id}`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use fnstream_api::units::parse_duration;
use fnstream_api::{ErrorBody, Job, TriedDeadLetters};

use super::failure::Answer;
use super::openapi;
use super::params::{BEHIND_NEXT, MAX_ROWS, Name, Query};
use crate::app::App;

/// The longest time that a request waits for a job: whoever waits longer asks again.
const MOST_WAIT: Duration = Duration::from_secs(60);

/// A job that was just begun, with the status that says whether it is over.
pub(super) type Began = (StatusCode, Json<Job>);

/// How long the request waits, in its query that has nothing else.
pub(super) fn wait(uri: &Uri) -> Answer<Option<Duration>> {
    Ok(Query::parse(uri, &["wait"])?.read("wait", parse_duration)?.map(|wait| wait.min(MOST_WAIT)))
}

/// The answer to a request that began a job.
pub(super) async fn began(app: &Arc<App>, job: Job, wait: Option<Duration>) -> Answer<Began> {
    let job = if wait.is_some() { app.jobs.job(&job.id, wait).await? } else { job };
    let status = if job.state.is_over() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(job)))
}

/// The jobs of the server: those under way, and the newest 100 that are over, the newest first.
#[utoipa::path(get, path = "/api/v1/jobs", operation_id = "list_jobs", tag = openapi::FUNCTIONS,
    params(("function" = Option<String>, Query, description = "those of this function only")),
    responses((status = 200, description = "the jobs", body = Vec<Job>)))]
pub(super) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Answer<Json<Vec<Job>>> {
    let query = Query::parse(&uri, &["function"])?;
    Ok(Json(app.jobs.list(query.text("function")?).await?))
}

/// A job as it is now.
///
/// With `wait` the answer comes as soon as it is over, or after that time.
#[utoipa::path(get, path = "/api/v1/job/{id}", operation_id = "job", tag = openapi::FUNCTIONS,
    params(
        ("id" = String, Path, description = "the job's id"),
        ("wait" = Option<String>, Query, description = "wait so long until it is over, such as 10s; at most 60s"),
    ),
    responses(
        (status = 200, description = "the job", body = Job),
        (status = 404, description = "there is no job of this id", body = ErrorBody),
    ))]
pub(super) async fn show(State(app): State<Arc<App>>, Name(id): Name, uri: Uri) -> Answer<Json<Job>> {
    let wait = wait(&uri)?;
    Ok(Json(app.jobs.job(&id, wait).await?))
}

/// Has a job begin nothing more.
///
/// What it has begun is finished, and what it did before stays done. A job that is over stays as it is.
#[utoipa::path(post, path = "/api/v1/job/{id}/cancel", operation_id = "cancel_job", tag = openapi::FUNCTIONS,
    params(("id" = String, Path, description = "the job's id")),
    responses(
        (status = 200, description = "the job, which is over or about to be", body = Job),
        (status = 404, description = "there is no job of this id", body = ErrorBody),
    ))]
pub(super) async fn cancel(State(app): State<Arc<App>>, Name(id): Name, uri: Uri) -> Answer<Json<Job>> {
    Query::parse(&uri, &[])?;
    Ok(Json(app.jobs.cancel(&id).await?))
}

/// What a trial made of each dead letter, in pages; kept for the newest trials, until the server ends.
#[utoipa::path(get, path = "/api/v1/job/{id}/tried", operation_id = "tried_dead_letters", tag = openapi::FUNCTIONS,
    params(
        ("id" = String, Path, description = "the job's id"),
        ("max" = Option<usize>, Query, description = MAX_ROWS),
        ("after" = Option<String>, Query, description = BEHIND_NEXT),
    ),
    responses(
        (status = 200, description = "a page of them", body = TriedDeadLetters),
        (status = 400, description = "the job is no trial, or a parameter is not well formed", body = ErrorBody),
        (status = 404, description = "there is no job of this id, or what it made is not kept any more", body = ErrorBody),
        (status = 409, description = "the trial is under way", body = ErrorBody),
    ))]
pub(super) async fn tried(State(app): State<Arc<App>>, Name(id): Name, uri: Uri) -> Answer<Json<TriedDeadLetters>> {
    let wanted = Query::parse(&uri, &["max", "after"])?.page()?;
    let _memory = app.net.for_list().await?;
    let page = app.jobs.tried(&id, wanted).await?;
    Ok(Json(TriedDeadLetters { tried: page.rows, next: page.next }))
}
