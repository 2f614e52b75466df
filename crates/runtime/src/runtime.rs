// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The runtime: settings of the engine, and programs shared by all that use the same artifact.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use fnstream_core::Result;
use fnstream_core::error::internal;
use fnstream_core::function_log::{FunctionLog, ProcessLog};
use fnstream_core::runtime::{Program, Runtime};
use wasmtime::component::Linker;
use wasmtime::{Config, Engine, WasmBacktraceDetails};

use crate::backtrace;
use crate::cache::{self, Artifact, Code, CodeCache, Loaded};
use crate::component::Component;
use crate::inspect::{Kind, inspect_engine};
use crate::options::RuntimeOptions;
use crate::packed::{self, PackedProgram};
use crate::processor::{self, ProcessorProgram};
use crate::sandbox::Machine;
use crate::script::{EngineFile, Language, Script, ScriptProgram, Shelf};
use crate::shared::Shared;
use crate::stdio::{self, Stdio, StdioProgram};
use crate::ticker::Ticker;
use crate::{size, wasi};

/// Loads WebAssembly artifacts of all kinds.
///
/// Programs are shared: as long as one user of an artifact is left, loading it again gives the same program, so a thousand
/// functions of one artifact have its code in memory once.
pub struct WasmRuntime {
    machine: Machine,
    cache: CodeCache,
    components: Linker<Component>,
    modules: wasmtime::Linker<Stdio>,
    programs: Shared<dyn Program>,
    engines: Shelf,
}

impl WasmRuntime {
    /// A runtime that keeps compiled code in `cache_dir`, if there is one. It starts one thread, which ends with it.
    pub fn new(cache_dir: Option<PathBuf>, options: RuntimeOptions) -> Result<Self> {
        let failed = |e: wasmtime::Error| internal(format!("the webassembly engine cannot start: {e:#}"));
        let engine = engine(&options).map_err(failed)?;
        let ticker = Ticker::start(&engine).map_err(|e| internal(format!("the guests' clock cannot start: {e}")))?;
        let (ticker, options, log) = (Arc::new(ticker), Arc::new(options), Arc::new(ProcessLog));
        let machine = Machine { engine, ticker, options, log, artifact: Arc::new(Artifact::none()) };
        Ok(WasmRuntime {
            cache: CodeCache::new(cache_dir, &machine.options, &machine.engine),
            components: component_linker(&machine.engine).map_err(failed)?,
            modules: stdio::linker(&machine.engine).map_err(failed)?,
            machine,
            programs: Shared::default(),
            engines: Shelf::default(),
        })
    }

    /// The same runtime, whose functions' standard output and error go to that log instead of the process's own.
    pub fn with_log(mut self, log: Arc<dyn FunctionLog>) -> Self {
        self.machine.log = log;
        self
    }

    fn make(&self, digest: &str, artifact: &[u8], memory: usize) -> Result<Arc<dyn Program>> {
        if let Some(Script { source, engine }) = Script::of(artifact)? {
            let engine = match engine {
                Some(component) => self.interpreter(&cache::digest(&component), memory, || Ok(component))?,
                None => self.engine(source.language, memory)?,
            };
            return Ok(Arc::new(ScriptProgram::new(engine, source)));
        }
        let Loaded { kind, code, artifact } = self.cache.load(&self.machine.engine, digest, artifact, memory)?;
        let machine = self.machine_of(artifact);
        Ok(match (kind, code) {
            (Kind::Packed, Code::Component(code)) => Arc::new(PackedProgram::new(&machine, &self.components, &code)?),
            (Kind::Processor, Code::Component(code)) => {
                Arc::new(ProcessorProgram::new(&machine, &self.components, &code)?)
            }
            (Kind::Stdio, Code::Module(code)) => Arc::new(StdioProgram::new(&machine, &self.modules, &code)?),
            _ => return Err(internal("compiled code is not of the kind that was compiled")),
        })
    }

