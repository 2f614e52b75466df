// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Reading a request's body, bounded.
//!
//! A body that is too large is never held in memory: one that says so beforehand is refused unread, another when it
//! passes the bound. Then what still comes is read and thrown away for a while, since a client that is still sending when
//! the connection closes would see a broken connection and not the reason.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use fnstream_core::{Error, ErrorCode};
use http_body_util::BodyExt;

use super::failure::{Answer, Failure};
use crate::app::{App, Incoming};

/// How long a refused client may go on sending before the connection is closed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most that is set aside for a body before it came.
const FIRST: usize = 1 << 20;

/// The whole body, of at most `limit` bytes.
pub(super) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Answer<Bytes> {
    let (announced, mut body) = announced(headers, body, limit).await?;
    let mut taken = BytesMut::with_capacity(announced.min(FIRST));
    while let Some(data) = next(&mut body).await? {
        if taken.len() + data.len() > limit {
            drop(taken);
            discard(body).await;
            return Err(too_large(limit));
        }
        taken.extend_from_slice(&data);
    }
    Ok(taken.freeze())
}

/// The same for an artifact, which is kept on the disk until it is known not to be too large.
pub(super) async fn read_artifact(app: &Arc<App>, headers: &HeaderMap, body: Body) -> Answer<Bytes> {
    let limit = app.config.max_artifact_bytes;
    let (_, mut body) = announced(headers, body, limit).await?;
    let mut taken = Incoming::new(&app.shelf);
    while let Some(data) = next(&mut body).await? {
        if taken.len() + data.len() > limit {
            drop(taken);
            discard(body).await;
            return Err(too_large(limit));
        }
        taken.add(&data).await?;
    }
    Ok(taken.finish().await?)
}

/// How long the body says it is, 0 when it does not; refuses one that says too much.
async fn announced(headers: &HeaderMap, body: Body, limit: usize) -> Answer<(usize, Body)> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    if announced.is_some_and(|announced: u64| announced > limit as u64) {
        // Who asks before sending has not begun to send.
        if !headers.contains_key(header::EXPECT) {
            discard(body).await;
        }
        return Err(too_large(limit));
    }
    Ok((announced.unwrap_or_default() as usize, body))
}

/// The next bytes of a body; `None` at its end.
async fn next(body: &mut Body) -> Answer<Option<Bytes>> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Failure::invalid(format!("the body broke off: {e}")))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

async fn discard(mut body: Body) {
    hear_out(async { while let Some(Ok(_)) = body.frame().await {} }).await;
}

/// Lets a refused client go on sending for a while.
pub(super) async fn hear_out(reading: impl Future<Output = ()>) {
    let _ = tokio::time::timeout(PATIENCE, reading).await;
}

fn too_large(limit: usize) -> Failure {
    Failure(Error::new(ErrorCode::BodyTooLarge, format!("the body has more than {limit} bytes")))
}

/// A body that is JSON; what is wrong is named with its place.
pub(super) fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Answer<T> {
    if body.is_empty() {
        return Err(Failure::new(ErrorCode::EmptyBody, "the request has no body"));
    }
    serde_json::from_slice(body).map_err(|e| Failure::invalid(format!("the body is not as expected: {e}")))
}
