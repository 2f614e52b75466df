// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! In which order input groups are read.

use std::sync::Arc;

use fnstream_core::clock::Clock;
use fnstream_core::delta::Write;
use fnstream_core::spec::InputSelector;
use fnstream_engine::native::NativeProgram;
use fnstream_frame::RecordRef;

use crate::world::{ID, World, groups};

/// Says of each record which group it came from.
fn telling_groups() -> Arc<NativeProgram> {
    NativeProgram::new(|| Box::new(|record, host| host.emit(RecordRef::new(record.channel.to_string().as_bytes()))))
}

/// The groups in the order in which batches of them were read, when they have so many records each, in batches of 4.
fn order(selector: InputSelector, records: &[usize]) -> String {
    let mut world = World::new(groups(records.len(), selector));
    for (group, count) in records.iter().enumerate() {
        (0..*count).for_each(|_| world.produce(&format!("in{group}"), "x", 0));
    }
    world.start(telling_groups());
    world.settle();
    let outputs = world.outputs();
    assert_eq!(outputs.len(), records.iter().sum::<usize>(), "nothing is lost");
    outputs.chunk_by(|a, b| a == b).map(|run| format!("{}x{} ", run[0], run.len())).collect()
}

#[test]
fn round_robin_gives_each_group_its_turn() {
    assert_eq!(order(InputSelector::RoundRobin, &[12, 0, 4, 8]), "0x4 2x4 3x4 0x4 3x4 0x4 ");
}

#[test]
fn sequential_drains_a_group_before_the_next() {
    assert_eq!(order(InputSelector::Sequential, &[12, 0, 4, 8]), "0x12 2x4 3x8 ");
}

#[test]
fn priority_leaves_later_groups_waiting() {
    assert_eq!(order(InputSelector::Priority, &[12, 0, 4, 8]), "0x12 2x4 3x8 ");
    // What comes to an earlier group while a later one has a backlog goes first.
    let mut world = World::new(groups(2, InputSelector::Priority));
    world.epoch.records = 4;
    (0..40).for_each(|_| world.produce("in1", "x", 0));
    world.start(telling_groups());
    let (_, driver) = world.running.as_ref().unwrap();
    while world.outputs().len() < 8 {
        assert!(driver.run(0), "it idles");
        world.broker.commit_all();
    }
    (0..8).for_each(|_| world.produce("in0", "x", 0));
    world.settle();
    let outputs = world.outputs();
    let last_of_first = outputs.iter().rposition(|group| group == "0").unwrap();
    let before = outputs[..last_of_first].iter().filter(|group| *group == "1").count();
    assert!((8..=20).contains(&before), "{before} of 40 records of the second group came before the first group's");
    assert_eq!(outputs.len(), 48);
}

#[test]
fn groups_in_parallel_have_tasks_and_state_of_their_own() {
    let mut world = World::new(groups(3, InputSelector::GroupParallel));
    for group in 0..3 {
        (0..=group).for_each(|_| world.produce(&format!("in{group}"), "x", 0));
    }
    world.start(NativeProgram::new(|| {
        Box::new(|record, host| {
            let count = host.get(b"count")?.map_or(0, |v| v.len()) + 1;
            host.write(b"count", Write::Put(vec![0; count].into()))?;
            host.emit(RecordRef::new(format!("{}:{count}", record.channel).as_bytes()))
        })
    }));
    world.settle();
    let mut outputs = world.outputs();
    outputs.sort();
    assert_eq!(outputs, ["0:1", "1:1", "1:2", "2:1", "2:2", "2:3"], "no group sees another's state");
    assert_eq!(world.broker.tasks(ID).iter().map(|task| task.index).collect::<Vec<_>>(), [0, 1, 2]);
    for task in world.broker.tasks(ID) {
        assert_eq!(world.broker.progress(task).records_in, u64::from(task.index) + 1);
    }
}

#[test]
fn one_busy_group_among_sixty_four_loses_nothing_and_waits_for_nobody() {
    for selector in [InputSelector::RoundRobin, InputSelector::Sequential, InputSelector::Priority] {
        let mut world = World::new(groups(64, selector));
        (0..1_000).for_each(|_| world.produce("in37", "x", 0));
        world.start(telling_groups());
        let (_, driver) = world.running.as_ref().unwrap();
        let mut steps = 0;
        while world.outputs().len() < 1_000 {
            assert!(driver.ready() > 0, "it idles with {} records left", 1_000 - world.outputs().len());
            driver.run(0);
            world.broker.commit_all();
            steps += 1;
        }
        assert!(steps < 200, "{selector:?}: {steps} steps for 250 batches");
        // A record of any other group is not kept waiting either.
        world.settle();
        world.produce("in63", "x", 0);
        world.settle();
        assert_eq!(world.outputs().last().unwrap(), "63");
        assert_eq!(world.clock.unix_ms(), 0, "no time had to pass");
    }
}
