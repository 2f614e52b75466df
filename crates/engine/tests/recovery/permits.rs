// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Of a function with one replica, one task at a time calls user code; what calls none waits for nobody.

use std::sync::{Arc, Mutex};

use fnstream_core::epoch::TaskId;
use fnstream_core::runtime::Host;
use fnstream_core::test_util::mem_broker::MemBroker;
use fnstream_engine::{StopMode, TaskState};
use fnstream_frame::RecordRef;

use crate::world::{ID, World, spec};

/// The states of the tasks in the midst of a call of task 0, after `then` was done to others and they did all that they could.
fn in_a_call(then: impl Fn(&MemBroker, &fnstream_engine::Engine) + Send + Sync + 'static) -> Vec<(u32, TaskState)> {
    let broker = MemBroker::new();
    for topic in spec().topics() {
        broker.create_topic(&topic.name, 2);
    }
    let world = World::over(spec(), broker.clone());
    let (engine, driver, seen) = (world.engine.clone(), world.driver.clone(), Arc::new(Mutex::new(Vec::new())));
    let (then, look) = (Arc::new(then), seen.clone());
    world.start(move |record: RecordRef<'_>, _: &mut dyn Host| {
        if record.bytes() == b"now" {
            then(&broker, &engine);
            while driver.run(0) {}
            let tasks = engine.status(ID).map(|status| status.tasks).unwrap_or_default();
            *look.lock().unwrap() = tasks.iter().map(|task| (task.index, task.state)).collect();
        }
        Ok(())
    });
    world.settle_now();
    world.broker.append("in", 0, b"now");
    world.settle_now();
    let seen = seen.lock().unwrap().clone();
    assert!(!seen.is_empty(), "there was no call");
    seen
}

#[test]
fn a_task_that_is_lost_waits_for_no_other_tasks_call() {
    let states = in_a_call(|broker, _| broker.lose(TaskId::new(ID, 1)));
    assert_eq!(states, [(0, TaskState::Running)]);
}

#[test]
fn a_task_that_is_aborted_waits_for_no_other_tasks_call() {
    let states = in_a_call(|_, engine| engine.stop_function(ID, StopMode::Abort, Box::new(|_| ())));
    assert!(!states.iter().any(|(index, _)| *index == 1), "{states:?}");
}

#[test]
fn a_task_with_input_waits_for_another_tasks_call() {
    let states = in_a_call(|broker, _| {
        broker.append("in", 1, b"more");
    });
    assert_eq!(states, [(0, TaskState::Running), (1, TaskState::Running)]);
}
