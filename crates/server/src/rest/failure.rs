// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Errors as answers.

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use fnstream_api::ErrorBody;
use fnstream_core::{Error, ErrorCode};

use crate::failure;

/// What a handler fails with.
#[derive(Debug)]
pub(super) struct Failure(pub Error);

/// What a handler answers.
pub(super) type Answer<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Failure(Error::new(code, message))
    }

    /// A request that is not well formed.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Failure::new(ErrorCode::InvalidRequest, message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Failure(error) = self;
        failure::note(&error);
        let status = StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut answer = (status, Json(ErrorBody::from(&error))).into_response();
        if let Some(seconds) = error.code.retry_after() {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}
