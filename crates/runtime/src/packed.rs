// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Components of the packed world: one call and one buffer per batch.

use std::sync::Arc;

use fnstream_core::batch::Batch;
use fnstream_core::epoch::Epoch;
use fnstream_core::function_log::FunctionLog;
use fnstream_core::runtime::{CallFailure, CallResult, Instance, InstanceSpec, Program, SharedHost};
use fnstream_core::timer::Timer;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::{FrameBuilder, RecordRef};
use wasmtime::Store;
use wasmtime::component::{
    self, ComponentExportIndex, ComponentNamedList, ComponentType, Func, InstancePre, Lift, Linker, Lower,
};

use crate::component::Component;
use crate::sandbox::{Machine, Sandbox};
use crate::signature::{Export, check, unsupported};

pub(crate) mod output;
pub(crate) mod progress;
pub(crate) mod state;
pub(crate) mod timers;

/// The interface that makes a component one of this kind.
pub(crate) const FUNCTION: &str = "functionstream:packed/function@0.1.0";

const EXPORTS: [Export; 8] = [
    (
        "init",
        "func(list<tuple<string, string>>, \
         record{name: string, revision: u64, task-index: u32, outputs: list<string>}) -> result<_, string>",
    ),
    ("process-batch", "func(list<u8>) -> result<_, record{index: u32, message: string}>"),
    ("process-watermark", "func(u32, u64) -> result<_, string>"),
    ("take-checkpoint", "func(u64) -> result<_, string>"),
    ("check-heartbeat", "func() -> bool"),
    ("close", "func() -> result<_, string>"),
    ("exec", "func(string, list<record{name: string, bytes: list<u8>}>) -> result<_, string>"),
    ("custom", "func(list<u8>) -> result<list<u8>, string>"),
];

/// The further exports of a function with timers.
const TIMER_EXPORTS: [Export; 1] = [("on-timers", "func(list<u8>) -> result<_, record{index: u32, message: string}>")];

#[derive(ComponentType, Lower)]
#[component(record)]
struct Metadata<'a> {
    name: &'a str,
    revision: u64,
    #[component(name = "task-index")]
    task_index: u32,
    outputs: &'a [String],
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct RecordError {
    index: u32,
    message: String,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Module<'a> {
    name: &'a str,
    bytes: &'a [u8],
}

/// A packed component, ready to be instantiated.
pub(crate) struct PackedProgram {
    machine: Machine,
    pre: InstancePre<Component>,
    exports: [ComponentExportIndex; 8],
    on_timers: Option<ComponentExportIndex>,
}

impl PackedProgram {
    pub(crate) fn new(machine: &Machine, linker: &Linker<Component>, code: &component::Component) -> Result<Self> {
        let ty = code.component_type();
        let handler = code.get_export_index(None, timers::HANDLER);
        if handler.is_some() {
            check(&machine.engine, &ty, Some(timers::HANDLER), &TIMER_EXPORTS)?;
        }
        check(&machine.engine, &ty, Some(FUNCTION), &EXPORTS)?;
        let pre = linker.instantiate_pre(code).map_err(|e| unsupported(format!("cannot be linked: {e:#}")))?;
        let function = code.get_export_index(None, FUNCTION);
        let mut indexes = Vec::with_capacity(EXPORTS.len());
        for (name, _) in EXPORTS {
            let index = function.as_ref().and_then(|function| code.get_export_index(Some(function), name));
            indexes.push(index.ok_or_else(|| unsupported(format!("does not export '{FUNCTION}#{name}'")))?);
        }
        let exports = <[_; 8]>::try_from(indexes).map_err(|_| unsupported("lacks exports".into()))?;
        let [(on_timers, _)] = TIMER_EXPORTS;
        let on_timers = handler.and_then(|handler| code.get_export_index(Some(&handler), on_timers));
        Ok(PackedProgram { machine: machine.clone(), pre, exports, on_timers })
    }
}

impl Program for PackedProgram {
    fn kind(&self) -> &'static str {
        "packed"
    }

    fn takes_timers(&self) -> bool {
        self.on_timers.is_some()
    }

    fn instantiate(&self, spec: &InstanceSpec, host: SharedHost) -> CallResult<Box<dyn Instance>> {
        Ok(Box::new(self.start(spec, host)?))
    }
}

impl PackedProgram {
    /// An instance; `init` is not called yet.
    pub(crate) fn start(&self, spec: &InstanceSpec, host: SharedHost) -> CallResult<Packed> {
        let mut sandbox = Sandbox::new(&self.machine, spec.limits, Component::new(&self.machine, spec, host)?);
        let (functions, on_timers) = sandbox.start(|store| {
            let instance = self.pre.instantiate(&mut *store)?;
            let mut functions = Vec::with_capacity(self.exports.len());
            for index in &self.exports {
                functions.extend(instance.get_func(&mut *store, index));
            }
            let on_timers = self.on_timers.as_ref().and_then(|index| instance.get_func(&mut *store, index));
            Ok(Ok((functions, on_timers)))
        })?;
        let [init, process_batch, process_watermark, take_checkpoint, check_heartbeat, close, exec, custom] =
            <[Func; 8]>::try_from(functions).map_err(|_| fnstream_core::error::internal("an export went missing"))?;
        Ok(Packed {
            sandbox,
            spec: spec.clone(),
            init,
            process_batch,
            process_watermark,
            take_checkpoint,
            check_heartbeat,
            close,
            exec,
            custom,
            on_timers,
        })
    }

    /// The same program, whose instances write to that log.
    pub(crate) fn with_log(&self, log: Arc<dyn FunctionLog>) -> Self {
        let machine = Machine { log, ..self.machine.clone() };
        PackedProgram { machine, pre: self.pre.clone(), exports: self.exports, on_timers: self.on_timers }
    }
}

