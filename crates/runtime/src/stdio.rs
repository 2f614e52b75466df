// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Core modules of WASI preview 1 that are filters: a record on standard input, the result on standard output.
//!
//! ```text
//! exports `process`       `_initialize`, else `_start`, is called once; then `process` for each record, in one instance
//! exports only `_start`   a fresh instance for each record: any program that filters its input is a function; making it
//!                         counts to the time of the record
//! ```
//!
//! A record that writes nothing emits nothing. A result goes to the first output, with the key, the headers and the time of
//! its record. Ending with status 0 is success; any other status, or a trap, fails that record. There are no hooks: what a
//! filter could do in them it can do nowhere else either.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use fnstream_core::batch::Batch;
use fnstream_core::epoch::Epoch;
use fnstream_core::function_log::Speaker;
use fnstream_core::runtime::{CallResult, Instance, InstanceSpec, Program, SharedHost};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::RecordView;
use wasmtime::{ExternType, FuncType, InstancePre, Linker, Memory, Module, Store, TypedFunc};
use wasmtime_wasi::random::WasiRandomCtx;

use crate::fault::{exit_status, raise};
use crate::log::LineLog;
use crate::meter::Meter;
use crate::options::WallClock;
use crate::sandbox::{Guest, Machine, Sandbox, begin};
use crate::signature::unsupported;
use crate::timer::Timer;

mod abort;
mod environ;
mod errno;
mod files;
mod folder;
mod memory;
mod paths;
mod poll;
mod wasi;

use files::Files;
use folder::Granted;

/// Called for each record.
pub(crate) const PROCESS: &str = "process";
/// A program's beginning.
pub(crate) const START: &str = "_start";
const INITIALIZE: &str = "_initialize";

/// The data of a module's store.
pub(crate) struct Stdio {
    host: SharedHost,
    meter: Meter,
    files: Files,
    granted: Arc<Grants>,
    memory: Option<Memory>,
    born: Instant,
    wall_clock: WallClock,
    random: Option<WasiRandomCtx>,
}

impl Guest for Stdio {
    fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    fn begin(&mut self) {
        self.files.log().into_iter().for_each(LineLog::begin);
    }

    fn end(&mut self) {
        self.files.log().into_iter().for_each(LineLog::end);
    }

    fn last_words(&mut self) -> Option<String> {
        let [stdout, stderr] = self.files.log();
        stderr.last_words().or_else(|| stdout.last_words())
    }
}

/// The variables and folders of the server that a function was granted.
struct Grants {
    environ: Vec<Vec<u8>>,
    folders: Vec<Granted>,
}

impl Grants {
    /// `Err` when a folder cannot be opened.
    fn new(spec: &InstanceSpec) -> Result<Arc<Self>> {
        Ok(Arc::new(Grants { environ: environ::environ(spec), folders: folder::open_all(spec)? }))
    }
}

/// Reports whether a module may import that function.
pub(crate) fn is_known_import(module: &str, name: &str) -> bool {
    (module == wasi::MODULE && wasi::is_known(name)) || (module == abort::MODULE && name == abort::NAME)
}

/// The linker that all modules start from.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Stdio>> {
    let mut linker = Linker::new(engine);
    wasi::add_to_linker(&mut linker)?;
    abort::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// A module, ready to be instantiated.
#[derive(Clone)]
pub(crate) struct StdioProgram {
    machine: Machine,
    pre: InstancePre<Stdio>,
    /// The export that is called once before the first record, if there is a `process`.
    setup: Option<&'static str>,
    /// There is a `process`.
    resident: bool,
}

