// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Epochs, and the way back to the last checkpoint.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::memory::{SetTimer, World};
use super::{Failed, Harness, not_made};
use crate::boundary::Boundary;
use crate::driver::{BatchFailure, Driver};
use crate::{Context, Error, Function, Metadata, TimeDomain, progress};

/// The open epoch.
#[derive(Default)]
pub(super) struct Epoch {
    /// What there was at the last checkpoint.
    kept: World,
    /// What the function was given since then.
    journal: Vec<Given>,
}

/// An input, with the time that timers were set by.
struct Given {
    input: Input,
    reached: BTreeMap<TimeDomain, i64>,
    turn: u64,
}

/// What a function is given.
#[derive(Clone)]
pub(super) enum Input {
    Batch(Vec<u8>),
    Watermark(u32, u64),
    Timers(Vec<SetTimer>),
}

impl<F: Function> Harness<F> {
    /// Notes an input that the function took, to be given again.
    pub(super) fn keep(&mut self, input: Input) {
        let world = self.memory.world.borrow();
        self.epoch.journal.push(Given { input, reached: world.reached.clone(), turn: world.turn });
    }

    /// The epoch ends.
    pub(super) fn commit(&mut self) {
        let mut world = self.memory.world.borrow_mut();
        world.output.forget_taken();
        world.watermarks.forget_taken();
        self.epoch = Epoch { kept: world.clone(), journal: Vec::new() };
    }

    /// Makes a new function of what there is.
    pub(super) fn make(&mut self) -> Result<(), Error> {
        let metadata = Metadata { name: "test".into(), revision: 1, task_index: 0, outputs: self.outputs.clone() };
        let boundary: Rc<dyn Boundary> = self.memory.clone();
        self.driver = Some(Driver::init(boundary, &self.config, metadata)?);
        Ok(())
    }

    /// A new function goes on from the last checkpoint.
    pub(super) fn restore(&mut self) -> Result<(), Error> {
        if self.stopped {
            return Err(not_made(true));
        }
        self.driver = None;
        let (turn, reached) = {
            let world = &mut *self.memory.world.borrow_mut();
            let now = (world.turn, std::mem::take(&mut world.reached));
            world.go_back_to(&self.epoch.kept);
            now
        };
        self.make()?;
        for Given { input, reached, turn } in &self.epoch.journal {
            {
                let world = &mut *self.memory.world.borrow_mut();
                (world.reached, world.turn) = (reached.clone(), *turn);
            }
            let Some(driver) = self.driver.as_mut() else { return Err(not_made(false)) };
            let again = guarded(|| match input {
                Input::Batch(frame) => driver.process_batch(frame),
                Input::Watermark(group, watermark) => driver.process_watermark(*group, *watermark),
                Input::Timers(due) => {
                    let due = self.memory.world.borrow_mut().unset(due);
                    driver.on_timers(&super::time::frame_of(&due))
                }
            });
            if let Err(failure) = again {
                self.driver = None;
                let what = "what was processed before failed when it was repeated";
                return Err(Error::new(failure.message).context(what));
            }
        }
        let world = &mut *self.memory.world.borrow_mut();
        (world.turn, world.reached) = (turn, reached);
        Ok(())
    }

    /// Calls the function. A panic is a failure.
    pub(super) fn run(
        &mut self,
        call: impl FnOnce(&mut Driver<F>) -> Result<(), BatchFailure>,
    ) -> Result<(), BatchFailure> {
        let Some(driver) = self.driver.as_mut() else {
            return Err(BatchFailure::of_batch(not_made(self.stopped).into_message()));
        };
        guarded(|| call(driver))
    }

    /// A call that fails as a whole: what it did is gone then, with the function.
    pub(super) fn call<R>(&mut self, call: impl FnOnce(&mut F, &mut Context) -> Result<R, Error>) -> Result<R, Error> {
        let mut answer = None;
        let called = self.run(|driver| {
            answer = Some(driver.call(call).map_err(|error| BatchFailure::of_batch(error.into_message()))?);
            Ok(())
        });
        match (called, answer) {
            (Ok(()), Some(answer)) => Ok(answer),
            (Ok(()), None) => Err(not_made(self.stopped)),
            (Err(failure), _) => Err(Error::new(self.give_up(failure, 0).message)),
        }
    }

    /// Goes back after a failure, of which one of so many records or timers may be the reason.
    pub(super) fn give_up(&mut self, failure: BatchFailure, records: usize) -> Failed {
        let message = match self.restore() {
            Ok(()) => failure.message,
            // There is no function, and the failure says why.
            Err(_) if self.stopped => failure.message,
            Err(error) => format!("{}; and then: {error}", failure.message),
        };
        Failed { record: Some(failure.index as usize).filter(|&index| index < records), message }
    }
}

/// What a call does. A panic fails the record that was at hand, as on a server, where it ends the instance.
fn guarded(call: impl FnOnce() -> Result<(), BatchFailure>) -> Result<(), BatchFailure> {
    progress::at(progress::NONE);
    // The function is not used any more after a panic.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
        Err(BatchFailure {
            index: progress::reached(),
            message: format!("the function panicked: {text}"),
            undone: false,
        })
    })
}
