// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A payload in another form, made piece by piece while it is sent: JSON can take six times the bytes of the payload.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// What a piece is made of: a multiple of three, so that the base64 of the pieces is that of the whole.
const PIECE: usize = 12 << 10;

/// The payload as one JSON string.
pub(super) fn json(text: &str, payload: Bytes) -> Body {
    Body::new(Encoded::json(text, payload))
}

/// The payload's base64, as it is or as one JSON string.
pub(super) fn base64(payload: Bytes, is_json: bool) -> Body {
    Body::new(Encoded::base64(payload, is_json))
}

/// The bytes that one byte of a text takes in a JSON string.
fn escaped_len(byte: u8) -> u64 {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    }
}

/// See the module.
pub(super) struct Encoded {
    payload: Bytes,
    form: Form,
    at: usize,
    /// The bytes that are still to come.
    left: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Base64,
    JsonBase64,
}

impl Encoded {
    /// One JSON string. The payload is that text.
    pub(super) fn json(text: &str, payload: Bytes) -> Self {
        let length = text.bytes().map(escaped_len).sum::<u64>() + 2;
        Encoded { payload, form: Form::Json, at: 0, left: length }
    }

    /// The base64, as it is or as one JSON string.
    pub(super) fn base64(payload: Bytes, is_json: bool) -> Self {
        let length = payload.len().div_ceil(3) as u64 * 4;
        match is_json {
            true => Encoded { payload, form: Form::JsonBase64, at: 0, left: length + 2 },
            false => Encoded { payload, form: Form::Base64, at: 0, left: length },
        }
    }

    /// Whether all of it was given.
    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// The next piece.
    pub(super) fn piece(&mut self) -> Vec<u8> {
        let from = self.at;
        let mut to = (from + PIECE).min(self.payload.len());
        let is_text = self.form == Form::Json;
        // Not within a character: those that go on with one are 10xxxxxx.
        while is_text && self.payload.get(to).is_some_and(|byte| byte & 0xc0 == 0x80) {
            to -= 1;
        }
        self.at = to;
        let mut piece = Vec::new();
        if from == 0 && self.form != Form::Base64 {
            piece.push(b'"');
        }
        let part = &self.payload[from..to];
        match is_text {
            true => {
                let text = serde_json::to_string(&String::from_utf8_lossy(part)).unwrap_or_else(|_| "\"\"".to_owned());
                piece.extend_from_slice(&text.as_bytes()[1..text.len() - 1]);
            }
            false => piece.extend_from_slice(STANDARD.encode(part).as_bytes()),
        }
        if to == self.payload.len() && self.form != Form::Base64 {
            piece.push(b'"');
        }
        self.left -= piece.len() as u64;
        piece
    }
}

impl HttpBody for Encoded {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready((self.left > 0).then(|| Ok(Frame::data(self.piece().into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn sent(body: Body) -> Bytes {
        let length = body.size_hint().exact().unwrap();
        let bytes = body.collect().await.unwrap().to_bytes();
        assert_eq!(bytes.len() as u64, length);
        bytes
    }

    #[tokio::test]
    async fn pieces_are_what_the_whole_would_be() {
        let all: String = (0..0x2000).filter_map(char::from_u32).collect();
        for text in ["", "a", "\u{7f}\"\\/", &all, &all.repeat(9), &"ä€😀".repeat(7001), &"\0".repeat(40_000)] {
            let payload = Bytes::copy_from_slice(text.as_bytes());
            assert_eq!(sent(json(text, payload.clone())).await, serde_json::to_vec(text).unwrap());
            for cut in 0..3.min(payload.len() + 1) {
                let payload = payload.slice(cut..);
                assert_eq!(sent(base64(payload.clone(), false)).await, STANDARD.encode(&payload));
                assert_eq!(sent(base64(payload.clone(), true)).await, format!("\"{}\"", STANDARD.encode(&payload)));
            }
        }
    }
}
