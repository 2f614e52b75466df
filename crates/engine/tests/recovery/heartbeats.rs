// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! When an instance is asked whether it is well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use fnstream_core::batch::Batch;
use fnstream_core::epoch::Epoch;
use fnstream_core::runtime::{CallResult, Instance, InstanceSpec, Program, SharedHost};
use fnstream_core::spec::{DesiredState, FunctionEntry};

use crate::world::{ID, World, spec};

/// Counts how often its instances were made and asked, and answers what it is told.
#[derive(Default)]
struct Patient {
    made: AtomicU64,
    asked: AtomicU64,
    ill: AtomicBool,
}

struct Asked(Arc<Patient>, SharedHost);

struct Patients(Arc<Patient>);

impl Program for Patients {
    fn kind(&self) -> &'static str {
        "patient"
    }

    fn instantiate(&self, _: &InstanceSpec, host: SharedHost) -> CallResult<Box<dyn Instance>> {
        self.0.made.fetch_add(1, Relaxed);
        Ok(Box::new(Asked(self.0.clone(), host)))
    }
}

impl Instance for Asked {
    fn init(&mut self) -> CallResult {
        Ok(())
    }

    fn process(&mut self, batch: &Batch) -> CallResult {
        batch.frame().iter().try_for_each(|record| Ok(self.1.lock().emit(record)?))
    }

    fn process_watermark(&mut self, _: u32, _: u64) -> CallResult {
        Ok(())
    }

    fn take_checkpoint(&mut self, _: Epoch) -> CallResult {
        Ok(())
    }

    fn check_heartbeat(&mut self) -> CallResult<bool> {
        self.0.asked.fetch_add(1, Relaxed);
        Ok(!self.0.ill.swap(false, Relaxed))
    }

    fn close(&mut self) -> CallResult {
        Ok(())
    }

    fn exec(&mut self, _: &str, _: &[(String, Vec<u8>)]) -> CallResult {
        Ok(())
    }

    fn custom(&mut self, payload: &[u8]) -> CallResult<Vec<u8>> {
        Ok(payload.to_vec())
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}

const HEARTBEAT: Duration = Duration::from_secs(30);

#[test]
fn an_instance_is_asked_whether_it_is_well_only_after_it_was_called() {
    let patient = Arc::new(Patient::default());
    let world = World::new(spec());
    let entry = FunctionEntry { id: ID, revision: 7, desired: DesiredState::Running, created_ms: 0, spec: spec() };
    world.engine.start_function(&entry, Arc::new(Patients(patient.clone())), world.backend()).unwrap();
    world.broker.assign_free(ID, 0);
    world.settle_now();
    let pass = || {
        world.clock.advance(HEARTBEAT);
        world.settle_now();
        patient.asked.load(Relaxed)
    };
    // The first epoch ends soon after the start, with a checkpoint.
    assert_eq!((pass(), pass(), pass()), (1, 1, 1), "it has done nothing since");
    for round in 2..=3 {
        world.produce(&["a"]);
        world.settle_now();
        assert_eq!((pass(), pass(), pass()), (round, round, round), "once after the record");
    }
    assert_eq!(patient.made.load(Relaxed), 1);

    patient.ill.store(true, Relaxed);
    world.produce(&["b"]);
    world.settle_now();
    pass();
    world.settle();
    assert_eq!(patient.made.load(Relaxed), 2, "one that says that it is not well is replaced");
    world.produce(&["c"]);
    world.settle();
    assert_eq!(world.outputs(), "a a b c");
}
