// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The in-memory broker has the manners that were asked for.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;

use bytes::Bytes;
use fnstream_core::broker::{Assignment, Broker, Membership, PollLimit, Polled, Source, Subscription};
use fnstream_core::committer::{CommitFailure, CommitResult, Committer};
use fnstream_core::delta::{Delta, Write};
use fnstream_core::epoch::{Epoch, FrozenEpoch, FunctionId, Generation, Progress, TaskId};
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::spec::InputSelector;
use fnstream_core::state::Marker;
use fnstream_core::test_util::mem_broker::{Manners, MemBroker, MemClient, Outcome};
use fnstream_core::test_util::mem_state::MemStateStores;
use fnstream_core::test_util::model::{self, Model};
use fnstream_core::test_util::rng::Rng;
use fnstream_core::test_util::support::{RecordingListener, Told, answer, outbox};
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode};

const TASK: TaskId = TaskId { function: FunctionId(1), index: 0 };
const LIMIT: PollLimit = PollLimit { records: 100, bytes: 1 << 20 };

struct Process {
    client: Arc<MemClient>,
    listener: Arc<RecordingListener>,
    _membership: Box<dyn Membership>,
}

fn broker(manners: Manners) -> MemBroker {
    let broker = MemBroker::with(manners);
    broker.create_topic("in", 1);
    broker.create_topic("out", 1);
    broker
}

fn join(broker: &MemBroker, process: u32) -> Process {
    let client = broker.connect(process);
    let listener = RecordingListener::new();
    let groups = vec![vec!["in".into()]];
    let subscription = Subscription {
        function: TASK.function,
        name: "f".into(),
        groups,
        outputs: Vec::new(),
        selector: InputSelector::default(),
        elsewhere: Default::default(),
    };
    let membership = client.join(subscription, listener.clone()).unwrap();
    broker.assign_free(TASK.function, process);
    Process { client, listener, _membership: membership }
}

impl Process {
    fn assignment(&self) -> Assignment {
        self.listener.assignment(TASK).unwrap()
    }

    fn open(&self, from: &Positions, waker: Waker) -> Box<dyn Source> {
        self.client.open_source(&self.assignment(), from, waker).unwrap()
    }

    fn commit(&self, epoch: FrozenEpoch) -> Receiver<CommitResult> {
        let (done, answer) = answer();
        self.client.commit(Arc::new(epoch), done);
        answer
    }
}

fn epoch(generation: Generation, number: u64, delta: Delta, value: &[u8]) -> FrozenEpoch {
    let progress = Progress { epoch: Epoch(number), records_out: number, ..Progress::default() };
    let outbox = vec![outbox("out", 0, &[value])];
    FrozenEpoch { task: TASK, generation, progress, delta, outbox, watermarks: Vec::new() }
}

fn input() -> TopicPartition {
    TopicPartition::new("in", 0)
}

fn counting() -> (Waker, Arc<AtomicUsize>) {
    let woken = Arc::new(AtomicUsize::new(0));
    let count = woken.clone();
    let waker = Waker::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    (waker, woken)
}

/// One poll, as text.
fn poll(source: &mut dyn Source) -> String {
    match source.poll(None, LIMIT).unwrap() {
        Polled::Batch(batch) => {
            batch.iter().map(|(_, record)| String::from_utf8_lossy(record.bytes()).into_owned()).collect()
        }
        Polled::Skipped { to, .. } => format!("to {to}"),
        Polled::Watermark { watermark, .. } => format!("watermark {watermark}"),
        Polled::Pending => String::new(),
    }
}

#[test]
fn a_source_that_prefetches_has_nothing_before_it_is_delivered() {
    let broker = broker(Manners { prefetch: true, ..Manners::default() });
    let one = join(&broker, 1);
    for value in ["a", "b", "c"] {
        broker.append("in", 0, value.as_bytes());
    }
    let (waker, woken) = counting();
    let mut source = one.open(&Positions::new(), waker);
    assert_eq!((poll(&mut *source), source.ends()), (String::new(), Positions::new()), "and knows no end");
    let id = broker.undelivered()[0];
    broker.deliver(id, 2);
    assert_eq!((woken.load(Ordering::SeqCst), source.ends()), (1, Positions::from([(input(), Position(3))])));
    assert_eq!((poll(&mut *source), poll(&mut *source)), ("ab".to_owned(), String::new()), "a delivery has an end too");
    assert!(broker.deliver_all() && !broker.deliver_all());
    assert_eq!(poll(&mut *source), "c");
    // What was fetched is not given after seeking.
    source.seek(&Positions::from([(input(), Position(1))])).unwrap();
    assert_eq!(poll(&mut *source), "");
    broker.deliver_all();
    assert_eq!(poll(&mut *source), "bc");
    broker.append("in", 0, b"d");
    assert_eq!((poll(&mut *source), woken.load(Ordering::SeqCst)), (String::new(), 3), "it is not here yet");
}

