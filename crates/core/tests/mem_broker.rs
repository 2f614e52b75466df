// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The in-memory broker does what its driver says and what a foreign broker would do.

#![allow(clippy::unwrap_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};

use fnstream_core::ErrorCode;
use fnstream_core::broker::{
    Assignment, AssignmentListener, Broker, Membership, PollLimit, Polled, RevokeDone, Source, Subscription,
};
use fnstream_core::committer::{Acquired, CommitFailure, CommitResult, Committer};
use fnstream_core::delta::Delta;
use fnstream_core::epoch::{Epoch, FrozenEpoch, FunctionId, Generation, Progress, TaskId};
use fnstream_core::record::{Position, Positions};
use fnstream_core::spec::InputSelector;
use fnstream_core::state::Marker;
use fnstream_core::test_util::mem_broker::{MemBroker, MemClient, Outcome};
use fnstream_core::test_util::support::{RecordingListener, Told, answer, outbox, puts};
use fnstream_core::waker::Waker;

const FUNCTION: FunctionId = FunctionId(1);
const LIMIT: PollLimit = PollLimit { records: 100, bytes: 1 << 20 };

fn task(index: u32) -> TaskId {
    TaskId::new(FUNCTION, index)
}

/// One process that has joined.
struct Process {
    client: Arc<MemClient>,
    listener: Arc<RecordingListener>,
    _membership: Box<dyn Membership>,
}

fn join(broker: &MemBroker, process: u32) -> Process {
    let client = broker.connect(process);
    let listener = RecordingListener::new();
    let membership = client.join(subscription(), listener.clone()).unwrap();
    Process { client, listener, _membership: membership }
}

fn subscription() -> Subscription {
    Subscription {
        function: FUNCTION,
        name: "f".into(),
        groups: vec![vec!["in".into()], vec!["side".into()]],
        outputs: Vec::new(),
        selector: InputSelector::default(),
        elsewhere: Default::default(),
    }
}

/// Panics when it is given the first task.
struct Shaky(Arc<RecordingListener>);

impl AssignmentListener for Shaky {
    fn assigned(&self, assignment: Assignment) {
        assert_ne!(assignment.task, task(0), "planted");
        self.0.assigned(assignment);
    }

    fn revoked(&self, task: TaskId, done: RevokeDone) {
        self.0.revoked(task, done);
    }

    fn lost(&self, task: TaskId) {
        self.0.lost(task);
    }
}

#[test]
fn a_process_that_panics_in_a_call_hears_the_next_one() {
    let broker = broker();
    let listener = RecordingListener::new();
    let _membership = broker.connect(1).join(subscription(), Arc::new(Shaky(listener.clone()))).unwrap();
    catch_unwind(AssertUnwindSafe(|| broker.assign(task(0), 1))).unwrap_err();
    broker.assign(task(1), 1);
    assert_eq!(listener.assignment(task(1)).unwrap().task, task(1));
}

impl Process {
    fn assignment(&self, index: u32) -> Assignment {
        self.listener.assignment(task(index)).unwrap()
    }

    fn acquire(&self, index: u32) -> Acquired {
        self.client.acquire(&self.assignment(index), None, &mut |_, _| Ok(())).unwrap()
    }

    fn commit(&self, index: u32, generation: Generation, epoch: u64, value: &[u8]) -> Receiver<CommitResult> {
        let progress = Progress { epoch: Epoch(epoch), records_out: epoch, ..Progress::default() };
        let delta = puts(&[(b"last", value), (value, b"")]);
        let outbox = vec![outbox("out", index, &[value])];
        let (done, answer) = answer();
        self.client.commit(
            Arc::new(FrozenEpoch { task: task(index), generation, progress, delta, outbox, watermarks: Vec::new() }),
            done,
        );
        answer
    }
}

fn broker() -> MemBroker {
    let broker = MemBroker::new();
    for topic in ["in", "out"] {
        broker.create_topic(topic, 2);
    }
    broker.create_topic("side", 1);
    broker
}

