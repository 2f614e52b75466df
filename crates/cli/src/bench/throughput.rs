// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Throughput: fill the input, start the function, take the time until every output is committed.

use std::time::{Duration, Instant};

use fnstream_frame::{Frame, FrameBuilder};

use super::report::Report;
use super::target::{PATIENCE, Target};
use super::workload::{Checker, Workload};
use crate::failure::{Failure, Result};

/// Records of one append while the input is filled.
const APPEND: u64 = 4096;

pub(super) fn run(target: &mut dyn Target, workload: &Workload, report: &mut Report) -> Result {
    let mut records = workload.records()?;
    let mut frame = FrameBuilder::new();
    while records.made() < workload.records {
        frame.clear();
        records.fill(&mut frame, APPEND, 0);
        target.send(frame.to_bytes())?;
    }
    target.flush()?;

    let (began, cpu) = (Instant::now(), target.cpu());
    target.start_function()?;
    target.await_outputs(workload.records)?;
    let (took, cpu) = (began.elapsed(), used(target, cpu));

    report.measured(workload.records, took, cpu);
    target.observe(report)?;
    check(target, workload, report)
}

/// The CPU time since then.
pub(super) fn used(target: &dyn Target, since: Option<Duration>) -> Option<Duration> {
    Some(target.cpu()?.saturating_sub(since?))
}

/// Reads all outputs and compares them with what had to come.
pub(super) fn check(target: &mut dyn Target, workload: &Workload, report: &mut Report) -> Result {
    let copied = target.copies();
    let mut checker = Checker::new(workload);
    let mut outputs = target.outputs()?;
    let mut read = 0;
    while read < workload.records {
        let Some(bytes) = outputs.next(PATIENCE)? else { break };
        let frame = Frame::parse(&bytes).map_err(|e| Failure::Plain(format!("an output frame: {e}")))?;
        read += frame.len() as u64;
        checker.add(&frame, copied);
    }
    // Everything that had to come is there; what comes now is too much.
    while let Some(bytes) = outputs.next(Duration::ZERO)? {
        let frame = Frame::parse(&bytes).map_err(|e| Failure::Plain(format!("an output frame: {e}")))?;
        checker.add(&frame, copied);
    }
    report.checked(checker.verdict()?);
    Ok(())
}