#[test]
fn the_end_of_an_empty_partition_is_learnt_and_wakes() {
    let broker = broker(Manners { prefetch: true, ..Manners::default() });
    let one = join(&broker, 1);
    let (waker, woken) = counting();
    let mut source = one.open(&Positions::new(), waker);
    assert!(poll(&mut *source).is_empty() && source.ends().is_empty());
    broker.deliver_all();
    assert_eq!((woken.load(Ordering::SeqCst), source.ends()[&input()]), (1, Position(0)));
}

#[test]
fn gaps_are_led_over_and_do_not_count_as_dropped_records() {
    let broker = broker(Manners { gaps: true, ..Manners::default() });
    let one = join(&broker, 1);
    for value in ["a", "b"] {
        broker.append("in", 0, value.as_bytes());
    }
    let mut source = one.open(&Positions::new(), Waker::noop());
    assert_eq!((poll(&mut *source), poll(&mut *source), poll(&mut *source)), ("ab".into(), "to 4".into(), "".into()));
    assert_eq!(source.ends()[&input()], Position(4), "who took everything stands at the end");
    // Retention drops the record at 0 and the marker behind it. The record at 2 is the next one from 1 on.
    broker.drop_before("in", 0, Position(2));
    assert_eq!(one.client.earliest(&input()).unwrap(), Position(2));
    let mut source = one.open(&Positions::from([(input(), Position(1))]), Waker::noop());
    assert_eq!(poll(&mut *source), "b");
    assert_eq!(source.seek(&Positions::from([(input(), Position(0))])).unwrap_err().code, ErrorCode::PositionDropped);
    broker.drop_before("in", 0, Position(4));
    assert_eq!(one.client.earliest(&input()).unwrap(), Position(4), "the end, when there is no record");
    assert_eq!(source.seek(&Positions::from([(input(), Position(2))])).unwrap_err().code, ErrorCode::PositionDropped);
    source.seek(&Positions::from([(input(), Position(3))])).unwrap();
}

#[test]
fn a_record_above_the_limit_is_refused_for_good_and_its_companions_are_not() {
    let broker = broker(Manners { max_value: Some(3), ..Manners::default() });
    broker.create_topic("wide", 2);
    let one = join(&broker, 1);
    let generation = one.client.acquire(&one.assignment(), None, &mut |_, _| Ok(())).unwrap().generation;
    let mut large = epoch(generation, 1, Delta::new(), b"ok");
    large.outbox.push(outbox("out", 0, &[b"four"]));
    large.progress.records_out = 2;
    let refused = one.commit(large);
    broker.resolve_next(1, Outcome::Commit);
    let Err(CommitFailure::Rejected { error, output }) = refused.try_recv().unwrap() else { panic!("not refused") };
    assert_eq!((error.code, output), (ErrorCode::CommitRejected, Some(1)));
    assert!(error.message.contains("4 bytes for out"), "{error}");
    assert!(broker.values("out", 0).is_empty());
    // Another epoch of that number, without acquiring anew.
    let kept = one.commit(epoch(generation, 1, Delta::new(), b"abc"));
    broker.commit_all();
    assert!(kept.try_recv().unwrap().is_ok());
    broker.assert_no_violations();
}

#[test]
fn a_broker_that_is_away_is_trouble_and_no_error() {
    let broker = broker(Manners::default());
    let one = join(&broker, 1);
    let (waker, woken) = counting();
    let mut source = one.open(&Positions::new(), waker);
    broker.append("in", 0, b"a");
    assert_eq!((source.trouble().is_none(), one.client.trouble(TASK).is_none()), (true, true));
    broker.set_away(true);
    assert_eq!(poll(&mut *source), "");
    let unavailable = |error: Option<Error>| assert_eq!(error.unwrap().code, ErrorCode::Unavailable);
    unavailable(source.trouble());
    unavailable(one.client.trouble(TASK));
    unavailable(one.client.partitions(&"in".into()).err());
    unavailable(one.client.acquire(&one.assignment(), None, &mut |_, _| Ok(())).err());
    let before = woken.load(Ordering::SeqCst);
    broker.set_away(false);
    assert!(woken.load(Ordering::SeqCst) > before && source.trouble().is_none());
    assert_eq!(poll(&mut *source), "a");
}

#[test]
fn a_process_that_connects_does_not_know_the_topics_yet() {
    let broker = broker(Manners { stale_lookups: 2, ..Manners::default() });
    let one = join(&broker, 1);
    for _ in 0..2 {
        assert_eq!(
            one.client.partitions(&"nowhere".into()).unwrap_err().code,
            ErrorCode::Unavailable,
            "it cannot be sure yet"
        );
    }
    assert_eq!(one.client.partitions(&"nowhere".into()).unwrap_err().code, ErrorCode::TopicNotFound);
    assert_eq!(one.client.partitions(&"in".into()).unwrap(), 1);
}

