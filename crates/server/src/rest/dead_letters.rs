// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `/api/v1/function/{name}/dead-letters`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::Uri;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fnstream_api::{
    DeadLetter, DeadLetterDrop, DeadLetterSelection, DeadLetterTrial, DeadLetters, ErrorBody, Job, RecordHeader,
};
use fnstream_core::dead_letter;
use fnstream_core::record::Position;
use fnstream_frame::RecordView;

use super::failure::{Answer, Failure};
use super::jobs::{Began, began, wait};
use super::local::is_local;
use super::params::{BEHIND_NEXT, Name, NameAndId, Query, number};
use super::{body, openapi};
use crate::app::pages::Wanted;
use crate::app::{App, Archive, Chosen, DeadLetterPage, WaitingDeadLetter};
use crate::most::Most;

/// The largest body of these requests.
const MAX_BODY: usize = 64 << 10;

/// The most dead letters that are dropped by their ids at once.
const MOST_IDS: usize = 1_000;

/// How many dead letters a page has when nothing is said.
const SHOWN: usize = 100;

/// The dead letters of a function that wait, the oldest first, in pages.
///
/// A page ends early when its letters are large, or when the topic has much between them that is of others; the last page is the
/// one without `next`. A letter that waits all the while is on exactly one page.
#[utoipa::path(get, path = "/api/v1/function/{name}/dead-letters", operation_id = "list_dead_letters",
    tag = openapi::FUNCTIONS,
    params(
        ("name" = String, Path, description = "the function's name"),
        ("max" = Option<usize>, Query, description = "at most so many dead letters, 100 when it is not given and never more than 1000; 0 only counts them"),
        ("after" = Option<String>, Query, description = BEHIND_NEXT),
    ),
    responses(
        (status = 200, description = "the dead letters", body = DeadLetters),
        (status = 400, description = "a parameter is not well formed", body = ErrorBody),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
        (status = 409, description = "its policy is not to keep dead letters", body = ErrorBody),
    ))]
pub(super) async fn list(State(app): State<Arc<App>>, Name(name): Name, uri: Uri) -> Answer<Json<DeadLetters>> {
    let query = Query::parse(&uri, &["max", "after"])?;
    let max = query.read("max", number::<usize>)?.unwrap_or(SHOWN);
    let wanted = Wanted { max, after: query.text("after")?.map(str::to_owned) };
    let _memory = app.net.for_list().await?;
    let DeadLetterPage { topic, count, rows, dropped, next } = app.dead_letters.list(name, wanted).await?;
    let dead_letters = rows.iter().map(shown).collect::<Answer<_>>()?;
    let estimated = count.is_some_and(|count| !count.exact);
    Ok(Json(DeadLetters { topic, waiting: count.map(|count| count.waiting), estimated, dead_letters, dropped, next }))
}

/// One dead letter that waits.
#[utoipa::path(get, path = "/api/v1/function/{name}/dead-letters/{id}", operation_id = "show_dead_letter",
    tag = openapi::FUNCTIONS,
    params(
        ("name" = String, Path, description = "the function's name"),
        ("id" = String, Path, description = "the dead letter, as PARTITION:POSITION"),
    ),
    responses(
        (status = 200, description = "the dead letter", body = DeadLetter),
        (status = 404, description = "there is no function of this name, or no such dead letter waits", body = ErrorBody),
    ))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    NameAndId(name, id): NameAndId,
    uri: Uri,
) -> Answer<Json<DeadLetter>> {
    Query::parse(&uri, &[])?;
    Ok(Json(shown(&app.dead_letters.show(name, place(&id)?).await?)?))
}

/// Begins to have a function process its dead letters again, in their order, each exactly once.
///
/// This is a job, which goes on by itself; its letters take turns with the function's input. With `wait` the answer comes when
/// it is over, or after that time.
#[utoipa::path(post, path = "/api/v1/function/{name}/dead-letters/replay", operation_id = "replay_dead_letters",
    tag = openapi::FUNCTIONS,
    params(
        ("name" = String, Path, description = "the function's name"),
        ("wait" = Option<String>, Query, description = "wait so long until it is over, such as 10s; at most 60s"),
    ),
    request_body = Option<DeadLetterSelection>,
    responses(
        (status = 200, description = "it is over", body = Job),
        (status = 202, description = "it is under way", body = Job),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
        (status = 409, description = "the function keeps no dead letters, or another job is under way", body = ErrorBody),
    ))]
pub(super) async fn replay(State(app): State<Arc<App>>, Name(name): Name, request: Request) -> Answer<Began> {
    let wait = wait(request.uri())?;
    let count = selection(&app, request).await?.count;
    let job = app.jobs.replay(name, count).await?;
    began(&app, job, wait).await
}

/// Begins to drop dead letters of a function: a job, as a replay is.
///
/// A letter that is dropped by its id while older ones wait moves all others of its partition to the end. They keep their order
/// and get new ids.
#[utoipa::path(post, path = "/api/v1/function/{name}/dead-letters/drop", operation_id = "drop_dead_letters",
    tag = openapi::FUNCTIONS,
    params(
        ("name" = String, Path, description = "the function's name"),
        ("wait" = Option<String>, Query, description = "wait so long until it is over, such as 10s; at most 60s"),
    ),
    request_body = DeadLetterDrop,
    responses(
        (status = 200, description = "it is over", body = Job),
        (status = 202, description = "it is under way", body = Job),
        (status = 400, description = "not exactly one of ids, count and all is given, or an id is not well formed", body = ErrorBody),
        (status = 404, description = "there is no function of this name, or one of the dead letters does not wait", body = ErrorBody),
        (status = 409, description = "the function keeps no dead letters, or another job is under way", body = ErrorBody),
    ))]