    /// The engine of a language, compiled if need be.
    fn engine(&self, language: Language, memory: usize) -> Result<Arc<PackedProgram>> {
        let file = self.engine_file(language)?;
        let engine = self.interpreter(&file.digest, memory, || file.bytes().map(Cow::Owned))?;
        self.engines.keep(language, engine.clone());
        Ok(engine)
    }

    /// An engine by its digest, compiled if need be.
    fn interpreter<'a>(
        &self,
        digest: &str,
        memory: usize,
        component: impl FnOnce() -> Result<Cow<'a, [u8]>>,
    ) -> Result<Arc<PackedProgram>> {
        self.engines.programs.get(digest, || {
            let component = component()?;
            let Loaded { kind, code, artifact } = self.cache.load(&self.machine.engine, digest, &component, memory)?;
            match (kind, code) {
                (Kind::Packed, Code::Component(code)) => {
                    PackedProgram::new(&self.machine_of(artifact), &self.components, &code).map(Arc::new)
                }
                _ => inspect_engine(&component).and_then(|()| Err(internal("an engine is not of the packed kind"))),
            }
        })
    }

    fn engine_file(&self, language: Language) -> Result<EngineFile> {
        self.engines.file(&self.machine.options.engines, language)
    }

    fn machine_of(&self, artifact: Artifact) -> Machine {
        Machine { artifact: Arc::new(artifact), ..self.machine.clone() }
    }

    /// The memory that compiling the engine of source takes.
    fn memory_for_engine(&self, script: &Script<'_>) -> Result<usize> {
        let is_made = |digest: &str| self.engines.programs.has(digest) || self.cache.has(digest);
        if let Some(component) = &script.engine {
            return Ok(if is_made(&cache::digest(component)) { 0 } else { size::to_compile(component) });
        }
        let file = self.engine_file(script.source.language)?;
        Ok(if is_made(&file.digest) { 0 } else { size::to_compile(&file.bytes()?) })
    }
}

impl Runtime for WasmRuntime {
    fn load(&self, artifact: &[u8]) -> Result<Arc<dyn Program>> {
        self.load_within(artifact, usize::MAX)
    }

    fn memory_to_load(&self, artifact: &[u8]) -> usize {
        let digest = cache::digest(artifact);
        if self.programs.has(&digest) {
            return 0;
        }
        match Script::of(artifact) {
            Ok(Some(script)) => self.memory_for_engine(&script).unwrap_or_default(),
            Ok(None) if self.cache.has(&digest) => 0,
            Ok(None) => size::to_compile(artifact),
            // What is wrong with it is told by loading it.
            Err(_) => 0,
        }
    }

    fn load_within(&self, artifact: &[u8], memory: usize) -> Result<Arc<dyn Program>> {
        let digest = cache::digest(artifact);
        self.programs.get(&digest, || self.make(&digest, artifact, memory))
    }
}

/// An engine of those settings; two that compile the same have the same.
pub(crate) fn engine(options: &RuntimeOptions) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        // Calls are synchronous, on our own threads: what makes them asynchronous would triple what each one costs.
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(options.guest_stack)
        // Wasmtime would read an artifact's line tables anew for each frame of each backtrace: `lines` reads them once.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(Some(backtrace::FRAMES))
        // An instance's memory begins as a private mapping of the artifact's: untouched pages belong to all.
        .memory_init_cow(true);
    Engine::new(&config)
}

fn component_linker(engine: &Engine) -> wasmtime::Result<Linker<Component>> {
    let mut linker = Linker::new(engine);
    wasi::add_to_linker(&mut linker)?;
    packed::output::add_to_linker(&mut linker)?;
    packed::state::add_to_linker(&mut linker)?;
    packed::progress::add_to_linker(&mut linker)?;
    packed::timers::add_to_linker(&mut linker)?;
    processor::collector::add_to_linker(&mut linker)?;
    processor::kv::add_to_linker(&mut linker)?;
    Ok(linker)
}
