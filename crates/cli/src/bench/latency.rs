// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Latency: records sent at fixed times, each timed from when it was to be sent until it was read from the output.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use fnstream_frame::{Frame, FrameBuilder};
use hdrhistogram::Histogram;

use super::machine::cpu_time;
use super::report::{Latency, Report};
use super::target::{Outputs, PATIENCE, Target};
use super::throughput::check;
use super::workload::Workload;
use crate::failure::{Failure, Result};

/// Times above this are counted as this.
const HIGHEST_MICROS: u64 = 600_000_000;

/// When the first record is due.
const START_AFTER: Duration = Duration::from_secs(1);

pub(super) fn run(target: &mut dyn Target, workload: &Workload, rate: f64, report: &mut Report) -> Result {
    target.start_function()?;
    let outputs = target.outputs()?;
    // The function comes up meanwhile: what is measured is not its start.
    let began = Instant::now() + START_AFTER;
    let cpu = cpu_time();
    let latencies = std::thread::scope(|threads| -> Result<Histogram<u64>> {
        let (stop, stopped) = channel();
        let reading = threads.spawn(move || read(outputs, workload, rate, began, &stopped));
        let sent = send(target, workload, rate, began);
        if sent.is_err() {
            // The reader may have ended by itself.
            let _ = stop.send(());
        }
        let read = reading.join().map_err(|_| Failure::Plain("the reader ended abnormally".into()))?;
        sent?;
        read
    })?;
    let (took, cpu) = (began.elapsed(), cpu_time() - cpu);
    report.measured(workload.records, took, target.is_this_process().then_some(cpu));
    report.latency(rate, Latency::of(&latencies));
    check(target, workload, report)
}

/// When a record is to be sent, after the beginning.
fn due(number: u64, rate: f64) -> Duration {
    Duration::from_secs_f64(number as f64 / rate)
}

/// Sends each record when it is due; those that are due together go together.
fn send(target: &mut dyn Target, workload: &Workload, rate: f64, began: Instant) -> Result {
    let mut records = workload.records()?;
    let mut frame = FrameBuilder::new();
    // Nobody holds the other end of this channel: receiving from it only waits.
    let (_never, pause) = channel::<()>();
    while records.made() < workload.records {
        let wait = (began + due(records.made(), rate)).saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            let _: std::result::Result<(), RecvTimeoutError> = pause.recv_timeout(wait);
        }
        let due_now = (began.elapsed().as_secs_f64() * rate) as u64 + 1;
        frame.clear();
        records.fill(&mut frame, due_now.saturating_sub(records.made()).clamp(1, 4096), 0);
        target.send(frame.to_bytes())?;
    }
    target.flush()
}

fn read(
    mut outputs: Box<dyn Outputs>,
    workload: &Workload,
    rate: f64,
    began: Instant,
    stopped: &Receiver<()>,
) -> Result<Histogram<u64>> {
    let mut latencies = Histogram::new_with_max(HIGHEST_MICROS, 3).map_err(|e| Failure::Plain(e.to_string()))?;
    let mut read = 0;
    let mut quiet_since = Instant::now();
    while read < workload.records {
        if stopped.try_recv().is_ok() {
            return Ok(latencies);
        }
        let Some(bytes) = outputs.next(Duration::from_secs(1))? else {
            if quiet_since.elapsed() > PATIENCE {
                return Err(Failure::Plain(format!("no output for {PATIENCE:?} after {read} of {}", workload.records)));
            }
            continue;
        };
        let now = began.elapsed();
        quiet_since = Instant::now();
        let frame = Frame::parse(&bytes).map_err(|e| Failure::Plain(format!("an output frame: {e}")))?;
        for record in frame.iter() {
            // Outputs without a number come in the order of their inputs.
            let number = workload.number(record.bytes()).unwrap_or(read);
            let micros = now.saturating_sub(due(number, rate)).as_micros() as u64;
            latencies.saturating_record(micros.clamp(1, HIGHEST_MICROS));
            read += 1;
        }
    }
    Ok(latencies)
}
