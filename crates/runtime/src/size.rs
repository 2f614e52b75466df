// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Bounds what an artifact asks of the compiler, which knows no limits of its own.
//!
//! A function takes a handful of bytes in an artifact and some kilobytes in the compiler, a thousand local variables take
//! five: a file that may just be uploaded could keep the compiler busy for hours and fill the memory. Real programs, an
//! interpreter of Python among them, stay far below these bounds.

use fnstream_core::Result;
use wasmparser::FunctionBody;

use crate::inspect;
use crate::signature::unsupported;

/// The most functions of an artifact, those of nested modules included.
const FUNCTIONS: usize = 100_000;

/// The most local variables of all its functions together.
const LOCALS: u64 = 10_000_000;

/// The most bytes of one function.
const BODY: usize = 2 << 20;

/// What a compiler takes that compiles nothing, its threads aside.
const COMPILER: usize = 20 << 20;

/// The stack and the workshop of each of its threads.
const THREAD: usize = 6 << 20;

/// How much of it an artifact's byte takes, as what is only kept, and as code, its function aside.
const PER_BYTE: usize = 3;
const PER_BYTE_OF_CODE: usize = 30;

/// How much a function takes, and a local variable.
const PER_FUNCTION: usize = 9 << 10;
const PER_LOCAL: usize = 8;

/// The most threads of a compiler that has little to do: more make it no faster.
const FEW: usize = 4;

/// The threads that a compiler with so much memory has: as many as there are processors, but they are not to take more than an
/// eighth of it. In a small container of a large machine they would take all.
pub(crate) fn threads(memory: usize) -> usize {
    processors().min(memory / 8 / THREAD).max(1)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The memory that compiling an artifact takes: a guess on the safe side for what real compilers produce. Nothing for what is no
/// artifact, which is refused before it is compiled.
pub(crate) fn to_compile(artifact: &[u8]) -> usize {
    let Ok(size) = inspect::size(artifact) else { return 0 };
    let locals = usize::try_from(size.locals.min(LOCALS)).unwrap_or_default();
    COMPILER
        + processors().min(FEW) * THREAD
        + artifact.len() * PER_BYTE
        + size.code * PER_BYTE_OF_CODE
        + size.functions * PER_FUNCTION
        + locals * PER_LOCAL
}

/// The sizes of an artifact as far as it was read.
#[derive(Debug, Default)]
pub(crate) struct Size {
    functions: usize,
    locals: u64,
    largest: usize,
    /// Of all bodies.
    code: usize,
}

impl Size {
    /// Counts a function.
    pub(crate) fn add(&mut self, body: &FunctionBody<'_>) -> wasmparser::Result<()> {
        self.functions += 1;
        self.largest = self.largest.max(body.as_bytes().len());
        self.code += body.as_bytes().len();
        for group in body.get_locals_reader()? {
            self.locals = self.locals.saturating_add(group?.0.into());
        }
        Ok(())
    }

    /// `Err` when it is too much.
    pub(crate) fn check(&self) -> Result<()> {
        let within = |what: &str, is: u64, most: u64| {
            if is > most { Err(unsupported(format!("has {what} ({is}, at most {most})"))) } else { Ok(()) }
        };
        within("too many functions to be compiled", self.functions as u64, FUNCTIONS as u64)?;
        within("too many local variables to be compiled", self.locals, LOCALS)?;
        within("a function of too many bytes to be compiled", self.largest as u64, BODY as u64)
    }
}
