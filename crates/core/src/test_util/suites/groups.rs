// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What every [`Groups`] keeps to.

use std::sync::Arc;
use std::time::Duration;

use fnstream_frame::RecordRef;

use super::log::{ALL, at, waker};
use super::topics::{TopicsHarness, append, create, topic};
use super::{Check, checks, must};
use crate::broker::PollLimit;
use crate::groups::{Groups, Taken, Taking};
use crate::record::{Position, TopicPartition};
use crate::waker::Waker;

/// A fresh cluster with groups of consumers.
pub trait GroupsHarness: TopicsHarness {
    /// The groups as this process sees them.
    fn groups(&self) -> Arc<dyn Groups>;

    /// The groups as another process sees them; `None` where there can be no other, and the check is passed over.
    fn another_process(&self) -> Option<Arc<dyn Groups>> {
        None
    }
}

/// The contract of [`Groups`].
pub const CHECKS: &[Check<dyn GroupsHarness>] = checks![
    a_group_begins_at_the_earliest_record,
    each_record_goes_to_one_consumer_of_each_group,
    while_a_claim_is_open_nobody_else_is_given_anything,
    who_was_refused_is_woken_when_the_claim_ends,
    records_that_are_put_back_are_the_next_ones,
    records_that_were_appended_many_together_are_all_given,
    a_closed_claim_stays_closed,
    a_place_is_durable_before_the_records_are_given,
    a_claim_ends_with_its_process,
    dropped_records_are_passed_over_and_it_is_said,
    the_first_partition_that_has_records_is_taken_from,
    places_are_listed_and_go_with_the_topic,
];

/// More records than any check appends.
const MOST: usize = 1_000;

fn fill(harness: &dyn GroupsHarness, values: &[&[u8]]) {
    create(&*harness.topics(), "t", 2);
    add(harness, 0, values);
}

fn add(harness: &dyn GroupsHarness, partition: u32, values: &[&[u8]]) {
    for value in values {
        let record = [RecordRef::new(value)];
        must("appending", append(harness, ("t", Some(partition)), &record));
    }
}

fn both() -> [TopicPartition; 2] {
    [at("t", 0), at("t", 1)]
}

fn take_some(groups: &dyn Groups, group: &str, records: usize) -> Taking {
    let limit = PollLimit { records, ..ALL };
    must("taking", groups.take(group, &both(), limit, Waker::noop()))
}

/// The next record of a group.
fn take(groups: &dyn Groups, group: &str) -> Taken {
    match take_some(groups, group, 1) {
        Taking::Taken(taken) => {
            assert_eq!(taken.batch.len(), 1, "one record was asked for");
            taken
        }
        other => panic!("'{group}' was to be given a record, not {other:?}"),
    }
}

fn value(taken: &Taken) -> Vec<u8> {
    taken.batch.frame().record(0).bytes().to_vec()
}

/// All records that a group is given from now on, each accepted.
fn rest(groups: &dyn Groups, group: &str) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Taking::Taken(taken) = take_some(groups, group, 1) {
        all.push(value(&taken));
        assert!(all.len() <= MOST, "records come again without end");
        groups.accept(taken.claim);
    }
    all
}

fn place(groups: &dyn Groups, group: &str) -> Option<Position> {
    let places = must("listing the places", groups.places(&topic("t")));
    places.into_iter().find(|of| of.group == group && of.partition == 0).map(|of| of.position)
}

fn a_group_begins_at_the_earliest_record(harness: &mut dyn GroupsHarness) {
    fill(harness, &[b"a", b"b"]);
    let groups = harness.groups();
    let taken = take(&*groups, "g");
    assert_eq!((value(&taken), taken.skipped_from), (b"a".to_vec(), None));
    groups.accept(taken.claim);
    assert_eq!(rest(&*groups, "g"), [b"b".to_vec()]);
    assert!(matches!(take_some(&*groups, "g", 1), Taking::Nothing), "at the end there is nothing");
    add(harness, 0, &[b"c"]);
    assert_eq!(rest(&*groups, "g"), [b"c".to_vec()]);
}

