// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Idle instances that are closed, and when.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fnstream_core::runtime::Host;
use fnstream_core::spec::{DesiredState, FunctionEntry};
use fnstream_core::test_util::mem_broker::MemBroker;
use fnstream_engine::EngineConfig;
use fnstream_engine::native::NativeProgram;
use fnstream_frame::RecordRef;

use crate::world::{ID, World, spec};

/// A function of which the instances take so long to start, each as long as the list says.
struct Starts {
    world: World,
    /// Each instance has it, too.
    alive: Arc<()>,
    made: Arc<AtomicU64>,
}

impl Starts {
    fn take(took: Vec<Duration>) -> Starts {
        let broker = MemBroker::new();
        for topic in spec().topics() {
            broker.create_topic(&topic.name, 1);
        }
        let config = EngineConfig { rest_bytes: 0, ..EngineConfig::default() };
        let world = World::with(spec(), broker, config);
        let (alive, made) = (Arc::new(()), Arc::new(AtomicU64::new(0)));
        let (token, count, clock) = (alive.clone(), made.clone(), world.clock.clone());
        let took = Mutex::new(took.into_iter());
        let program = NativeProgram::new(move || {
            count.fetch_add(1, Relaxed);
            clock.advance(took.lock().unwrap().next().expect("there is one more"));
            let token = token.clone();
            Box::new(move |record: RecordRef<'_>, host: &mut dyn Host| {
                let _ = &token;
                host.emit(record.on(0))
            })
        });
        let entry = FunctionEntry { id: ID, revision: 7, desired: DesiredState::Running, created_ms: 0, spec: spec() };
        world.engine.start_function(&entry, program, world.backend()).unwrap();
        world.broker.assign_free(ID, 0);
        world.settle_now();
        Starts { world, alive, made }
    }

    fn instances(&self) -> usize {
        // Ours, and that of the closure that makes them.
        Arc::strong_count(&self.alive) - 2
    }

    /// Lets that much time pass, in which what is due happens.
    fn pass(&self, time: Duration) {
        self.world.clock.advance(time);
        self.world.settle_now();
    }
}

const OFFER: Duration = Duration::from_millis(250);
const REST: Duration = Duration::from_secs(10);

#[test]
fn an_instance_that_had_to_wait_for_its_start_rests_like_the_others_of_its_function() {
    let starts = Starts::take(vec![Duration::from_millis(1), Duration::from_secs(7)]);
    for round in 1..=2 {
        assert_eq!(starts.instances(), 1, "round {round}");
        starts.pass(OFFER);
        starts.pass(REST - OFFER - Duration::from_millis(1));
        assert_eq!(starts.instances(), 1, "round {round}: it is not idle for so long");
        starts.pass(Duration::from_millis(1));
        assert_eq!(starts.instances(), 0, "round {round}");
        if round == 1 {
            starts.world.produce(&["a"]);
            starts.world.settle_now();
        }
    }
    assert_eq!((starts.world.outputs().as_str(), starts.made.load(Relaxed)), ("a", 2));
}

#[test]
fn instances_of_a_function_that_takes_long_to_start_rest_later() {
    let starts = Starts::take(vec![Duration::from_secs(1)]);
    starts.pass(OFFER);
    starts.pass(REST);
    starts.pass(Duration::from_secs(900));
    assert_eq!(starts.instances(), 1);
    starts.pass(Duration::from_secs(100));
    assert_eq!(starts.instances(), 0);
}
