// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is true of every call, whatever it asks for: its deadline, its size, its form.
//!
//! A call ends when its deadline passes, with DEADLINE_EXCEEDED, whatever it is at; the application is told the deadline
//! too, so that it begins nothing that nobody waits for. A message that is too large is RESOURCE_EXHAUSTED and one that is
//! no message INVALID_ARGUMENT, both in our own words. One may be compressed with gzip; other encodings are UNIMPLEMENTED. A panic ends one call, not its connection.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Request, Response};
use fnstream_api::grpc::{MAX_MESSAGE_BYTES, error_message};
use fnstream_core::{Error, ErrorCode};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tower_http::catch_panic::CatchPanic;

use crate::app::Deadline;

const TIMEOUT_HEADER: &str = "grpc-timeout";
const ENCODING_HEADER: &str = "grpc-encoding";
const ACCEPT_ENCODING_HEADER: &str = "grpc-accept-encoding";
/// The encodings of messages that are taken: none, and the one that every client has.
const ENCODINGS: [&str; 2] = ["identity", "gzip"];

/// The deadline of a call, among its extensions.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallDeadline(pub Deadline);

/// The services with what is true of every call.
#[derive(Debug, Clone)]
pub(super) struct Transport<S> {
    services: S,
}

impl<S> Transport<S> {
    pub(super) fn new(services: S) -> Self {
        Transport { services }
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Transport<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.services.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Answering {
        let deadline = match timeout(request.headers()) {
            Ok(timeout) => timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            Err(status) => return Box::pin(async { Ok(status.into_http()) }),
        };
        if let Err(status) = check_encoding(request.headers()) {
            return Box::pin(async { Ok(status.into_http()) });
        }
        request.extensions_mut().insert(CallDeadline(Deadline::at(deadline)));
        let answer = self.services.call(request);
        Box::pin(async move {
            let Some(deadline) = deadline else { return answer.await.map(in_our_words) };
            match tokio::time::timeout_at(deadline, answer).await {
                Ok(answer) => answer.map(in_our_words),
                Err(_) => {
                    let error =
                        Error::new(ErrorCode::DeadlinePassed, "the deadline passed before the call was answered");
                    Ok(Status::deadline_exceeded(error_message(&error)).into_http())
                }
            }
        })
    }
}

/// What answers in place of a handler that panicked.
pub(super) type Panicked = fn(Box<dyn Any + Send>) -> Response<Body>;

/// Services whose panics are answers.
pub(super) type Guarded<S> = CatchPanic<S, Panicked>;

/// A bug of ours ends one call.
pub(super) fn guarded<S>(services: S) -> Guarded<S> {
    CatchPanic::custom(services, panicked)
}

fn panicked(panic: Box<dyn Any + Send>) -> Response<Body> {
    let what = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = what.unwrap_or("unknown"), "a call's handler panicked");
    let error = Error::new(ErrorCode::Panicked, "the server failed while it handled the call");
    Status::internal(error_message(&error)).into_http()
}

fn too_large(message: String) -> Response<Body> {
    Status::resource_exhausted(error_message(&Error::new(ErrorCode::BodyTooLarge, message))).into_http()
}

/// How the decoder begins to tell that a message is too large when it is not compressed any more.
const DECOMPRESSING: &str = "Error decompressing: size limit";

/// What the decoder says of a message, with our codes. No handler of ours answers these two statuses.
fn in_our_words(answer: Response<Body>) -> Response<Body> {
    match Status::from_header_map(answer.headers()).map(|status| (status.code(), status)) {
        Some((Code::OutOfRange, _)) => too_large(format!("the message has more than {MAX_MESSAGE_BYTES} bytes")),
        Some((Code::ResourceExhausted, status)) if status.message().starts_with(DECOMPRESSING) => {
            too_large("the message is larger than a message may be once it is not compressed any more".to_owned())
        }
        Some((Code::Internal, status)) => {
            let message = format!("the message is not as its proto file says: {}", status.message());
            Status::invalid_argument(error_message(&Error::new(ErrorCode::InvalidRequest, message))).into_http()
        }
        _ => answer,
    }
}

/// The answer to another encoding names those that are taken, as the protocol asks for.
fn check_encoding(headers: &HeaderMap) -> Result<(), Status> {
    let is_taken = |encoding: &&HeaderValue| ENCODINGS.iter().any(|taken| encoding == taken);
    let Some(encoding) = headers.get(ENCODING_HEADER).filter(|encoding| !is_taken(encoding)) else { return Ok(()) };
    let message = format!("the messages of the call are compressed with '{}'", encoding.as_bytes().escape_ascii());
    let error = Error::new(ErrorCode::EncodingRefused, message);
    let error = error.advising("send the messages as they are, or compressed with gzip");
    let mut status = Status::unimplemented(error_message(&error));
    status.metadata_mut().insert(ACCEPT_ENCODING_HEADER, MetadataValue::from_static("identity,gzip"));
    Err(status)
}

