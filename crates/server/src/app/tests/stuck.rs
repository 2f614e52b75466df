// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A program whose calls wait until they are interrupted, or for as long as the process lives.

use std::time::Duration;

use fnstream_core::batch::Batch;
use fnstream_core::epoch::Epoch;
use fnstream_core::interrupt::Interrupt;
use fnstream_core::runtime::{CallResult, Instance, InstanceSpec, Program, SharedHost};

/// See the module.
pub(super) struct Stuck {
    /// Interrupts do not reach it.
    pub(super) deaf: bool,
}

struct Waiting(Interrupt);

impl Program for Stuck {
    fn kind(&self) -> &'static str {
        "stuck"
    }

    fn instantiate(&self, spec: &InstanceSpec, _: SharedHost) -> CallResult<Box<dyn Instance>> {
        let interrupt = if self.deaf { Interrupt::default() } else { spec.interrupt.clone() };
        Ok(Box::new(Waiting(interrupt)))
    }
}

impl Waiting {
    fn wait(&self) -> CallResult {
        // No test takes longer.
        self.0.wait(Duration::from_secs(600));
        Err(self.0.error().into())
    }
}

impl Instance for Waiting {
    fn init(&mut self) -> CallResult {
        Ok(())
    }

    fn process(&mut self, _: &Batch) -> CallResult {
        self.wait()
    }

    fn process_watermark(&mut self, _: u32, _: u64) -> CallResult {
        Ok(())
    }

    fn take_checkpoint(&mut self, _: Epoch) -> CallResult {
        Ok(())
    }

    fn check_heartbeat(&mut self) -> CallResult<bool> {
        Ok(true)
    }

    fn close(&mut self) -> CallResult {
        Ok(())
    }

    fn exec(&mut self, _: &str, _: &[(String, Vec<u8>)]) -> CallResult {
        Ok(())
    }

    fn custom(&mut self, _: &[u8]) -> CallResult<Vec<u8>> {
        self.wait().map(|()| Vec::new())
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}
