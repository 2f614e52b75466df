// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Trying another program on a task's dead letters, on the state as it is now, and keeping nothing of it.
//!
//! The trial does what a replay would do: each letter sees what those before it wrote; of one that fails nothing stays,
//! and a new instance goes on with the next.

use fnstream_core::Result;
use fnstream_core::batch::{Batch, BatchPositions};
use fnstream_core::broker::PollLimit;
use fnstream_core::dead_letter::DeadLetter;
use fnstream_core::delta::Delta;
use fnstream_core::record::Position;
use fnstream_core::runtime::{CallFailure, CallResult, Instance, InstanceSpec, Program};
use fnstream_frame::FrameBuilder;

use super::host::SharedTaskHost;
use super::letters::{LetterReader, Letters};
use crate::letters::TriedLetter;

/// The most letters that are tried at once.
const MOST: usize = 10_000;

/// Tries a program on the letters up to a position. The open epoch is empty before and after.
pub(super) fn run(
    program: &dyn Program,
    spec: &InstanceSpec,
    host: &SharedTaskHost,
    letters: &mut LetterReader,
    until: Position,
) -> Result<Vec<TriedLetter>> {
    let mut trial = Trial { program, spec, host, instance: None, tried: Vec::new() };
    while trial.tried.len() < MOST
        && let Some(letters) = letters.next(PollLimit { records: 256, bytes: 1 << 20 }, until)?
    {
        trial.on(&letters)?;
    }
    drop(trial.instance);
    let mut host = host.lock();
    host.layers.set_overlay(Delta::new());
    host.outbox.clear();
    host.recount()?;
    Ok(trial.tried)
}

struct Trial<'a> {
    program: &'a dyn Program,
    spec: &'a InstanceSpec,
    host: &'a SharedTaskHost,
    instance: Option<Box<dyn Instance>>,
    tried: Vec<TriedLetter>,
}

impl Trial<'_> {
    fn on(&mut self, letters: &Letters) -> Result<()> {
        for (position, record) in letters.records.iter() {
            let raw = letters.raw.iter().find(|(at, _)| *at == position);
            let Some(letter) = raw.and_then(|(_, raw)| DeadLetter::read(raw.headers)) else { continue };
            let mut frame = FrameBuilder::new();
            frame.push(record);
            let positions = BatchPositions::Each(vec![position]);
            let alone = Batch::new(letters.records.from().clone(), positions, frame.to_bytes().into())?;
            let outcome = self.one(&alone)?;
            self.tried.push(TriedLetter {
                letter: (alone.from().clone(), position),
                source: (letter.source, letter.position),
                outcome: outcome.map_err(|failure| (failure.error.code, failure.error.message)),
            });
        }
        Ok(())
    }

    /// The inner result is what the program made of the letter.
    fn one(&mut self, letter: &Batch) -> Result<Result<u64, CallFailure>> {
        let before = {
            let mut host = self.host.lock();
            host.outbox.clear();
            host.begin_call(1);
            host.layers.overlay()
        };
        let called = self.call(letter);
        if called.is_err() {
            self.instance = None;
            let mut host = self.host.lock();
            host.layers.set_overlay(before);
            host.recount()?;
        }
        Ok(called.map(|()| self.host.lock().outbox.records()))
    }

    fn call(&mut self, letter: &Batch) -> CallResult {
        let instance = match &mut self.instance {
            Some(instance) => instance,
            empty => {
                let mut instance = self.program.instantiate(self.spec, self.host.clone())?;
                instance.init()?;
                empty.insert(instance)
            }
        };
        instance.process(letter)
    }
}
