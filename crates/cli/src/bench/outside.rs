// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A bench on topics of a cluster: one program reads the input and writes the output, and is measured from outside.
//!
//! The program is a process of its own whatever it is: a server of ours, the plain copy or another one (`--peer`). So all of them are
//! measured in the same way, and nothing of the bench is in their figures:
//!
//! | figure | how |
//! | --- | --- |
//! | processor time | user and system time of `/proc/PID/stat` |
//! | memory | `VmHWM` of `/proc/PID/status` |
//! | progress | what the [`Cluster`] tells of it |
//! | outputs | read by a client of the bench's own |
//!
//! **Steady** figures are those of the second half of the records: a start, and a compiler that warms up, are in the first.
//!
//! The topics are new, and are removed afterwards with all that the program has made in the cluster.
//!
//! Reading order: this file, [`cluster`] (what a cluster is asked), [`program`] (what is run), [`told`] (what a peer is told), [`mod@steady`].

mod cluster;
mod program;
mod steady;
mod told;

use std::fmt::Display;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use fnstream_core::ErrorCode;
use tempfile::TempDir;

pub(super) use self::cluster::{Cluster, Place, Sender, Server, Topics, unique};
use self::program::{Program, Running};
use self::steady::{Mark, steady};
pub(super) use self::told::{READY, Told, number, text};
use super::report::{Report, Steady};
use super::target::{Outputs, PATIENCE, Target};
use super::{Args, Variant};
use crate::failure::{Failure, Result};
use crate::interrupt;

/// A program on the topics of a cluster.
pub(super) struct OnCluster {
    cluster: Box<dyn Cluster>,
    program: Program,
    running: Running,
    /// Gone when the topics are removed.
    sender: Option<Box<dyn Sender>>,
    /// From the start of the process until it said that it was ready.
    start: Duration,
    first_output: Option<Duration>,
    steady: Option<Steady>,
    _folder: TempDir,
}

impl OnCluster {
    /// `open` makes the topics. It is called when everything else is known to be there.
    pub(super) fn open(
        args: &Args,
        variant: Variant,
        report: &mut Report,
        open: impl FnOnce(&mut Report) -> Result<Box<dyn Cluster>>,
    ) -> Result<Self> {
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
        let cluster = open(report)?;
        report.variant = program.name().to_owned();
        report.durability = program.durability();
        let sender = match cluster.sender() {
            Ok(sender) => Some(sender),
            Err(error) => {
                // The first failure says why.
                drop(cluster.made().and_then(|made| cluster.remove(&made)));
                return Err(error);
            }
        };
        Ok(OnCluster {
            cluster,
            program,
            running,
            sender,
            start: Duration::ZERO,
            first_output: None,
            steady: None,
            _folder: folder,
        })
    }

    fn mark(&self, done: u64) -> Result<Mark> {
        Ok(Mark { at: Instant::now(), cpu: self.running.cpu()?, done })
    }

    fn sender(&mut self) -> Result<&mut dyn Sender> {
        match &mut self.sender {
            Some(sender) => Ok(&mut **sender),
            None => Err(Failure::Plain("the bench has ended".into())),
        }
    }
}

impl Target for OnCluster {
    fn send(&mut self, frame: Vec<u8>) -> Result {
        self.running.check()?;
        self.sender()?.send(&frame)
    }

    fn flush(&mut self) -> Result {
        self.sender()?.flush()
    }

    fn start_function(&mut self) -> Result {
        let began = Instant::now();
        self.program.start(self.cluster.place(), &self.running)?;
        self.start = began.elapsed();
        Ok(())
    }

    fn kill_and_start(&mut self) -> Result {
        self.running.kill()?;
        self.program.start_again(self.cluster.place(), &self.running)
    }

    fn await_outputs(&mut self, count: u64) -> Result {
        let began = Instant::now();
        let step = self.cluster.place().step;
        let (mut half, mut last, mut moved) = (None, 0, began);
        loop {
            let done = self.cluster.done()?;
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
            pause(step);
        }
    }

    fn outputs(&mut self) -> Result<Box<dyn Outputs>> {
        self.cluster.reader()
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
        let made = self.cluster.made();
        let ended = self.running.end();
        // It must not make anew what is removed.
        self.sender = None;
        self.cluster.remove(&made?)?;
        ended
    }
}

/// Neither Kafka nor Pulsar tells anybody how far a program is: they are asked.
fn pause(step: Duration) {
    // Nobody holds the other end of this channel: receiving from it only waits.
    let (_never, pause) = channel::<()>();
    let waited = pause.recv_timeout(step);
    debug_assert!(waited.is_err());
}

/// A call of a cluster's client that failed.
pub(super) fn failed(doing: &str, error: &dyn Display) -> Failure {
    Failure::new(ErrorCode::Unavailable, format!("{doing}: {error}"))
}