impl StdioProgram {
    pub(crate) fn new(machine: &Machine, linker: &Linker<Stdio>, module: &Module) -> Result<Self> {
        let exports = |name| check_export(module, name);
        let (process, start, initialize) = (exports(PROCESS)?, exports(START)?, exports(INITIALIZE)?);
        let mut linker = linker.clone();
        let cannot = |e: wasmtime::Error| unsupported(format!("cannot be linked: {e:#}"));
        for import in module.imports() {
            if let ExternType::Func(ty) = import.ty()
                && import.module() == wasi::MODULE
                && let Some(errno) = wasi::refusal(import.name())
            {
                linker.allow_shadowing(true);
                wasi::define_refused(&mut linker, import.name(), &ty, errno).map_err(cannot)?;
            }
        }
        if module.imports().len() > 0 && !matches!(module.get_export("memory"), Some(ExternType::Memory(_))) {
            return Err(unsupported("does not export 'memory', which WASI needs".into()));
        }
        Ok(StdioProgram {
            machine: machine.clone(),
            pre: linker.instantiate_pre(module).map_err(cannot)?,
            setup: [(initialize, INITIALIZE), (start, START)].into_iter().find_map(|(has, name)| has.then_some(name)),
            resident: process,
        })
    }

    fn sandbox(&self, spec: &InstanceSpec, granted: &Arc<Grants>, host: SharedHost) -> Sandbox<Stdio> {
        let log = |speaker| LineLog::new(&self.machine, spec, speaker);
        let (largest, stdout, stderr) = (spec.limits.record_bytes, log(Speaker::Stdout), log(Speaker::Stderr));
        let data = Stdio {
            host,
            meter: Meter::new(spec),
            files: Files::new(largest, &granted.folders, stdout, stderr),
            granted: Arc::clone(granted),
            memory: None,
            born: Instant::now(),
            wall_clock: self.machine.options.wall_clock.clone(),
            random: None,
        };
        Sandbox::new(&self.machine, spec.limits, data)
    }

    /// Instantiates the module and finds a function of it.
    fn enter(&self, store: &mut Store<Stdio>, name: &str) -> wasmtime::Result<(wasmtime::Instance, TypedFunc<(), ()>)> {
        let instance = self.pre.instantiate(&mut *store)?;
        store.data_mut().memory = instance.get_memory(&mut *store, "memory");
        let func = instance.get_typed_func(store, name)?;
        Ok((instance, func))
    }
}

/// Reports whether a module exports a function of that name; `Err` if it has another type than `func()`.
fn check_export(module: &Module, name: &str) -> Result<bool> {
    match module.get_export(name) {
        None => Ok(false),
        Some(ExternType::Func(ty)) if ty.params().len() == 0 && ty.results().len() == 0 => Ok(true),
        Some(ExternType::Func(ty)) => Err(unsupported(format!("exports '{name}' as {}, not as func()", describe(&ty)))),
        Some(_) => Err(unsupported(format!("exports '{name}', but not as a function"))),
    }
}

fn describe(ty: &FuncType) -> String {
    let list = |types: &mut dyn Iterator<Item = wasmtime::ValType>| {
        types.map(|ty| ty.to_string()).collect::<Vec<_>>().join(", ")
    };
    let (params, results) = (list(&mut ty.params()), list(&mut ty.results()));
    if results.is_empty() { format!("func({params})") } else { format!("func({params}) -> {results}") }
}

impl Program for StdioProgram {
    fn kind(&self) -> &'static str {
        "stdio"
    }

    fn instantiate(&self, spec: &InstanceSpec, host: SharedHost) -> CallResult<Box<dyn Instance>> {
        let granted = Grants::new(spec)?;
        if !self.resident {
            let (program, spec) = (self.clone(), spec.clone());
            return Ok(Box::new(Filter { program, spec, granted, host, memory: 0, poisoned: false }));
        }
        let mut sandbox = self.sandbox(spec, &granted, host);
        let (instance, process) = sandbox.start(|store| Ok(Ok(self.enter(store, PROCESS)?)))?;
        Ok(Box::new(Resident { sandbox, instance, process, setup: self.setup }))
    }
}

/// Ending with status 0 is a way to return.
fn returned(ended: wasmtime::Result<()>) -> wasmtime::Result<()> {
    match ended {
        Err(error) if exit_status(&error) == Some(0) => Ok(()),
        other => other,
    }
}

