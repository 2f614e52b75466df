// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use crate::{Config, Context, Error, Record, Timer};

/// A function. Its methods are called one at a time.
///
/// One value serves one task and lives until the function stops or fails. After a failure a new value is created and gets the
/// records since the last commit again. What the fields held is lost then; what a [`crate::Store`] holds is not. An error that
/// [`Function::process`] returns is mostly no such failure.
pub trait Function: Sized + 'static {
    /// Creates the function. `config` is the configuration in the function's description.
    fn init(ctx: &mut Context, config: &Config) -> Result<Self, Error>;

    /// Processes one record. An error fails this record and no other: what the record emitted and wrote is undone.
    ///
    /// The value stays after an error, with its fields as the call left them, and gets the next record, or the same one if it is
    /// retried. So change fields last, when nothing can fail any more. If the record had set a timer, emitted a watermark, or had the
    /// host asked amid its writes (by a scan, for instance, or by more than 1 MiB of data), a new value goes on from the last commit
    /// instead. So it does after a panic: panic if an error may leave fields half changed.
    fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error>;

    /// Reports that no input is expected to bring a record older than `watermark` (milliseconds since the Unix epoch). Watermarks
    /// only rise; `source` is the input group that held this one back until now. The timers of event time that it made due have
    /// fired already. If it returns an error, it is called again until it succeeds, and nothing else is processed meanwhile.
    fn process_watermark(&mut self, _ctx: &mut Context, _source: u32, _watermark: u64) -> Result<(), Error> {
        Ok(())
    }

    /// Handles a timer of [`Context::set_timer`] that is due. It is called once for each timer, in the order of their times. The
    /// timer is no longer set, and may be set again. Emitted records have the timer's time. If it returns an error, the timer
    /// stays set, and a new value tries it again until it succeeds; nothing else is processed meanwhile.
    fn on_timer(&mut self, _ctx: &mut Context, _timer: Timer<'_>) -> Result<(), Error> {
        Err(Error::new("a timer is due, but the function does not implement 'on_timer'"))
    }

    /// Called at the end of each epoch: the last chance to write and emit in it. State that fields hold for speed must be stored
    /// here.
    fn take_checkpoint(&mut self, _ctx: &mut Context, _checkpoint: u64) -> Result<(), Error> {
        Ok(())
    }

    /// Returns whether the function is well. If it is not, a new value goes on from the last commit.
    fn check_heartbeat(&mut self, _ctx: &mut Context) -> bool {
        true
    }

    /// The last call of a value: when the function stops, and when it has been idle for a while and has much memory. In the latter
    /// case a new value goes on as soon as there is something to do.
    fn close(&mut self, _ctx: &mut Context) -> Result<(), Error> {
        Ok(())
    }

    /// Receives modules, which are code or data, from a user of the function.
    fn exec(&mut self, _ctx: &mut Context, _class_name: &str, _modules: Vec<Module>) -> Result<(), Error> {
        Ok(())
    }

    /// Answers a request from a user of the function. Its form is up to you; by default the answer is the request itself.
    fn custom(&mut self, _ctx: &mut Context, payload: Vec<u8>) -> Result<Vec<u8>, Error> {
        Ok(payload)
    }
}

/// Code or data that [`Function::exec`] receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// The module's name.
    pub name: String,
    /// The module's content.
    pub bytes: Vec<u8>,
}
