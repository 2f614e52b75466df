// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Latency: records sent at fixed times, each timed from when it was to be sent until it was read from the output.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use fnstream_frame::{Frame, FrameBuilder};
use hdrhistogram::Histogram;

use super::report::{Latency, Report};
use super::target::{Outputs, PATIENCE, Target};
use super::throughput::{check, used};
use super::workload::{Numbers, Workload};
use crate::failure::{Failure, Result};

/// Times above this are counted as this.
const HIGHEST_MICROS: u64 = 600_000_000;

/// When the first record is due.
const START_AFTER: Duration = Duration::from_secs(1);

/// When the program was killed, and the number of the first record that was sent after that.
type Killed = OnceLock<(Instant, u64)>;

/// What the reader saw.
struct Seen {
    latencies: Histogram<u64>,
    /// From the kill until the output of a record was read that was sent after it.
    restart: Option<Duration>,
}

pub(super) fn run(target: &mut dyn Target, workload: &Workload, rate: f64, kill: bool, report: &mut Report) -> Result {
    target.start_function()?;
    let outputs = target.outputs()?;
    let numbers = workload.numbers(target.copies())?;
    // The function comes up meanwhile: what is measured is not its start.
    let began = Instant::now() + START_AFTER;
    let cpu = target.cpu();
    let killed = Killed::new();
    let seen = std::thread::scope(|threads| -> Result<Seen> {
        let (stop, stopped) = channel();
        let (times, kill) = (&killed, kill.then_some(&killed));
        let reading = threads.spawn(move || read(outputs, workload, &numbers, rate, began, times, &stopped));
        let sent = send(target, workload, rate, began, kill);
        if sent.is_err() {
            // The reader may have ended by itself.
            let _ = stop.send(());
        }
        let read = reading.join().map_err(|_| Failure::Plain("the reader ended abnormally".into()))?;
        sent?;
        read
    })?;
    let (took, cpu) = (began.elapsed(), used(target, cpu));
    // The time of a process that was killed is gone with it.
    report.measured(workload.records, took, cpu.filter(|_| !kill));
    report.restart_seconds = seen.restart.map(|time| time.as_secs_f64());
    target.observe(report)?;
    report.latency(rate, Latency::of(&seen.latencies));
    check(target, workload, report)
}

/// When a record is to be sent, after the beginning.
fn due(number: u64, rate: f64) -> Duration {
    Duration::from_secs_f64(number as f64 / rate)
}

/// Sends each record when it is due; those that are due together go together. Kills the program in the middle of what is timed, if it is
/// to note that.
fn send(target: &mut dyn Target, workload: &Workload, rate: f64, began: Instant, mut kill: Option<&Killed>) -> Result {
    let middle = workload.untimed.midpoint(workload.records);
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
        if let Some(killed) = kill.take_if(|_| records.made() >= middle) {
            let (now, next) = (Instant::now(), records.made());
            target.kill_and_start()?;
            let _: std::result::Result<(), _> = killed.set((now, next));
        }
    }
    target.flush()
}

fn read(
    mut outputs: Box<dyn Outputs>,
    workload: &Workload,
    numbers: &Numbers<'_>,
    rate: f64,
    began: Instant,
    killed: &Killed,
    stopped: &Receiver<()>,
) -> Result<Seen> {
    let latencies = Histogram::new_with_max(HIGHEST_MICROS, 3).map_err(|e| Failure::Plain(e.to_string()))?;
    let mut seen = Seen { latencies, restart: None };
    let mut read = 0;
    let mut quiet_since = Instant::now();
    while read < workload.records {
        if stopped.try_recv().is_ok() {
            return Ok(seen);
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
            read += 1;
            // One that is of no record is found by the check.
            let Some(number) = numbers.of(&record).filter(|number| *number >= workload.untimed) else { continue };
            if let Some((at, from)) = killed.get()
                && number >= *from
            {
                seen.restart.get_or_insert_with(|| at.elapsed());
            }
            let micros = now.saturating_sub(due(number, rate)).as_micros() as u64;
            seen.latencies.saturating_record(micros.clamp(1, HIGHEST_MICROS));
        }
    }
    Ok(seen)
}
