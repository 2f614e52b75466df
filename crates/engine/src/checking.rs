// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Looking at a program before a function is made of it.
//!
//! That may take an instance, whose memory others may have at the moment. Somebody waits for the answer, and need not be the one who
//! tries again: it is tried again here, as tasks do, when there is enough or something was given back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fnstream_core::budget::guests::Guests;
use fnstream_core::interrupt::Interrupt;
use fnstream_core::runtime::{InstanceSpec, Program};
use fnstream_core::spec::FunctionSpec;
use fnstream_core::waker::Waker;
use fnstream_core::{ErrorCode, Result};
use parking_lot::Mutex;

/// How long memory is waited for. Idle instances give theirs back within a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// Has a program find what is wrong with it, with what instances of the function would be given. Blocks meanwhile.
pub(crate) fn check(guests: &Guests, spec: &FunctionSpec, program: &dyn Program) -> Result<()> {
    let woken = Arc::new(Mutex::new(Interrupt::default()));
    let memory = guests.open({
        let woken = woken.clone();
        // Whoever needs the memory more than this has it; and there may be enough now.
        Waker::new(move || woken.lock().set())
    });
    let begun = Instant::now();
    loop {
        let interrupt = anew(&woken);
        let checked = program.check(&InstanceSpec {
            function: spec.name.clone(),
            outputs: spec.outputs.iter().map(|output| output.topic.to_string()).collect(),
            config: spec.config.clone(),
            limits: spec.limits,
            env: spec.env.clone(),
            files: spec.files.clone(),
            interrupt,
            memory: memory.clone(),
            ..InstanceSpec::default()
        });
        let left = PATIENCE.saturating_sub(begun.elapsed());
        match checked {
            Err(error) if error.code == ErrorCode::GuestMemoryShort && !left.is_zero() => {
                let woken = anew(&woken);
                // What was granted before is not told again.
                if !memory.is_granted() {
                    woken.wait(left);
                }
            }
            checked => return checked,
        }
    }
}

/// Another one in its place.
fn anew(woken: &Mutex<Interrupt>) -> Interrupt {
    let new = Interrupt::default();
    *woken.lock() = new.clone();
    new
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use fnstream_core::budget::Part;
    use fnstream_core::runtime::{CallResult, Instance, SharedHost};

    use super::*;

    /// Needs that much.
    struct Needs(usize, AtomicUsize);

    impl Program for Needs {
        fn kind(&self) -> &'static str {
            "needs"
        }

        fn instantiate(&self, _: &InstanceSpec, _: SharedHost) -> CallResult<Box<dyn Instance>> {
            unreachable!("it is only checked")
        }

        fn check(&self, spec: &InstanceSpec) -> Result<()> {
            self.1.fetch_add(1, Ordering::Relaxed);
            spec.memory.grow(self.0)?;
            spec.memory.give_back(self.0);
            Ok(())
        }
    }

    #[test]
    fn memory_that_an_idle_instance_has_is_waited_for() {
        let guests = Guests::new(Part::new("guests", "functions' memories", 10 << 20));
        let (tell, told) = std::sync::mpsc::channel();
        let idle = guests.open(Waker::new(move || tell.send(()).unwrap_or_default()));
        idle.grow(8 << 20).unwrap();
        idle.idle();
        let needs = Needs(8 << 20, AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let checking = scope.spawn(|| check(&guests, &FunctionSpec::default(), &needs));
            told.recv().unwrap();
            assert!(idle.is_asked());
            idle.give_back(8 << 20);
            checking.join().unwrap().unwrap();
        });
        assert_eq!(needs.1.load(Ordering::Relaxed), 2);
    }
}
