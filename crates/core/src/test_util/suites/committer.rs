// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What every [`crate::committer::Committer`] keeps to: what a commit makes durable and visible, and how a task is taken
//! over. Failures and fencing are in the file beside this one; [`CHECKS`] has both.

use std::sync::Arc;

use bytes::Bytes;

use super::committer_faults::*;
use super::log::{Answer, LogHarness, acquire, at, join, task};
use super::watermarks::*;
use super::{Check, checks, must};
use crate::broker::Assignment;
use crate::committer::{Acquired, CommitResult};
use crate::delta::{Delta, Write};
use crate::epoch::{Epoch, FrozenEpoch, Generation, OutboxBatch, Progress, TaskId};
use crate::error::{Error, ErrorCode};
use crate::record::{Position, Positions};
use crate::state::Marker;
use crate::test_util::support::{answer, outbox, puts};

/// The contract of [`crate::committer::Committer`].
pub const CHECKS: &[Check<dyn LogHarness>] = checks![
    a_new_task_stands_at_the_beginning,
    a_commit_makes_outbox_delta_and_progress_durable,
    an_answered_epoch_is_readable_and_let_go,
    commit_twice_is_commit_once,
    epochs_commit_in_the_order_in_which_they_were_handed_in,
    an_epoch_without_outbox_or_delta_counts_too,
    records_are_emitted_as_they_are,
    every_kind_of_state_write_survives,
    replay_gives_exactly_the_deltas_after_the_marker,
    a_failed_replay_can_be_repeated,
    trimming_keeps_what_the_store_may_lack,
    tasks_of_a_function_are_apart,
    commits_outlast_the_process,
    a_fenced_generation_never_commits,
    what_was_under_way_at_a_take_over_is_there_or_never,
    a_stale_assignment_is_refused_and_fences_nobody,
    a_generation_of_a_dead_process_is_fenced,
    a_retriable_epoch_leaves_no_trace_and_can_be_handed_in_again,
    an_aborted_epoch_leaves_no_trace,
    what_follows_a_failed_epoch_fails_too,
    a_fatal_commit_is_there_or_not_as_a_whole,
    a_rejected_epoch_leaves_no_trace_and_another_takes_its_number,
    a_fenced_owner_hears_that_it_lost_the_task,
    other_tasks_go_on_while_one_is_restored,
    a_committer_that_cannot_commit_says_why,
    an_emitted_watermark_follows_the_records_of_its_epoch,
    the_watermark_of_a_partition_is_the_least_of_its_writers,
    a_source_that_is_opened_again_knows_the_watermark_of_its_position,
    a_source_that_was_sought_gives_the_watermark_of_its_position_again,
    the_watermark_of_an_aborted_epoch_is_never_seen,
];

/// A process that owns task 0 and task 1 of the function, which reads `in` and writes `out`, both of 2 partitions.
pub(super) struct Owner {
    pub member: super::log::Member,
    pub assignment: Assignment,
    pub generation: Generation,
    pub acquired: Acquired,
}

/// Makes the topics and takes task 0 over.
pub(super) fn start(harness: &dyn LogHarness) -> Owner {
    harness.create_topic("in", 2);
    harness.create_topic("out", 2);
    let in0 = at("in", 0);
    harness.append(&in0, &[b"a", b"b", b"c"].map(|v| fnstream_frame::RecordRef::new(v)));
    own(harness, 0)
}

/// Joins and takes a task over.
pub(super) fn own(harness: &dyn LogHarness, index: u32) -> Owner {
    let member = join(harness, &["in"]);
    let assignment = member.assignment(index);
    let (acquired, _) = acquire(harness, &assignment, None);
    Owner { member, assignment, generation: acquired.generation, acquired }
}

/// An epoch of task 0 that emits its own number and puts it at the key `last`. The number of the generation is in it too.
pub(super) fn epoch(generation: Generation, number: u64) -> FrozenEpoch {
    let text = format!("{number}").into_bytes();
    FrozenEpoch {
        task: task(0),
        generation,
        progress: progress(number),
        delta: puts(&[(b"last", &text), (&text, b"")]),
        outbox: vec![outbox("out", 0, &[&text])],
        watermarks: vec![],
    }
}

fn progress(number: u64) -> Progress {
    Progress {
        epoch: Epoch(number),
        positions: Positions::from([(at("in", 0), Position(u128::from(number.min(3))))]),
        records_in: 2 * number,
        records_out: number,
        time: Bytes::from(format!("time {number}")),
    }
}

pub(super) fn hand_in(harness: &dyn LogHarness, epoch: FrozenEpoch) -> Answer {
    let (done, receive) = answer();
    harness.committer().commit(Arc::new(epoch), done);
    Answer(receive)
}

pub(super) fn commit(harness: &dyn LogHarness, epoch: FrozenEpoch) -> CommitResult {
    hand_in(harness, epoch).wait(harness)
}

/// Commits the epochs of these numbers; gives the end of the delta log after each.
pub(super) fn commit_all(
    harness: &dyn LogHarness,
    generation: Generation,
    numbers: std::ops::RangeInclusive<u64>,
) -> Vec<Bytes> {
    numbers.map(|number| must("a commit", commit(harness, epoch(generation, number)))).collect()
}

