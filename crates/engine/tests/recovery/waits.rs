// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a task waits for, and how that is seen.

use std::time::Duration;

use fnstream_core::epoch::TaskId;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::test_util::mem_broker::MemBroker;
use fnstream_core::{Error, ErrorCode};
use fnstream_engine::TaskState;

use crate::world::{ID, World, picky, spec};

#[test]
fn a_topic_that_is_not_there_is_waited_for() {
    let broker = MemBroker::new();
    broker.create_topic("in", 1);
    broker.create_topic("f.dlq", 1);
    let world = World::over(spec(), broker);
    world.produce(&["a"]);
    world.start(picky);
    world.settle_now();
    for _ in 0..20 {
        let task = world.task();
        let trouble = task.trouble.unwrap();
        assert_eq!((task.state, trouble.code), (TaskState::BackingOff, ErrorCode::TopicNotFound));
        world.clock.advance(Duration::from_secs(40));
        world.settle_now();
    }
    world.broker.create_topic("out", 1);
    world.clock.advance(Duration::from_secs(40));
    world.settle_now();
    let task = world.task();
    assert_eq!((world.outputs().as_str(), task.state), ("a", TaskState::Running));
    assert!(task.trouble.is_none());
}

#[test]
fn trouble_of_the_source_is_seen_while_it_lasts() {
    let world = World::new(spec());
    world.start(picky);
    world.settle();
    assert!(world.task().trouble.is_none());
    let away = Error::new(ErrorCode::Unavailable, "no broker answers");
    *world.fake.source_trouble.lock() = Some(away);
    // The source wakes its task when trouble begins; here a record does.
    world.produce(&["a"]);
    world.settle_now();
    let task = world.task();
    assert_eq!((task.state, task.trouble.unwrap().message), (TaskState::Running, "no broker answers".to_owned()));
    assert_eq!(world.outputs(), "");
    *world.fake.source_trouble.lock() = None;
    world.produce(&["b"]);
    world.settle_now();
    assert_eq!((world.outputs().as_str(), world.task().trouble.is_none()), ("a b", true));
}

#[test]
fn trouble_of_the_committer_is_seen_while_it_lasts() {
    let world = World::new(spec());
    world.start(picky);
    world.settle();
    *world.fake.commit_trouble.lock() = Some(Error::new(ErrorCode::Unavailable, "no coordinator"));
    assert_eq!(world.task().trouble.unwrap().message, "no coordinator");
    *world.fake.commit_trouble.lock() = None;
    assert!(world.task().trouble.is_none());
}

#[test]
fn a_gap_at_the_end_is_committed_after_a_while_and_once() {
    let world = World::new(spec());
    world.produce(&["a"]);
    world.start(picky);
    world.settle_now();
    let (task, at) = (TaskId::new(ID, 0), TopicPartition::new("in", 0));
    let standing = || {
        let progress = world.broker.progress(task);
        (progress.positions.get(&at).copied(), progress.epoch)
    };
    let before = standing();
    assert_eq!(before.0, Some(Position(1)));
    world.fake.ends_with_gap(at.clone(), Position(2));
    world.settle_now();
    assert_eq!(standing(), before, "it is not worth a commit of its own at once");
    world.clock.advance(Duration::from_secs(1));
    world.settle_now();
    assert_eq!(standing(), (Some(Position(2)), before.1.next()));
    world.settle();
    assert_eq!(standing(), (Some(Position(2)), before.1.next()));
}
