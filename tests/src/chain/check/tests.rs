// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The checker finds each sort of problem, and nothing in a run that is right.

use fnstream_api::AppendedRun;

use super::*;

fn records(values: &[&str]) -> Vec<Record> {
    values.iter().map(|value| Record::new("k", value)).collect()
}

fn acknowledged(first: u64, values: &[&str]) -> Append {
    let run = AppendedRun { partition: 0, first: first.to_string(), count: values.len() as u32 };
    Append { producer: 1, records: records(values), outcome: Outcome::Acknowledged(vec![run]) }
}

fn unknown(values: &[&str]) -> Append {
    Append { producer: 1, records: records(values), outcome: Outcome::Unknown }
}

fn sorts(problems: Vec<Problem>) -> Vec<&'static str> {
    problems.iter().map(Problem::sort).collect()
}

#[test]
fn what_was_answered_is_there_and_what_was_not_may_be() {
    let ledger = [acknowledged(0, &["a", "b"]), unknown(&["c", "d"]), unknown(&["e"]), acknowledged(4, &["f"])];
    assert_eq!(appended(&ledger, &[records(&["a", "b", "c", "d", "f"])]), []);
}

#[test]
fn each_wrong_append_is_found() {
    let ledger = [acknowledged(0, &["a", "b"]), unknown(&["c", "d"])];
    let found = |values: &[&str]| sorts(appended(&ledger, &[records(values)]));
    assert_eq!(found(&["a"]), ["lost"]);
    assert_eq!(found(&["a", "b", "b"]), ["duplicated"]);
    assert_eq!(found(&["a", "b", "c", "d", "c"]), ["duplicated"]);
    assert_eq!(found(&["a", "b", "c"]), ["torn"]);
    assert_eq!(found(&["a", "b", "d"]), ["torn", "misplaced"]);
    assert_eq!(found(&["b", "a"]), ["misplaced", "misplaced", "misplaced"]);
    assert_eq!(found(&["a", "b", "x"]), ["foreign"]);
    assert_eq!(found(&["c", "d", "a", "b"]), ["misplaced", "misplaced", "misplaced"]);
}

#[test]
fn each_wrong_output_is_found() {
    let input = [records(&["a", "b", "c"])];
    let found = |output: Vec<Record>| sorts(processed("f", Step::PassThrough, &input, &[output]));
    assert_eq!(found(records(&["a", "b", "c"])), Vec::<&str>::new());
    assert_eq!(found(records(&["a", "c"])), ["lost"]);
    assert_eq!(found(records(&["a", "b", "b", "c"])), ["duplicated"]);
    assert_eq!(found(records(&["a", "c", "b"])), ["misplaced"]);
    assert_eq!(found(records(&["a", "b", "c", "d"])), ["foreign"]);
}

#[test]
fn a_count_that_forgot_or_counted_twice_is_found() {
    let input = [records(&["a", "b", "c"])];
    let count = |n: &u64| Record { key: b"k".into(), value: n.to_le_bytes().into() };
    let counts = |counts: &[u64]| counts.iter().map(count).collect::<Vec<_>>();
    let found = |of: &[u64]| sorts(processed("f", Step::KeyedCount, &input, &[counts(of)]));
    assert_eq!(found(&[1, 2, 3]), Vec::<&str>::new());
    assert_eq!(found(&[1, 2, 2]), ["duplicated", "lost"]);
    assert_eq!(found(&[1, 2, 4]), ["lost", "foreign"]);
}

#[test]
fn what_was_seen_must_stay() {
    let there = records(&["a", "b"]);
    assert_eq!(seen("t", &records(&["a"]), &there), []);
    assert_eq!(sorts(seen("t", &records(&["a", "c"]), &there)), ["unseen"]);
    assert_eq!(sorts(seen("t", &records(&["a", "b", "c"]), &there)), ["unseen"]);
}