pub(super) async fn discard(State(app): State<Arc<App>>, Name(name): Name, request: Request) -> Answer<Began> {
    let wait = wait(request.uri())?;
    let (head, body) = request.into_parts();
    let which: DeadLetterDrop = body::json(&body::read(&app, &head.headers, body, Most::always(MAX_BODY)).await?)?;
    // It cannot be undone: nobody is to do it by leaving something out.
    let DeadLetterDrop { ids, count, all } = which;
    let job = match (&*ids, count, all) {
        ([], Some(1..), false) | ([], None, true) => app.jobs.discard(name, count).await?,
        ([_, ..], None, false) if ids.len() <= MOST_IDS => {
            let mut chosen = Chosen::new();
            for id in &ids {
                let (partition, position) = place(id)?;
                chosen.entry(partition).or_default().insert(position);
            }
            app.jobs.discard_only(name, chosen).await?
        }
        _ => {
            return Err(Failure::invalid(format!(
                "say which dead letters are to be dropped: up to {MOST_IDS} ids, or a count of at least 1, or all"
            )));
        }
    };
    began(&app, job, wait).await
}

/// Begins to try another artifact on the waiting dead letters, on the state as it is now; nothing of it is kept.
///
/// A job, as a replay is. When it is over, `/api/v1/job/{id}/tried` says what the artifact made of each letter.
#[utoipa::path(post, path = "/api/v1/function/{name}/dead-letters/try", operation_id = "try_dead_letters",
    tag = openapi::FUNCTIONS,
    params(
        ("name" = String, Path, description = "the function's name"),
        ("wait" = Option<String>, Query, description = "wait so long until it is over, such as 10s; at most 60s"),
    ),
    request_body = DeadLetterTrial,
    responses(
        (status = 200, description = "it is over", body = Job),
        (status = 202, description = "it is under way", body = Job),
        (status = 400, description = "the artifact is not there", body = ErrorBody),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
        (status = 409, description = "the function keeps no dead letters, or another job is under way", body = ErrorBody),
    ))]
pub(super) async fn attempt(
    State(app): State<Arc<App>>,
    Name(name): Name,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
) -> Answer<Began> {
    let wait = wait(request.uri())?;
    let (head, body) = request.into_parts();
    let trial: DeadLetterTrial = body::json(&body::read(&app, &head.headers, body, Most::always(MAX_BODY)).await?)?;
    let archive = Archive::Named { text: trial.archive, local: is_local(&app, client, &head.headers) };
    let job = app.jobs.try_out(name, trial.count, archive).await?;
    began(&app, job, wait).await
}

/// The place that an id names.
fn place(id: &str) -> Answer<(u32, Position)> {
    let at = id.split_once(':').and_then(|(partition, position)| {
        Some((partition.parse::<u32>().ok()?, Position(position.parse::<u128>().ok()?)))
    });
    at.ok_or_else(|| Failure::invalid(format!("'{}' is not PARTITION:POSITION", id.escape_debug())))
}

async fn selection(app: &App, request: Request) -> Answer<DeadLetterSelection> {
    let (head, body) = request.into_parts();
    let body = body::read(app, &head.headers, body, Most::always(MAX_BODY)).await?;
    let selection: DeadLetterSelection =
        if body.is_empty() { DeadLetterSelection::default() } else { body::json(&body)? };
    if selection.count == Some(0) {
        return Err(Failure::invalid("count is 0: leave it out to mean all dead letters that wait"));
    }
    Ok(selection)
}

fn shown(waiting: &WaitingDeadLetter) -> Answer<DeadLetter> {
    let WaitingDeadLetter { batch, index, dead_letter } = waiting;
    let record = batch.frame().record(*index);
    let original = dead_letter::DeadLetter::original(record.headers)?;
    let record = RecordView { headers: original.as_headers(), ..record };
    let is_text = [record.key.unwrap_or_default(), record.bytes()]
        .into_iter()
        .chain(record.headers.iter().map(|(_, value)| value))
        .all(|bytes| std::str::from_utf8(bytes).is_ok());
    let text = |bytes: &[u8]| match is_text {
        true => String::from_utf8_lossy(bytes).into_owned(),
        false => STANDARD.encode(bytes),
    };
    Ok(DeadLetter {
        id: format!("{}:{}", batch.from().partition, batch.position(*index)),
        code: dead_letter.code.clone(),
        message: dead_letter.message.clone(),
        backtrace: dead_letter.backtrace.clone(),
        revision: dead_letter.revision,
        topic: dead_letter.source.topic.to_string(),
        partition: dead_letter.source.partition,
        position: dead_letter.position.to_string(),
        attempts: dead_letter.attempts,
        failed_at_ms: dead_letter.failed_at_ms,
        timestamp_ms: record.timestamp,
        key: record.key.map(text),
        headers: record
            .headers
            .iter()
            .map(|(name, value)| RecordHeader { name: name.to_owned(), value: text(value) })
            .collect(),
        value: record.value.map(text),
        encoding: if is_text { "utf-8".to_owned() } else { "base64".to_owned() },
    })
}
