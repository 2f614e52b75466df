// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A bench on topics of Apache Kafka: one program reads the input and writes the output, exactly once, and is measured from outside.
//!
//! The program is a process of its own whatever it is: a server of ours, the plain copy ([`copy`]) or another one (`--peer`). So all of
//! them are measured in the same way, and nothing of the bench is in their figures:
//!
//! | figure | how |
//! | --- | --- |
//! | processor time | user and system time of `/proc/PID/stat` |
//! | memory | `VmHWM` of `/proc/PID/status` |
//! | progress | the offsets that the program's group has committed, which move with the outputs in one transaction |
//! | outputs | read by a consumer that reads what is committed |
//!
//! **Steady** figures are those of the second half of the records: a start, and a compiler that warms up, are in the first.
//!
//! The topics are new, and are removed afterwards with all that the program has made in the cluster.
//!
//! Reading order: this file, [`program`] (what is run, and what a peer is told), [`cluster`], [`traffic`], [`copy`].

mod cluster;
pub(super) mod copy;
mod program;
mod traffic;

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use fnstream_core::ErrorCode;
use rdkafka::error::KafkaError;
use tempfile::TempDir;

use self::cluster::Cluster;
use self::program::{Program, Running};
use self::traffic::{Reader, Sender};
use super::report::{Report, Steady};
use super::target::{Outputs, PATIENCE, Target};
use super::{Args, Variant};
use crate::failure::{Failure, Result};
use crate::interrupt;

/// How long the oldest outputs of a transaction wait, in milliseconds: the program is told so, and a server of ours does it.
const COMMIT_INTERVAL_MS: u64 = 100;

/// How often progress is looked at.
const STEP: Duration = Duration::from_millis(20);

/// A program on the topics of a cluster.
pub(super) struct OnKafka {
    cluster: Cluster,
    program: Program,
    running: Running,
    sender: Sender,
    /// From the start of the process until it said that it was ready.
    start: Duration,
    first_output: Option<Duration>,
    steady: Option<Steady>,
    _folder: TempDir,
}

/// What the program had done and used at one moment.
#[derive(Clone, Copy)]
struct Mark {
    at: Instant,
    cpu: Duration,
    done: u64,
}

impl OnKafka {
    pub(super) fn open(args: &Args, bootstrap: &str, variant: Variant, report: &mut Report) -> Result<Self> {
        let folder = match &args.dir {
            Some(dir) => TempDir::with_prefix_in("function-stream-bench-", dir)?,
            None => TempDir::with_prefix("function-stream-bench-")?,
        };
        let running = Running::default();
        // The program ends first, so that what it has made can be removed.
        let asked = running.clone();
        interrupt::end_orderly(move || asked.end_at_once())?;
        interrupt::remove_at_end(folder.path().to_owned())?;
        let program = Program::new(args, variant, folder.path())?;
        let cluster = Cluster::open(bootstrap, args.partitions())?;
        report.bootstrap = Some(bootstrap.to_owned());
        report.commit_interval_ms = Some(COMMIT_INTERVAL_MS);
        report.variant = program.name().to_owned();
        report.durability = program.durability();
        Ok(OnKafka {
            // Records that are to be timed do not wait for others.
            sender: Sender::new(&cluster, args.rate.is_some())?,
            cluster,
            program,
            running,
            start: Duration::ZERO,
            first_output: None,
            steady: None,
            _folder: folder,
        })
    }

    fn mark(&self, done: u64) -> Result<Mark> {
        Ok(Mark { at: Instant::now(), cpu: self.running.cpu()?, done })
    }
}

impl Target for OnKafka {
    fn send(&mut self, frame: Vec<u8>) -> Result {
        self.running.check()?;
        self.sender.send(&frame)
    }

    fn flush(&mut self) -> Result {
        self.sender.flush()
    }

    fn start_function(&mut self) -> Result {
        let began = Instant::now();
        self.program.start(&self.cluster, &self.running)?;
        self.start = began.elapsed();
        Ok(())
    }

    fn kill_and_start(&mut self) -> Result {
        self.running.kill()?;
        self.program.start_again(&self.cluster, &self.running)
    }

    fn await_outputs(&mut self, count: u64) -> Result {
        let began = Instant::now();
        let (mut half, mut last, mut moved) = (None, 0, began);
        loop {
            let done = self.cluster.committed()?;
            if done > last {
                (last, moved) = (done, Instant::now());
                self.first_output.get_or_insert(self.start + began.elapsed());
            }
            if half.is_none() && done >= count / 2 {
                half = Some(self.mark(done)?);
            }
            if done >= count {
                let end = self.mark(done)?;
                self.steady = half.and_then(|half| steady(half, end));
                return Ok(());
            }
            self.running.check()?;
            if moved.elapsed() >= PATIENCE {
                let why = self.running.last_words();
                return Err(Failure::Plain(format!("stopped after {last} of {count} records\n{why}")));
            }
            pause();
        }
    }

    fn outputs(&mut self) -> Result<Box<dyn Outputs>> {
        Ok(Box::new(Reader::open(&self.cluster)?))
    }

    fn cpu(&self) -> Option<Duration> {
        // Before the start it has used nothing.
        Some(self.running.cpu().unwrap_or_default())
    }

    fn copies(&self) -> bool {
        self.program.copies()
    }

    fn observe(&mut self, report: &mut Report) -> Result {
        report.peak_memory = Some(self.running.peak_memory()?);
        report.start_seconds = Some(self.start.as_secs_f64());
        report.first_output_seconds = self.first_output.map(|time| time.as_secs_f64());
        report.steady = self.steady;
        Ok(())
    }

    fn finish(&mut self) -> Result {
        // What there is of the program is known by names that the cluster tells while it is there.
        let made = self.cluster.made_by(self.program.prefix());
        let ended = self.running.end();
        self.cluster.remove(&made?)?;
        ended
    }
}

/// What happened between two moments; nothing if they are one.
fn steady(from: Mark, to: Mark) -> Option<Steady> {
    let (records, took) = ((to.done - from.done) as f64, (to.at - from.at).as_secs_f64());
    (records > 0.0 && took > 0.0).then(|| Steady {
        records_per_second: records / took,
        cpu_seconds_per_million: (to.cpu - from.cpu).as_secs_f64() * 1e6 / records,
    })
}

/// Kafka tells nobody that a group has moved.
fn pause() {
    // Nobody holds the other end of this channel: receiving from it only waits.
    let (_never, pause) = channel::<()>();
    let waited = pause.recv_timeout(STEP);
    debug_assert!(waited.is_err());
}

/// A call of the client that failed.
fn failed(doing: &str, error: &KafkaError) -> Failure {
    Failure::new(ErrorCode::Unavailable, format!("{doing}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_figures_are_those_between_two_moments() {
        let from = Mark { at: Instant::now(), cpu: Duration::from_secs(7), done: 1_000_000 };
        let to = Mark { at: from.at + Duration::from_secs(4), cpu: Duration::from_secs(10), done: 3_000_000 };
        let between = steady(from, to).unwrap();
        assert!((between.records_per_second - 500_000.0).abs() < 1e-6, "{between:?}");
        assert!((between.cpu_seconds_per_million - 1.5).abs() < 1e-9, "{between:?}");
        assert!(steady(from, from).is_none());
    }
}
