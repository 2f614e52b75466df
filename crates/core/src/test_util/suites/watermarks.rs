// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What every committer and source keep to together: watermarks that are emitted to a topic reach who reads it, after the
//! records that they follow, and never as records.

use super::committer::{Owner, commit, epoch, start};
use super::log::{ALL, Failing, LogHarness, Reader, acquire, at, open};
use super::must;
use crate::broker::{Assignment, Polled, TaskInput};
use crate::epoch::{FrozenEpoch, Generation, OutboxWatermark, TaskId};
use crate::record::{Position, Positions};

fn emitting(generation: Generation, number: u64, watermark: u64) -> FrozenEpoch {
    let watermarks = vec![OutboxWatermark { topic: "out".into(), watermark, idle: false }];
    FrozenEpoch { watermarks, ..epoch(generation, number) }
}

/// The other task says that its inputs are silent, so that the first one's watermarks count alone.
fn silence_the_other(harness: &dyn LogHarness, owner: &Owner) {
    let other = owner.member.assignment(1);
    let (number, generation) = acquire_number(harness, &other);
    must("a commit", commit(harness, of_other(generation, number, 0, true)));
}

fn of_other(generation: Generation, number: u64, watermark: u64, idle: bool) -> FrozenEpoch {
    FrozenEpoch {
        task: TaskId { index: 1, ..epoch(generation, 1).task },
        outbox: Vec::new(),
        watermarks: vec![OutboxWatermark { topic: "out".into(), watermark, idle }],
        ..epoch(generation, number)
    }
}

/// What a reader of both partitions of `out` is given, as text: so many lines, and what else is there then.
fn read(harness: &dyn LogHarness, reader: &mut Reader, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    let mut settled = false;
    loop {
        match must("polling", reader.source.poll(None, ALL)) {
            Polled::Pending if !settled => {
                harness.settle();
                settled = true;
                continue;
            }
            Polled::Pending if seen.len() >= count || !reader.await_readable(harness) => return seen,
            Polled::Pending | Polled::Skipped { .. } => {}
            Polled::Watermark { from, watermark } => seen.push(format!("{from}: watermark {watermark}")),
            Polled::Batch(batch) => {
                for (_, record) in batch.iter() {
                    seen.push(format!("{}: {}", batch.from(), String::from_utf8_lossy(record.bytes())));
                }
            }
        }
        settled = false;
    }
}

fn reader(harness: &dyn LogHarness, of: &Assignment, from: &Positions) -> Reader {
    let inputs = [0, 1].map(|number| TaskInput { group: 0, partition: at("out", number) });
    open(harness, &Assignment { inputs: inputs.to_vec(), ..of.clone() }, from)
}

fn of_partition(seen: &[String], partition: u32) -> Vec<&str> {
    seen.iter().filter_map(|line| line.strip_prefix(&format!("out-{partition}: "))).collect()
}

pub(super) fn an_emitted_watermark_follows_the_records_of_its_epoch(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    silence_the_other(harness, &owner);
    let mut source = reader(harness, &owner.assignment, &Positions::new());
    must("a commit", commit(harness, emitting(owner.generation, 1, 50)));
    let seen = read(harness, &mut source, 3);
    assert_eq!(of_partition(&seen, 0), ["1", "watermark 50"], "after the record of its epoch");
    assert_eq!(of_partition(&seen, 1), ["watermark 50"], "a watermark is for all partitions");
    must("a commit", commit(harness, epoch(owner.generation, 2)));
    must("a commit", commit(harness, emitting(owner.generation, 3, 40)));
    assert_eq!(read(harness, &mut source, 2), ["out-0: 2", "out-0: 3"], "a lower watermark says nothing");
    must("a commit", commit(harness, emitting(owner.generation, 4, 60)));
    assert_eq!(of_partition(&read(harness, &mut source, 3), 0), ["4", "watermark 60"]);
    assert_eq!(harness.read_all(&at("out", 0)), [b"1", b"2", b"3", b"4"], "a watermark is no record");
}