fn values(source: &mut dyn Source) -> Vec<String> {
    let mut values = Vec::new();
    while let Polled::Batch(batch) = source.poll(None, LIMIT).unwrap() {
        values.extend(batch.iter().map(|(_, r)| String::from_utf8(r.bytes().to_vec()).unwrap()));
    }
    values
}

#[test]
fn a_task_reads_the_partitions_of_its_index_and_the_group_is_the_channel() {
    let broker = broker();
    let one = join(&broker, 1);
    broker.assign_free(FUNCTION, 1);
    assert_eq!(one.assignment(0).inputs.len(), 2);
    assert_eq!(one.assignment(1).inputs.len(), 1);
    broker.append("side", 0, b"s");
    let mut source = one.client.open_source(&one.assignment(0), &Positions::new(), Waker::noop()).unwrap();
    let Polled::Batch(batch) = source.poll(None, LIMIT).unwrap() else { panic!("nothing to read") };
    assert_eq!(batch.frame().record(0).channel, 1);
}

#[test]
fn nothing_is_visible_before_the_driver_resolves_it() {
    let broker = broker();
    let one = join(&broker, 1);
    broker.assign_free(FUNCTION, 1);
    let generation = one.acquire(0).generation;
    let answer = one.commit(0, generation, 1, b"a");
    assert_eq!(answer.try_recv().unwrap_err(), TryRecvError::Empty);
    assert!(broker.values("out", 0).is_empty());
    broker.resolve_next(1, Outcome::Commit).unwrap();
    answer.try_recv().unwrap().unwrap();
    assert_eq!(broker.values("out", 0), [b"a"]);
    assert_eq!(broker.progress(task(0)).epoch, Epoch(1));
    broker.assert_no_violations();
}

#[test]
fn what_follows_a_failed_epoch_fails_like_it_and_can_be_repeated() {
    let broker = broker();
    let one = join(&broker, 1);
    broker.assign_free(FUNCTION, 1);
    let generation = one.acquire(0).generation;
    let first = one.commit(0, generation, 1, b"a");
    let second = one.commit(0, generation, 2, b"b");
    broker.resolve_next(1, Outcome::Retriable).unwrap();
    assert!(matches!(first.try_recv().unwrap(), Err(CommitFailure::Retriable(_))));
    let again = one.commit(0, generation, 1, b"a");
    broker.commit_all();
    assert!(matches!(second.try_recv().unwrap(), Err(CommitFailure::Retriable(_))));
    again.try_recv().unwrap().unwrap();
    assert_eq!(broker.values("out", 0), [b"a"]);
    broker.assert_no_violations();
}

#[test]
fn a_commit_of_an_older_generation_is_fenced_whatever_the_driver_wants() {
    let broker = broker();
    let one = join(&broker, 1);
    broker.assign_free(FUNCTION, 1);
    let generation = one.acquire(0).generation;
    let under_way = one.commit(0, generation, 1, b"a");
    let other = one.commit(1, one.acquire(1).generation, 1, b"other task");
    assert!(one.acquire(0).generation > generation);
    broker.resolve_together(1, 2, Outcome::Commit);
    assert!(matches!(under_way.try_recv().unwrap(), Err(CommitFailure::Fenced(_))));
    // They were one transaction.
    assert!(matches!(other.try_recv().unwrap(), Err(CommitFailure::Abortable(_))));
    assert!(broker.values("out", 0).is_empty() && broker.values("out", 1).is_empty());
}

#[test]
fn an_epoch_of_a_broken_connection_is_there_or_not_and_acquire_tells() {
    for (outcome, epoch) in [(Outcome::FatalCommitted, 1), (Outcome::FatalNotCommitted, 0)] {
        let broker = broker();
        let one = join(&broker, 1);
        broker.assign_free(FUNCTION, 1);
        let generation = one.acquire(0).generation;
        let answer = one.commit(0, generation, 1, b"a");
        broker.resolve_next(1, outcome);
        assert!(matches!(answer.try_recv().unwrap(), Err(CommitFailure::Fatal(_))));
        let late = one.commit(0, generation, 2, b"b");
        broker.commit_all();
        assert!(matches!(late.try_recv().unwrap(), Err(CommitFailure::Fatal(_))));
        assert_eq!(one.acquire(0).progress.epoch, Epoch(epoch));
        assert_eq!(broker.values("out", 0).len() as u64, epoch);
    }
}

