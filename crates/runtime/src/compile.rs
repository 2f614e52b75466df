// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Compiling artifacts, within a time that a server sets.
//!
//! The compiler cannot be interrupted, and a few megabytes of strange code keep it busy for hours: `size` refuses the worst
//! of it, and cannot know the rest. A thread that compiles for too long could only be left behind, with its memory and a
//! processor that it never gives back. So a server compiles in a child process. A child can be ended at any moment with all
//! that it holds, the kernel counts its processor time over all its threads, and where an artifact costs the compiler its
//! stack or all memory, the child dies of it rather than the server.
//!
//! ```text
//! this process ── artifact ─► standard input ┐
//!                                            │ child: the same program, with "compile-artifact" as its first argument
//! this process ◄─ code ── standard output ───┤ exit status 0; else a message and status 1, or a signal (`end`)
//! this process ◄─ words ─ standard error ────┘ little of which is kept, for the error or the log
//! ```
//!
//! The child's memory is bounded too, by the kernel. How much it needs is guessed from the artifact's size (`size`), on the safe
//! side, so that whoever compiles several artifacts at once can see that there is memory for all of them.
//!
//! The same program, because code belongs to the version of the compiler that made it. It costs the start of a process
//! beside what compiling takes. Tools and tests, whose artifacts are trusted, compile in their own process.

use std::path::PathBuf;
use std::time::Duration;

use fnstream_core::{Error, ErrorCode, Result};
use wasmtime::Engine;

use crate::fault::bounded;
use crate::inspect::{Kind, inspect};

mod child;
mod end;
mod parent;

pub use child::compile_if_asked;

/// The process that compiles, and for how long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Compiling {
    /// This process, for as long as it takes.
    #[default]
    Here,
    /// A child of this process.
    Child {
        /// The program, whose `main` begins with [`compile_if_asked`].
        program: PathBuf,
        /// The processor time that one artifact may take. By the clock it may take as much more as
        /// [`Limits::wall_time`](fnstream_core::runtime::Limits::wall_time) says.
        limit: Duration,
    },
}

impl Compiling {
    /// Compiles in children that run this very program, also when its file has been replaced since it started.
    pub fn in_children(limit: Duration) -> Self {
        let named = || std::env::current_exe().or_else(|e| std::env::args_os().next().map(PathBuf::from).ok_or(e));
        let program = if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { named() };
        // A program that does not know its own name cannot start a child, and says so when it tries.
        Compiling::Child { program: program.unwrap_or_default(), limit }
    }
}

/// Compiles. How many do so at once is the caller's affair.
#[derive(Debug)]
pub(crate) struct Compiler(Compiling);

impl Compiler {
    pub(crate) fn new(compiling: Compiling) -> Self {
        Compiler(compiling)
    }

    /// The kind of an artifact and its code. A child gets at most so many bytes of memory.
    pub(crate) fn compile(&self, engine: &Engine, artifact: &[u8], memory: usize) -> Result<(Kind, Vec<u8>)> {
        let kind = inspect(artifact)?;
        let code = match &self.0 {
            Compiling::Here => compile(engine, kind, artifact).map_err(|message| refused(&message))?,
            Compiling::Child { program, limit } => parent::compile(program, *limit, memory, kind, artifact)?,
        };
        Ok((kind, code))
    }
}

/// The code of an artifact, or the compiler's words.
fn compile(engine: &Engine, kind: Kind, artifact: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let code = match kind {
        Kind::Packed | Kind::Processor => engine.precompile_component(artifact),
        Kind::Stdio => engine.precompile_module(artifact),
    };
    code.map_err(|e| format!("{e:#}"))
}

fn refused(message: &str) -> Error {
    Error::new(ErrorCode::ArtifactInvalid, bounded(format!("the artifact cannot be compiled: {message}")))
}
