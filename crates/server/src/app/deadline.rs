// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Until when a caller waits.
//!
//! Work whose caller has given up is not begun: an operation that waited for others before it looks at the deadline when
//! its turn comes, and a create once more before it registers anything. What has begun to change something runs to its
//! end, so a caller whose time is over finds it done or not done, never half.

use std::future::Future;

use fnstream_core::{Error, ErrorCode, Result};
use tokio::time::Instant;

tokio::task_local! {
    static CALLER: Deadline;
}

/// The moment at which a caller stops waiting, if there is one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) fn at(moment: Option<Instant>) -> Self {
        Deadline(moment)
    }

    /// The one of the call that is being answered; none outside of [`Deadline::scope`].
    pub(crate) fn of_caller() -> Self {
        CALLER.try_get().unwrap_or_default()
    }

    /// Answers a call whose operations have this deadline.
    pub(crate) async fn scope<T>(self, call: impl Future<Output = T>) -> T {
        CALLER.scope(self, call).await
    }

    /// How long is left.
    pub(crate) fn left(self) -> Option<std::time::Duration> {
        self.0.map(|moment| moment.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn check(self) -> Result<()> {
        match self.0 {
            Some(moment) if moment <= Instant::now() => {
                Err(Error::new(ErrorCode::DeadlinePassed, "the caller's deadline passed before the work was begun"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn an_operation_knows_the_deadline_of_its_call_only() {
        let past = Deadline::at(Instant::now().checked_sub(Duration::from_millis(1)));
        let seen = past.scope(async { Deadline::of_caller().check() }).await;
        assert_eq!(seen.map_err(|error| error.code), Err(ErrorCode::DeadlinePassed));
        assert!(Deadline::of_caller().check().is_ok());
        let later = Deadline::at(Some(Instant::now() + Duration::from_secs(60)));
        assert!(later.scope(async { Deadline::of_caller().check() }).await.is_ok());
    }
}
