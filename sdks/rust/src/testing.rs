// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Runs a function without a server, in the process of its own tests, with state in memory.
//!
//! It does what the server does: [`Harness::take_checkpoint`] ends an epoch. If the function dies, by a panic or because a test says so
//! ([`Harness::restart`]), what was emitted, written and set since then is gone, and a new function gets the inputs since then again.
//! So a test finds a function that keeps in its fields what belongs into state.
//!
//! A record that fails leaves no trace in state or output, and the records before it do. Like on a server, the function itself is the
//! same after an error, and its fields are as the failed call left them, unless the record had set a timer, emitted a watermark, or
//! emitted or written more than 1 MiB; then a new function takes over. It does so after a panic, too.
//!
//! Time stands still until a test moves it: [`Harness::process_watermark`] moves event time, [`Harness::advance_time`] the
//! machine's clock; a new function finds it as it was. At the end of each call the timers that are due fire, including those whose
//! time had come when they were set. Timers of event time fire before the function gets the watermark that made them due. A timer
//! that a timer sets for its own time or for an earlier one fires after that. A timer that fails is tried again, and nothing else
//! happens before it succeeds: each later call returns the same error.

mod epoch;
mod memory;
mod time;

use std::collections::BTreeMap;
use std::rc::Rc;

use fnstream_frame::FrameBuilder;

use crate::driver::Driver;
use crate::{Config, Context, Error, Function, Module, Record};
use epoch::{Epoch, Input};
use memory::{Memory, SetTimer};

/// A function under test.
///
/// The function has one output, named `output`, unless it is made by [`Harness::with_outputs`].
pub struct Harness<F> {
    driver: Option<Driver<F>>,
    memory: Rc<Memory>,
    epoch: Epoch,
    /// The function was stopped, and not started again.
    stopped: bool,
    config: Config,
    outputs: Vec<String>,
    inputs: u32,
    /// The watermarks of the input groups that have one.
    watermarks: BTreeMap<u32, u64>,
    /// The watermark that the function was told.
    told: Option<u64>,
    /// The machine's clock, once it was set.
    time: Option<i64>,
    /// The last turn of queued timers that come before the next watermark, once the way to it has begun.
    queued: Option<u64>,
}

/// A record that the function emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    /// The index of the output that the record went to.
    pub target: u32,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The key, if the record has one.
    pub key: Option<Vec<u8>>,
    /// Names with values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The payload; `None` for a null value.
    pub value: Option<Vec<u8>>,
}

impl Emitted {
    /// Returns the bytes of the value. A null value has none, like an empty one.
    pub fn bytes(&self) -> &[u8] {
        self.value.as_deref().unwrap_or_default()
    }
}

/// A batch that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The index of the record that failed, if that is known.
    pub record: Option<usize>,
    /// The function's own words.
    pub message: String,
}

impl<F: Function> Harness<F> {
    /// Creates the function with this configuration.
    pub fn new(config: &[(&str, &str)]) -> Result<Self, Error> {
        Self::with_outputs(config, &["output"])
    }

    /// Creates the function with these outputs.
    pub fn with_outputs(config: &[(&str, &str)], outputs: &[&str]) -> Result<Self, Error> {
        let mut harness = Harness {
            driver: None,
            memory: Rc::default(),
            epoch: Epoch::default(),
            stopped: false,
            config: config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            outputs: outputs.iter().map(|name| (*name).to_owned()).collect(),
            inputs: 1,
            watermarks: BTreeMap::new(),
            told: None,
            time: None,
            queued: None,
        };
        harness.make()?;
        Ok(harness)
    }

    /// Sets the number of input groups, which is 1 otherwise. The function's watermark is that of the group that is furthest
    /// behind; there is none before each group has one.
    #[must_use]
    pub fn with_inputs(mut self, groups: u32) -> Self {
        self.inputs = groups;
        self
    }