/// The numbers of the epochs whose outbox is readable.
pub(super) fn emitted(harness: &dyn LogHarness) -> Vec<u64> {
    let parse = |value: Vec<u8>| String::from_utf8_lossy(&value).parse().unwrap_or_else(|e| panic!("{value:?}: {e}"));
    harness.read_all(&at("out", 0)).into_iter().map(parse).collect()
}

/// Checks that exactly the epochs up to `last` are there: in the outbox, in the delta log and as progress.
pub(super) fn stands_at(harness: &dyn LogHarness, assignment: &Assignment, last: u64) -> Acquired {
    let (acquired, replayed) = acquire(harness, assignment, None);
    let wanted: Vec<u64> = (1..=last).collect();
    assert_eq!(emitted(harness), wanted, "the outbox of exactly the committed epochs is readable, in order");
    let expected = if last == 0 { Progress::default() } else { progress(last) };
    assert_eq!(acquired.progress, expected, "progress is that of the last committed epoch");
    let deltas: Vec<_> = wanted.iter().map(|n| epoch(Generation(0), *n).delta).collect();
    let found: Vec<_> = replayed.iter().map(|(_, delta)| delta.clone()).collect();
    assert_eq!(found, deltas, "the delta log has exactly the committed epochs, in order");
    acquired
}

fn a_new_task_stands_at_the_beginning(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    assert_eq!(owner.acquired.progress, Progress::default());
    stands_at(harness, &owner.assignment, 0);
}

fn a_commit_makes_outbox_delta_and_progress_durable(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=1);
    stands_at(harness, &owner.assignment, 1);
}

fn an_answered_epoch_is_readable_and_let_go(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    for number in 1..=3 {
        let epoch = Arc::new(epoch(owner.generation, number));
        let held = Arc::downgrade(&epoch);
        let (send, holders) = std::sync::mpsc::channel();
        let (done, receive) = answer();
        let answer = Answer(receive);
        let count = Box::new(move |result| {
            // Nobody but the test may hold it when the answer is given. The test may have stopped listening.
            let _ = send.send(held.strong_count());
            done(result);
        });
        harness.committer().commit(epoch.clone(), count);
        let early = answer.now();
        if early.is_some() {
            assert_eq!(emitted(harness).last(), Some(&number), "an answered epoch is readable");
        }
        must("a commit", early.unwrap_or_else(|| answer.wait(harness)));
        assert_eq!(emitted(harness).last(), Some(&number), "an answered epoch is readable");
        assert_eq!(holders.recv(), Ok(1), "the committer keeps an epoch that it has answered");
        drop(epoch);
    }
}

fn commit_twice_is_commit_once(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=2);
    must("an epoch that is committed already", commit(harness, epoch(owner.generation, 2)));
    must("an older epoch that is committed already", commit(harness, epoch(owner.generation, 1)));
    must("the next epoch", commit(harness, epoch(owner.generation, 3)));
    stands_at(harness, &owner.assignment, 3);
}

fn epochs_commit_in_the_order_in_which_they_were_handed_in(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    let answers: Vec<_> = (1..=20).map(|number| hand_in(harness, epoch(owner.generation, number))).collect();
    for answer in &answers {
        must("a commit", answer.wait(harness));
    }
    stands_at(harness, &owner.assignment, 20);
}

fn an_epoch_without_outbox_or_delta_counts_too(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    for number in 1..=2 {
        let progress = Progress { records_out: 0, ..progress(number) };
        let (task, generation) = (task(0), owner.generation);
        let bare = FrozenEpoch {
            task,
            generation,
            progress: progress.clone(),
            delta: Delta::new(),
            outbox: vec![],
            watermarks: vec![],
        };
        must("an epoch with nothing but progress", commit(harness, bare));
        assert_eq!(progress.epoch, Epoch(number));
    }
    let acquired = acquire(harness, &owner.assignment, None).0;
    assert_eq!(acquired.progress, Progress { records_out: 0, ..progress(2) });
}

fn records_are_emitted_as_they_are(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    harness.create_topic("more", 1);
    let values: Vec<Vec<u8>> = (0..100_u8).map(|i| vec![i; usize::from(i)]).collect();
    let values: Vec<&[u8]> = values.iter().map(|v| &v[..]).collect();
    let batches: Vec<OutboxBatch> = vec![
        outbox("out", 1, &values),
        outbox("more", 0, &[b"x"]),
        outbox("out", 0, &[b"1"]),
        outbox("out", 1, &[b"z"]),
    ];
    let progress = Progress { records_out: 103, ..progress(1) };
    let epoch = FrozenEpoch { progress, outbox: batches, ..epoch(owner.generation, 1) };
    must("a commit", commit(harness, epoch));
    let mut expected = values;
    expected.push(b"z");
    assert_eq!(harness.read_all(&at("out", 1)), expected, "all records of a partition, in order");
    assert_eq!(harness.read_all(&at("more", 0)), [b"x"]);
    assert_eq!(emitted(harness), [1]);
}

