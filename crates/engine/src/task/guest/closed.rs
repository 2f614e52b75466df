// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The place of an instance that was closed. A call to it is a mistake of the engine, and reaches no user code.

use fnstream_core::batch::Batch;
use fnstream_core::epoch::Epoch;
use fnstream_core::error::internal;
use fnstream_core::runtime::{CallFailure, CallResult, Instance};

/// See the module.
pub(super) struct Closed;

fn refused<T>() -> CallResult<T> {
    Err(CallFailure::from(internal("an instance was called after it was closed")))
}

impl Instance for Closed {
    fn init(&mut self) -> CallResult {
        refused()
    }

    fn process(&mut self, _batch: &Batch) -> CallResult {
        refused()
    }

    fn process_watermark(&mut self, _source: u32, _watermark: u64) -> CallResult {
        refused()
    }

    fn take_checkpoint(&mut self, _epoch: Epoch) -> CallResult {
        refused()
    }

    fn check_heartbeat(&mut self) -> CallResult<bool> {
        refused()
    }

    fn close(&mut self) -> CallResult {
        refused()
    }

    fn exec(&mut self, _class_name: &str, _modules: &[(String, Vec<u8>)]) -> CallResult {
        refused()
    }

    fn custom(&mut self, _payload: &[u8]) -> CallResult<Vec<u8>> {
        refused()
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}
