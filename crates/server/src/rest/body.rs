// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Reading a request's body, bounded.
//!
//! A body that is too large is never held in memory: one that says so beforehand is refused unread, another when it
//! passes the bound. Then what still comes is read and thrown away for a while, since a client that is still sending when
//! the connection closes would see a broken connection and not the reason.
//!
//! A body that is compressed is bounded by what it holds, too.
//!
//! Memory for all that is made of a body is taken before it is read, so that a request waits while its body is still with the
//! client, and nobody who holds memory waits for more. It is given back when the last of the body's bytes are dropped.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use fnstream_api::json::wrong;
use fnstream_core::budget::Held;
use fnstream_core::{Error, ErrorCode};
use http_body_util::BodyExt;

use super::encoding;
use super::failure::{Answer, Failure};
use crate::app::{App, Incoming, blocking};
use crate::config::BODY_COPIES as COPIES;
use crate::most::Most;
use crate::net::{self, SMALL, TooSlow};

/// How long a refused client may go on sending before the connection is closed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most that is set aside for a body before it came.
const FIRST: usize = 1 << 20;

/// The whole body, of at most so many bytes, or as many as there is memory for.
pub(super) async fn read(app: &App, headers: &HeaderMap, body: Body, most: Most) -> Answer<Bytes> {
    let most = most.or_less(Most::of_budget(app.net.budget.bodies.limit() / COPIES));
    let coding = match encoding::of(headers) {
        Ok(coding) => coding,
        Err(refused) => {
            refuse(app, headers, body).await;
            return Err(refused);
        }
    };
    let (announced, mut body) = announced(app, headers, body, most).await?;
    let room = match coding {
        // It is undone within what is taken now.
        Some(coding) => coding.holds(announced, most.bytes),
        // One that does not say how long it is may be small.
        None => announced.unwrap_or(SMALL / COPIES),
    };
    let mut memory = match taken_from(app, room).await {
        Ok(memory) => memory,
        Err(refused) => {
            refuse(app, headers, body).await;
            return Err(refused);
        }
    };
    let mut taken = BytesMut::with_capacity(announced.unwrap_or_default().min(FIRST));
    while let Some(data) = next(&mut body).await? {
        let length = taken.len() + data.len();
        if length > most.bytes {
            drop((taken, memory));
            discard(app, body).await;
            return Err(too_large(most));
        }
        if announced.is_none() && coding.is_none() && length * COPIES > memory.bytes() {
            // It is not, so it is taken for as long as it may be: see above. What there is of it is little.
            memory = taken_from(app, most.bytes).await?;
        }
        taken.extend_from_slice(&data);
    }
    match coding {
        Some(coding) if !taken.is_empty() => {
            let undone = blocking(move || coding.undo(&taken, most.bytes)).await?;
            let undone = undone.ok_or_else(|| {
                Failure::new(ErrorCode::BodyTooLarge, format!("the body has more than {most} when it is decompressed"))
            })?;
            memory.shrink_to(undone.len().saturating_mul(COPIES));
            Ok(keeping(undone.into(), memory))
        }
        _ => Ok(keeping(taken.freeze(), memory)),
    }
}

async fn taken_from(app: &App, length: usize) -> Answer<Held> {
    Ok(net::memory(&app.net.budget, &app.net.budget.bodies, length.saturating_mul(COPIES)).await?)
}

/// Bytes that keep the memory which was taken for them.
fn keeping(bytes: Bytes, memory: Held) -> Bytes {
    struct Kept(Bytes, #[expect(dead_code, reason = "it is given back when this is dropped")] Held);

    impl AsRef<[u8]> for Kept {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    Bytes::from_owner(Kept(bytes, memory))
}

/// The same for an artifact, which is kept on the disk until it is known not to be too large.
pub(super) async fn read_artifact(app: &Arc<App>, headers: &HeaderMap, body: Body) -> Answer<Bytes> {
    if let Err(refused) = encoding::plain(headers) {
        refuse(app, headers, body).await;
        return Err(refused);
    }
    let most = app.most_artifact();
    let (_, mut body) = announced(app, headers, body, most).await?;
    let mut taken = Incoming::new(&app.shelf);
    while let Some(data) = next(&mut body).await? {
        if taken.len() + data.len() > most.bytes {
            drop(taken);
            discard(app, body).await;
            return Err(too_large(most));
        }
        taken.add(&data).await?;
    }
    finish(app, taken).await
}

/// Brings an artifact that has come from the disk into memory.
pub(super) async fn finish(app: &App, taken: Incoming) -> Answer<Bytes> {
    let memory = net::memory(&app.net.budget, &app.net.budget.bodies, taken.len()).await?;
    Ok(keeping(taken.finish().await?, memory))
}

/// How long the body says it is, if it does; refuses one that says too much.
async fn announced(app: &App, headers: &HeaderMap, body: Body, most: Most) -> Answer<(Option<usize>, Body)> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    if announced.is_some_and(|announced: u64| announced > most.bytes as u64) {
        refuse(app, headers, body).await;
        return Err(too_large(most));
    }
    let announced = announced.map(|announced| announced as usize);
    // One that is not there says nothing.
    Ok((announced.or(body.is_end_stream().then_some(0)), body))
}

/// The next bytes of a body; `None` at its end.
async fn next(body: &mut Body) -> Answer<Option<Bytes>> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| slow_or(&e, || Failure::invalid(format!("the body broke off: {e}"))))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// What is wrong with a body that breaks off: that it came too slowly, or something else.
pub(super) fn slow_or(error: &(dyn std::error::Error + 'static), other: impl FnOnce() -> Failure) -> Failure {
    match TooSlow::among_causes(error) {
        Some(slow) => Failure::new(ErrorCode::RequestTooSlow, format!("the body stopped coming: {slow}")),
        None => other(),
    }
}

/// Who asks before sending has not begun to send; all others are heard out.
pub(super) async fn refuse(app: &App, headers: &HeaderMap, body: Body) {
    if !headers.contains_key(header::EXPECT) {
        discard(app, body).await;
    }
}

async fn discard(app: &App, mut body: Body) {
    let mut pace = app.net.hearing.pace();
    hear_out(async {
        while let Some(Ok(frame)) = body.frame().await {
            pace.took(frame.data_ref().map_or(0, Bytes::len)).await;
        }
    })
    .await;
}

/// Lets a refused client go on sending for a while.
pub(super) async fn hear_out(reading: impl Future<Output = ()>) {
    let _ = tokio::time::timeout(PATIENCE, reading).await;
}

fn too_large(most: Most) -> Failure {
    Failure(Error::new(ErrorCode::BodyTooLarge, format!("the body has more than {most}")))
}

/// A body that is JSON; what is wrong is named with its place.
pub(super) fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Answer<T> {
    if body.is_empty() {
        return Err(Failure(Error::new(ErrorCode::EmptyBody, "the request has no body").advising(
            "send what the path takes as JSON in the request's body; the API is described at /openapi.json",
        )));
    }
    serde_json::from_slice(body).map_err(|e| Failure::invalid(format!("the body is not as expected: {}", wrong(&e))))
}