    /// Processes a batch, then fires the timers that are due. If a record fails, nothing of it has happened, all of those before it
    /// has, and those after it were not processed. The failure of a timer names no record.
    pub fn process(&mut self, records: &[Record<'_>]) -> Result<(), Failed> {
        let of_time = |error: Error| Failed { record: None, message: error.into_message() };
        self.advance().map_err(of_time)?;
        self.process_batch(records)?;
        self.advance().map_err(of_time)
    }

    fn process_batch(&mut self, records: &[Record<'_>]) -> Result<(), Failed> {
        let frame = pack(records);
        let Err(failure) = self.run(|driver| driver.process_batch(&frame)) else {
            self.keep(Input::Batch(frame));
            return Ok(());
        };
        if failure.undone {
            let index = failure.index as usize;
            self.keep(Input::Batch(pack(&records[..index])));
            return Err(Failed { record: Some(index), message: failure.message });
        }
        let mut failed = self.give_up(failure, records.len());
        if let (Some(index), true) = (failed.record, self.driver.is_some())
            && let Err(again) = self.process_batch(&records[..index])
        {
            failed.message = format!("{}; and then, in a new function: {}", failed.message, again.message);
        }
        Err(failed)
    }

    /// Raises the watermark of an input group. If the function's own watermark rises by it, the timers of event time that are due
    /// fire, and then [`Function::process_watermark`] is called.
    pub fn process_watermark(&mut self, source: u32, watermark: u64) -> Result<(), Error> {
        if source >= self.inputs {
            return Err(Error::new(format!("there is no input group {source}, the function has {}", self.inputs)));
        }
        let known = self.watermarks.entry(source).or_default();
        *known = watermark.max(*known);
        self.advance()
    }

    /// Moves the machine's clock forward to a time in milliseconds since the Unix epoch, and fires the timers that are due then.
    pub fn advance_time(&mut self, now: i64) -> Result<(), Error> {
        self.time = Some(self.time.map_or(now, |before| before.max(now)));
        self.advance()
    }

    /// Returns the timers that are set as domain, time and key: first those of event time, then those of processing time, each in
    /// the order of their times.
    pub fn timers(&self) -> Vec<SetTimer> {
        self.memory.world.borrow().timers()
    }

    /// Ends an epoch: what was emitted, written and set since the last one stays from now on.
    pub fn take_checkpoint(&mut self, checkpoint: u64) -> Result<(), Error> {
        self.call(|function, ctx| function.take_checkpoint(ctx, checkpoint))?;
        self.commit();
        self.advance()
    }

    /// Asks whether the function is well. If it is not, a new function goes on from the last checkpoint.
    pub fn check_heartbeat(&mut self) -> Result<bool, Error> {
        let well = self.call(|function, ctx| Ok(function.check_heartbeat(ctx)))?;
        if !well {
            self.restore()?;
        }
        Ok(well)
    }

    /// Sends modules. What the function writes belongs to the epoch, and is not done again by a new function.
    pub fn exec(&mut self, class_name: &str, modules: Vec<Module>) -> Result<(), Error> {
        self.call(|function, ctx| function.exec(ctx, class_name, modules))?;
        self.advance()
    }

    /// Sends a request. What the function writes belongs to the epoch, and is not done again by a new function.
    pub fn custom(&mut self, payload: &[u8]) -> Result<Vec<u8>, Error> {
        let answer = self.call(|function, ctx| function.custom(ctx, payload.to_vec()))?;
        self.advance().map(|()| answer)
    }

    /// Ends the epoch and closes the function. Every later call returns an error until [`Harness::restart`].
    pub fn stop(&mut self, checkpoint: u64) -> Result<(), Error> {
        self.take_checkpoint(checkpoint)?;
        self.call(|function, ctx| function.close(ctx))?;
        self.commit();
        (self.driver, self.stopped) = (None, true);
        Ok(())
    }

    /// Lends the function and its context to a test: to look at its state, or to prepare it before the first record. What is written
    /// belongs to the epoch: call [`Harness::take_checkpoint`] if a new function must find it.
    ///
    /// ```
    /// # use fnstream_sdk::{Config, Context, Error, Function, Record};
    /// # struct Echo;
    /// # impl Function for Echo {
    /// #     fn init(_: &mut Context, _: &Config) -> Result<Self, Error> { Ok(Echo) }
    /// #     fn process(&mut self, _: &mut Context, _: Record<'_>) -> Result<(), Error> { Ok(()) }
    /// # }
    /// use fnstream_sdk::states::ValueState;
    /// use fnstream_sdk::testing::Harness;
    ///
    /// let mut test = Harness::<Echo>::new(&[]).unwrap();
    /// test.with(|_, ctx| ValueState::<u64>::open(ctx, "total")?.set(&7)).unwrap();
    /// assert_eq!(test.with(|_, ctx| ValueState::<u64>::open(ctx, "total")?.get()).unwrap(), Some(7));
    /// ```
    pub fn with<R>(&mut self, run: impl FnOnce(&mut F, &mut Context) -> Result<R, Error>) -> Result<R, Error> {
        let answer = self.driver.as_mut().ok_or_else(|| not_made(self.stopped))?.call(run)?;
        self.advance().map(|()| answer)
    }

    /// Does what killing the process does, or moving the task: a new function goes on from the last checkpoint, and gets the inputs
    /// since then again.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stopped = false;
        self.restore()?;
        self.advance()
    }

    /// Returns what was emitted since the last call.
    pub fn take_output(&mut self) -> Vec<Emitted> {
        self.memory.world.borrow_mut().output.take()
    }

    /// Returns the watermarks that were emitted since the last call, as target and time.
    pub fn take_watermarks(&mut self) -> Vec<(u32, u64)> {
        self.memory.world.borrow_mut().watermarks.take()
    }

    /// Returns the function, or `None` if it could not be created again after a failure.
    pub fn function(&self) -> Option<&F> {
        self.driver.as_ref().map(Driver::function)
    }
}

fn pack(records: &[Record<'_>]) -> Vec<u8> {
    let mut frame = FrameBuilder::new();
    for record in records {
        frame.push(record.packed());
    }
    frame.to_bytes()
}

fn not_made(stopped: bool) -> Error {
    Error::new(if stopped { "the function was stopped" } else { "the function could not be made" })
}