#[test]
fn a_zombie_hears_of_its_loss_late_and_cannot_commit_or_acquire() {
    let broker = broker();
    let (one, two) = (join(&broker, 1), join(&broker, 2));
    broker.assign(task(0), 1);
    let generation = one.acquire(0).generation;
    broker.pause(1);
    broker.lose(task(0));
    broker.assign(task(0), 2);
    assert!(two.assignment(0).lease > one.assignment(0).lease);
    two.acquire(0);
    let late = one.commit(0, generation, 1, b"late");
    let refused = one.client.acquire(&one.assignment(0), None, &mut |_, _| Ok(())).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Fenced);
    broker.resolve_next(1, Outcome::Commit);
    assert_eq!(late.try_recv().unwrap_err(), TryRecvError::Empty, "a paused process hears nothing");
    assert_eq!(one.listener.told().len(), 1);
    broker.resume(1);
    assert_eq!(one.listener.told().last(), Some(&Told::Lost(task(0))));
    assert!(matches!(late.try_recv().unwrap(), Err(CommitFailure::Fenced(_))));
}

#[test]
fn a_revoked_task_is_free_when_its_holder_says_so() {
    let broker = broker();
    let one = join(&broker, 1);
    broker.assign(task(0), 1);
    let generation = one.acquire(0).generation;
    broker.revoke(task(0));
    assert_eq!((broker.holder(task(0)), broker.is_being_revoked(task(0))), (Some(1), true));
    one.commit(0, generation, 1, b"the open epoch");
    broker.commit_all();
    broker.assert_no_violations();
    one.listener.give_up(task(0));
    assert_eq!(broker.holder(task(0)), None);
    one.commit(0, generation, 2, b"too late");
    assert_eq!(broker.violations().len(), 1);
}

#[test]
fn a_crash_commits_what_the_driver_wants_in_order_and_tells_nobody() {
    let broker = broker();
    let one = join(&broker, 1);
    broker.assign_free(FUNCTION, 1);
    let (first, second) = (one.acquire(0).generation, one.acquire(1).generation);
    let answers = [
        one.commit(0, first, 1, b"1"),
        one.commit(0, first, 2, b"2"),
        one.commit(0, first, 3, b"3"),
        one.commit(1, second, 1, b"x"),
    ];
    let mut source = one.client.open_source(&one.assignment(0), &Positions::new(), Waker::noop()).unwrap();
    broker.crash(1, |commit| commit.epoch != Epoch(2));
    assert_eq!((broker.values("out", 0), broker.values("out", 1)), (vec![b"1".to_vec()], vec![b"x".to_vec()]));
    assert!(answers.iter().all(|a| matches!(a.try_recv(), Err(TryRecvError::Disconnected))));
    assert!(source.poll(None, LIMIT).is_err() && one.client.partitions(&"in".into()).is_err());
    let again = join(&broker, 1);
    broker.assign_free(FUNCTION, 1);
    assert_eq!(again.acquire(0).progress.epoch, Epoch(1));
}

#[test]
fn gaps_leave_positions_that_are_not_contiguous() {
    let broker = MemBroker::with_gaps();
    for topic in ["in", "out"] {
        broker.create_topic(topic, 2);
    }
    broker.create_topic("side", 1);
    for value in ["a", "b"] {
        broker.append("in", 0, value.as_bytes());
    }
    let positions: Vec<_> = broker.read("in", 0).iter().map(|r| r.position).collect();
    assert_eq!(positions, [Position(0), Position(2)]);
    let one = join(&broker, 1);
    broker.assign_free(FUNCTION, 1);
    let mut source = one.client.open_source(&one.assignment(0), &Positions::new(), Waker::noop()).unwrap();
    assert_eq!(values(&mut *source), ["a", "b"]);
    let generation = one.acquire(0).generation;
    one.commit(0, generation, 1, b"aborted");
    broker.resolve_next(1, Outcome::Abortable);
    one.commit(0, generation, 1, b"kept");
    broker.commit_all();
    assert_eq!(broker.read("out", 0)[0].position, Position(2));
}

