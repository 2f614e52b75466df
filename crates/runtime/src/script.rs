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

pub mod source;

mod engines;
mod program;
mod zip;

pub use engines::Engines;
pub(crate) use engines::{EngineFile, Shelf};
pub(crate) use program::ScriptProgram;
pub use source::{Language, Source};
