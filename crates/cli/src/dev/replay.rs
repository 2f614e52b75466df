// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The last records again, aside: with the code before and with the code now, each from an empty state. Nothing of it reaches the
//! running function, its state or its topics.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use fnstream_core::function_log::{FunctionLog, LogLine};
use fnstream_core::units::counted;

use crate::failure::Result;
use crate::project::Project;
use crate::test::{Emitted, changes, process};

/// Records of inputs, the oldest first, with their topics.
pub(super) type Records = VecDeque<(String, Emitted)>;

/// What differs, in lines; `before` is the artifact that ran until now.
pub(super) fn replay(
    project: &Project,
    before: &[u8],
    now: &[u8],
    records: &Records,
    is_over: &AtomicBool,
) -> Result<String> {
    let of = |artifact: &[u8]| {
        process(project, artifact, records.iter().map(|(topic, one)| (topic.as_str(), one)), Arc::new(Silence), is_over)
    };
    let (before, now) = (of(before)?, of(now)?);
    let mut told = format!("{} again, from an empty state", counted(records.len() as u64, "record"));
    let mut is_same = true;
    for ((topic, before), (_, now)) in before.outputs.iter().zip(&now.outputs) {
        if let Some(lines) = changes(before, now) {
            is_same = false;
            let _ = write!(told, "\n{topic}:\n{}", lines.trim_end());
        }
    }
    if before.failures != now.failures {
        is_same = false;
        for (sign, failures, others) in [('-', &before.failures, &now.failures), ('+', &now.failures, &before.failures)]
        {
            for failure in failures.iter().filter(|failure| !others.contains(failure)) {
                let _ = write!(told, "\n  {sign} failed: {failure}");
            }
        }
    }
    if is_same {
        let count = now.outputs.iter().map(|(_, emitted)| emitted.len() as u64).sum::<u64>();
        let _ = write!(told, ": the same {}", counted(count, "result"));
    }
    Ok(told)
}

/// What functions print on the way was printed before.
struct Silence;

impl FunctionLog for Silence {
    fn write(&self, _: LogLine<'_>) {}
}
