// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A failure of a task, with what it leads to.

use fnstream_core::error::{Error, ErrorCode, Fault};
use fnstream_core::runtime::CallFailure;

use super::decide::{Recovery, after_call_failure};
use super::env::TaskEnv;

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

    /// Reports whether the task waits for something outside it that may come to work again.
    pub(super) fn waits(&self) -> bool {
        let code = self.cause.error.code;
        code == ErrorCode::GuestMemoryShort || (self.recovery == Recovery::TakeOver && code.fault() != Fault::Internal)
    }

    /// Counts and logs it.
    ///
    /// A culprit that is looked for or tried again is nothing unexpected: functions may fail as often as they like.
    pub(super) fn report(&self, env: &TaskEnv, task: u32) {
        let error = &self.cause.error;
        match self.recovery {
            Recovery::RestartNow | Recovery::RestartAfter(_) => {
                let (name, code, message) = (&env.spec().name, error.code, &error.message);
                tracing::debug!(function = name, task, %code, message, "a call failed, nothing of its epoch is kept");
            }
            Recovery::Fail => env.warn(task, format_args!("stopped, it needs you: {error}")),
            _ => env.warn(task, format_args!("failed, it goes on from its last commit after a wait: {error}")),
        }
        env.meter.restarted();
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
