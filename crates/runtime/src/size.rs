// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Bounds what an artifact asks of the compiler, which knows no limits of its own.
//!
//! A function takes a handful of bytes in an artifact and some kilobytes in the compiler, a thousand local variables take
//! five: a file that may just be uploaded could keep the compiler busy for hours and fill the memory. Real programs, an
//! interpreter of Python among them, stay far below these bounds.

use fnstream_core::Result;
use wasmparser::FunctionBody;

use crate::signature::unsupported;

/// The most functions of an artifact, those of nested modules included.
const FUNCTIONS: usize = 100_000;

/// The most local variables of all its functions together.
const LOCALS: u64 = 10_000_000;

/// The most bytes of one function.
const BODY: usize = 2 << 20;

/// The sizes of an artifact as far as it was read.
#[derive(Debug, Default)]
pub(crate) struct Size {
    functions: usize,
    locals: u64,
    largest: usize,
}

impl Size {
    /// Counts a function.
    pub(crate) fn add(&mut self, body: &FunctionBody<'_>) -> wasmparser::Result<()> {
        self.functions += 1;
        self.largest = self.largest.max(body.as_bytes().len());
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
