// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The JavaScript engine: a component of the packed world that runs the source that it is given.
//!
//! The host sends the source by `exec` before `init`: the class name is `FILE`, `FILE:NAME` or `:NAME`, and the modules are files by
//! their paths. An `exec` after `init` is the function's own.
//!
//! ```text
//! host ── wit ──► lib.rs ──► vm.rs: QuickJS ──► js/engine.js ──► the SDK (sdks/javascript), the function
//!                              natives.rs: what JavaScript is given ──► wit ──► host
//!                              files.rs: what an import finds
//! ```
//!
//! What goes on inside is JavaScript's, the same as in the test kit of the SDK, but for the cache of state, which is the Rust SDK's. This
//! crate hands buffers over, and text, and what a record reads and writes.

mod boundary;
// The cache of state is that of the Rust SDK, as it is.
#[path = "../../../sdks/rust/src/cache.rs"]
mod cache;
mod cell;
mod files;
#[path = "../../../sdks/rust/src/known.rs"]
mod known;
mod natives;
mod vm;

use std::cell::RefCell;

use boundary::Error;
use vm::{Failure, Vm};

#[allow(clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit/packed", world: "packed-timers", generate_all });
}

use bindings::exports::functionstream::packed::function::{self, Metadata, Module, RecordError};
use bindings::exports::functionstream::packed::timer_handler;
use bindings::functionstream::packed::progress;

thread_local! {
    /// The one function of this component.
    static VM: RefCell<Option<Vm>> = const { RefCell::new(None) };
}

/// Runs a call on the machine, which is there since `exec`.
fn call<R>(run: impl FnOnce(&Vm) -> Result<R, Failure>) -> Result<R, Failure> {
    VM.with_borrow(|vm| match vm {
        Some(vm) => run(vm),
        None => Err(Failure::new("the engine has no source to run")),
    })
}

fn answer<R>(run: impl FnOnce(&Vm) -> Result<R, Failure>) -> Result<R, String> {
    call(run).map_err(|failure| failure.message)
}

fn answer_frame(name: &str, frame: Vec<u8>) -> Result<(), RecordError> {
    call(|vm| vm.frame(name, frame)).map_err(|failure| {
        if failure.undone {
            progress::undone();
        }
        RecordError { index: failure.index, message: failure.message }
    })
}

struct Engine;

impl function::Guest for Engine {
    fn init(config: Vec<(String, String)>, metadata: Metadata) -> Result<(), String> {
        cell::show();
        answer(|vm| vm.init(config, &metadata))
    }

    fn process_batch(frame: Vec<u8>) -> Result<(), RecordError> {
        answer_frame("processBatch", frame)
    }

    fn process_watermark(source: u32, watermark: u64) -> Result<(), String> {
        answer(|vm| vm.process_watermark(source, watermark))
    }

    fn take_checkpoint(checkpoint_id: u64) -> Result<(), String> {
        answer(|vm| vm.take_checkpoint(checkpoint_id))
    }

    fn check_heartbeat() -> bool {
        call(Vm::check_heartbeat).unwrap_or_else(|failure| {
            natives::print(true, &failure.message);
            false
        })
    }

    fn close() -> Result<(), String> {
        answer(Vm::close)
    }

    fn exec(class_name: String, modules: Vec<Module>) -> Result<(), String> {
        if VM.with_borrow(Option::is_some) {
            return answer(|vm| vm.exec(&class_name, modules));
        }
        let files = modules.into_iter().map(|module| (module.name, module.bytes)).collect();
        let vm = Vm::load(&class_name, files).map_err(|failure| failure.message)?;
        VM.set(Some(vm));
        Ok(())
    }

    fn custom(payload: Vec<u8>) -> Result<Vec<u8>, String> {
        answer(|vm| vm.custom(payload))
    }
}

impl timer_handler::Guest for Engine {
    fn on_timers(frame: Vec<u8>) -> Result<(), RecordError> {
        answer_frame("onTimers", frame)
    }
}

bindings::export!(Engine with_types_in bindings);
