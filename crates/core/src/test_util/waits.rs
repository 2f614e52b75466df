// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A program whose calls take as long as a test wants.

use std::sync::Arc;

use crate::batch::Batch;
use crate::epoch::Epoch;
use crate::interrupt::Interrupt;
use crate::runtime::{CallResult, Instance, InstanceSpec, Program, SharedHost};

/// Waits in a call; given what interrupts the instance.
type Wait = dyn Fn(&Interrupt) -> CallResult + Send + Sync;

/// A program that waits with a batch and then emits its records, and waits with a request and then answers it as it is.
pub struct Waits(Arc<Wait>);

impl Waits {
    /// A program that waits so.
    pub fn new(wait: impl Fn(&Interrupt) -> CallResult + Send + Sync + 'static) -> Self {
        Waits(Arc::new(wait))
    }
}

struct Waiting {
    wait: Arc<Wait>,
    interrupt: Interrupt,
    host: SharedHost,
}

impl Program for Waits {
    fn kind(&self) -> &'static str {
        "waits"
    }

    fn instantiate(&self, spec: &InstanceSpec, host: SharedHost) -> CallResult<Box<dyn Instance>> {
        Ok(Box::new(Waiting { wait: self.0.clone(), interrupt: spec.interrupt.clone(), host }))
    }
}

impl Instance for Waiting {
    fn init(&mut self) -> CallResult {
        Ok(())
    }

    fn process(&mut self, batch: &Batch) -> CallResult {
        (self.wait)(&self.interrupt)?;
        batch.frame().iter().try_for_each(|record| Ok(self.host.lock().emit(record)?))
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

    fn custom(&mut self, payload: &[u8]) -> CallResult<Vec<u8>> {
        (self.wait)(&self.interrupt).map(|()| payload.to_vec())
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}
