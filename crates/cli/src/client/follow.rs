// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Requests that follow each other until the user interrupts them, and that live through a restart of the server.
//!
//! A server that never answered is an error at once: its address is probably wrong. One that answered and is gone is waited
//! for. What is asked must be safe to ask again.

use std::time::Duration;

use fnstream_api::ClientError;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use crate::failure::{Failure, Result};
use crate::interrupt::INTERRUPTED;
use crate::output;

/// How long one request waits for something to come; then the next one does.
pub(super) const WAIT: Duration = Duration::from_secs(30);

/// The pauses before a server that is gone is asked again double from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The status of a server that starts, ends or is too busy.
const UNAVAILABLE: u16 = 503;

/// Somebody follows.
pub(super) struct Follow {
    interrupts: Signal,
    answered: bool,
    /// The next pause; none while the server answers.
    pause: Option<Duration>,
}

impl Follow {
    /// From here on an interrupt ends the command between two answers, not within one.
    pub(super) fn begin() -> Result<Self> {
        Ok(Follow { interrupts: signal(SignalKind::interrupt())?, answered: false, pause: None })
    }

    /// The answer to a request, which is asked again as long as the server is gone.
    pub(super) async fn ask<T>(
        &mut self,
        mut request: impl AsyncFnMut() -> std::result::Result<T, ClientError>,
    ) -> Result<T> {
        loop {
            let answer = tokio::select! {
                answer = request() => answer,
                _ = self.interrupts.recv() => return Err(Failure::Told(INTERRUPTED)),
            };
            match answer {
                Ok(answer) => {
                    if self.pause.take().is_some() {
                        output::complain("note: the server answers again");
                    }
                    self.answered = true;
                    return Ok(answer);
                }
                Err(error) if self.answered && is_passing(&error) => {
                    let pause = self.pause.unwrap_or_else(|| {
                        output::complain(&format!("note: {error}; waiting for the server"));
                        FIRST_PAUSE
                    });
                    self.pause = Some((pause * 2).min(LONGEST_PAUSE));
                    // Nothing tells when a server is there again but asking it.
                    if timeout(pause, self.interrupts.recv()).await.is_ok() {
                        return Err(Failure::Told(INTERRUPTED));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Whether the same request may succeed later, without anybody doing anything about it.
fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } => true,
        ClientError::Server { status, .. } => *status == UNAVAILABLE,
        _ => false,
    }
}
