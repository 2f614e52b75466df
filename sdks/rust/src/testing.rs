// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Runs a function without a server, in the process of its own tests, with state in memory.
//!
//! It keeps what the server promises: a record that fails leaves no trace in state or output, and the records before it do. Like on
//! a server, the function itself is the same afterwards, and its fields are as the failed call left them, unless the record had set a
//! timer, emitted a watermark, or emitted or written more than 1 MiB; then a new function takes over.
//!
//! Time stands still until a test moves it: [`Harness::process_watermark`] moves event time, [`Harness::advance_time`] the
//! machine's clock. At the end of each call the timers that are due fire, including those whose time had come when they were set.
//! Timers of event time fire before the function gets the watermark that made them due. A timer that a timer sets for its own time
//! or for an earlier one fires after that. A timer that fails is tried again, and nothing else happens before it succeeds: each
//! later call returns the same error.

mod memory;

use std::collections::BTreeMap;
use std::rc::Rc;

use fnstream_frame::{FrameBuilder, RecordRef};

use crate::boundary::Boundary;
use crate::driver::{BatchFailure, Driver};
use crate::{Config, Context, Error, Function, Metadata, Module, Record, TimeDomain};
use memory::{Memory, SetTimer, World};

/// The most calls for timers that may follow each other. On a server there is no such limit, but a test would not end.
const MOST_CALLS: u32 = 10_000;

fn millis(watermark: u64) -> i64 {
    i64::try_from(watermark).unwrap_or(i64::MAX)
}

