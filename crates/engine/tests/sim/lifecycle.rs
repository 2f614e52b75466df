// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Programs whose instances are watched: in which order their calls may come. They take memory like guests, more with each batch, and
//! sometimes there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use fnstream_core::batch::Batch;
use fnstream_core::budget::guests::Account;
use fnstream_core::epoch::Epoch;
use fnstream_core::runtime::{CallResult, Instance, InstanceSpec, Program, SharedHost};
use fnstream_core::timer::Timer;
use fnstream_engine::native::NativeProgram;
use parking_lot::Mutex;

/// Bytes of memory of a new instance.
pub(crate) const BORN: usize = 8 << 20;

/// What it takes with each batch.
const GROWTH: usize = 1 << 20;

/// What was seen of all instances of a run.
#[derive(Default)]
pub(crate) struct Lives {
    pub closed: AtomicU64,
    /// Checkpoints that came right before a close.
    pub checkpointed: AtomicU64,
    /// Instances that were made.
    pub born: AtomicU64,
    /// Refusals of memory.
    pub refused: AtomicU64,
    pub violations: Mutex<Vec<String>>,
}

/// A program that notes the calls of its instances.
pub(crate) struct Watched {
    pub program: Arc<NativeProgram>,
    pub lives: Arc<Lives>,
}

impl Program for Watched {
    fn kind(&self) -> &'static str {
        self.program.kind()
    }

    fn takes_timers(&self) -> bool {
        self.program.takes_timers()
    }

    fn instantiate(&self, spec: &InstanceSpec, host: SharedHost) -> CallResult<Box<dyn Instance>> {
        let instance = self.program.instantiate(spec, host)?;
        let mut life =
            Life { instance, lives: self.lives.clone(), last: "nothing", account: spec.memory.clone(), bytes: 0 };
        life.grow(BORN)?;
        life.lives.born.fetch_add(1, Relaxed);
        Ok(Box::new(life))
    }
}

struct Life {
    instance: Box<dyn Instance>,
    lives: Arc<Lives>,
    /// The call that came last.
    last: &'static str,
    account: Account,
    bytes: usize,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.account.give_back(self.bytes);
    }
}

impl Life {
    fn grow(&mut self, more: usize) -> CallResult {
        self.account.grow(more).inspect_err(|_| {
            self.lives.refused.fetch_add(1, Relaxed);
        })?;
        self.bytes += more;
        Ok(())
    }

    fn called(&mut self, call: &'static str) -> &mut dyn Instance {
        match (self.last, call) {
            ("close", _) => self.lives.violations.lock().push(format!("{call} after close")),
            (last, "close") => {
                self.lives.closed.fetch_add(1, Relaxed);
                self.lives.checkpointed.fetch_add(u64::from(last == "take_checkpoint"), Relaxed);
            }
            _ => {}
        }
        // After a close it stays at that.
        if self.last != "close" {
            self.last = call;
        }
        &mut *self.instance
    }
}

impl Instance for Life {
    fn init(&mut self) -> CallResult {
        self.called("init").init()
    }

    fn process(&mut self, batch: &Batch) -> CallResult {
        self.called("process").process(batch)?;
        self.grow(GROWTH)
    }

    fn process_watermark(&mut self, source: u32, watermark: u64) -> CallResult {
        self.called("process_watermark").process_watermark(source, watermark)
    }

    fn on_timers(&mut self, timers: &[Timer]) -> CallResult {
        self.called("on_timers").on_timers(timers)
    }

    fn take_checkpoint(&mut self, epoch: Epoch) -> CallResult {
        self.called("take_checkpoint").take_checkpoint(epoch)
    }

    fn check_heartbeat(&mut self) -> CallResult<bool> {
        self.called("check_heartbeat").check_heartbeat()
    }

    fn close(&mut self) -> CallResult {
        self.called("close").close()
    }

    fn exec(&mut self, class_name: &str, modules: &[(String, Vec<u8>)]) -> CallResult {
        self.called("exec").exec(class_name, modules)
    }

    fn custom(&mut self, payload: &[u8]) -> CallResult<Vec<u8>> {
        self.called("custom").custom(payload)
    }

    fn memory_bytes(&self) -> usize {
        self.bytes
    }
}