fn each_record_goes_to_one_consumer_of_each_group(harness: &mut dyn GroupsHarness) {
    let names: Vec<Vec<u8>> = (0..40u8).map(|n| vec![n]).collect();
    fill(harness, &names.iter().map(|name| &name[..]).collect::<Vec<_>>());
    let patience = harness.patience();
    for group in ["g", "h"] {
        let groups = harness.groups();
        let mut given: Vec<_> = std::thread::scope(|scope| {
            let consumers: Vec<_> = (0..3).map(|_| scope.spawn(|| consume(&*groups, group, patience))).collect();
            consumers.into_iter().flat_map(|of| of.join().unwrap_or_else(|_| panic!("a consumer panicked"))).collect()
        });
        given.sort();
        assert_eq!(given, names, "each record once in group '{group}'");
    }
}

/// Takes until there is nothing, waiting for others of the group.
fn consume(groups: &dyn Groups, group: &str, patience: Duration) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let (waker, free) = waker();
        match must("taking", groups.take(group, &both(), PollLimit { records: 1, ..ALL }, waker)) {
            Taking::Taken(taken) => {
                all.push(value(&taken));
                assert!(all.len() <= MOST, "records come again without end");
                groups.accept(taken.claim);
            }
            Taking::Nothing => return all,
            Taking::Busy => {
                assert!(free.recv_timeout(patience.max(Duration::from_secs(60))).is_ok(), "nobody says that it is free")
            }
        }
    }
}

fn while_a_claim_is_open_nobody_else_is_given_anything(harness: &mut dyn GroupsHarness) {
    fill(harness, &[b"a", b"b"]);
    add(harness, 1, &[b"c"]);
    let groups = harness.groups();
    let open = take(&*groups, "g");
    let others = [Some(groups.clone()), harness.another_process()];
    for other in others.into_iter().flatten() {
        assert!(matches!(take_some(&*other, "g", 1), Taking::Busy), "the group has an open claim");
        let of_another = take(&*other, "h");
        assert_eq!(value(&of_another), b"a", "another group is another");
        must("putting back", other.put_back(of_another.claim));
    }
    groups.accept(open.claim);
    let mut left = rest(&*groups, "g");
    left.sort();
    assert_eq!(left, [b"b".to_vec(), b"c".to_vec()]);
}

fn who_was_refused_is_woken_when_the_claim_ends(harness: &mut dyn GroupsHarness) {
    fill(harness, &[b"a", b"b", b"c"]);
    let groups = harness.groups();
    for accepts in [true, false] {
        let open = take(&*groups, "g");
        let (waker, free) = waker();
        let refused = must("taking", groups.take("g", &both(), ALL, waker));
        assert!(matches!(refused, Taking::Busy), "{refused:?}");
        if accepts {
            groups.accept(open.claim);
        } else {
            must("putting back", groups.put_back(open.claim));
        }
        assert!(free.recv_timeout(harness.patience()).is_ok(), "who waits was not woken");
    }
}

fn records_that_are_put_back_are_the_next_ones(harness: &mut dyn GroupsHarness) {
    fill(harness, &[b"a", b"b", b"c"]);
    let groups = harness.groups();
    let Taking::Taken(two) = take_some(&*groups, "g", 2) else { panic!("two records were to be given") };
    assert_eq!(two.batch.len(), 2);
    must("putting back", groups.put_back(two.claim));
    assert_eq!(rest(&*groups, "g"), [b"a".to_vec(), b"b".to_vec(), b"c".to_vec()]);
}

/// A place may send the records of one append together, far more than were asked for.
fn records_that_were_appended_many_together_are_all_given(harness: &mut dyn GroupsHarness) {
    const APPENDS: usize = 10;
    const TOGETHER: usize = 1_000;
    fill(harness, &[]);
    let records = [RecordRef::new(b"v"); TOGETHER];
    for _ in 0..APPENDS {
        must("appending", append(harness, ("t", Some(0)), &records));
    }
    let groups = harness.groups();
    let mut given = 0;
    while let Taking::Taken(taken) = take_some(&*groups, "g", 700) {
        given += taken.batch.len();
        assert!(given <= APPENDS * TOGETHER, "records come again without end");
        groups.accept(taken.claim);
    }
    assert_eq!(given, APPENDS * TOGETHER);
}

