// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a source keeps to about places: retention, gaps, seeking, and a broker that is away.

use super::log::{ALL, LogHarness, at, join, open, sure, try_open};
use super::must;
use super::source::{FEW, append, values};
use crate::error::{ErrorCode, Fault};
use crate::record::{Position, Positions};

pub(super) fn a_dropped_position_is_an_error_and_never_a_jump(harness: &mut dyn LogHarness) {
    harness.create_topic("in", 1);
    append(harness, &at("in", 0), &["a", "b", "c"]);
    let member = join(harness, &["in"]);
    let assignment = member.assignment(0);
    let all = open(harness, &assignment, &Positions::new()).drain(harness, ALL, 3);
    let mut late = open(harness, &assignment, &Positions::from([(at("in", 0), all[2].position)]));
    if !harness.drop_before(&at("in", 0), all[2].position) {
        return;
    }
    let dropped = Positions::from([(at("in", 0), all[0].position)]);
    let broker = harness.broker();
    // A broker may find it out at the first look only, and that may take a moment.
    let opened = try_open(harness, &assignment, &dropped);
    let refused = opened.and_then(|mut reader| reader.answer(harness)).err().map(|e| e.code);
    assert_eq!(refused, Some(ErrorCode::PositionDropped), "a position that retention dropped");
    let refused = late.seek(&dropped).and_then(|()| late.answer(harness)).err().map(|e| e.code);
    assert_eq!(refused, Some(ErrorCode::PositionDropped), "the same, sought");
    must("seeking again", late.seek(&Positions::from([(at("in", 0), all[2].position)])));
    assert_eq!(late.drain(harness, ALL, 1), all[2..], "after an error the source can be moved on");
    let seen = open(harness, &assignment, &Positions::new()).drain(harness, ALL, 1);
    assert_eq!(seen, all[2..], "without a position reading begins at the earliest record");
    let earliest = must("the earliest position", sure(harness, || broker.earliest(&at("in", 0))));
    assert_eq!(earliest, all[2].position, "the earliest position is the oldest record's");
    let latest = must("the latest position", sure(harness, || broker.latest(&at("in", 0))));
    assert!(latest > all[2].position, "the latest position, {latest}, is that of the next record");
}

pub(super) fn a_dropped_gap_is_no_dropped_record(harness: &mut dyn LogHarness) {
    harness.create_topic("in", 1);
    append(harness, &at("in", 0), &["a", "b", "c"]);
    let member = join(harness, &["in"]);
    let assignment = member.assignment(0);
    let all = open(harness, &assignment, &Positions::new()).drain(harness, ALL, 3);
    if !harness.drop_before(&at("in", 0), all[1].position) {
        return;
    }
    // A reader that has committed the first record and nothing of the gap behind it.
    let from = Positions::from([(at("in", 0), all[0].position.next())]);
    let seen = open(harness, &assignment, &from).drain(harness, ALL, 2);
    assert_eq!(seen, all[1..], "the records from that place on are all there");
}

pub(super) fn who_took_everything_stands_at_the_end(harness: &mut dyn LogHarness) {
    harness.create_topic("in", 1);
    append(harness, &at("in", 0), &["a", "b"]);
    let member = join(harness, &["in"]);
    let mut source = open(harness, &member.assignment(0), &Positions::new());
    source.drain(harness, FEW, 2);
    let ends = source.source.ends();
    assert_eq!(source.positions, ends, "batches and gaps lead to the end");
    append(harness, &at("in", 0), &["c"]);
    let next = source.drain(harness, ALL, 1);
    assert_eq!(values(&next), ["c"], "and over no record");
}

pub(super) fn seeking_moves_the_named_partitions_and_no_others(harness: &mut dyn LogHarness) {
    harness.create_topic("in", 1);
    harness.create_topic("other", 1);
    append(harness, &at("in", 0), &["a", "b", "c", "d"]);
    append(harness, &at("other", 0), &["x", "y"]);
    let member = join(harness, &["in", "other"]);
    let mut source = open(harness, &member.assignment(0), &Positions::new());
    let mut all = source.drain(harness, ALL, 6);
    all.retain(|seen| seen.at == at("in", 0));
    let foreign = (at("elsewhere", 0), Position(77));
    for (position, rest) in [
        (all[1].position, &["b", "c", "d"][..]),
        (all[3].position.next(), &[]),
        (all[0].position, &["a", "b", "c", "d"]),
        (all[2].position, &["c", "d"]),
    ] {
        let to = Positions::from([(at("in", 0), position), foreign.clone()]);
        must("seeking", source.seek(&to));
        // Something may be fetched by now. The next seek drops it.
        harness.settle();
        must("seeking", source.seek(&to));
        let seen = source.drain(harness, FEW, rest.len());
        assert_eq!(values(&seen), rest, "sought {position}: what follows it, and nothing of the other partition");
    }
    must("seeking", source.seek(&Positions::from([(at("in", 0), all[0].position)])));
    let first = source.next(harness, FEW);
    assert_eq!(values(&first), ["a", "b"]);
    must("seeking forth", source.seek(&Positions::from([(at("in", 0), all[3].position)])));
    assert_eq!(values(&source.drain(harness, FEW, 1)), ["d"], "what was fetched before is dropped");
}

pub(super) fn a_broker_that_is_away_is_trouble_and_no_error(harness: &mut dyn LogHarness) {
    harness.create_topic("in", 1);
    let member = join(harness, &["in"]);
    let mut source = open(harness, &member.assignment(0), &Positions::new());
    source.drain(harness, ALL, 0);
    let trouble = source.source.trouble();
    assert!(trouble.is_none(), "all is well, but the source says: {trouble:?}");
    append(harness, &at("in", 0), &["a"]);
    if !harness.set_away(true) {
        return;
    }
    // What was fetched before may still be given. Nothing is an error.
    let mut seen = source.drain(harness, ALL, 0);
    let trouble = source.source.trouble().map(|e| e.code.fault());
    assert_eq!(trouble, Some(Fault::External), "a source says that its broker cannot be reached");
    harness.set_away(false);
    seen.extend(source.drain(harness, ALL, 1 - seen.len()));
    assert_eq!(values(&seen), ["a"], "the source goes on by itself");
    // That it is back may be found out a moment later, and is told then.
    while source.source.trouble().is_some() && source.await_readable(harness) {}
    let trouble = source.source.trouble();
    assert!(trouble.is_none(), "the broker is back, but the source says: {trouble:?}");
}