pub(super) fn the_watermark_of_a_partition_is_the_least_of_its_writers(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    let other = owner.member.assignment(1);
    acquire(harness, &other, None);
    let mut source = reader(harness, &owner.assignment, &Positions::new());
    let said = [
        (0, 50, false, None, "the other task has said nothing yet"),
        (1, 70, false, Some(50), "both have"),
        (0, 60, false, Some(60), "the least rises"),
        (0, 90, false, Some(70), "up to the other's"),
        (1, 0, true, Some(90), "the other is idle"),
        (0, 95, false, Some(95), "and still is"),
        (1, 0, false, None, "it is back, and behind: nothing falls"),
        (0, 99, false, None, "it holds the first one back again"),
        (0, 0, true, None, "only the other one counts"),
        (1, 0, true, Some(99), "of two that are idle the greatest counts"),
    ];
    for (index, watermark, idle, raised, why) in said {
        let (number, generation) = acquire_number(harness, if index == 0 { &owner.assignment } else { &other });
        let mut frozen = of_other(generation, number, watermark, idle);
        frozen.task.index = index;
        must("a commit", commit(harness, frozen));
        let seen = read(harness, &mut source, if raised.is_some() { 2 } else { 0 });
        let told = of_partition(&seen, 1).into_iter().find_map(|line| line.strip_prefix("watermark "));
        assert_eq!(told.and_then(|w| w.parse().ok()), raised, "{why}: {watermark} of task {index}");
    }
}

/// The number of the next epoch of a task, and a generation to commit it under.
fn acquire_number(harness: &dyn LogHarness, of: &Assignment) -> (u64, Generation) {
    let acquired = acquire(harness, of, None).0;
    (acquired.progress.epoch.0 + 1, acquired.generation)
}

pub(super) fn a_source_that_is_opened_again_knows_the_watermark_of_its_position(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    let positions = emit_between_records(harness, &owner);
    drop(owner);
    harness.reopen();
    let owner = super::committer::own(harness, 0);
    for (position, known, lines) in [(positions[1], "watermark 50", 5), (positions[2], "watermark 60", 3)] {
        let from = Positions::from([(at("out", 0), position)]);
        let seen = read(harness, &mut reader(harness, &owner.assignment, &from), lines);
        assert_eq!(of_partition(&seen, 0)[0], known, "opened at {position}");
    }
}

pub(super) fn a_source_that_was_sought_gives_the_watermark_of_its_position_again(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    let positions = emit_between_records(harness, &owner);
    let mut reader = reader(harness, &owner.assignment, &Positions::new());
    read(harness, &mut reader, 5);
    for (position, seen) in [
        (positions[2], &["watermark 60", "3"][..]),
        (positions[1], &["watermark 50", "2", "watermark 60", "3"]),
        (positions[2].next(), &["watermark 60"]),
    ] {
        must("seeking", reader.seek(&Positions::from([(at("out", 0), position)])));
        let lines = read(harness, &mut reader, seen.len());
        let mut found = of_partition(&lines, 0);
        assert_eq!(found[0], seen[0], "the watermark that holds there comes first, sought {position}");
        // A later one may come after the records that it is among.
        found.sort_unstable();
        let mut wanted = seen.to_vec();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "sought {position}");
        assert_eq!(of_partition(&lines, 1), [""; 0], "the other partition was not moved");
    }
}

/// Commits 1, a watermark of 50, 2, a watermark of 60, 3; answers where the records are.
fn emit_between_records(harness: &dyn LogHarness, owner: &Owner) -> Vec<Position> {
    silence_the_other(harness, owner);
    must("a commit", commit(harness, emitting(owner.generation, 1, 50)));
    must("a commit", commit(harness, emitting(owner.generation, 2, 60)));
    must("a commit", commit(harness, epoch(owner.generation, 3)));
    let inputs = vec![TaskInput { group: 0, partition: at("out", 0) }];
    let alone = Assignment { inputs, ..owner.assignment.clone() };
    let seen = open(harness, &alone, &Positions::new()).drain(harness, ALL, 3);
    seen.iter().map(|seen| seen.position).collect()
}

pub(super) fn the_watermark_of_an_aborted_epoch_is_never_seen(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    if !harness.fail_next(Failing::Abortable) {
        return;
    }
    assert!(commit(harness, emitting(owner.generation, 1, 50)).is_err());
    let mut source = reader(harness, &owner.assignment, &Positions::new());
    assert_eq!(read(harness, &mut source, 0), [""; 0], "an aborted epoch leaves no trace");
}
