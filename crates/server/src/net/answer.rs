// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Answers: what they take of the memory is held until it is sent.
//!
//! The pieces of an answer own what they hold, so it does not matter who keeps them: hyper, the queue of a stream, or the
//! socket. The last one that is dropped gives the memory back and ends the request.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::HttpBody;
use bytes::Bytes;
use fnstream_core::budget::Held;
use hyper::body::{Frame, SizeHint};

use super::connection::Busy;
use super::streams::Sending;

/// The most bytes that are handed over at once.
const PIECE: usize = 64 << 10;

/// Memory that an answer takes already: among its extensions, if whoever made it took it.
#[derive(Clone, Debug)]
pub(crate) struct Counted(pub(crate) Arc<Held>);

/// What all pieces of an answer keep.
pub(super) struct Kept {
    pub(super) _busy: Busy,
    pub(super) _memory: Option<Arc<Held>>,
    pub(super) sending: Option<Arc<Sending>>,
}

/// A body in pieces.
pub(super) struct Answer<B> {
    body: B,
    /// What the body gave and was not handed over yet.
    rest: Bytes,
    kept: Arc<Kept>,
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, kept: Kept) -> Self {
        Answer { body, rest: Bytes::new(), kept: Arc::new(kept) }
    }

    fn piece(&mut self) -> Bytes {
        let bytes = self.rest.split_to(self.rest.len().min(PIECE));
        if let Some(sending) = &self.kept.sending {
            sending.handed_over();
        }
        Bytes::from_owner(Piece { bytes, kept: self.kept.clone() })
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(self.piece()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, more) = (self.body.size_hint(), self.rest.len() as u64);
        match hint.exact() {
            Some(exact) => hint.set_exact(exact + more),
            None => hint.set_lower(hint.lower() + more),
        }
        hint
    }
}

struct Piece {
    bytes: Bytes,
    kept: Arc<Kept>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(sending) = &self.kept.sending {
            sending.sent();
        }
    }
}