/// Runs a function for one record and emits what it wrote. A null value is empty on its standard input.
fn filter(
    store: &mut Store<Stdio>,
    record: &RecordView<'_>,
    value: Bytes,
    run: &TypedFunc<(), ()>,
) -> wasmtime::Result<()> {
    store.data_mut().files.begin(value);
    returned(run.call(&mut *store, ()))?;
    let data = store.data_mut();
    data.files.end();
    let output = data.files.output();
    if output.is_empty() {
        return Ok(());
    }
    data.meter.hand(output.len()).map_err(raise)?;
    data.host.lock().emit(RecordView { channel: 0, value: Some(output), ..*record }).map_err(raise)
}

/// A module that stays, and is called for each record.
struct Resident {
    sandbox: Sandbox<Stdio>,
    instance: wasmtime::Instance,
    process: TypedFunc<(), ()>,
    setup: Option<&'static str>,
}

/// A module that is started anew for each record.
struct Filter {
    program: StdioProgram,
    spec: InstanceSpec,
    granted: Arc<Grants>,
    host: SharedHost,
    /// Bytes of the last one.
    memory: usize,
    poisoned: bool,
}

/// The hooks that a filter does not have.
macro_rules! no_hooks {
    () => {
        fn process_watermark(&mut self, _: u32, _: u64) -> CallResult {
            self.alive()
        }

        fn take_checkpoint(&mut self, _: Epoch) -> CallResult {
            self.alive()
        }

        fn check_heartbeat(&mut self) -> CallResult<bool> {
            self.alive().map(|()| true)
        }

        fn close(&mut self) -> CallResult {
            self.alive()
        }

        fn exec(&mut self, _: &str, _: &[(String, Vec<u8>)]) -> CallResult {
            self.alive()?;
            Err(Error::new(ErrorCode::GuestError, "a stdio module takes no modules").into())
        }

        fn custom(&mut self, _: &[u8]) -> CallResult<Vec<u8>> {
            self.alive()?;
            Err(Error::new(ErrorCode::GuestError, "a stdio module takes no requests").into())
        }
    };
}

impl Resident {
    fn alive(&mut self) -> CallResult {
        self.sandbox.call(|_| Ok(Ok(())))
    }
}

impl Instance for Resident {
    fn init(&mut self) -> CallResult {
        let (instance, setup) = (self.instance, self.setup);
        self.sandbox.start(|store| {
            if let Some(name) = setup {
                let setup = instance.get_typed_func::<(), ()>(&mut *store, name)?;
                returned(setup.call(store, ()))?;
            }
            Ok(Ok(()))
        })
    }

    fn process(&mut self, batch: &Batch) -> CallResult {
        let (process, limits) = (&self.process, self.sandbox.limits());
        let mut at = None;
        let ended = self.sandbox.call(|store| {
            for (index, record) in batch.frame().iter().enumerate() {
                at = Some(index as u32);
                begin(store, Timer::call(&limits));
                filter(store, &record, batch.bytes().slice_ref(record.bytes()), process)?;
            }
            Ok(Ok(()))
        });
        ended.map_err(|failure| failure.at_record(at))
    }

    fn memory_bytes(&self) -> usize {
        self.sandbox.peek().meter.memory()
    }

    no_hooks!();
}

impl Filter {
    fn alive(&mut self) -> CallResult {
        if self.poisoned {
            return Err(Error::new(ErrorCode::GuestPoisoned, "the instance failed before").into());
        }
        Ok(())
    }
}

impl Instance for Filter {
    fn init(&mut self) -> CallResult {
        self.alive()
    }

    fn process(&mut self, batch: &Batch) -> CallResult {
        self.alive()?;
        for (index, record) in batch.frame().iter().enumerate() {
            let mut sandbox = self.program.sandbox(&self.spec, &self.granted, Arc::clone(&self.host));
            let ended = sandbox.call(|store| {
                let (_, start) = self.program.enter(store, START)?;
                filter(store, &record, batch.bytes().slice_ref(record.bytes()), &start)?;
                Ok(Ok(()))
            });
            self.memory = sandbox.peek().meter.memory();
            // A program emits when it has ended, and all that it had is gone then: nothing is left of one that fails.
            let ended = ended.map_err(|failure| failure.at_record(Some(index as u32)).undone());
            self.poisoned = ended.as_ref().is_err_and(|failure| !failure.undone);
            ended?;
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.memory
    }

    no_hooks!();
}
