// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Trying another program on a task's dead letters, on the state as it is now, and keeping nothing of it.
//!
//! The trial does what a replay would do: each dead letter sees what those before it wrote; of one that fails nothing stays,
//! and a new instance goes on with the next.

use fnstream_core::Result;
use fnstream_core::batch::{Batch, BatchPositions};
use fnstream_core::broker::PollLimit;
use fnstream_core::dead_letter::DeadLetter;
use fnstream_core::record::Position;
use fnstream_core::runtime::{CallFailure, CallResult, Instance, InstanceSpec, Program};
use fnstream_frame::FrameBuilder;

use super::dead_letters::{DeadLetterReader, DeadLetters, Read};
use super::host::SharedTaskHost;
use crate::dead_letters::TriedDeadLetter;

/// The most dead letters that are tried at once.
const MOST: usize = 10_000;

/// The most bytes of them: they wait in memory until all are read.
const MOST_BYTES: usize = 64 << 20;

/// Dead letters that are collected for a trial. A source may need a while to give them, and the trial itself must not be
/// interrupted: nobody else may see its writes.
pub(super) struct Trial {
    reader: DeadLetterReader,
    collected: Vec<DeadLetters>,
    count: usize,
    bytes: usize,
}

impl Trial {
    pub(super) fn new(reader: DeadLetterReader) -> Self {
        Trial { reader, collected: Vec::new(), count: 0, bytes: 0 }
    }

    /// Collects the dead letters up to a position; false when more are to come.
    pub(super) fn collect(&mut self, until: Position) -> Result<bool> {
        while self.count < MOST && self.bytes < MOST_BYTES {
            match self.reader.next(PollLimit { records: 256, bytes: 1 << 20 }, until)? {
                Read::Some(dead_letters) => {
                    self.count += dead_letters.records.len();
                    self.bytes += dead_letters.raw.bytes().len();
                    self.collected.push(dead_letters);
                }
                Read::Pending => return Ok(false),
                Read::End => break,
            }
        }
        Ok(true)
    }

    /// Tries a program on what was collected. The open epoch is empty before and after.
    pub(super) fn run(
        self,
        program: &dyn Program,
        spec: &InstanceSpec,
        host: &SharedTaskHost,
    ) -> Result<Vec<TriedDeadLetter>> {
        let mut run = Run { program, spec, host, instance: None, tried: Vec::new() };
        for dead_letters in &self.collected {
            run.on(dead_letters)?;
        }
        drop(run.instance);
        host.lock().clear();
        Ok(run.tried)
    }
}

struct Run<'a> {
    program: &'a dyn Program,
    spec: &'a InstanceSpec,
    host: &'a SharedTaskHost,
    instance: Option<Box<dyn Instance>>,
    tried: Vec<TriedDeadLetter>,
}

impl Run<'_> {
    fn on(&mut self, dead_letters: &DeadLetters) -> Result<()> {
        for (position, record) in dead_letters.records.iter() {
            let raw = dead_letters.raw.iter().find(|(at, _)| *at == position);
            let Some(info) = raw.and_then(|(_, raw)| DeadLetter::read(raw.headers)) else { continue };
            let mut frame = FrameBuilder::new();
            frame.push(record);
            let positions = BatchPositions::Each(vec![position]);
            let alone = Batch::new(dead_letters.records.from().clone(), positions, frame.to_bytes().into())?;
            let outcome = self.one(&alone);
            self.tried.push(TriedDeadLetter {
                at: (alone.from().clone(), position),
                source: (info.source, info.position),
                outcome: outcome.map_err(|failure| (failure.error.code, failure.error.message)),
            });
        }
        Ok(())
    }

    /// The number of records that the program makes of a dead letter.
    fn one(&mut self, dead_letter: &Batch) -> Result<u64, CallFailure> {
        let before = {
            let mut host = self.host.lock();
            host.outbox.clear();
            host.begin_call(1);
            host.writes()
        };
        let called = self.call(dead_letter);
        if called.is_err() {
            self.instance = None;
            self.host.lock().put_back(before);
        }
        called.map(|()| self.host.lock().outbox.records())
    }

    fn call(&mut self, dead_letter: &Batch) -> CallResult {
        let instance = match &mut self.instance {
            Some(instance) => instance,
            empty => {
                let mut instance = self.program.instantiate(self.spec, self.host.clone())?;
                instance.init()?;
                empty.insert(instance)
            }
        };
        instance.process(dead_letter)
    }
}
