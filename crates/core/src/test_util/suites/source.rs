// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What every [`Source`](crate::broker::Source) keeps to, and the [`crate::broker::Broker`] that opens it.

use fnstream_frame::{HeadersBuilder, RecordRef};

use super::log::{ALL, LogHarness, Seen, at, join, open, sure, task};
use super::source_places::*;
use super::{Check, checks, must};
use crate::broker::{PollLimit, Polled};
use crate::error::ErrorCode;
use crate::record::{Positions, TopicPartition};
use crate::test_util::support::Told;
use crate::topic::Topic;

/// The contract of [`Source`](crate::broker::Source).
pub const CHECKS: &[Check<dyn LogHarness>] = checks![
    records_come_in_order_with_ascending_positions,
    a_record_is_given_as_it_was_appended,
    a_large_record_is_given_all_the_same,
    records_that_were_appended_many_together_all_come,
    reopening_at_a_position_yields_exactly_what_follows_it,
    an_abandoned_source_loses_nothing,
    a_source_goes_on_with_what_comes_later,
    the_waker_is_called_after_every_pending,
    a_busy_partition_does_not_keep_another_from_being_polled,
    a_task_reads_the_partitions_of_its_index_only,
    ends_are_where_the_next_records_go,
    records_outlast_the_process,
    partitions_are_counted_and_unknown_ones_refused,
    topics_of_other_clusters_are_refused,
    what_is_not_known_yet_is_unavailable_and_not_missing,
    a_later_assignment_has_a_higher_lease,
    a_poll_of_one_group_gives_nothing_of_another,
    a_dropped_position_is_an_error_and_never_a_jump,
    a_dropped_gap_is_no_dropped_record,
    who_took_everything_stands_at_the_end,
    seeking_moves_the_named_partitions_and_no_others,
    a_broker_that_is_away_is_trouble_and_no_error,
];

pub(super) const FEW: PollLimit = PollLimit { records: 2, bytes: 1 << 20 };

pub(super) fn append(harness: &dyn LogHarness, at: &TopicPartition, values: &[&str]) {
    for value in values {
        harness.append(at, &[RecordRef::new(value.as_bytes())]);
    }
}

pub(super) fn values(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(|seen| String::from_utf8_lossy(seen.value.as_deref().unwrap_or_default()).into_owned()).collect()
}

fn records_come_in_order_with_ascending_positions(harness: &mut dyn LogHarness) {
    harness.create_topic("in", 1);
    append(harness, &at("in", 0), &["a", "b"]);
    harness.append(&at("in", 0), &["c", "d", "e"].map(|v| RecordRef::new(v.as_bytes())));
    let member = join(harness, &["in"]);
    let mut source = open(harness, &member.assignment(0), &Positions::new());
    let seen = source.drain(harness, FEW, 5);
    assert_eq!(values(&seen), ["a", "b", "c", "d", "e"], "records come as they were appended, each once");
    assert!(seen.is_sorted_by(|a, b| a.position < b.position), "positions ascend: {seen:?}");
}

fn a_record_is_given_as_it_was_appended(harness: &mut dyn LogHarness) {
    harness.create_topic("first", 1);
    harness.create_topic("in", 1);
    let mut headers = HeadersBuilder::new();
    must("a header", headers.push("name", b"value"));
    must("a header", headers.push("name", b""));
    let records = [
        RecordRef::new(b"").at(-1),
        RecordRef::new(b"v").with_key(Some(b"")).at(1_700_000_000_000),
        RecordRef::new(b"w").with_key(Some(b"k\0")).with_headers(headers.as_headers()).at(3),
        RecordRef::null().with_key(Some(b"k")).at(4),
    ];
    harness.append(&at("in", 0), &records);
    let member = join(harness, &["first", "in"]);
    let mut source = open(harness, &member.assignment(0), &Positions::new());
    let seen = source.drain(harness, ALL, records.len());
    assert_eq!(seen.len(), records.len(), "an empty value is a record too");
    for (seen, record) in seen.iter().zip(records) {
        assert_eq!(seen.at, at("in", 0), "a batch names the partition that its records come from");
        assert_eq!(seen.channel, 1, "the channel is the input group");
        assert_eq!(seen.timestamp, record.timestamp);
        assert_eq!(seen.key.as_deref(), record.key, "an absent key is not an empty one");
        assert_eq!(seen.headers, record.headers.as_bytes());
        assert_eq!(seen.value.as_deref(), record.value, "a null value is not an empty one");
    }
}