/// One live packed component.
pub(crate) struct Packed {
    sandbox: Sandbox<Component>,
    spec: InstanceSpec,
    init: Func,
    process_batch: Func,
    process_watermark: Func,
    take_checkpoint: Func,
    check_heartbeat: Func,
    close: Func,
    exec: Func,
    custom: Func,
    /// Set if it has timers.
    on_timers: Option<Func>,
}

fn modules(modules: &[(String, Vec<u8>)]) -> Vec<Module<'_>> {
    modules.iter().map(|(name, bytes)| Module { name, bytes }).collect()
}

/// Calls a function whose type is [`EXPORTS`]'s. The types are compared again, which takes some 50 ns.
fn call<P, R>(func: Func, store: &mut Store<Component>, params: P) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower,
    R: Lift + Send + Sync + 'static,
    (R,): ComponentNamedList + Lift,
{
    let (answer,) = func.typed::<P, (R,)>(&*store)?.call(store, params)?;
    Ok(answer)
}

impl Packed {
    /// Gives an engine the source that it is to run, as a part of the start; before `init`.
    pub(crate) fn load(&mut self, entry: &str, files: &[(String, Vec<u8>)]) -> CallResult {
        let (func, files) = (self.exec, modules(files));
        self.sandbox.start(|store| {
            let answer = call::<(&str, &[Module<'_>]), std::result::Result<(), String>>;
            let answer = answer(func, store, (entry, &files))?;
            Ok(answer.map_err(|message| store.data().reported(message)))
        })
    }

    /// A call that answers `result<T, string>`.
    fn call<P, T>(&mut self, func: Func, params: P) -> CallResult<T>
    where
        P: ComponentNamedList + Lower,
        T: Lift + Send + Sync + 'static,
    {
        self.sandbox.call(|store| {
            let answer = call::<P, std::result::Result<T, String>>(func, store, params)?;
            Ok(answer.map_err(|message| store.data().reported(message)))
        })
    }

    /// A call that is given a frame of so many records, and says which of them failed; if it does not return, the function
    /// may have left the index where the host can read it. One that `undoes` may say there that nothing is left of the record.
    fn call_with_frame(&mut self, func: Func, frame: &[u8], records: usize, undoes: bool) -> CallResult {
        let mut at_hand = None;
        let ended = self.sandbox.call(|store| {
            let answer = call::<(&[u8],), std::result::Result<(), RecordError>>(func, store, (frame,));
            if answer.is_err() {
                at_hand = progress::at_hand(store, records);
            }
            Ok(answer?.map_err(|failed| {
                let record = ((failed.index as usize) < records).then_some(failed.index);
                let failure = CallFailure { record, ..store.data().reported(failed.message) };
                if undoes && progress::is_undone(store) { failure.undone() } else { failure }
            }))
        });
        ended.map_err(|failure| if at_hand.is_some() { failure.at_record(at_hand) } else { failure })
    }
}

impl Instance for Packed {
    fn init(&mut self) -> CallResult {
        let spec = self.spec.clone();
        let config: Vec<_> = spec.config.iter().map(|(name, value)| (&**name, &**value)).collect();
        let metadata = Metadata {
            name: &spec.function,
            revision: spec.revision,
            task_index: spec.task_index,
            outputs: &spec.outputs,
        };
        let func = self.init;
        self.sandbox.start(|store| {
            let answer = call::<(&[(&str, &str)], Metadata<'_>), std::result::Result<(), String>>;
            let answer = answer(func, store, (&config, metadata))?;
            Ok(answer.map_err(|message| store.data().reported(message)))
        })
    }

    fn process(&mut self, batch: &Batch) -> CallResult {
        self.call_with_frame(self.process_batch, batch.bytes(), batch.len(), true)
    }

    fn process_watermark(&mut self, source: u32, watermark: u64) -> CallResult {
        self.call(self.process_watermark, (source, watermark))
    }

    fn on_timers(&mut self, due: &[Timer]) -> CallResult {
        let Some(func) = self.on_timers else {
            // They were set by an earlier revision.
            let why = format!("a timer is due, but the function does not export '{}'", timers::HANDLER);
            let failure = CallFailure::from(Error::new(ErrorCode::ArtifactUnsupported, why)).at_record(Some(0));
            return self.sandbox.call(|_| Ok(Err(failure)));
        };
        let mut frame = FrameBuilder::new();
        for timer in due {
            let record = RecordRef::new(b"").with_key(Some(&timer.key)).on(timer.domain.number().into());
            frame.push(record.at(timer.at_ms));
        }
        self.call_with_frame(func, &frame.to_bytes(), due.len(), false)
    }

    fn take_checkpoint(&mut self, epoch: Epoch) -> CallResult {
        self.call(self.take_checkpoint, (epoch.0,))
    }

    fn check_heartbeat(&mut self) -> CallResult<bool> {
        let func = self.check_heartbeat;
        self.sandbox.call(|store| Ok(Ok(call(func, store, ())?)))
    }

    fn close(&mut self) -> CallResult {
        self.call(self.close, ())
    }

    fn exec(&mut self, class_name: &str, modules: &[(String, Vec<u8>)]) -> CallResult {
        let modules = self::modules(modules);
        self.call::<(&str, &[Module<'_>]), ()>(self.exec, (class_name, &modules))
    }

    fn custom(&mut self, payload: &[u8]) -> CallResult<Vec<u8>> {
        self.call(self.custom, (payload,))
    }

    fn memory_bytes(&self) -> usize {
        self.sandbox.peek().meter.memory()
    }
}
