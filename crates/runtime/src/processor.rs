// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Components of the world `functionstream:core/processor`: one call per record.
//!
//! `fs-process` cannot return an error, so a record fails by a trap, and the index of the record is known.

use fnstream_core::Result;
use fnstream_core::batch::Batch;
use fnstream_core::epoch::Epoch;
use fnstream_core::runtime::{CallResult, Instance, InstanceSpec, Program, SharedHost};
use wasmtime::component::{self, ComponentExportIndex, ComponentNamedList, Func, InstancePre, Lift, Linker, Lower};

use crate::component::Component;
use crate::sandbox::{Machine, Sandbox, begin};
use crate::signature::{Export, check, unsupported};
use crate::timer::Timer;

pub(crate) mod collector;
pub(crate) mod iterator;
pub(crate) mod kv;

/// The export that makes a component one of this kind.
pub(crate) const PROCESS: &str = "fs-process";

const EXPORTS: [Export; 8] = [
    ("fs-init", "func(list<tuple<string, string>>)"),
    (PROCESS, "func(u32, list<u8>)"),
    ("fs-process-watermark", "func(u32, u64)"),
    ("fs-take-checkpoint", "func(u64)"),
    ("fs-check-heartbeat", "func() -> bool"),
    ("fs-close", "func()"),
    ("fs-exec", "func(string, list<tuple<string, list<u8>>>)"),
    ("fs-custom", "func(list<u8>) -> list<u8>"),
];

/// A per-record component, ready to be instantiated.
pub(crate) struct ProcessorProgram {
    machine: Machine,
    pre: InstancePre<Component>,
    exports: [ComponentExportIndex; 8],
}

impl ProcessorProgram {
    pub(crate) fn new(machine: &Machine, linker: &Linker<Component>, code: &component::Component) -> Result<Self> {
        check(&machine.engine, &code.component_type(), None, &EXPORTS)?;
        let pre = linker.instantiate_pre(code).map_err(|e| unsupported(format!("cannot be linked: {e:#}")))?;
        let mut indexes = Vec::with_capacity(EXPORTS.len());
        for (name, _) in EXPORTS {
            let index = code.get_export_index(None, name);
            indexes.push(index.ok_or_else(|| unsupported(format!("does not export '{name}'")))?);
        }
        let exports = <[_; 8]>::try_from(indexes).map_err(|_| unsupported("lacks exports".into()))?;
        Ok(ProcessorProgram { machine: machine.clone(), pre, exports })
    }
}

impl Program for ProcessorProgram {
    fn kind(&self) -> &'static str {
        "processor"
    }

    fn instantiate(&self, spec: &InstanceSpec, host: SharedHost) -> CallResult<Box<dyn Instance>> {
        let mut sandbox = Sandbox::new(&self.machine, spec.limits, Component::new(&self.machine, spec, host)?);
        let functions = sandbox.start(|store| {
            let instance = self.pre.instantiate(&mut *store)?;
            let mut functions = Vec::with_capacity(self.exports.len());
            for index in &self.exports {
                functions.extend(instance.get_func(&mut *store, index));
            }
            Ok(Ok(functions))
        })?;
        let [init, process, process_watermark, take_checkpoint, check_heartbeat, close, exec, custom] =
            <[Func; 8]>::try_from(functions).map_err(|_| fnstream_core::error::internal("an export went missing"))?;
        let config = spec.config.clone().into_iter().collect();
        Ok(Box::new(Processor {
            sandbox,
            config,
            init,
            process,
            process_watermark,
            take_checkpoint,
            check_heartbeat,
            close,
            exec,
            custom,
        }))
    }
}

/// One live per-record component.
struct Processor {
    sandbox: Sandbox<Component>,
    config: Vec<(String, String)>,
    init: Func,
    process: Func,
    process_watermark: Func,
    take_checkpoint: Func,
    check_heartbeat: Func,
    close: Func,
    exec: Func,
    custom: Func,
}

impl Processor {
    fn call<P, R>(&mut self, func: Func, params: P) -> CallResult<R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        self.sandbox.call(|store| Ok(Ok(func.typed::<P, R>(&*store)?.call(store, params)?)))
    }
}

impl Instance for Processor {
    fn init(&mut self) -> CallResult {
        let config = std::mem::take(&mut self.config);
        let func = self.init;
        self.sandbox
            .start(|store| Ok(Ok(func.typed::<(&[(String, String)],), ()>(&*store)?.call(store, (&config,))?)))
    }

    fn process(&mut self, batch: &Batch) -> CallResult {
        let (func, limits) = (self.process, self.sandbox.limits());
        let mut at = None;
        let ended = self.sandbox.call(|store| {
            let func = func.typed::<(u32, &[u8]), ()>(&*store)?;
            for (index, record) in batch.frame().iter().enumerate() {
                at = Some(index as u32);
                begin(store, Timer::call(&limits));
                store.data_mut().timestamp = record.timestamp;
                func.call(&mut *store, (record.channel, record.bytes()))?;
            }
            Ok(Ok(()))
        });
        ended.map_err(|failure| failure.at_record(at))
    }

    fn process_watermark(&mut self, source: u32, watermark: u64) -> CallResult {
        self.call(self.process_watermark, (source, watermark))
    }

    fn take_checkpoint(&mut self, epoch: Epoch) -> CallResult {
        self.call(self.take_checkpoint, (epoch.0,))
    }

    fn check_heartbeat(&mut self) -> CallResult<bool> {
        Ok(self.call::<_, (bool,)>(self.check_heartbeat, ())?.0)
    }

    fn close(&mut self) -> CallResult {
        self.call(self.close, ())
    }

    fn exec(&mut self, class_name: &str, modules: &[(String, Vec<u8>)]) -> CallResult {
        self.call(self.exec, (class_name, modules))
    }

    fn custom(&mut self, payload: &[u8]) -> CallResult<Vec<u8>> {
        Ok(self.call::<_, (Vec<u8>,)>(self.custom, (payload,))?.0)
    }

    fn memory_bytes(&self) -> usize {
        self.sandbox.peek().meter.memory()
    }
}