#[test]
fn a_fenced_owner_is_told_that_it_lost_the_task() {
    let broker = broker(Manners::default());
    let one = join(&broker, 1);
    let acquire = || one.client.acquire(&one.assignment(), None, &mut |_, _| Ok(())).unwrap().generation;
    let (old, new) = (acquire(), acquire());
    let late = one.commit(epoch(old, 1, Delta::new(), b"late"));
    broker.resolve_next(1, Outcome::Commit);
    assert!(matches!(late.try_recv().unwrap(), Err(CommitFailure::Fenced(_))));
    assert_eq!(broker.holder(TASK), Some(1), "it has fenced itself, and goes on");
    let fenced = one.commit(epoch(new, 1, Delta::new(), b"fenced"));
    broker.resolve_next(1, Outcome::Fenced);
    assert!(matches!(fenced.try_recv().unwrap(), Err(CommitFailure::Fenced(_))));
    assert_eq!((one.listener.told().last(), broker.holder(TASK)), (Some(&Told::Lost(TASK)), None));
    let before = one.assignment().lease;
    broker.assign_free(TASK.function, 1);
    assert!(one.assignment().lease > before, "it is assigned anew");
    acquire();
    broker.fence(TASK);
    assert_eq!((one.listener.told().last(), broker.holder(TASK)), (Some(&Told::Lost(TASK)), None));
}

#[test]
fn a_replay_can_be_interrupted_and_going_on_with_it_is_noticed() {
    for obeys in [true, false] {
        let broker = broker(Manners { strict_restores: true, ..Manners::default() });
        let one = join(&broker, 1);
        let generation = one.client.acquire(&one.assignment(), None, &mut |_, _| Ok(())).unwrap().generation;
        for number in 1..4 {
            one.commit(epoch(generation, number, Delta::new(), b"x"));
            broker.commit_all();
        }
        let hand = broker.clone();
        broker.on_replay(move |task| {
            if hand.holder(task).is_some() {
                hand.lose(task);
            }
        });
        let mut seen = 0;
        let outcome = one.client.acquire(&one.assignment(), None, &mut |_, _| {
            seen += 1;
            if obeys { Err(Error::new(ErrorCode::Cancelled, "it was lost")) } else { Ok(()) }
        });
        if obeys {
            assert_eq!((outcome.unwrap_err().code, seen), (ErrorCode::Cancelled, 1), "it is passed on as it is");
        }
        assert_eq!(broker.violations().is_empty(), obeys);
    }
}

/// A process with a disk commits, applies, dies and loses its disk at random while its state topic lags behind: what a
/// restore gives is always the state that was committed.
#[test]
fn a_lost_disk_is_filled_from_the_state_topic_and_the_tail() {
    let mut torn = 0;
    for seed in 0..300 {
        torn += restore(seed);
    }
    assert!(torn > 100, "applies that had landed in part were hardly ever restored from: {torn}");
}

fn restore(seed: u64) -> u32 {
    let mut rng = Rng::new(seed);
    let broker = broker(Manners { state_topic: true, ..Manners::default() });
    let disk = Arc::new(MemStateStores::new());
    let (mut expected, mut number, mut torn) = (Model::new(), 0, 0);
    for _ in 0..6 {
        let one = join(&broker, 1);
        let store = one.client.state_stores(disk.clone()).open(TASK).unwrap();
        let marker = store.marker().unwrap();
        // Sometimes the restore itself is cut off, and what it brought so far stays.
        let cut = rng.chance(30).then(|| rng.below(4));
        let mut left = cut.unwrap_or(usize::MAX);
        let outcome = one.client.acquire(&one.assignment(), marker.as_ref(), &mut |marker, delta| {
            let Some(less) = left.checked_sub(1) else { return Err(Error::new(ErrorCode::Cancelled, "cut off")) };
            left = less;
            store.apply(&delta, &marker)
        });
        if let Ok(acquired) = outcome {
            assert_eq!(disk.store(TASK).pairs(), expected, "seed {seed}, epoch {number}");
            let mut dirty = Delta::new();
            for _ in 0..rng.below(8) {
                number += 1;
                let delta = some_writes(&mut rng);
                model::apply(&mut expected, &delta);
                dirty.absorb(delta.clone());
                let committed = one.commit(epoch(acquired.generation, number, delta, b"x"));
                broker.commit_all();
                let log_end = committed.try_recv().unwrap().unwrap();
                if rng.chance(40) {
                    let marker = Marker { epoch: Epoch(number), log_end };
                    store.apply(&std::mem::take(&mut dirty), &marker).unwrap();
                    broker.land_state(rng.below(12));
                }
            }
        }
        torn += u32::from(broker.land_state(rng.below(3)) > 0);
        match rng.below(3) {
            0 => disk.lose_all(),
            1 => disk.lose_unsynced(|_, count| rng.below(count + 1)),
            _ => disk.sync(),
        }
        assert_eq!(broker.state(TASK), expected, "seed {seed}: the broker alone has it all");
    }
    broker.assert_no_violations();
    torn
}

fn some_writes(rng: &mut Rng) -> Delta {
    let mut delta = Delta::new();
    for _ in 0..=rng.below(3) {
        let key = rng.bytes(2);
        let operand = Bytes::from(rng.bytes(2));
        match rng.below(8) {
            0 => delta.delete_range(&key, None),
            1 => delta.write(&key, Write::Delete),
            2..=4 => delta.write(&key, Write::Merge(operand)),
            _ => delta.write(&key, Write::Put(operand)),
        }
    }
    delta
}
