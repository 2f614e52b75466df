// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A failure of the function costs an instance and a seek, and nothing that belongs to the ownership of the task.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fnstream_core::delta::Write;
use fnstream_core::epoch::TaskId;
use fnstream_core::runtime::Host;
use fnstream_core::test_util::mem_broker::Outcome;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::{StopMode, Stopped, TaskState};
use fnstream_frame::RecordRef;

use crate::world::{ID, World, picky, spec};

/// The calls that taking the task over costs: its inputs, and the end of its dead letters, are opened once.
const TAKEN_OVER: (u64, u64) = (1, 2);

impl World {
    /// How often the task was taken over, and how many sources were opened.
    fn cost(&self) -> (u64, u64) {
        (self.fake.acquires.load(Relaxed), self.fake.sources.load(Relaxed))
    }
}

#[test]
fn a_poison_record_takes_nothing_over_and_opens_no_source() {
    let world = World::new(spec());
    world.produce(&["a", "b"]);
    world.start(picky);
    world.settle();
    assert_eq!(world.cost(), TAKEN_OVER);
    let values: Vec<String> = (0..200).map(|n| if n % 20 == 7 { format!("x{n}") } else { n.to_string() }).collect();
    world.produce(&values.iter().map(String::as_str).collect::<Vec<_>>());
    world.settle();
    assert_eq!(world.cost(), TAKEN_OVER);
    let good: Vec<&str> = values.iter().map(String::as_str).filter(|value| !value.starts_with('x')).collect();
    assert_eq!(world.outputs(), format!("a b {}", good.join(" ")));
    assert_eq!(world.dead_letters().len(), 10);
    assert!(world.fake.seeks.load(Relaxed) >= 10);
    world.broker.assert_no_violations();
}

#[test]
fn state_and_its_account_go_back_to_the_last_commit() {
    let mut spec = spec();
    spec.limits.state_bytes = Some(40);
    let world = World::new(spec);
    // Each record appends itself; those that begin with an x write and fail.
    let append = |record: RecordRef<'_>, host: &mut dyn Host| {
        host.write(b"log", Write::Merge(Bytes::copy_from_slice(record.bytes())))?;
        picky(record, host)
    };
    world.produce(&["aaaa", "x000", "bbbb", "x111", "cccc"]);
    world.start(append);
    world.settle();
    // If what failed had stayed on the account, these would be above the limit of the state.
    world.produce(&["dddd", "eeee", "ffff", "gggg", "x222", "hhhh", "iiii"]);
    world.settle();
    let state = world.broker.state(TaskId::new(ID, 0));
    assert_eq!(state[&b"log"[..]][..], b"aaaabbbbccccddddeeeeffffgggghhhhiiii"[..]);
    assert_eq!(world.dead_letters().len(), 3);
    assert_eq!(world.cost(), TAKEN_OVER);
}

#[test]
fn an_epoch_in_flight_is_waited_for_and_not_done_again() {
    let world = World::new(spec());
    world.start(picky);
    world.settle();
    world.produce(&["a"]);
    world.run();
    world.produce(&["x", "b"]);
    world.run();
    assert_eq!(world.broker.pending_commits().len(), 1, "nothing is handed in before the answer");
    assert_eq!(world.outputs(), "");
    world.settle();
    assert_eq!((world.outputs().as_str(), world.dead_letters().len()), ("a b", 1));
    assert_eq!(world.cost(), TAKEN_OVER);
    world.broker.assert_no_violations();
}

#[test]
fn an_epoch_in_flight_that_is_aborted_meanwhile_is_done_again() {
    let world = World::new(spec());
    world.start(picky);
    world.settle();
    world.produce(&["a"]);
    world.run();
    world.produce(&["x", "b"]);
    world.run();
    world.broker.resolve_next(0, Outcome::Abortable);
    world.settle();
    assert_eq!((world.outputs().as_str(), world.dead_letters().len()), ("a b", 1));
    assert_eq!(world.cost(), TAKEN_OVER, "the owner is still the owner");
    world.broker.assert_no_violations();
}

