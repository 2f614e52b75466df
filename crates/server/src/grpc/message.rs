// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Memory for a call's message, taken when its length is known and before it comes.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body as Incoming;
use axum::http::Request;
use bytes::Bytes;
use fnstream_api::grpc::MAX_MESSAGE_BYTES;
use fnstream_core::budget::{Budget, Held};
use fnstream_core::{Error, ErrorCode, Result};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;

use crate::most::Most;
use crate::net;

/// The memory that a message takes: as it comes, and decoded.
const COPIES: usize = 2;

/// A message begins with whether it is compressed, in one byte, and its length in four.
const PREFIX: std::ops::Range<usize> = 1..5;

/// What deflate makes of so many bytes at most is one (RFC 1951: 258 bytes of two bits).
const DEFLATE_RATIO: usize = 1032;

/// The largest message that the memory for bodies allows.
pub(super) fn most(budget: &Budget) -> Most {
    Most::always(MAX_MESSAGE_BYTES).or_less(Most::of_budget(budget.bodies.limit() / COPIES))
}

/// The call, once its first bytes have come, with the memory for its message. Waits for it for a bounded time.
pub(super) async fn measured(budget: &Budget, request: Request<Incoming>) -> Result<(Request<Body>, Held)> {
    let (head, mut body) = request.into_parts();
    let first = body.frame().await;
    let data = first.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
    let prefix = data.and_then(|data| data.get(PREFIX)?.try_into().ok());
    // One that is cut within its first bytes is small so far, and those that are too large are refused by the decoder.
    let (length, most) = (prefix.map_or(0, u32::from_be_bytes) as usize, most(budget));
    let length = length.min(MAX_MESSAGE_BYTES);
    if length > most.bytes {
        let message = format!("the message has more than {most}");
        return Err(Error::new(ErrorCode::BodyTooLarge, message));
    }
    // How large it becomes is known only when it has; it becomes no larger than this.
    let is_compressed = data.and_then(|data| data.first()).is_some_and(|flag| *flag != 0);
    let length = if is_compressed { length.saturating_mul(DEFLATE_RATIO).min(most.bytes) } else { length };
    let held = net::memory(budget, &budget.bodies, length * COPIES).await?;
    Ok((Request::from_parts(head, Body::new(Begun { first, rest: body })), held))
}

/// A body whose first frame was looked at.
struct Begun {
    first: Option<Result<Frame<Bytes>, axum::Error>>,
    rest: Incoming,
}

impl HttpBody for Begun {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.first {
            Some(_) => SizeHint::new(),
            None => self.rest.size_hint(),
        }
    }
}
