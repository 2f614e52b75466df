// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The runtime: settings of the engine, and programs shared by all that use the same artifact.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use fnstream_core::Result;
use fnstream_core::error::internal;
use fnstream_core::function_log::{FunctionLog, ProcessLog};
use fnstream_core::runtime::{Program, Runtime};
use parking_lot::Mutex;
use wasmtime::component::Linker;
use wasmtime::{Config, Engine, WasmBacktraceDetails};

use crate::backtrace;
use crate::cache::{Artifact, Code, CodeCache, Loaded, digest};
use crate::component::Component;
use crate::inspect::Kind;
use crate::options::RuntimeOptions;
use crate::packed::{self, PackedProgram};
use crate::processor::{self, ProcessorProgram};
use crate::sandbox::Machine;
use crate::script::{EngineFile, Language, ScriptProgram, Shelf, Source};
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
    programs: Mutex<HashMap<String, Slot>>,
    engines: Shelf,
}

/// A program by digest. The lock is held while it is made, so that two who ask at once compile once, and nobody else waits.
type Slot = Arc<Mutex<Option<Weak<dyn Program>>>>;

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
            programs: Mutex::default(),
            engines: Shelf::default(),
        })
    }

    /// The same runtime, whose functions' standard output and error go to that log instead of the process's own.
    pub fn with_log(mut self, log: Arc<dyn FunctionLog>) -> Self {
        self.machine.log = log;
        self
    }

    fn make(&self, digest: &str, artifact: &[u8], memory: usize) -> Result<Arc<dyn Program>> {
        if Source::is(artifact) {
            let source = Source::read(artifact)?;
            let engine = self.engine(source.language, memory)?;
            return Ok(Arc::new(ScriptProgram::new(engine, source)));
        }
        let Loaded { kind, code, artifact } = self.cache.load(&self.machine.engine, digest, artifact, memory)?;
        let machine = Machine { artifact: Arc::new(artifact), ..self.machine.clone() };
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
        self.engines.program(language, &file, || {
            let bytes = file.bytes()?;
            let Loaded { code, artifact, .. } = self.cache.load(&self.machine.engine, &file.digest, &bytes, memory)?;
            let machine = Machine { artifact: Arc::new(artifact), ..self.machine.clone() };
            match code {
                Code::Component(code) => PackedProgram::new(&machine, &self.components, &code),
                Code::Module(_) => {
                    Err(internal(format!("the engine '{}' is no component of the packed world", file.path.display())))
                }
            }
        })
    }

    fn engine_file(&self, language: Language) -> Result<EngineFile> {
        self.engines.file(&self.machine.options.engines, language)
    }

    /// The memory that compiling the engine of a source takes.
    fn memory_for_engine(&self, artifact: &[u8]) -> Result<usize> {
        let language = Source::read(artifact)?.language;
        let file = self.engine_file(language)?;
        let is_made = self.engines.has(language, &file) || self.cache.has(&file.digest);
        if is_made { Ok(0) } else { Ok(size::to_compile(&file.bytes()?)) }
    }

    fn slot(&self, digest: &str) -> Slot {
        let mut programs = self.programs.lock();
        // Those that nobody uses or makes any more.
        programs.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.lock().as_ref().is_some_and(is_used));
        Arc::clone(programs.entry(digest.to_owned()).or_default())
    }
}

impl Runtime for WasmRuntime {
    fn load(&self, artifact: &[u8]) -> Result<Arc<dyn Program>> {
        self.load_within(artifact, usize::MAX)
    }

    fn memory_to_load(&self, artifact: &[u8]) -> usize {
        let digest = digest(artifact);
        let is_loaded = || {
            let slot = self.programs.lock().get(&digest).cloned();
            // While it is being made, somebody else has seen to the memory.
            slot.is_some_and(|slot| slot.try_lock().is_none_or(|slot| slot.as_ref().is_some_and(is_used)))
        };
        if is_loaded() {
            return 0;
        }
        if Source::is(artifact) {
            // What is wrong with it is told by loading it.
            return self.memory_for_engine(artifact).unwrap_or_default();
        }
        if self.cache.has(&digest) { 0 } else { size::to_compile(artifact) }
    }

    fn load_within(&self, artifact: &[u8], memory: usize) -> Result<Arc<dyn Program>> {
        let digest = digest(artifact);
        let slot = self.slot(&digest);
        let mut slot = slot.lock();
        if let Some(program) = slot.as_ref().and_then(Weak::upgrade) {
            return Ok(program);
        }
        let program = self.make(&digest, artifact, memory)?;
        *slot = Some(Arc::downgrade(&program));
        Ok(program)
    }
}

fn is_used(program: &Weak<dyn Program>) -> bool {
    program.strong_count() > 0
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
