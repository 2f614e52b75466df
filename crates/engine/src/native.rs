// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Programs made of Rust closures: the same engine without WebAssembly, to measure what each of them costs.

use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::batch::Batch;
use fnstream_core::delta::Write;
use fnstream_core::epoch::Epoch;
use fnstream_core::error::{ErrorCode, Result};
use fnstream_core::runtime::{CallFailure, CallResult, Host, Instance, InstanceSpec, Program, SharedHost};
use fnstream_core::state::Visit;
use fnstream_core::timer::{TimeDomain, Timer};
use fnstream_frame::RecordRef;
use parking_lot::Mutex;

/// Called with each record.
pub type NativeFunction = Box<dyn FnMut(RecordRef<'_>, &mut dyn Host) -> Result<()> + Send>;

/// A call because of time.
#[derive(Debug, Clone, Copy)]
pub enum Told<'a> {
    /// Its watermark has risen, because that of this input group has.
    Watermark {
        /// The input group.
        group: u32,
        /// Milliseconds since the Unix epoch.
        watermark: u64,
    },
    /// Timers are due.
    Timers(&'a [Timer]),
}

/// Called when a watermark has risen or timers are due.
pub type NativeTime = Box<dyn FnMut(Told<'_>, &mut dyn Host) -> Result<()> + Send>;

/// A program of which each instance is a closure of its own.
///
/// An error of a record that has changed nothing at the host leaves the instance as it is, if its code is that of an error that a
/// guest returned.
pub struct NativeProgram {
    make: Box<dyn Fn() -> (NativeFunction, NativeTime) + Send + Sync>,
}

impl NativeProgram {
    /// A program that makes its instances with `make`.
    pub fn new(make: impl Fn() -> NativeFunction + Send + Sync + 'static) -> Arc<Self> {
        Self::with_time(move || (make(), Box::new(|_, _| Ok(()))))
    }

    /// The same, with what it does when it is told of time.
    pub fn with_time(make: impl Fn() -> (NativeFunction, NativeTime) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(NativeProgram { make: Box::new(make) })
    }
}

impl Program for NativeProgram {
    fn kind(&self) -> &'static str {
        "native"
    }

    fn instantiate(&self, _spec: &InstanceSpec, host: SharedHost) -> CallResult<Box<dyn Instance>> {
        let (function, time) = (self.make)();
        Ok(Box::new(NativeInstance { function, time, host }))
    }
}

struct NativeInstance {
    function: NativeFunction,
    time: NativeTime,
    host: Arc<Mutex<dyn Host>>,
}

/// A host, and whether the record at hand has changed anything there.
struct Watched<'a> {
    host: &'a mut dyn Host,
    is_changed: bool,
}

impl Watched<'_> {
    fn change(&mut self) -> &mut dyn Host {
        self.is_changed = true;
        self.host
    }
}

impl Host for Watched<'_> {
    fn emit_frame(&mut self, frame: &[u8]) -> Result<()> {
        self.change().emit_frame(frame)
    }

    fn emit(&mut self, record: RecordRef<'_>) -> Result<()> {
        self.change().emit(record)
    }

    fn emit_watermark(&mut self, target: u32, watermark: u64) -> Result<()> {
        self.change().emit_watermark(target, watermark)
    }

    fn set_timer(&mut self, timer: Timer) -> Result<()> {
        self.change().set_timer(timer)
    }

    fn delete_timer(&mut self, domain: TimeDomain, key: &[u8]) -> Result<()> {
        self.change().delete_timer(domain, key)
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>> {
        self.host.get(key)
    }

    fn write(&mut self, key: &[u8], write: Write) -> Result<()> {
        self.change().write(key, write)
    }

    fn delete_range(&mut self, start: &[u8], end: Option<&[u8]>) -> Result<()> {
        self.change().delete_range(start, end)
    }

    fn scan(&mut self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        self.host.scan(start, end, visit)
    }
}

impl Instance for NativeInstance {
    fn init(&mut self) -> CallResult {
        Ok(())
    }

    fn process(&mut self, batch: &Batch) -> CallResult {
        let mut host = self.host.lock();
        for (index, record) in batch.frame().iter().enumerate() {
            let mut watched = Watched { host: &mut *host, is_changed: false };
            (self.function)(record, &mut watched).map_err(|error| {
                // What stands for a trap spoils the instance.
                let undone = !watched.is_changed && error.code == ErrorCode::GuestError;
                let failure = CallFailure::from(error).at_record(Some(index as u32));
                if undone { failure.undone() } else { failure }
            })?;
        }
        Ok(())
    }

    fn process_watermark(&mut self, source: u32, watermark: u64) -> CallResult {
        Ok((self.time)(Told::Watermark { group: source, watermark }, &mut *self.host.lock())?)
    }

    fn on_timers(&mut self, timers: &[Timer]) -> CallResult {
        Ok((self.time)(Told::Timers(timers), &mut *self.host.lock())?)
    }

    fn take_checkpoint(&mut self, _epoch: Epoch) -> CallResult {
        Ok(())
    }

    fn check_heartbeat(&mut self) -> CallResult<bool> {
        Ok(true)
    }

    fn close(&mut self) -> CallResult {
        Ok(())
    }

    fn exec(&mut self, _class_name: &str, _modules: &[(String, Vec<u8>)]) -> CallResult {
        Ok(())
    }

    fn custom(&mut self, payload: &[u8]) -> CallResult<Vec<u8>> {
        Ok(payload.to_vec())
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}
