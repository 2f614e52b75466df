// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Retention drops what a task was to read next: it goes on at what is left, and that is told and counted once.

use std::time::Duration;

use fnstream_core::ErrorCode;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::FunctionSpec;
use fnstream_engine::{StopMode, TaskState};

use crate::world::{ID, World, picky, spec};

fn missed(world: &World) -> u64 {
    world.engine.meters().of("f").records_dropped_unread.get()
}

/// Ends the function, with its task.
fn stop(world: &World) {
    world.engine.stop_function(ID, StopMode::Drain, Box::new(|_| ()));
    world.settle();
    assert!(world.engine.status(ID).is_none(), "it has ended");
}

#[test]
fn a_task_whose_place_was_dropped_while_it_did_not_run_goes_on_at_the_oldest_record() {
    let world = World::new(spec());
    world.produce(&["a", "b"]);
    world.start(picky);
    world.settle();
    stop(&world);
    world.produce(&["c", "d", "e", "f"]);
    world.broker.drop_before("in", 0, Position(5));
    world.start(picky);
    world.settle();
    assert_eq!(world.outputs(), "a b f");
    assert_eq!((missed(&world), world.task().state), (3, TaskState::Running));
    let told = world.task().last_error.unwrap();
    assert_eq!(told.code, ErrorCode::PositionDropped);
    assert!(told.message.contains("from position 2 on: it goes on at 5"), "{}", told.message);

    stop(&world);
    world.start(picky);
    world.settle();
    assert_eq!((missed(&world), world.outputs().as_str()), (3, "a b f"), "told once");
    world.broker.assert_no_violations();
}

/// Everything is gone, also what would come next: the place is the end, and is committed although nothing is read.
#[test]
fn a_task_that_missed_everything_waits_at_the_end() {
    let world = World::new(spec());
    world.produce(&["a"]);
    world.start(picky);
    world.settle();
    stop(&world);
    world.produce(&["b", "c"]);
    world.broker.drop_before("in", 0, Position(3));
    world.start(picky);
    world.settle();
    stop(&world);
    world.produce(&["d"]);
    world.start(picky);
    world.settle();
    assert_eq!((missed(&world), world.outputs().as_str()), (2, "a d"));
}

#[test]
fn a_task_that_retention_overtakes_while_it_runs_goes_on_at_the_oldest_record() {
    let world = World::new(spec());
    world.produce(&["a"]);
    world.start(picky);
    world.settle();
    world.produce(&["b", "c", "d"]);
    world.broker.drop_before("in", 0, Position(3));
    world.settle();
    assert_eq!(world.outputs(), "a d");
    assert_eq!((missed(&world), world.task().state), (2, TaskState::Running));
    world.clock.advance(Duration::from_secs(60));
    world.produce(&["e"]);
    world.settle();
    assert_eq!((missed(&world), world.outputs().as_str()), (2, "a d e"));
    world.broker.assert_no_violations();
}

/// The record at which the function failed is gone when it is to be tried again.
#[test]
fn a_task_that_is_moved_back_to_what_was_dropped_goes_on_at_the_oldest_record() {
    let world = World::new(spec());
    world.produce(&["a"]);
    world.start(picky);
    world.settle();
    world.produce(&["b", "xx", "c"]);
    world.run();
    world.broker.drop_before("in", 0, Position(3));
    world.settle();
    assert!(world.outputs().ends_with('c'), "{}", world.outputs());
    assert_eq!(world.task().state, TaskState::Running);
    world.broker.assert_no_violations();
}

fn with_input(input: &str) -> World {
    World::new(FunctionSpec { inputs: vec![vec![input.parse().unwrap()]], ..spec() })
}

/// A world whose function has read `a` and `b`, and stands before `c`, which is gone.
fn overtaken(input: &str) -> World {
    let world = with_input(input);
    world.produce(&["a", "b"]);
    world.start(picky);
    world.settle();
    stop(&world);
    world.produce(&["c", "d"]);
    world.broker.drop_before("in", 0, Position(3));
    world.start(picky);
    world.settle();
    world
}

#[test]
fn a_function_that_is_to_stop_where_its_place_is_gone_reads_nothing_further() {
    let world = overtaken("in?on-lost-position=stop");
    assert_eq!((world.outputs().as_str(), missed(&world), world.task().state), ("a b", 0, TaskState::Failed));
    let told = world.task().last_error.unwrap();
    assert_eq!(told.code, ErrorCode::PositionLost);
    assert!(told.message.contains("from position 2 on; the oldest left is at 3,"), "{}", told.message);
    // Whatever it waits for, and however often it is started.
    world.clock.advance(Duration::from_secs(60));
    world.produce(&["e"]);
    world.settle();
    stop(&world);
    world.start(picky);
    world.settle();
    assert_eq!((world.outputs().as_str(), world.task().state), ("a b", TaskState::Failed));
    world.broker.assert_no_violations();
}

#[test]
fn a_function_that_is_to_stop_does_so_when_retention_overtakes_it_while_it_runs() {
    let world = with_input("in?on-lost-position=stop");
    world.produce(&["a"]);
    world.start(picky);
    world.settle();
    world.produce(&["b", "c", "d"]);
    world.broker.drop_before("in", 0, Position(3));
    world.settle();
    world.clock.advance(Duration::from_secs(60));
    world.settle();
    assert_eq!((world.outputs().as_str(), world.task().state), ("a", TaskState::Failed));
    assert_eq!(world.task().last_error.unwrap().code, ErrorCode::PositionLost);
}

#[test]
fn a_function_that_is_to_go_on_at_the_end_passes_over_what_is_left() {
    let world = overtaken("in?on-lost-position=latest");
    assert_eq!((world.outputs().as_str(), missed(&world), world.task().state), ("a b", 2, TaskState::Running));
    world.produce(&["e"]);
    world.settle();
    assert_eq!(world.outputs(), "a b e");
    let earliest = overtaken("in?on-lost-position=earliest");
    assert_eq!((earliest.outputs().as_str(), missed(&earliest)), ("a b d", 1));
}

/// A topic that was made anew ends before the place where the function stood.
#[test]
fn a_function_whose_place_is_past_the_end_goes_where_its_input_says() {
    for (word, state, outputs) in
        [("stop", TaskState::Failed, ""), ("earliest", TaskState::Running, "a"), ("latest", TaskState::Running, "")]
    {
        let world = with_input(&format!("in?on-lost-position={word}"));
        world.produce(&["a"]);
        world.fake.moved.lock().insert(TopicPartition::new("in", 0), Position(7));
        world.start(picky);
        world.settle();
        let told = world.task().last_error.unwrap();
        assert_eq!((world.outputs().as_str(), world.task().state, missed(&world)), (outputs, state, 0), "{word}");
        assert!(told.message.contains("ends at 1, before position 7"), "{}", told.message);
    }
}
