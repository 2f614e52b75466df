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
    DeadLetter, DeadLetterDrop, DeadLetterResult, DeadLetterSelection, DeadLetterTrial, DeadLetters, ErrorBody,
    RecordHeader, TriedDeadLetter,
};
use fnstream_core::dead_letter;
use fnstream_core::record::Position;
use fnstream_frame::RecordView;

use super::failure::{Answer, Failure};
use super::params::{Name, NameAndId, Query};
use super::{body, openapi};
use crate::app::{App, Archive, DeadLetterList, DeadLetterOutcome, WaitingDeadLetter};

/// The largest body of these requests.
const MAX_BODY: usize = 64 << 10;

/// How many dead letters are shown when nothing is said.
const SHOWN: usize = 100;

/// The most dead letters of one answer.
const MOST_SHOWN: usize = 10_000;

/// The dead letters of a function that wait, the oldest first.
#[utoipa::path(get, path = "/api/v1/function/{name}/dead-letters", operation_id = "list_dead_letters",
    tag = openapi::FUNCTIONS,
    params(
        ("name" = String, Path, description = "the function's name"),
        ("max" = Option<usize>, Query, description = "at most so many dead letters, 100 when it is not given"),
    ),
    responses(
        (status = 200, description = "the dead letters", body = DeadLetters),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
        (status = 409, description = "its policy is not to keep dead letters", body = ErrorBody),
    ))]
pub(super) async fn list(State(app): State<Arc<App>>, Name(name): Name, uri: Uri) -> Answer<Json<DeadLetters>> {
    let max = Query::parse(&uri, &["max"])?.read("max", str::parse::<usize>)?.unwrap_or(SHOWN).min(MOST_SHOWN);
    let DeadLetterList { topic, waiting, first } = app.dead_letters.list(name, max).await?;
    let dead_letters = first.iter().map(shown).collect::<Answer<_>>()?;
    Ok(Json(DeadLetters { topic, waiting, dead_letters }))
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
    let at = id.split_once(':').and_then(|(partition, position)| {
        Some((partition.parse::<u32>().ok()?, Position(position.parse::<u128>().ok()?)))
    });
    let at = at.ok_or_else(|| Failure::invalid(format!("'{}' is not PARTITION:POSITION", id.escape_debug())))?;
    Ok(Json(shown(&app.dead_letters.show(name, at).await?)?))
}

/// Has a function process its dead letters again, in their order and before further input, each exactly once.
///
/// The answer comes when it has, or after 30 seconds with what is left; the function then goes on with it.
#[utoipa::path(post, path = "/api/v1/function/{name}/dead-letters/replay", operation_id = "replay_dead_letters",
    tag = openapi::FUNCTIONS,
    params(("name" = String, Path, description = "the function's name")),
    request_body = Option<DeadLetterSelection>,
    responses(
        (status = 200, description = "what was done", body = DeadLetterResult),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
        (status = 409, description = "the function is not running, or keeps no dead letters", body = ErrorBody),
    ))]
pub(super) async fn replay(
    State(app): State<Arc<App>>,
    Name(name): Name,
    request: Request,
) -> Answer<Json<DeadLetterResult>> {
    let count = selection(request).await?.count;
    Ok(Json(result(&app.dead_letters.replay(name, count).await?)))
}

/// Drops dead letters of a function.
#[utoipa::path(post, path = "/api/v1/function/{name}/dead-letters/drop", operation_id = "drop_dead_letters",
    tag = openapi::FUNCTIONS,
    params(("name" = String, Path, description = "the function's name")),
    request_body = DeadLetterDrop,
    responses(
        (status = 200, description = "what was done", body = DeadLetterResult),
        (status = 400, description = "neither a count nor all is named", body = ErrorBody),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
        (status = 409, description = "the function is not running, or keeps no dead letters", body = ErrorBody),
    ))]
pub(super) async fn discard(
    State(app): State<Arc<App>>,
    Name(name): Name,
    request: Request,
) -> Answer<Json<DeadLetterResult>> {
    Query::parse(request.uri(), &[])?;
    let (head, body) = request.into_parts();
    let which: DeadLetterDrop = body::json(&body::read(&head.headers, body, MAX_BODY).await?)?;
    // It cannot be undone: nobody is to do it by leaving something out.
    if which.all == which.count.is_some() || which.count == Some(0) {
        return Err(Failure::invalid("say which dead letters are to be dropped: either a count of at least 1, or all"));
    }
    Ok(Json(result(&app.dead_letters.discard(name, which.count).await?)))
}

/// Tries another artifact on the waiting dead letters, on the state as it is now, and reports; nothing of it is kept.
#[utoipa::path(post, path = "/api/v1/function/{name}/dead-letters/try", operation_id = "try_dead_letters",
    tag = openapi::FUNCTIONS,
    params(("name" = String, Path, description = "the function's name")),
    request_body = DeadLetterTrial,
    responses(
        (status = 200, description = "what it made of each dead letter", body = Vec<TriedDeadLetter>),
        (status = 400, description = "the artifact cannot be run", body = ErrorBody),
        (status = 404, description = "there is no function of this name", body = ErrorBody),
        (status = 409, description = "the function is not running, or keeps no dead letters", body = ErrorBody),
    ))]
pub(super) async fn attempt(
    State(app): State<Arc<App>>,
    Name(name): Name,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
) -> Answer<Json<Vec<TriedDeadLetter>>> {
    Query::parse(request.uri(), &[])?;
    let (head, body) = request.into_parts();
    let trial: DeadLetterTrial = body::json(&body::read(&head.headers, body, MAX_BODY).await?)?;
    let archive = Archive::Named { text: trial.archive, local: client.ip().to_canonical().is_loopback() };
    let tried = app.dead_letters.try_out(name, trial.count, archive).await?;
    let told = tried.into_iter().map(|dead_letter| {
        let (emitted, failed) = match dead_letter.outcome {
            Ok(emitted) => (Some(emitted), None),
            Err(failed) => (None, Some(failed)),
        };
        TriedDeadLetter {
            id: format!("{}:{}", dead_letter.at.0.partition, dead_letter.at.1),
            emitted,
            code: failed.as_ref().map(|(code, _)| code.as_str().to_owned()),
            message: failed.map(|(_, message)| message),
        }
    });
    Ok(Json(told.collect()))
}

async fn selection(request: Request) -> Answer<DeadLetterSelection> {
    Query::parse(request.uri(), &[])?;
    let (head, body) = request.into_parts();
    let body = body::read(&head.headers, body, MAX_BODY).await?;
    let selection: DeadLetterSelection =
        if body.is_empty() { DeadLetterSelection::default() } else { body::json(&body)? };
    if selection.count == Some(0) {
        return Err(Failure::invalid("count is 0: leave it out to mean all dead letters that wait"));
    }
    Ok(selection)
}

fn result(outcome: &DeadLetterOutcome) -> DeadLetterResult {
    let report = &outcome.report;
    DeadLetterResult {
        replayed: report.replayed,
        failed_again: report.failed_again,
        dropped: report.dropped,
        waiting: outcome.waiting,
        finished: outcome.finished,
    }
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