#[test]
fn an_epoch_in_flight_that_is_refused_meanwhile_is_handed_in_again() {
    let world = World::new(spec());
    world.start(picky);
    world.settle();
    world.produce(&["a"]);
    world.run();
    world.produce(&["x", "b"]);
    world.run();
    world.broker.resolve_next(0, Outcome::Retriable);
    world.settle();
    assert_eq!((world.outputs().as_str(), world.dead_letters().len()), ("a b", 1));
    assert_eq!(world.cost(), TAKEN_OVER);
}

#[test]
fn a_doubtful_ownership_is_taken_over_anew() {
    for outcome in [Outcome::FatalCommitted, Outcome::FatalNotCommitted] {
        let world = World::new(spec());
        world.start(picky);
        world.settle();
        world.produce(&["a"]);
        world.run();
        world.broker.resolve_next(0, outcome);
        world.settle();
        assert_eq!(world.outputs(), "a", "{outcome:?}");
        assert_eq!(world.fake.acquires.load(Relaxed), 2, "{outcome:?}");
    }
}

#[test]
fn a_fault_of_the_host_takes_the_task_over_anew() {
    let world = World::new(spec());
    let failed = Arc::new(Mutex::new(false));
    world.produce(&["a"]);
    world.start(move |record: RecordRef<'_>, host: &mut dyn Host| -> Result<()> {
        if !std::mem::replace(&mut *failed.lock().unwrap(), true) {
            return Err(Error::new(ErrorCode::Storage, "the disk did not answer"));
        }
        host.emit(record.on(0))
    });
    world.settle();
    assert_eq!((world.outputs().as_str(), world.fake.acquires.load(Relaxed)), ("a", 2));
}

#[test]
fn an_abort_says_whether_something_may_still_be_committed() {
    for answered in [false, true] {
        let world = World::new(spec());
        world.start(picky);
        world.settle();
        world.produce(&["a"]);
        world.run();
        if answered {
            world.broker.commit_all();
        }
        let stopped = Arc::new(Mutex::new(None));
        let told = stopped.clone();
        world.engine.stop_function(ID, StopMode::Abort, Box::new(move |how| *told.lock().unwrap() = Some(how)));
        world.run();
        assert_eq!(*stopped.lock().unwrap(), Some(Stopped { unanswered: u32::from(!answered) }));
        world.broker.commit_all();
        assert_eq!(world.outputs(), "a");
    }
}

#[test]
fn a_drain_leaves_nothing_unanswered_after_a_failure_either() {
    let world = World::new(spec());
    world.start(picky);
    world.settle();
    world.produce(&["a"]);
    world.run();
    world.produce(&["x"]);
    world.run();
    let stopped = Arc::new(Mutex::new(None));
    let told = stopped.clone();
    world.engine.stop_function(ID, StopMode::Drain, Box::new(move |how| *told.lock().unwrap() = Some(how)));
    world.run();
    assert_eq!(*stopped.lock().unwrap(), None, "an epoch is in flight");
    world.settle_now();
    assert_eq!(*stopped.lock().unwrap(), Some(Stopped { unanswered: 0 }));
    assert_eq!(world.outputs(), "a");
}

#[test]
fn a_fenced_task_ends_and_comes_back_when_it_is_assigned_again() {
    let world = World::new(spec());
    world.start(picky);
    world.settle();
    world.produce(&["a"]);
    world.run();
    world.broker.resolve_next(0, Outcome::Fenced);
    world.settle_now();
    assert!(world.engine.status(ID).unwrap().tasks.is_empty(), "it does nothing until the broker speaks");
    assert_eq!(world.engine.meters().of("f").commits_fenced.get(), 1);
    world.broker.assign_free(ID, 0);
    world.settle();
    assert_eq!((world.outputs().as_str(), world.task().state), ("a", TaskState::Running));
}
