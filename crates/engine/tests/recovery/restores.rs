// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A task that rebuilds a large state can be seen, ends when it is to, and keeps nobody else from running.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fnstream_core::delta::Write;
use fnstream_core::runtime::Host;
use fnstream_core::test_util::mem_broker::MemBroker;
use fnstream_engine::{StopMode, Stopped, TaskState};
use fnstream_frame::RecordRef;

use crate::world::{ID, World, spec};

/// A world whose function was killed after it made so many deltas in each partition.
fn with_deltas(deltas: usize, partitions: u32) -> World {
    let spec = spec();
    let broker = MemBroker::new();
    for topic in spec.topics() {
        broker.create_topic(&topic.name, partitions);
    }
    let world = World::over(spec.clone(), broker.clone());
    world.start(count);
    for delta in 0..deltas {
        for partition in 0..partitions {
            broker.append("in", partition, &delta.to_string().into_bytes());
        }
        world.settle_now();
    }
    broker.crash(0, |_| true);
    World::over(spec, broker)
}

fn count(record: RecordRef<'_>, host: &mut dyn Host) -> fnstream_core::Result<()> {
    host.write(record.bytes(), Write::Put(Bytes::new()))
}

#[test]
fn a_restore_is_seen_and_ends_when_the_function_is_stopped() {
    let world = with_deltas(20, 1);
    let (seen, replayed) = (Arc::new(Mutex::new(None)), Arc::new(AtomicU64::new(0)));
    let stopped = Arc::new(Mutex::new(None));
    let (engine, look, number, told) = (world.engine.clone(), seen.clone(), replayed.clone(), stopped.clone());
    *world.fake.on_replay.lock() = Some(Box::new(move || {
        if number.fetch_add(1, Relaxed) == 5 {
            let task = engine.status(ID).unwrap().tasks[0].clone();
            *look.lock().unwrap() = Some((task.state, task.restored));
            let told = told.clone();
            engine.stop_function(ID, StopMode::Drain, Box::new(move |how| *told.lock().unwrap() = Some(how)));
        }
    }));
    world.start(count);
    world.settle_now();
    assert_eq!(*seen.lock().unwrap(), Some((TaskState::Restoring, Some(5))));
    assert_eq!(*stopped.lock().unwrap(), Some(Stopped::default()));
    assert_eq!(replayed.load(Relaxed), 6, "the rest is not replayed");
    let meter = world.engine.meters().of("f");
    assert_eq!(meter.restored_keys.get(), 4, "each has one key, but for the first, which says where the task begins");
    assert!(meter.restored_bytes.get() >= 4);
    assert_eq!(world.fake.acquires.load(Relaxed), 1);
}

#[test]
fn a_restore_holds_no_permit() {
    let world = with_deltas(3, 2);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (engine, driver, look) = (world.engine.clone(), world.driver.clone(), seen.clone());
    // In the middle of the first task's restore the second one does all that it can.
    *world.fake.on_replay.lock() = Some(Box::new(move || {
        while driver.run(0) {}
        let mut states: Vec<_> = engine.status(ID).unwrap().tasks.iter().map(|task| task.state.to_string()).collect();
        states.sort_unstable();
        look.lock().unwrap().push(states.join(", "));
    }));
    world.start(count);
    world.settle_now();
    // One function has one permit here.
    assert_eq!(seen.lock().unwrap()[1], "restoring, running");
}
