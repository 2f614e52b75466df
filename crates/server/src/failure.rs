// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the log says of requests that failed, whichever interface they came by.

use fnstream_core::error::Fault;
use fnstream_core::{Error, ErrorCode};

/// Notes a failure as loudly as its fault deserves.
pub(crate) fn note(error: &Error) {
    match error.code.fault() {
        Fault::Internal => {
            tracing::error!(code = %error.code, error = error.message, "a request failed by our fault")
        }
        Fault::External
            if !matches!(error.code, ErrorCode::ShuttingDown | ErrorCode::NotReady | ErrorCode::WaitingFull) =>
        {
            tracing::warn!(code = %error.code, error = error.message, "a request failed");
        }
        Fault::External | Fault::User => {
            tracing::debug!(code = %error.code, error = error.message, "a request was refused");
        }
    }
}