#[test]
fn retention_is_an_error_and_never_a_jump() {
    let broker = broker();
    let one = join(&broker, 1);
    broker.assign_free(FUNCTION, 1);
    for value in ["a", "b", "c"] {
        broker.append("in", 0, value.as_bytes());
    }
    let mut slow = one.client.open_source(&one.assignment(0), &Positions::new(), Waker::noop()).unwrap();
    broker.drop_before("in", 0, Position(2));
    assert_eq!(slow.poll(None, LIMIT).unwrap_err().code, ErrorCode::PositionDropped);
    let input = one.assignment(0).inputs[0].partition.clone();
    assert_eq!(one.client.earliest(&input).unwrap(), Position(2));
    let from = Positions::from([(input, Position(1))]);
    let refused = one.client.open_source(&one.assignment(0), &from, Waker::noop()).err().unwrap();
    assert_eq!(refused.code, ErrorCode::PositionDropped);
}

#[test]
fn appends_and_commits_wake_who_reads_and_nobody_else() {
    let broker = broker();
    let one = join(&broker, 1);
    broker.assign_free(FUNCTION, 1);
    let woken = Arc::new(AtomicUsize::new(0));
    let count = woken.clone();
    let waker = Waker::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let source = one.client.open_source(&one.assignment(0), &Positions::new(), waker).unwrap();
    broker.append("in", 1, b"not mine");
    assert_eq!(woken.load(Ordering::SeqCst), 0);
    broker.append("in", 0, b"mine");
    assert_eq!(woken.load(Ordering::SeqCst), 1);
    drop(source);
    broker.append("in", 0, b"mine");
    assert_eq!(woken.load(Ordering::SeqCst), 1);
}

#[test]
fn replay_goes_on_after_the_marker_and_compaction_keeps_the_state() {
    let broker = broker();
    let one = join(&broker, 1);
    broker.assign_free(FUNCTION, 1);
    let generation = one.acquire(0).generation;
    let mut ends = vec![one.acquire(0).log_end];
    let generation = Generation(generation.0 + 1);
    for (epoch, value) in [(1, b"a"), (2, b"b"), (3, b"c")] {
        let answer = one.commit(0, generation, epoch, value);
        broker.commit_all();
        ends.push(answer.try_recv().unwrap().unwrap());
    }
    let marker = |epoch: u64, end: usize| Marker { epoch: Epoch(epoch), log_end: ends[end].clone() };
    let replayed = |applied: Option<Marker>| {
        let mut deltas: Vec<(Marker, Delta)> = Vec::new();
        let acquired = one.client.acquire(&one.assignment(0), applied.as_ref(), &mut |marker, delta| {
            deltas.push((marker, delta));
            Ok(())
        });
        acquired.map(|_| deltas)
    };
    let all = replayed(None).unwrap();
    assert_eq!(replayed(Some(marker(1, 1))).unwrap(), all[1..]);
    assert_eq!(replayed(Some(all[0].0.clone())).unwrap(), all[1..]);
    assert_eq!(replayed(Some(marker(3, 3))).unwrap(), []);
    assert_eq!(replayed(Some(marker(1, 2))).unwrap_err().code, ErrorCode::DataCorrupt, "epoch and place disagree");
    assert_eq!(replayed(Some(marker(9, 3))).unwrap_err().code, ErrorCode::DataCorrupt, "ahead of the log");
    let state = broker.state(task(0));
    broker.compact();
    assert_eq!((broker.changelog(task(0)).len(), broker.state(task(0))), (2, state));
    assert_eq!(replayed(Some(marker(2, 2))).unwrap(), all[2..]);
}

#[test]
fn a_dropped_membership_frees_its_tasks_and_hears_nothing_more() {
    let broker = broker();
    let one = join(&broker, 1);
    broker.assign(task(0), 1);
    broker.pause(1);
    broker.assign(task(1), 1);
    let listener = one.listener.clone();
    drop(one);
    broker.resume(1);
    assert_eq!((broker.holder(task(0)), broker.holder(task(1))), (None, None));
    assert_eq!(listener.told().len(), 1);
}
