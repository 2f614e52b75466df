// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Trying another program on a task's dead letters, on the state as it is now, and keeping nothing of it.
//!
//! It goes on for a slice of time at once; in between the task takes input, and other functions their turns.
//!
//! The trial does what a replay would do: each dead letter sees what those before it wrote; of one that fails nothing stays,
//! and a new instance goes on with the next, unless the failed one undid the letter itself.

use std::collections::VecDeque;
use std::sync::Arc;

use fnstream_core::batch::Batch;
use fnstream_core::broker::PollLimit;
use fnstream_core::dead_letter::DeadLetter;
use fnstream_core::record::Position;
use fnstream_core::runtime::{CallFailure, CallResult, Instance, InstanceSpec, Program};
use fnstream_core::{ErrorCode, Result};

use super::dead_letters::{DeadLetterReader, DeadLetters, Read};
use super::host::{Aside, SharedTaskHost};
use crate::dead_letters::{Tally, TriedDeadLetter};

/// The most dead letters that are tried at once.
const MOST: usize = 10_000;

/// The most bytes of them: they wait in memory until all are read.
const MOST_BYTES: usize = 64 << 20;

/// A trial that is under way. A source may need a while to give the dead letters; then they are tried, some at a time. Nobody
/// else may see what the program writes: it is set aside whenever the task does something else.
pub(super) struct Trial {
    reader: DeadLetterReader,
    collected: VecDeque<DeadLetters>,
    is_collected: bool,
    count: usize,
    bytes: usize,
    /// The next one of the first that are collected.
    next: usize,
    instance: Option<Box<dyn Instance>>,
    aside: Aside,
    tried: Vec<TriedDeadLetter>,
    tally: Arc<Tally>,
}

impl Trial {
    pub(super) fn new(reader: DeadLetterReader, tally: Arc<Tally>) -> Self {
        Trial {
            reader,
            collected: VecDeque::new(),
            is_collected: false,
            count: 0,
            bytes: 0,
            next: 0,
            instance: None,
            aside: Aside::default(),
            tried: Vec::new(),
            tally,
        }
    }

    /// Reports whether all dead letters are there.
    pub(super) fn is_collected(&self) -> bool {
        self.is_collected
    }

    /// Collects the dead letters up to a position; false when more are to come.
    pub(super) fn collect(&mut self, until: Position) -> Result<bool> {
        while !self.is_collected && self.count < MOST && self.bytes < MOST_BYTES {
            match self.reader.next(PollLimit { records: 256, bytes: 1 << 20 }, until)? {
                Read::Some(dead_letters) => {
                    self.count += dead_letters.records.len();
                    self.bytes += dead_letters.raw.bytes().len();
                    self.collected.push_back(dead_letters);
                }
                Read::Pending => return Ok(false),
                Read::End => break,
            }
        }
        self.is_collected = true;
        Ok(true)
    }

    /// Tries a program on what was collected, at least on one of them and on as many as `go_on` says; true when there are more.
    /// The open epoch is empty before and after.
    pub(super) fn run(
        &mut self,
        program: &dyn Program,
        spec: &InstanceSpec,
        host: &SharedTaskHost,
        go_on: &dyn Fn() -> bool,
    ) -> Result<bool> {
        host.lock().take_up(std::mem::take(&mut self.aside));
        let mut more = self.one_more(program, spec, host);
        while matches!(more, Ok(true)) && go_on() {
            more = self.one_more(program, spec, host);
        }
        self.aside = host.lock().set_aside();
        more
    }

    /// What became of all of them.
    pub(super) fn tried(mut self) -> Vec<TriedDeadLetter> {
        std::mem::take(&mut self.tried)
    }

    /// Tries the next one; false when there is none.
    fn one_more(&mut self, program: &dyn Program, spec: &InstanceSpec, host: &SharedTaskHost) -> Result<bool> {
        let Some(dead_letters) = self.collected.front() else { return Ok(false) };
        if self.next >= dead_letters.records.len() {
            self.collected.pop_front();
            self.next = 0;
            return Ok(!self.collected.is_empty());
        }
        let (position, index) = (dead_letters.records.position(self.next), self.next);
        self.next += 1;
        let raw = dead_letters.raw.record_at(position);
        let Some(info) = raw.and_then(|raw| DeadLetter::read(raw.headers)) else { return Ok(true) };
        let alone = dead_letters.records.slice(index..index + 1);
        let outcome = Run { program, spec, host, instance: &mut self.instance }.one(&alone);
        // Nothing is known of those that are left.
        if let Err(failure) = &outcome
            && failure.error.code == ErrorCode::Interrupted
        {
            return Err(failure.error.clone());
        }
        self.tried.push(TriedDeadLetter {
            at: (alone.from().clone(), position),
            source: (info.source, info.position),
            outcome: outcome.map_err(|failure| (failure.error.code, failure.error.message)),
        });
        self.tally.tried(1);
        Ok(true)
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // It was cut off: they are tried again, or not at all.
        self.tally.tried(-(self.tried.len() as i64));
    }
}

struct Run<'a> {
    program: &'a dyn Program,
    spec: &'a InstanceSpec,
    host: &'a SharedTaskHost,
    instance: &'a mut Option<Box<dyn Instance>>,
}

impl Run<'_> {
    /// The number of records that the program makes of a dead letter.
    fn one(&mut self, dead_letter: &Batch) -> Result<u64, CallFailure> {
        let before = {
            let mut host = self.host.lock();
            host.outbox.clear();
            host.begin_call(1);
            host.used()
        };
        let called = self.call(dead_letter);
        let mut host = self.host.lock();
        match called {
            Ok(()) => {
                host.keep_writes();
                Ok(host.outbox.records())
            }
            Err(failure) => {
                host.take_back(before);
                drop(host);
                if !failure.undone {
                    *self.instance = None;
                }
                Err(failure)
            }
        }
    }

    fn call(&mut self, dead_letter: &Batch) -> CallResult {
        let instance = match &mut *self.instance {
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
