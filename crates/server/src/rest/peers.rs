// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Questions of the other processes of the server group.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use fnstream_core::peers::{Caller, Question};
use fnstream_core::{Error, ErrorCode};
use tokio::sync::oneshot;

use super::body;
use super::failure::{Answer, Failure};
use crate::app::App;
use crate::peers::{CALLER, PEER};

/// Answers a question that is meant for this process.
pub(super) async fn ask(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Answer<Response> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text(PEER) != Some(&*app.me.0) {
        body::refuse(&app, &headers, body).await;
        // Whoever was at this address before has gone.
        return Err(Failure::new(ErrorCode::PeerUnavailable, "another process of the server group is at this address"));
    }
    let caller: Caller = text(CALLER)
        .and_then(|caller| serde_json::from_str(caller).ok())
        .ok_or_else(|| Failure::invalid(format!("the header '{CALLER}' names no caller")))?;
    let body = body::read(&app, &headers, body, app.most_artifact()).await?;
    let (send, receive) = oneshot::channel();
    // Whoever asked may have gone.
    app.desk.ask(Question { caller, body }, Box::new(move |answer| drop(send.send(answer))));
    let forgotten = |_| Error::new(ErrorCode::PeerUnavailable, "the question was forgotten");
    let answer = receive.await.map_err(forgotten)??;
    Ok(([(CONTENT_TYPE, "application/octet-stream")], answer).into_response())
}