fn every_kind_of_state_write_survives(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    let mut delta = Delta::new();
    delta.delete_range(b"r", Some(b"s"));
    delta.delete_range(b"t", None);
    delta.write(b"empty", Write::Put(Bytes::new()));
    delta.write(b"gone", Write::Delete);
    delta.write(b"merged", Write::Merge(Bytes::from_static(b"+1")));
    delta.write(b"\0\xff", Write::Put(Bytes::from(vec![7; 100_000])));
    let wanted = delta.clone();
    must("a commit", commit(harness, FrozenEpoch { delta, ..epoch(owner.generation, 1) }));
    let (_, replayed) = acquire(harness, &owner.assignment, None);
    assert_eq!(replayed.len(), 1, "one delta was committed");
    assert_eq!(replayed[0].1, wanted, "a delta is replayed as it was committed");
}

fn replay_gives_exactly_the_deltas_after_the_marker(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    let ends = commit_all(harness, owner.generation, 1..=5);
    let (_, all) = acquire(harness, &owner.assignment, None);
    assert_eq!(all.len(), 5, "without a marker all deltas are replayed");
    for applied in 1..=5_usize {
        let epoch = Epoch(applied as u64);
        assert_eq!(all[applied - 1].0.epoch, epoch, "each delta comes with the marker of a store that has it");
        for marker in [Marker { epoch, log_end: ends[applied - 1].clone() }, all[applied - 1].0.clone()] {
            let (acquired, replayed) = acquire(harness, &owner.assignment, Some(&marker));
            let (found, wanted): (Vec<_>, Vec<_>) =
                (replayed.iter().map(|(_, d)| d).collect(), all[applied..].iter().map(|(_, d)| d).collect());
            assert_eq!(found, wanted, "a store that has epoch {applied} is given what comes after it");
            let end = Marker { epoch: Epoch(5), log_end: acquired.log_end };
            let (_, replayed) = acquire(harness, &owner.assignment, Some(&end));
            assert!(replayed.is_empty(), "nothing comes after the end of the log that a take-over told");
        }
    }
}

fn a_failed_replay_can_be_repeated(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=3);
    for code in [ErrorCode::Storage, ErrorCode::Cancelled] {
        let mut given = 0;
        let result = harness.committer().acquire(&owner.assignment, None, &mut |_, _| {
            given += 1;
            Err(Error::new(code, "no more"))
        });
        assert_eq!(result.err().map(|e| e.code), Some(code), "a failure of the replay is the take-over's");
        assert_eq!(given, 1, "nothing is replayed after a failure");
    }
    stands_at(harness, &owner.assignment, 3);
}

fn trimming_keeps_what_the_store_may_lack(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    let ends = commit_all(harness, owner.generation, 1..=6);
    for through in [2, 4, 3] {
        harness.committer().trim(task(0), Epoch(through));
    }
    harness.settle();
    for applied in [4, 5, 6] {
        let marker = Marker { epoch: Epoch(applied), log_end: ends[applied as usize - 1].clone() };
        let (acquired, replayed) = acquire(harness, &owner.assignment, Some(&marker));
        let epochs: Vec<u64> = replayed.iter().map(|(marker, _)| marker.epoch.0).collect();
        assert_eq!(epochs, (applied + 1..=6).collect::<Vec<_>>(), "what was not trimmed is replayed");
        assert_eq!(acquired.progress, progress(6), "trimming drops no progress");
    }
    assert_eq!(emitted(harness), [1, 2, 3, 4, 5, 6], "trimming drops no records");
}

fn tasks_of_a_function_are_apart(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    let other = owner.member.assignment(1);
    let second = acquire(harness, &other, None).0.generation;
    let of_second = |number| FrozenEpoch {
        task: TaskId { index: 1, ..task(0) },
        delta: puts(&[(b"last", b"second")]),
        outbox: vec![outbox("out", 1, &[b"second"])],
        progress: Progress { positions: Positions::new(), ..progress(number) },
        ..epoch(second, number)
    };
    let answers = [
        hand_in(harness, epoch(owner.generation, 1)),
        hand_in(harness, of_second(1)),
        hand_in(harness, epoch(owner.generation, 2)),
        hand_in(harness, of_second(2)),
    ];
    for answer in &answers {
        must("a commit", answer.wait(harness));
    }
    let generation = stands_at(harness, &owner.assignment, 2).generation;
    must("a commit of a task that nobody took over", commit(harness, of_second(3)));
    must("a commit of the other task", commit(harness, epoch(generation, 3)));
    let (_, replayed) = acquire(harness, &other, None);
    let wanted = of_second(1).delta;
    assert!(replayed.len() == 3 && replayed.iter().all(|(_, d)| *d == wanted), "a task is given its own deltas only");
    stands_at(harness, &owner.assignment, 3);
}

fn commits_outlast_the_process(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=3);
    let before = owner.generation;
    drop(owner);
    harness.reopen();
    let owner = own(harness, 0);
    assert!(owner.generation > before, "a take-over has a higher generation than any before");
    let generation = stands_at(harness, &owner.assignment, 3).generation;
    commit_all(harness, generation, 4..=4);
    stands_at(harness, &owner.assignment, 4);
}