/// How long the caller waits, as the header says it: up to eight digits and a unit.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(TIMEOUT_HEADER) else { return Ok(None) };
    let read = || {
        let text = value.to_str().ok()?;
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let digits = (1..=8).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = number.parse().ok().filter(|_| digits)?;
        match unit {
            "H" => Some(Duration::from_secs(number * 3600)),
            "M" => Some(Duration::from_secs(number * 60)),
            "S" => Some(Duration::from_secs(number)),
            "m" => Some(Duration::from_millis(number)),
            "u" => Some(Duration::from_micros(number)),
            "n" => Some(Duration::from_nanos(number)),
            _ => None,
        }
    };
    read().map(Some).ok_or_else(|| {
        let message = format!("the header {TIMEOUT_HEADER} is {value:?}, not a number of at most 8 digits and a unit");
        Status::invalid_argument(error_message(&Error::new(ErrorCode::InvalidRequest, message)))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Option<Duration>, Code> {
        let mut headers = HeaderMap::new();
        headers.insert(TIMEOUT_HEADER, value.parse().unwrap());
        timeout(&headers).map_err(|status| status.code())
    }

    #[test]
    fn timeouts_are_read_in_all_units() {
        for (text, time) in [
            ("2H", Duration::from_secs(7200)),
            ("3M", Duration::from_secs(180)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("5m", Duration::from_millis(5)),
            ("6u", Duration::from_micros(6)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(read(text), Ok(Some(time)), "{text}");
        }
        for bad in ["", "5", "S", "5s", "-5S", "+5S", "123456789S", "1.5S"] {
            assert_eq!(read(bad), Err(Code::InvalidArgument), "{bad}");
        }
        assert_eq!(timeout(&HeaderMap::new()).unwrap(), None);
    }

    /// Services that answer with a status, or never.
    struct Answers(Option<Code>);

    impl Service<Request<Body>> for Answers {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = Answering;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Answering {
            assert!(request.extensions().get::<CallDeadline>().is_some());
            match self.0 {
                Some(code) => Box::pin(async move { Ok(Status::new(code, "what the decoder says").into_http()) }),
                None => Box::pin(std::future::pending()),
            }
        }
    }

    async fn answer(services: Answers, timeout: Option<&str>) -> Status {
        let mut request = Request::new(Body::empty());
        if let Some(timeout) = timeout {
            request.headers_mut().insert(TIMEOUT_HEADER, timeout.parse().unwrap());
        }
        let answer = Transport::new(services).call(request).await.unwrap();
        Status::from_header_map(answer.headers()).unwrap()
    }

    #[tokio::test]
    async fn a_call_ends_when_its_deadline_passes() {
        let status = answer(Answers(None), Some("1m")).await;
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(status.message().contains("FS-1008"), "{}", status.message());
        let status = answer(Answers(None), Some("soon")).await;
        assert_eq!(status.code(), Code::InvalidArgument);
    }

    #[tokio::test]
    async fn a_call_of_another_encoding_is_refused_with_a_code_and_told_what_is_taken() {
        for (encoding, is_refused) in
            [("deflate", true), ("zstd", true), ("", true), ("gzip", false), ("identity", false)]
        {
            let mut request = Request::new(Body::empty());
            request.headers_mut().insert(ENCODING_HEADER, encoding.parse().unwrap());
            let answer = Transport::new(Answers(Some(Code::NotFound))).call(request).await.unwrap();
            let status = Status::from_header_map(answer.headers()).unwrap();
            let expected = if is_refused { Code::Unimplemented } else { Code::NotFound };
            assert_eq!(status.code(), expected, "{encoding}");
            assert_eq!(status.message().contains("FS-1015"), is_refused, "{}", status.message());
            assert_eq!(answer.headers().contains_key(ACCEPT_ENCODING_HEADER), is_refused);
        }
    }

    #[tokio::test]
    async fn what_the_decoder_says_is_told_with_our_codes() {
        for (code, told, ours) in [
            (Code::OutOfRange, Code::ResourceExhausted, "FS-1003"),
            (Code::Internal, Code::InvalidArgument, "FS-1001"),
            (Code::NotFound, Code::NotFound, "what the decoder says"),
        ] {
            let status = answer(Answers(Some(code)), None).await;
            assert_eq!(status.code(), told);
            assert!(status.message().contains(ours), "{}", status.message());
        }
    }

    #[test]
    fn a_panic_is_an_answer_like_any_other() {
        let status = Status::from_header_map(panicked(Box::new("boom")).headers()).unwrap();
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().contains("FS-1902") && !status.message().contains("boom"), "{}", status.message());
    }
}
