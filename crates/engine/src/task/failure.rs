// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A failure of a task, with what it leads to.

use fnstream_core::error::Error;
use fnstream_core::runtime::CallFailure;

use super::decide::{Recovery, after_call_failure};

/// Something in a task's life failed.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) recovery: Recovery,
    pub(super) cause: CallFailure,
}

impl Failure {
    pub(super) fn new(recovery: Recovery, cause: impl Into<CallFailure>) -> Self {
        Failure { recovery, cause: cause.into() }
    }
}

/// A fault outside user code: of the store, the broker, or ours.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::new(Recovery::TakeOver, error)
    }
}

/// A failed call for which no record is to blame.
impl From<CallFailure> for Failure {
    fn from(cause: CallFailure) -> Self {
        Failure { recovery: after_call_failure(&cause.error), cause }
    }
}