fn a_large_record_is_given_all_the_same(harness: &mut dyn LogHarness) {
    harness.create_topic("in", 1);
    let large = "x".repeat(10_000);
    append(harness, &at("in", 0), &[&large, &large]);
    let member = join(harness, &["in"]);
    let mut source = open(harness, &member.assignment(0), &Positions::new());
    let seen = source.drain(harness, PollLimit { records: 10, bytes: 100 }, 2);
    assert_eq!(values(&seen), [large.clone(), large], "a record larger than the limit is given alone");
}

/// A place may send the records of one append together, far more than were asked for.
fn records_that_were_appended_many_together_all_come(harness: &mut dyn LogHarness) {
    const APPENDS: usize = 40;
    const TOGETHER: usize = 1_000;
    harness.create_topic("in", 1);
    let values: Vec<_> = (0..APPENDS * TOGETHER).map(|number| number.to_string()).collect();
    let records: Vec<_> = values.iter().map(|value| RecordRef::new(value.as_bytes())).collect();
    records.chunks(TOGETHER).for_each(|records| harness.append(&at("in", 0), records));
    let member = join(harness, &["in"]);
    let mut source = open(harness, &member.assignment(0), &Positions::new());
    let seen = source.drain(harness, PollLimit { records: 500, ..ALL }, values.len());
    let wrong = seen.iter().zip(&values).position(|(seen, value)| seen.value.as_deref() != Some(value.as_bytes()));
    assert_eq!((seen.len(), wrong), (values.len(), None), "all come, in their order");
}

fn reopening_at_a_position_yields_exactly_what_follows_it(harness: &mut dyn LogHarness) {
    harness.create_topic("in", 1);
    append(harness, &at("in", 0), &["a", "b", "c"]);
    harness.append(&at("in", 0), &["d", "e", "f", "g"].map(|v| RecordRef::new(v.as_bytes())));
    let member = join(harness, &["in"]);
    let assignment = member.assignment(0);
    let all = open(harness, &assignment, &Positions::new()).drain(harness, ALL, 7);
    for (i, record) in all.iter().enumerate() {
        for (position, rest) in [(record.position, &all[i..]), (record.position.next(), &all[i + 1..])] {
            let from = Positions::from([(at("in", 0), position)]);
            let seen = open(harness, &assignment, &from).drain(harness, FEW, rest.len());
            assert_eq!(seen, rest, "reopened at {position}");
        }
    }
}

fn an_abandoned_source_loses_nothing(harness: &mut dyn LogHarness) {
    harness.create_topic("in", 1);
    append(harness, &at("in", 0), &["a", "b", "c", "d", "e"]);
    let member = join(harness, &["in"]);
    let assignment = member.assignment(0);
    let mut source = open(harness, &assignment, &Positions::new());
    let first = source.next(harness, FEW);
    source.next(harness, FEW);
    drop(source);
    let from = Positions::from([(at("in", 0), first[0].position)]);
    let seen = open(harness, &assignment, &from).drain(harness, ALL, 5);
    assert_eq!(values(&seen), ["a", "b", "c", "d", "e"], "what was polled but not committed is read again");
}

fn a_source_goes_on_with_what_comes_later(harness: &mut dyn LogHarness) {
    harness.create_topic("in", 1);
    let member = join(harness, &["in"]);
    let mut source = open(harness, &member.assignment(0), &Positions::new());
    let mut seen = Vec::new();
    for (before, value) in ["a", "b", "c", "d"].into_iter().enumerate() {
        seen.extend(source.drain(harness, ALL, before.min(1)));
        append(harness, &at("in", 0), &[value]);
    }
    seen.extend(source.drain(harness, ALL, 1));
    assert_eq!(values(&seen), ["a", "b", "c", "d"]);
}

