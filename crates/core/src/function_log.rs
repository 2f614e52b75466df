// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam to where a function's own log is kept: what it prints, and what happens to it.

use crate::epoch::FunctionId;

/// Who says a line of a function's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Speaker {
    /// The function, on its standard output.
    Stdout,
    /// The function, on its standard error.
    Stderr,
    /// The host: what became of the function or of one of its records.
    Host,
}

impl Speaker {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Speaker::Stdout => "stdout",
            Speaker::Stderr => "stderr",
            Speaker::Host => "host",
        }
    }
}

/// One line of a function's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// The function's id.
    pub function: FunctionId,
    /// Its name.
    pub name: &'a str,
    /// The index of the task; of no task in particular when there is none.
    pub task: Option<u32>,
    /// Who says it.
    pub speaker: Speaker,
    /// The line without its end; bounded by whoever writes it.
    pub text: &'a str,
}

/// Keeps the logs of functions.
///
/// Contract: never blocks for long and never fails; a line that comes too fast or does not fit may be dropped, and it is
/// then visible that lines are missing.
pub trait FunctionLog: Send + Sync {
    /// Keeps a line.
    fn write(&self, line: LogLine<'_>);
}

/// Writes every line to the process's own log (target `guest`) and keeps nothing.
#[derive(Debug, Default)]
pub struct ProcessLog;

impl FunctionLog for ProcessLog {
    fn write(&self, line: LogLine<'_>) {
        let LogLine { name, task, speaker, text, .. } = line;
        tracing::info!(target: "guest", function = name, task, speaker = speaker.as_str(), "{text}");
    }
}