/// A function under test.
///
/// The function has one output, named `output`, unless it is made by [`Harness::with_outputs`].
pub struct Harness<F> {
    driver: Option<Driver<F>>,
    memory: Rc<Memory>,
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
            config: config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            outputs: outputs.iter().map(|name| (*name).to_owned()).collect(),
            inputs: 1,
            watermarks: BTreeMap::new(),
            told: None,
            time: None,
            queued: None,
        };
        harness.restart()?;
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
        let mut frame = FrameBuilder::new();
        for record in records {
            frame.push(record.packed());
        }
        let before = self.memory.world.borrow().clone();
        let failure = match self.driver.as_mut() {
            None => return Err(self.not_made()),
            Some(driver) => match driver.process_batch(&frame.to_bytes()) {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            },
        };
        if failure.undone {
            return Err(Failed { record: Some(failure.index as usize), message: failure.message });
        }
        let mut failed = self.give_up(before, failure, records.len());
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

    /// Ends an epoch.
    pub fn take_checkpoint(&mut self, checkpoint: u64) -> Result<(), Error> {
        self.call(|function, ctx| function.take_checkpoint(ctx, checkpoint))
    }

    /// Asks whether the function is well.
    pub fn check_heartbeat(&mut self) -> Result<bool, Error> {
        self.call(|function, ctx| Ok(function.check_heartbeat(ctx)))
    }

    /// Sends modules.
    pub fn exec(&mut self, class_name: &str, modules: Vec<Module>) -> Result<(), Error> {
        self.call(|function, ctx| function.exec(ctx, class_name, modules))
    }

    /// Sends a request.
    pub fn custom(&mut self, payload: &[u8]) -> Result<Vec<u8>, Error> {
        self.call(|function, ctx| function.custom(ctx, payload.to_vec()))
    }

    /// Lends the function and its context to a test: to look at its state, or to prepare it before the first record.
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
        self.call(run)
    }

    /// Replaces the function by a new one with the same state, as after a failure or when a task moves.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.driver = None;
        let metadata = Metadata { name: "test".into(), revision: 1, task_index: 0, outputs: self.outputs.clone() };
        let boundary: Rc<dyn Boundary> = self.memory.clone();
        self.driver = Some(Driver::init(boundary, &self.config, metadata)?);
        Ok(())
    }

    /// Returns what was emitted since the last call.
    pub fn take_output(&mut self) -> Vec<Emitted> {
        std::mem::take(&mut self.memory.world.borrow_mut().output)
    }

    /// Returns the watermarks that were emitted since the last call, as target and time.
    pub fn take_watermarks(&mut self) -> Vec<(u32, u64)> {
        std::mem::take(&mut self.memory.world.borrow_mut().watermarks)
    }

    /// Returns the function, or `None` if it could not be created again after a failure.
    pub fn function(&self) -> Option<&F> {
        self.driver.as_ref().map(Driver::function)
    }

    /// A call that happens wholly, or not at all and with a new function; it is given so many timers.
    fn attempt(
        &mut self,
        timers: usize,
        run: impl FnOnce(&mut Driver<F>) -> Result<(), BatchFailure>,
    ) -> Result<(), Failed> {
        let before = self.memory.world.borrow().clone();
        let Some(driver) = self.driver.as_mut() else { return Err(self.not_made()) };
        run(driver).map_err(|failure| self.give_up(before, failure, timers))
    }

    fn not_made(&self) -> Failed {
        Failed { record: None, message: "the function could not be made".into() }
    }

    /// Goes back to what there was before a call that failed, with a new function.
    fn give_up(&mut self, before: World, failure: BatchFailure, records: usize) -> Failed {
        *self.memory.world.borrow_mut() = before;
        let message = match self.restart() {
            Ok(()) => failure.message,
            Err(error) => format!("{}; and then: {error}", failure.message),
        };
        Failed { record: Some(failure.index as usize).filter(|&index| index < records), message }
    }

    /// The watermark that the function is to be told, with the input group that held it back until now.
    fn rise(&self) -> Option<(u32, u64)> {
        if self.watermarks.len() < self.inputs as usize {
            return None;
        }
        let least = self.watermarks.iter().min_by_key(|(_, watermark)| **watermark);
        least.map(|(group, watermark)| (*group, *watermark)).filter(|(_, watermark)| self.told < Some(*watermark))
    }

    /// Fires what is due, then tells the watermark that made it so, until there is nothing to tell.
    fn advance(&mut self) -> Result<(), Error> {
        for _ in 0..MOST_CALLS {
            let rise = self.rise();
            let due = self.next(rise.map(|(_, watermark)| millis(watermark)));
            if !due.is_empty() {
                self.fire(&due)?;
            } else if let Some((group, watermark)) = rise {
                self.memory.world.borrow_mut().reached.insert(TimeDomain::Event, millis(watermark));
                self.attempt(0, |driver| {
                    let told = driver.call(|function, ctx| function.process_watermark(ctx, group, watermark));
                    told.map_err(|error| BatchFailure::of_batch(error.into_message()))
                })
                .map_err(|failed| Error::new(failed.message))?;
                self.told = Some(watermark);
                self.queued = None;
            } else {
                return Ok(());
            }
        }
        Err(Error::new(format!(
            "{MOST_CALLS} calls for timers, and there is still one due: timers set timers that are due already, without end"
        )))
    }

    /// The timers that fire next, in one call; those that are set from now on know what time it is.
    fn next(&mut self, rise: Option<i64>) -> Vec<SetTimer> {
        let world = &mut *self.memory.world.borrow_mut();
        let told = self.told.map(|told| (TimeDomain::Event, millis(told)));
        world.reached = told.into_iter().chain(self.time.map(|now| (TimeDomain::Processing, now))).collect();
        if let Some(now) = self.time {
            let due = world.due(TimeDomain::Processing, now);
            if !due.is_empty() {
                return due;
            }
            let queued = world.queued(TimeDomain::Processing, world.turn);
            if !queued.is_empty() {
                world.turn += 1;
                return queued;
            }
        }
        if rise.is_some() && self.queued.is_none() {
            self.queued = Some(world.turn);
            world.turn += 1;
        }
        let queued = world.queued(TimeDomain::Event, self.queued.unwrap_or(world.turn));
        if !queued.is_empty() {
            world.turn += 1;
            return queued;
        }
        let due = rise.map(|until| world.due(TimeDomain::Event, until)).unwrap_or_default();
        if let Some((_, first, _)) = due.first() {
            let reached = world.reached.entry(TimeDomain::Event).or_insert(*first);
            *reached = (*first).max(*reached);
        }
        due
    }

    /// Fires timers in one call, or those before one that fails, which stays set.
    fn fire(&mut self, due: &[SetTimer]) -> Result<(), Error> {
        let mut frame = FrameBuilder::new();
        for (domain, at, key) in due {
            frame.push(RecordRef::new(b"").with_key(Some(key)).on(domain.channel()).at(*at));
        }
        let memory = Rc::clone(&self.memory);
        let fired = self.attempt(due.len(), |driver| {
            memory.world.borrow_mut().unset(due);
            driver.on_timers(&frame.to_bytes())
        });
        let Err(failed) = fired else { return Ok(()) };
        match failed.record {
            None if due.len() > 1 && self.driver.is_some() => {
                let (first, rest) = due.split_at(due.len() / 2);
                self.fire(first)?;
                self.fire(rest)
            }
            index => {
                let (before, (_, at, key)) = (&due[..index.unwrap_or(0)], &due[index.unwrap_or(0)]);
                if !before.is_empty() && self.driver.is_some() {
                    self.fire(before)?;
                }
                let key = String::from_utf8_lossy(key);
                Err(Error::new(failed.message).context(format_args!("the timer '{key}' of {at}")))
            }
        }
    }

    fn call<R>(&mut self, run: impl FnOnce(&mut F, &mut Context) -> Result<R, Error>) -> Result<R, Error> {
        self.driver.as_mut().ok_or_else(|| Error::new("the function could not be made"))?.call(run)
    }
}
