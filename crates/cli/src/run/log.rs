// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a function prints, on standard error.

use fnstream_core::function_log::{FunctionLog, LogLine, Speaker};

use crate::output;

/// The log of the function.
pub(super) struct Stderr {
    /// What happens to the function is told, too.
    pub(super) verbose: bool,
}

impl FunctionLog for Stderr {
    fn write(&self, line: LogLine<'_>) {
        match line.speaker {
            Speaker::Stdout | Speaker::Stderr => output::complain(line.text),
            Speaker::Host if self.verbose => output::complain(&format!("function-stream: {}", line.text)),
            Speaker::Host => {}
        }
    }
}
