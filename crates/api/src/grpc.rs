// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The gRPC interface: what the files of `proto` generate, and a client of the service of functions.
//!
//! The generated code is [`proto`], with client and server; [`GrpcClient`] is the thin client that speaks the errors of
//! this crate. [`FILE_DESCRIPTOR_SET`] describes the interface to whoever asks a server about it.

mod client;

use fnstream_core::{Error, ErrorCode};

use crate::failure::ErrorBody;
use proto::{Response, StatusCode};

pub use client::{CreateMode, GrpcClient};

/// What the proto files generate.
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub, reason = "generated")]
pub mod proto {
    tonic::include_proto!("function_stream");
}

/// The proto files, their comments included, as an encoded `FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/function_stream.bin"));

/// Where a server listens for gRPC when nothing else is said.
pub const DEFAULT_GRPC_ADDRESS: &str = "127.0.0.1:8080";

/// The largest message, in both directions.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// The text that an answer has for an error: what happened, its code, what to do.
pub fn error_message(error: &Error) -> String {
    told(&error.message, error.code.as_str(), error.advice())
}

/// The number that an answer has for a code: the one of HTTP, from the same table.
pub fn status_of(code: ErrorCode) -> StatusCode {
    StatusCode::try_from(i32::from(code.http_status())).unwrap_or(StatusCode::InternalServerError)
}

impl Response {
    /// Whether it was done.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status_code)
    }

    /// What went wrong, its code and its advice apart; nothing when it was done.
    pub fn failure(&self) -> Option<ErrorBody> {
        (!self.is_success()).then(|| {
            let message = self.message.strip_suffix(&told("", &self.error_code, &self.advice));
            ErrorBody {
                code: self.error_code.clone(),
                message: message.unwrap_or(&self.message).to_owned(),
                advice: self.advice.clone(),
            }
        })
    }
}

impl From<&Error> for Response {
    fn from(error: &Error) -> Self {
        Response {
            status_code: status_of(error.code).into(),
            message: error_message(error),
            error_code: error.code.as_str().to_owned(),
            advice: error.advice().to_owned(),
            ..Response::default()
        }
    }
}

/// The error that a text of [`error_message`] tells.
fn error_of(text: &str) -> Option<Error> {
    let found = ErrorCode::ALL.iter().filter_map(|code| {
        let mark = told("", code.as_str(), "");
        Some((*code, text.rfind(&mark)?, mark.len()))
    });
    // A message may quote another error: the last one is the error itself.
    let (code, at, length) = found.max_by_key(|(_, at, _)| *at)?;
    Some(Error::new(code, &text[..at]).advising(text[at + length..].to_owned()))
}

fn told(message: &str, code: &str, advice: &str) -> String {
    format!("{message} ({code}): {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_of_its_own_number() {
        for code in ErrorCode::ALL {
            assert_eq!(i32::from(status_of(*code)), i32::from(code.http_status()), "{code}");
        }
    }

    #[test]
    fn every_error_is_read_again_from_its_text() {
        for code in ErrorCode::ALL {
            for own in [None, Some("mend it")] {
                let error = Error::new(*code, "what (FS-1001): it was");
                let error = own.map_or(error.clone(), |own| error.advising(own));
                let read = error_of(&error_message(&error)).unwrap();
                assert_eq!((read.code, &read.message, read.advice()), (*code, &error.message, error.advice()));
            }
        }
        assert!(error_of("transport error").is_none());
    }

    #[test]
    fn a_failure_is_told_apart_from_its_code_and_advice() {
        let error = Error::new(ErrorCode::FunctionExists, "function 'f' exists");
        let response = Response::from(&error);
        assert_eq!(
            response.message,
            "function 'f' exists (FS-1101): choose another name, or delete the function first"
        );
        assert_eq!(response.failure(), Some(ErrorBody::from(&error)));
        let done = Response { status_code: StatusCode::Created.into(), ..Response::default() };
        assert_eq!(done.failure(), None);
    }
}
