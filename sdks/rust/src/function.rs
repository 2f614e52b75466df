// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use crate::{Config, Context, Error, Record, Timer};

/// A function. Its methods are called one at a time.
///
/// One value serves one task and lives until the function stops or fails. After a failure a new one is made, and gets the
/// records since the last commit again: what is kept in fields is lost then, what is kept in a [`crate::Store`] is not.
pub trait Function: Sized + 'static {
    /// Makes the function. `config` is what its description says.
    fn init(ctx: &mut Context, config: &Config) -> Result<Self, Error>;

    /// Processes one record. An error fails this record and no other.
    fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error>;

    /// Tells that no record older than `watermark` (milliseconds since the Unix epoch) is expected from any input. It only
    /// rises; `source` is the input group that held it back until now. Timers of event time that it made due have fired before.
    /// With an error it is told again until that succeeds, and nothing else is processed meanwhile.
    fn process_watermark(&mut self, _ctx: &mut Context, _source: u32, _watermark: u64) -> Result<(), Error> {
        Ok(())
    }

    /// Called for each timer of [`Context::set_timer`] that is due, once, in the order of their times. It is not set any more,
    /// and may be set again. What is emitted has the timer's time. With an error the timer stays set and is tried again, by a
    /// function made anew, until that succeeds; nothing else is processed meanwhile.
    fn on_timer(&mut self, _ctx: &mut Context, _timer: Timer<'_>) -> Result<(), Error> {
        Err(Error::new("a timer is due, but the function does not implement 'on_timer'"))
    }

    /// Called at the end of each epoch, the last chance to write and emit in it: state that is kept in fields for speed is
    /// to be stored here.
    fn take_checkpoint(&mut self, _ctx: &mut Context, _checkpoint: u64) -> Result<(), Error> {
        Ok(())
    }

    /// Whether the function is well; with `false` it is made anew from the last commit.
    fn check_heartbeat(&mut self, _ctx: &mut Context) -> bool {
        true
    }

    /// Called once when the function stops.
    fn close(&mut self, _ctx: &mut Context) -> Result<(), Error> {
        Ok(())
    }

    /// Takes modules that somebody hands to the function.
    fn exec(&mut self, _ctx: &mut Context, _class_name: &str, _modules: Vec<Module>) -> Result<(), Error> {
        Ok(())
    }

    /// Answers a request of your own form; by default with the request itself.
    fn custom(&mut self, _ctx: &mut Context, payload: Vec<u8>) -> Result<Vec<u8>, Error> {
        Ok(payload)
    }
}

/// Code or data handed to [`Function::exec`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}
