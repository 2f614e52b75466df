// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! SIGTERM and SIGINT: the first asks for an orderly end, the second ends at once.

use fnstream_core::{Result, error::internal};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What an impatient user's shell sees: 128 + SIGINT.
const IMPATIENT: i32 = 130;

/// The signals of this process. Make it before the server starts, so that none is missed.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over from now on. Must be called within a tokio runtime.
    pub fn register() -> Result<Self> {
        let register = |kind| signal(kind).map_err(|e| internal(format!("cannot take a signal over: {e}")));
        Ok(Signals { terminate: register(SignalKind::terminate())?, interrupt: register(SignalKind::interrupt())? })
    }

    /// Waits for a signal and answers its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// From now on a signal ends the process at once: everything acknowledged is durable already.
    pub fn exit_at_next(mut self) {
        tokio::spawn(async move {
            let name = self.next().await;
            tracing::warn!(signal = name, "second signal, ending at once");
            std::process::exit(IMPATIENT);
        });
    }
}
