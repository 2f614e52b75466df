// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `/api/v1/function/{name}/trigger`: what a function would do with an event.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fnstream_api::RecordHeader;
use fnstream_api::json::base64;
use fnstream_api::{ErrorBody, Trigger, Triggered, TriggeredError, TriggeredEvent, TriggeredKey, TriggeredLine};
use fnstream_core::clock::Clock;
use fnstream_core::epoch::OutboxBatch;
use fnstream_core::timer::TIMERS_PREFIX;
use fnstream_engine::Change;
use fnstream_frame::{Frame, FrameBuilder, HeadersBuilder, RecordRef, RecordView};

use super::failure::{Answer, Failure};
use super::params::{Name, Query};
use super::{body, openapi};
use crate::app::{App, Origin, Tried, state_key};

/// The most bytes of emitted events that are told, and the most keys of the state.
const MOST_EMITTED: usize = 4 << 20;
const MOST_KEYS: usize = 1_000;

/// Gives a function an event aside and tells what it would do with it.
///
/// A new instance is called on a copy of the state that the task has committed, of one moment. Nothing is kept: not the event, not what
/// is emitted or written, no counter. It does not matter whether the function runs, is stopped or stuck. A function that fails is
/// answered with 200, too: `error` says why.
#[utoipa::path(post, path = "/api/v1/function/{name}/trigger", operation_id = "trigger", tag = openapi::FUNCTIONS,
    params(("name" = String, Path, description = "the function's name")),
    request_body = Trigger,
    responses(
        (status = 200, description = "what it would do", body = Triggered),
        (status = 400, description = "the event or its input is not valid", body = ErrorBody),
        (status = 404, description = "there is no function of this name, or no such partition", body = ErrorBody),
        (status = 413, description = "the state is too large to be copied", body = ErrorBody),
    ))]
pub(super) async fn trigger(
    State(app): State<Arc<App>>,
    Name(name): Name,
    request: Request,
) -> Answer<Json<Triggered>> {
    Query::parse(request.uri(), &[])?;
    let (head, body) = request.into_parts();
    let trigger: Trigger = body::json(&body::read(&app, &head.headers, body, app.most_produced()).await?)?;
    let origin = Origin { input: trigger.input.clone(), partition: trigger.partition };
    let frame = frame(&trigger, app.triggers.clock.as_ref())?;
    let _memory = app.net.for_list().await?;
    Ok(Json(told(app.triggers.trigger(name, origin, frame).await?)))
}

/// The event as a frame.
fn frame(trigger: &Trigger, clock: &dyn Clock) -> Answer<Vec<u8>> {
    let is_text = match trigger.encoding.as_deref() {
        None | Some("utf-8") => true,
        Some("base64") => false,
        Some(other) => {
            return Err(Failure::invalid(format!("encoding is '{}', not utf-8 or base64", other.escape_debug())));
        }
    };
    let bytes = |text: &String| match is_text {
        true => Ok(text.clone().into_bytes()),
        false => base64(text).map_err(|why| Failure::invalid(format!("the event is not base64: {why}"))),
    };
    let mut headers = HeadersBuilder::new();
    for RecordHeader { name, value } in &trigger.headers {
        let pushed = headers.push(name, &bytes(value)?);
        pushed.map_err(|e| Failure::invalid(format!("'{}' is not a header: {e}", name.escape_debug())))?;
    }
    let (key, value) = (trigger.key.as_ref().map(bytes).transpose()?, trigger.value.as_ref().map(bytes).transpose()?);
    let record = value.as_deref().map_or_else(RecordRef::null, RecordRef::new);
    let time = trigger.timestamp_ms.unwrap_or_else(|| clock.unix_ms());
    let mut frame = FrameBuilder::new();
    frame.push(record.with_key(key.as_deref()).with_headers(headers.as_headers()).at(time));
    Ok(frame.to_bytes())
}

fn told(tried: Tried) -> Triggered {
    let Tried { revision, task, said, triggered } = tried;
    let (mut emitted, mut bytes, mut left_out) = (Vec::new(), 0, 0);
    for batch in &triggered.emitted {
        for record in Frame::parse(&batch.frame).iter().flat_map(|frame| frame.iter()) {
            bytes += record.packed_len();
            match bytes <= MOST_EMITTED {
                true => emitted.push(event(batch, &record)),
                false => left_out += 1,
            }
        }
    }
    let is_timer = |key: &[u8]| key.starts_with(&TIMERS_PREFIX);
    let of_state = triggered.changed.iter().filter(|(key, _)| !is_timer(key));
    let keys = of_state.clone().take(MOST_KEYS).filter_map(|(key, change)| {
        let (store, key) = state_key(key)?;
        let change = if *change == Change::Put { "put" } else { "delete" };
        Some(TriggeredKey { store, key, change: change.to_owned() })
    });
    // Each timer has two keys.
    let timers = triggered.changed.keys().filter(|key| is_timer(key)).count().div_ceil(2);
    Triggered {
        revision,
        task,
        emitted,
        emitted_left_out: left_out,
        state: keys.collect(),
        state_changes: of_state.count() as u64,
        timer_changes: timers as u64,
        logs: said
            .lines
            .into_iter()
            .map(|(speaker, text)| TriggeredLine { from: speaker.as_str().to_owned(), text })
            .collect(),
        logs_left_out: said.dropped,
        error: triggered.outcome.err().map(|failure| TriggeredError {
            code: failure.error.code.as_str().to_owned(),
            message: failure.error.message,
            backtrace: failure.backtrace,
        }),
    }
}

fn event(batch: &OutboxBatch, record: &RecordView<'_>) -> TriggeredEvent {
    let parts = [record.key.unwrap_or_default(), record.bytes()].into_iter();
    let is_text = parts.chain(record.headers.iter().map(|(_, value)| value)).all(|b| std::str::from_utf8(b).is_ok());
    let text = |bytes: &[u8]| match is_text {
        true => String::from_utf8_lossy(bytes).into_owned(),
        false => STANDARD.encode(bytes),
    };
    let header = |(name, value): (&str, &[u8])| RecordHeader { name: name.to_owned(), value: text(value) };
    TriggeredEvent {
        topic: batch.topic.to_string(),
        partition: batch.partition,
        timestamp_ms: record.timestamp,
        key: record.key.map(text),
        headers: record.headers.iter().map(header).collect(),
        value: record.value.map(text),
        encoding: if is_text { "utf-8" } else { "base64" }.to_owned(),
    }
}
