// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Timers of a function whose artifact changes: they must not come due for one that cannot take them.

use std::ops::ControlFlow;

use fnstream_core::epoch::{FunctionId, TaskId};
use fnstream_core::runtime::Program;
use fnstream_core::timer::TIMERS_PREFIX;
use fnstream_core::{Error, ErrorCode, Result};

use super::Functions;

impl Functions {
    /// Refuses a program without a handler of timers for a function that goes on from the state of `state`, if timers are set
    /// there. None of the tasks runs, and they are fenced. Blocks.
    pub(super) fn check_timers(&self, name: &str, state: FunctionId, program: &dyn Program) -> Result<()> {
        if program.takes_timers() {
            return Ok(());
        }
        for index in self.tasks.progress(state)?.into_keys() {
            let mut is_set = false;
            self.tasks.peek(TaskId::new(state, index), &TIMERS_PREFIX, &mut |key, _| {
                is_set = key.starts_with(&TIMERS_PREFIX);
                ControlFlow::Break(())
            })?;
            if is_set {
                let kind = program.kind();
                let message = format!(
                    "task {index} of function '{name}' has timers set, and the new artifact ({kind}) has no handler for them"
                );
                return Err(Error::new(ErrorCode::TimersSet, message));
            }
        }
        Ok(())
    }
}
