// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One function in a host's hands: calls in, everything that they did passed on before they return.

use std::rc::Rc;

use fnstream_frame::{Frame, RecordRef};

use crate::boundary::Boundary;
use crate::progress;
use crate::{Config, Context, Error, Function, Metadata, Module, Record, TimeDomain, Timer};

/// A function with its context.
pub struct Driver<F> {
    function: F,
    ctx: Context,
}

/// The failure of a batch.
pub(crate) struct BatchFailure {
    /// Which record, or timer, failed; an index past the batch when nobody knows.
    pub(crate) index: u32,
    pub(crate) message: String,
    /// Nothing is left of it, and all that those before it did is passed on.
    pub(crate) undone: bool,
}

impl BatchFailure {
    /// A failure of which it is not known which record is to blame.
    pub(crate) fn of_batch(message: String) -> Self {
        BatchFailure { index: progress::NONE, message, undone: false }
    }
}

impl<F: Function> Driver<F> {
    pub(crate) fn init(boundary: Rc<dyn Boundary>, config: &Config, metadata: Metadata) -> Result<Self, Error> {
        let mut ctx = Context::new(boundary, metadata);
        let function = F::init(&mut ctx, config)?;
        ctx.finish()?;
        Ok(Driver { function, ctx })
    }

    pub(crate) fn process_batch(&mut self, frame: &[u8]) -> Result<(), BatchFailure> {
        self.each(frame, |function, ctx, record| function.process(ctx, Record::from(record)))
    }

    pub(crate) fn on_timers(&mut self, frame: &[u8]) -> Result<(), BatchFailure> {
        self.each(frame, |function, ctx, record| {
            let domain = TimeDomain::of_channel(record.channel)
                .ok_or_else(|| Error::new(format!("the host gave a timer of the unknown domain {}", record.channel)))?;
            function.on_timer(ctx, Timer { domain, key: record.key.unwrap_or_default(), at: record.timestamp })
        })
    }

    pub(crate) fn process_watermark(&mut self, source: u32, watermark: u64) -> Result<(), BatchFailure> {
        self.call(|function, ctx| function.process_watermark(ctx, source, watermark))
            .map_err(|error| BatchFailure::of_batch(error.into_message()))
    }

    /// Runs something for each record of a frame, and passes on what it did. If one fails, that is undone, if it can be, and what
    /// was done before is passed on.
    fn each(
        &mut self,
        frame: &[u8],
        run: impl Fn(&mut F, &mut Context, RecordRef<'_>) -> Result<(), Error>,
    ) -> Result<(), BatchFailure> {
        let frame = Frame::parse(frame).map_err(|e| BatchFailure::of_batch(e.to_string()))?;
        for (index, record) in frame.iter().enumerate() {
            progress::at(index as u32);
            self.ctx.begin(record.timestamp);
            if let Err(error) = run(&mut self.function, &mut self.ctx, record) {
                if error.of_batch {
                    return Err(BatchFailure::of_batch(error.into_message()));
                }
                let undone = self.ctx.undo();
                return Err(BatchFailure { index: index as u32, message: error.into_message(), undone });
            }
        }
        progress::at(progress::NONE);
        self.ctx.finish().map_err(|error| BatchFailure::of_batch(error.into_message()))
    }

    pub(crate) fn call<R>(&mut self, run: impl FnOnce(&mut F, &mut Context) -> Result<R, Error>) -> Result<R, Error> {
        let answer = run(&mut self.function, &mut self.ctx)?;
        self.ctx.finish()?;
        Ok(answer)
    }

    pub(crate) fn exec(&mut self, class_name: &str, modules: Vec<Module>) -> Result<(), Error> {
        self.call(|function, ctx| function.exec(ctx, class_name, modules))
    }

    /// The function, for a test to look at.
    pub(crate) fn function(&self) -> &F {
        &self.function
    }
}
