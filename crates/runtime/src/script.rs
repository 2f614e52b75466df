// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions given as source, for languages whose interpreter comes with the program.
//!
//! ```text
//! artifact: a zip archive of files ──► language, entry ──► engine: a packed component, compiled once for all functions
//! an instance: the engine's ── exec(entry, files) ──► init ──► as any packed component
//! ```
//!
//! An *engine* is an interpreter with its SDK. It takes the source by `exec`, whose class name is the *entry*: `FILE` or
//! `FILE:NAME`, or `:NAME` where the file is to be found. It is given to each instance before `init`, so it costs a start some
//! milliseconds and no function any code of its own. Whoever makes a function has its source loaded once before
//! ([`fnstream_core::runtime::Program::check`]), so that what is wrong with it is told then.
//!
//! An artifact may bring its engine along ([`bundle()`]). Then that one runs it, whatever this program has.

pub mod source;

mod bundle;
mod engines;
mod program;
mod zip;

use std::borrow::Cow;

use fnstream_core::Result;

pub use bundle::bundle;
pub use engines::Engines;
pub(crate) use engines::{EngineFile, Shelf};
pub(crate) use program::ScriptProgram;
pub use source::{Language, Source};

/// An artifact of source, taken apart.
pub(crate) struct Script<'a> {
    pub(crate) source: Source,
    /// The engine that came along.
    pub(crate) engine: Option<Cow<'a, [u8]>>,
}

impl<'a> Script<'a> {
    /// Reads an artifact; none if it is code alone.
    pub(crate) fn of(artifact: &'a [u8]) -> Result<Option<Self>> {
        if Source::is(artifact) {
            return Ok(Some(Script { source: Source::read(artifact)?, engine: None }));
        }
        let Some(bundle) = bundle::Bundle::of(artifact)? else { return Ok(None) };
        Ok(Some(Script { source: Source::read(bundle.source)?, engine: Some(bundle.engine) }))
    }
}
