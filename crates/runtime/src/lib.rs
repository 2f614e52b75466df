// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Runs user code: WebAssembly artifacts of three kinds, and source for interpreters that are such artifacts; each instance within
//! its limits and apart from all others.
//!
//! Owns: telling artifacts apart, compiling and caching them, the host's side of each guest interface, time and memory
//! limits. It implements the seam [`fnstream_core::runtime`] and reaches a task only through
//! [`fnstream_core::runtime::Host`]. It must not know storage, brokers, or when functions start and stop.
//!
//! # Kinds
//!
//! | kind | artifact | cost |
//! |---|---|---|
//! | `packed` | component of `functionstream:packed` (`wit/packed`) | one call and one buffer per batch |
//! | `processor` | component of `functionstream:core` (`wit/core`) | one call per record |
//! | `python`, … | source for an engine, a component of `functionstream:packed` that comes with the program or the source | the same |
//! | `stdio` | core module of WASI preview 1 exporting `process`, or `_start` alone | one call, or one instance, per record |
//!
//! # Reading order
//!
//! [`WasmRuntime`] (`runtime`) -> `inspect`, `size`, `compile` and `cache` (from bytes to code) -> `sandbox` (the only way into a
//! guest), with `ticker`, `timer`, `meter`, `fault`, `backtrace`, `lines` (time, memory, how and where calls end) -> `packed`, `processor`, `stdio` (the kinds), each with one file
//! per host interface; `script` (source and its engines) comes last of them; `shared` has each program once for all who use it; `wasi` and `log` are what components share, `granted` opens files for both kinds of WASI.
//!
//! ```
//! use fnstream_core::runtime::Runtime;
//! use fnstream_runtime::{RuntimeOptions, WasmRuntime};
//!
//! let runtime = WasmRuntime::new(None, RuntimeOptions::default()).unwrap();
//! let refused = runtime.load(b"not wasm").err().unwrap();
//! assert_eq!(refused.code.as_str(), "FS-1202");
//! ```

#![warn(unreachable_pub)]

mod backtrace;
mod cache;
mod changes;
mod compile;
mod component;
mod fault;
mod granted;
mod inspect;
mod lines;
mod log;
mod meter;
mod options;
mod packed;
mod processor;
mod runtime;
mod sandbox;
mod script;
mod shared;
mod signature;
mod size;
mod stdio;
mod stores;
mod ticker;
mod timer;
mod wasi;

pub use compile::{Compiling, compile_if_asked};
pub use granted::is_remote;
pub use inspect::kind_of;
pub use options::{RuntimeOptions, WallClock};
pub use runtime::WasmRuntime;
pub use script::{Engines, Language, Source, bundle, source};