fn the_waker_is_called_after_every_pending(harness: &mut dyn LogHarness) {
    harness.create_topic("in", 1);
    harness.create_topic("other", 1);
    let member = join(harness, &["in", "other"]);
    let mut source = open(harness, &member.assignment(0), &Positions::new());
    for (topic, value) in [("in", "a"), ("in", "b"), ("other", "c"), ("in", "d")] {
        assert!(source.drain(harness, ALL, 0).is_empty(), "there was nothing to read before '{value}'");
        source.forget_wakes();
        append(harness, &at(topic, 0), &[value]);
        harness.settle();
        assert!(source.await_readable(harness), "nobody was woken by '{value}', which came after pending");
        assert_eq!(values(&source.drain(harness, ALL, 1)), [value], "a wake-up, but not the record");
    }
}

fn a_busy_partition_does_not_keep_another_from_being_polled(harness: &mut dyn LogHarness) {
    for (busy, calm) in [("busy", "calm"), ("z-busy", "a-calm")] {
        harness.create_topic(busy, 1);
        harness.create_topic(calm, 1);
        append(harness, &at(busy, 0), &["x", "x", "x", "x"]);
        append(harness, &at(calm, 0), &["here"]);
        let member = join(harness, &[busy, calm]);
        let mut source = open(harness, &member.assignment(0), &Positions::new());
        let mut polls = 0..100;
        let found = polls.any(|_| {
            append(harness, &at(busy, 0), &["x", "x"]);
            source.poll_patiently(harness, FEW).iter().any(|seen| seen.at == at(calm, 0))
        });
        assert!(found, "in 100 polls '{calm}' was never read because '{busy}' always had records");
    }
}

fn a_task_reads_the_partitions_of_its_index_only(harness: &mut dyn LogHarness) {
    harness.create_topic("in", 2);
    harness.create_topic("wide", 3);
    for partition in 0..2 {
        append(harness, &at("in", partition), &[&format!("in-{partition}")]);
    }
    for partition in 0..3 {
        append(harness, &at("wide", partition), &[&format!("wide-{partition}")]);
    }
    let member = join(harness, &["in", "wide"]);
    for index in 0..3 {
        let assignment = member.assignment(index);
        assert_eq!(assignment.task, task(index));
        let mut expected = vec![format!("wide-{index}")];
        if index < 2 {
            expected.insert(0, format!("in-{index}"));
        }
        let mut source = open(harness, &assignment, &Positions::new());
        let mut seen = values(&source.drain(harness, ALL, expected.len()));
        seen.sort();
        assert_eq!(seen, expected, "task {index} reads partition {index} of each input that has it");
    }
}

fn ends_are_where_the_next_records_go(harness: &mut dyn LogHarness) {
    harness.create_topic("in", 1);
    append(harness, &at("in", 0), &["a", "b"]);
    let member = join(harness, &["in"]);
    let mut source = open(harness, &member.assignment(0), &Positions::new());
    let early = source.source.ends().get(&at("in", 0)).copied();
    let last = source.drain(harness, ALL, 2)[1].position;
    assert!(early.is_none_or(|end| end > last), "the end of a partition that is not known was guessed: {early:?}");
    let end = source.source.ends().get(&at("in", 0)).copied();
    let end = end.unwrap_or_else(|| panic!("the end of a partition that was read to its end is known"));
    assert!(end > last, "the end {end} is after the last record at {last}");
    append(harness, &at("in", 0), &["c"]);
    let next = source.drain(harness, ALL, 1)[0].position;
    assert!(next >= end, "the next record got {next}, before the end {end}");
}

fn records_outlast_the_process(harness: &mut dyn LogHarness) {
    harness.create_topic("in", 2);
    append(harness, &at("in", 1), &["a", "b"]);
    let read = |harness: &dyn LogHarness, count| {
        let member = join(harness, &["in"]);
        open(harness, &member.assignment(1), &Positions::new()).drain(harness, ALL, count)
    };
    let before = read(harness, 2);
    harness.reopen();
    assert_eq!(read(harness, 2), before, "a new process reads the same records at the same positions");
    append(harness, &at("in", 1), &["c"]);
    assert_eq!(values(&read(harness, 3)), ["a", "b", "c"]);
}