fn a_closed_claim_stays_closed(harness: &mut dyn GroupsHarness) {
    fill(harness, &[b"a", b"b"]);
    let groups = harness.groups();
    let first = take(&*groups, "g");
    groups.accept(first.claim);
    must("putting back what was accepted", groups.put_back(first.claim));
    let second = take(&*groups, "g");
    assert_eq!(value(&second), b"b", "what was accepted is not given again");
    groups.accept(first.claim);
    assert!(matches!(take_some(&*groups, "g", 1), Taking::Busy), "a closed claim closes no other");
    groups.accept(second.claim);
    groups.accept(second.claim);
    assert!(matches!(take_some(&*groups, "g", 1), Taking::Nothing));
}

fn a_place_is_durable_before_the_records_are_given(harness: &mut dyn GroupsHarness) {
    fill(harness, &[b"a", b"b"]);
    let groups = harness.groups();
    let taken = take(&*groups, "g");
    // A place may be told behind a gap.
    assert!(place(&*groups, "g") >= Some(taken.next), "the place is behind what was given");
    drop(groups);
    harness.reopen();
    assert_eq!(rest(&*harness.groups(), "g"), [b"b".to_vec()], "a crash after they were given gives them not again");
}

fn a_claim_ends_with_its_process(harness: &mut dyn GroupsHarness) {
    fill(harness, &[b"a", b"b"]);
    take(&*harness.groups(), "g");
    harness.reopen();
    assert!(!matches!(take_some(&*harness.groups(), "g", 1), Taking::Busy), "a claim of a dead process");
}

fn dropped_records_are_passed_over_and_it_is_said(harness: &mut dyn GroupsHarness) {
    fill(harness, &[b"a"]);
    let groups = harness.groups();
    assert_eq!(rest(&*groups, "g").len(), 1);
    let stood = place(&*groups, "g").unwrap_or_else(|| panic!("the group has a place"));
    add(harness, 0, &[b"b", b"c"]);
    let end = must("describing", harness.topics().describe(&topic("t"))).partitions[0].end;
    let last = Position(end.0 - 1);
    if harness.drop_before(&at("t", 0), last) {
        let taken = take(&*groups, "g");
        assert_eq!((value(&taken), taken.skipped_from), (b"c".to_vec(), Some(stood)));
        must("putting back", groups.put_back(taken.claim));
        let again = take(&*groups, "g");
        let told = (value(&again), again.skipped_from);
        assert_eq!(told, (b"c".to_vec(), Some(stood)), "who takes after a consumer that went away is told");
        groups.accept(again.claim);
        assert_eq!(place(&*groups, "g"), Some(end));
    }
}

fn the_first_partition_that_has_records_is_taken_from(harness: &mut dyn GroupsHarness) {
    fill(harness, &[b"a"]);
    add(harness, 1, &[b"b", b"c"]);
    let groups = harness.groups();
    let mut given = Vec::new();
    for partitions in [[at("t", 1), at("t", 0)], [at("t", 0), at("t", 1)], [at("t", 0), at("t", 1)]] {
        let taking = must("taking", groups.take("g", &partitions, PollLimit { records: 1, ..ALL }, Waker::noop()));
        let Taking::Taken(taken) = taking else { panic!("{taking:?}") };
        given.push((taken.batch.from().partition, value(&taken)));
        groups.accept(taken.claim);
    }
    assert_eq!(given, [(1, b"b".to_vec()), (0, b"a".to_vec()), (1, b"c".to_vec())]);
    let one = must("taking", groups.take("g", &[at("t", 0)], ALL, Waker::noop()));
    assert!(matches!(one, Taking::Nothing), "only the named partitions are looked at");
}

fn places_are_listed_and_go_with_the_topic(harness: &mut dyn GroupsHarness) {
    fill(harness, &[b"a", b"b"]);
    let groups = harness.groups();
    assert_eq!(must("listing the places", groups.places(&topic("t"))), []);
    for group in ["h", "g"] {
        let taken = take(&*groups, group);
        groups.accept(taken.claim);
    }
    let places = must("listing the places", groups.places(&topic("t")));
    let told: Vec<_> = places.iter().map(|of| (of.partition, of.group.as_str())).collect();
    assert_eq!(told, [(0, "g"), (0, "h")], "by partition and group");
    must("deleting", harness.topics().delete(&topic("t")));
    fill(harness, &[b"x"]);
    assert_eq!(must("listing the places", groups.places(&topic("t"))), [], "a new topic has no past");
    assert_eq!(rest(&*groups, "g"), [b"x".to_vec()]);
}
