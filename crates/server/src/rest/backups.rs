// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `/api/v1/backups`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bytes::Bytes;
use fnstream_api::{BackupEvent, BackupRequest, ErrorBody};
use hyper::body::Frame;

use super::failure::{Answer, Failure};
use super::local::is_local;
use super::params::Query;
use super::{body, openapi};
use crate::app::{App, BackupUnderWay};
use crate::failure;
use crate::most::Most;

/// The largest request.
const MAX_REQUEST: usize = 64 << 10;

/// Makes a backup of everything, in a folder on the server's machine that is not there yet.
///
/// The answer has a line of JSON now and then with how far it is, and a last one: `done`, or `failed` with the error. The folder
/// is there when the backup is whole and on the disk. A client that goes away ends the backup, and nothing is left of it.
#[utoipa::path(post, path = "/api/v1/backups", operation_id = "backup", tag = openapi::SERVER,
    request_body = BackupRequest,
    responses(
        (status = 200, description = "it was begun: lines of JSON, of which the last says what became of it",
            body = BackupEvent, content_type = "application/x-ndjson"),
        (status = 400, description = "no backup can be made at this path", body = ErrorBody),
        (status = 403, description = "this caller may not have one made at this path", body = ErrorBody),
        (status = 409, description = "one is being made already", body = ErrorBody),
    ))]
pub(super) async fn make(
    State(app): State<Arc<App>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
) -> Answer<impl IntoResponse> {
    Query::parse(request.uri(), &[])?;
    let (head, body) = request.into_parts();
    let BackupRequest { to, rate } =
        body::json(&body::read(&app, &head.headers, body, Most::always(MAX_REQUEST)).await?)?;
    if rate == Some(0) {
        return Err(Failure::invalid("'rate' is 0: a backup that copies nothing has no end"));
    }
    let under_way = app.backups.begin(to.into(), is_local(&app, client, &head.headers), rate).await?;
    let BackupUnderWay { first, .. } = &under_way;
    let first = Some(line(first));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::new(Lines { first, under_way })))
}

/// What is heard of a backup, each a line.
struct Lines {
    first: Option<Bytes>,
    under_way: BackupUnderWay,
}

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let heard = self.under_way.events.poll_recv(cx);
        heard.map(|event| {
            let event = event?.unwrap_or_else(|error| {
                failure::note(&error);
                BackupEvent::Failed(ErrorBody::from(&error))
            });
            Some(Ok(Frame::data(line(&event))))
        })
    }
}

fn line(event: &BackupEvent) -> Bytes {
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    line.push(b'\n');
    line.into()
}
