// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Source with its engine, ready to be instantiated.

use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::batch::Batch;
use fnstream_core::delta::Write;
use fnstream_core::epoch::Epoch;
use fnstream_core::function_log::{FunctionLog, LogLine};
use fnstream_core::runtime::{CallFailure, CallResult, Host, Instance, InstanceSpec, Program, SharedHost};
use fnstream_core::state::Visit;
use fnstream_core::timer::{TimeDomain, Timer};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::RecordRef;
use parking_lot::Mutex;

use super::Source;
use crate::packed::{Packed, PackedProgram};

/// See the module.
pub(crate) struct ScriptProgram {
    engine: Arc<PackedProgram>,
    source: Arc<Source>,
}

impl ScriptProgram {
    pub(crate) fn new(engine: Arc<PackedProgram>, source: Source) -> Self {
        ScriptProgram { engine, source: Arc::new(source) }
    }
}

impl Program for ScriptProgram {
    fn kind(&self) -> &'static str {
        self.source.language.as_str()
    }

    fn takes_timers(&self) -> bool {
        self.engine.takes_timers()
    }

    fn instantiate(&self, spec: &InstanceSpec, host: SharedHost) -> CallResult<Box<dyn Instance>> {
        let entry = self.source.entry(|key| spec.config.get(key));
        Ok(Box::new(Script { engine: self.engine.start(spec, host)?, source: self.source.clone(), entry }))
    }

    /// Loads the source, as an instance does before anything else. What it prints meanwhile is nobody's: it prints it again when
    /// it starts.
    fn check(&self, spec: &InstanceSpec) -> Result<()> {
        let entry = self.source.entry(|key| spec.config.get(key));
        let engine = self.engine.with_log(Arc::new(Silence));
        let loaded = engine
            .start(spec, Arc::new(Mutex::new(Nowhere)))
            .and_then(|mut instance| instance.load(&entry, &self.source.files));
        loaded.map_err(|failure| match failure.error.code {
            ErrorCode::GuestError => Error::new(ErrorCode::SourceInvalid, failure.error.message),
            ErrorCode::GuestTrap | ErrorCode::GuestExit | ErrorCode::GuestTimeout | ErrorCode::GuestOutOfMemory => {
                let message = format!("the source cannot be loaded: {}", failure.error.message);
                Error::new(ErrorCode::SourceInvalid, message)
            }
            _ => failure.error,
        })
    }
}

/// A live engine that runs one function.
struct Script {
    engine: Packed,
    source: Arc<Source>,
    entry: String,
}

impl Instance for Script {
    fn init(&mut self) -> CallResult {
        self.engine.load(&self.entry, &self.source.files).map_err(traced)?;
        self.engine.init().map_err(traced)
    }

    fn process(&mut self, batch: &Batch) -> CallResult {
        self.engine.process(batch).map_err(traced)
    }

    fn process_watermark(&mut self, source: u32, watermark: u64) -> CallResult {
        self.engine.process_watermark(source, watermark).map_err(traced)
    }

    fn on_timers(&mut self, timers: &[Timer]) -> CallResult {
        self.engine.on_timers(timers).map_err(traced)
    }

    fn take_checkpoint(&mut self, epoch: Epoch) -> CallResult {
        self.engine.take_checkpoint(epoch).map_err(traced)
    }

    fn check_heartbeat(&mut self) -> CallResult<bool> {
        self.engine.check_heartbeat().map_err(traced)
    }

    fn close(&mut self) -> CallResult {
        self.engine.close().map_err(traced)
    }

    fn exec(&mut self, class_name: &str, modules: &[(String, Vec<u8>)]) -> CallResult {
        self.engine.exec(class_name, modules).map_err(traced)
    }

    fn custom(&mut self, payload: &[u8]) -> CallResult<Vec<u8>> {
        self.engine.custom(payload).map_err(traced)
    }

    fn memory_bytes(&self) -> usize {
        self.engine.memory_bytes()
    }
}

/// An engine's error is a line, and the function's own traceback below it; that says more than one of the interpreter.
fn traced(mut failure: CallFailure) -> CallFailure {
    if failure.error.code == ErrorCode::GuestError
        && let Some((line, trace)) = failure.error.message.split_once('\n')
    {
        failure.backtrace = Some(trace.to_owned());
        failure.error.message = line.to_owned();
    }
    failure
}

/// Keeps nothing.
struct Silence;

impl FunctionLog for Silence {
    fn write(&self, _: LogLine<'_>) {}
}

/// The host of an instance that only loads its source. There is nothing that it could reach yet.
struct Nowhere;

fn nothing<T>() -> Result<T> {
    Err(Error::new(ErrorCode::GuestProtocol, "nothing can be reached while the source is loaded"))
}

impl Host for Nowhere {
    fn emit_frame(&mut self, _: &[u8]) -> Result<()> {
        nothing()
    }

    fn emit(&mut self, _: RecordRef<'_>) -> Result<()> {
        nothing()
    }

    fn emit_watermark(&mut self, _: u32, _: u64) -> Result<()> {
        nothing()
    }

    fn set_timer(&mut self, _: Timer) -> Result<()> {
        nothing()
    }

    fn delete_timer(&mut self, _: TimeDomain, _: &[u8]) -> Result<()> {
        nothing()
    }

    fn get(&mut self, _: &[u8]) -> Result<Option<Bytes>> {
        nothing()
    }

    fn write(&mut self, _: &[u8], _: Write) -> Result<()> {
        nothing()
    }

    fn delete_range(&mut self, _: &[u8], _: Option<&[u8]>) -> Result<()> {
        nothing()
    }

    fn scan(&mut self, _: &[u8], _: Option<&[u8]>, _: &mut Visit<'_>) -> Result<()> {
        nothing()
    }
}