fn partitions_are_counted_and_unknown_ones_refused(harness: &mut dyn LogHarness) {
    harness.create_topic("in", 3);
    let broker = harness.broker();
    assert_eq!(must("counting partitions", sure(harness, || broker.partitions(&"in".into()))), 3);
    must("the earliest position", sure(harness, || broker.earliest(&at("in", 2))));
    let refused = sure(harness, || broker.partitions(&"nowhere".into())).err().map(|e| e.code);
    assert_eq!(refused, Some(ErrorCode::TopicNotFound), "a topic that is not there");
    assert!(sure(harness, || broker.earliest(&at("in", 3))).is_err(), "a partition that is not there");
}

fn what_is_not_known_yet_is_unavailable_and_not_missing(harness: &mut dyn LogHarness) {
    harness.create_topic("in", 1);
    harness.reopen();
    let broker = harness.broker();
    let asked = [broker.partitions(&"in".into()).map(drop), broker.earliest(&at("in", 0)).map(drop)];
    for answer in asked {
        let refused = answer.err().map(|e| e.code);
        assert!(
            matches!(refused, None | Some(ErrorCode::Unavailable)),
            "a topic that is there was refused as {refused:?}"
        );
    }
    must("a look-up, in the end", sure(harness, || broker.partitions(&"in".into())));
}

fn topics_of_other_clusters_are_refused(harness: &mut dyn LogHarness) {
    harness.create_topic("in", 1);
    let broker = harness.broker();
    let elsewhere: Topic = must("reading a topic", "in@no-such-cluster".parse());
    let refused = sure(harness, || broker.partitions(&elsewhere)).err().map(|e| e.code);
    assert_eq!(refused, Some(ErrorCode::ClusterUnknown), "a topic of that name in a cluster that is not the broker's");
    let refused = sure(harness, || broker.earliest(&TopicPartition::new(elsewhere.clone(), 0))).err().map(|e| e.code);
    assert_eq!(refused, Some(ErrorCode::ClusterUnknown), "a partition of such a topic");
}

fn a_poll_of_one_group_gives_nothing_of_another(harness: &mut dyn LogHarness) {
    for topic in ["in", "empty", "other"] {
        harness.create_topic(topic, 1);
    }
    append(harness, &at("in", 0), &["a", "b"]);
    append(harness, &at("other", 0), &["c"]);
    let member = join(harness, &["in", "empty", "other"]);
    let mut reader = open(harness, &member.assignment(0), &Positions::new());
    for (group, wanted) in [(1, &[][..]), (2, &["c"]), (2, &[]), (0, &["a", "b"]), (0, &[])] {
        let mut values: Vec<String> = Vec::new();
        // At least twice, with what is under way in between: `Pending` is no end, and a wake-up may have no cause.
        for round in 0.. {
            loop {
                match must("polling a group", reader.source.poll(Some(group), ALL)) {
                    Polled::Batch(batch) => {
                        values.extend(batch.iter().map(|(_, r)| String::from_utf8_lossy(r.bytes()).into_owned()));
                    }
                    Polled::Watermark { .. } | Polled::Skipped { .. } => {}
                    Polled::Pending => break,
                }
            }
            harness.settle();
            let lacks = values.len() < wanted.len();
            if round > 0 && (!lacks || !reader.await_readable(harness)) {
                break;
            }
        }
        assert_eq!(values, wanted, "of group {group}");
    }
}

fn a_later_assignment_has_a_higher_lease(harness: &mut dyn LogHarness) {
    harness.create_topic("in", 1);
    let mut before = None;
    for round in 0..4 {
        let member = join(harness, &["in"]);
        let lease = member.assignment(0).lease;
        assert!(before < Some(lease), "lease {lease} came after {before:?}");
        before = Some(lease);
        let listener = member.listener.clone();
        drop(member);
        harness.settle();
        let assigned = |told: &Told| matches!(told, Told::Assigned(_));
        assert_eq!(listener.told().iter().filter(|t| assigned(t)).count(), 1, "an assignment is told once");
        if round == 1 {
            harness.reopen();
        }
    }
}
