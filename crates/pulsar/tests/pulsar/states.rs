// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! State that outlasts the disk: it is filled from the state log and the delta log, whatever an apply was cut at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::broker::{Assignment, Broker, Membership, Subscription};
use fnstream_core::committer::{Acquired, Committer};
use fnstream_core::delta::{Delta, Write};
use fnstream_core::epoch::{Epoch, FrozenEpoch, FunctionId, Generation, Progress, TaskId};
use fnstream_core::spec::InputSelector;
use fnstream_core::state::{Marker, StateStore, StateStores};
use fnstream_core::test_util::mem_state::MemStateStores;
use fnstream_core::test_util::model::{self, Model};
use fnstream_core::test_util::rng::Rng;
use fnstream_core::test_util::support::RecordingListener;
use fnstream_core::topic::TopicRef;
use fnstream_core::topics::{Retention, Topics};
use fnstream_pulsar::{Options, Pulsar, PulsarStates, PulsarTopics};

use crate::cluster::{Cluster, broker};

const PATIENCE: Duration = Duration::from_secs(60);

const TASK: TaskId = TaskId { function: FunctionId(3), index: 0 };

/// A process with a disk, which may be that of one before or an empty one.
struct Process {
    pulsar: Arc<Pulsar>,
    disk: Arc<MemStateStores>,
    store: Arc<dyn StateStore>,
    assignment: Assignment,
    _membership: Box<dyn Membership>,
}

impl Process {
    fn start(options: &Options, disk: Arc<MemStateStores>) -> Process {
        let pulsar = Arc::new(Pulsar::connect(options.clone()).unwrap());
        let listener = RecordingListener::new();
        let (function, name, selector) = (TASK.function, "keeps".to_owned(), InputSelector::default());
        let groups = vec![vec![TopicRef::from("in")]];
        let subscription =
            Subscription { function, name, groups, outputs: vec![], selector, elsewhere: BTreeMap::new() };
        let membership = pulsar.join(subscription, listener.clone()).unwrap();
        let assignment = listener.wait_for_assignment(TASK, PATIENCE).unwrap();
        let store = PulsarStates::new(pulsar.clone(), disk.clone()).open(TASK).unwrap();
        Process { pulsar, disk, store, assignment, _membership: membership }
    }

    /// Takes the task over and has the store up to date, as the engine does; answers how many deltas and pieces that took.
    fn recover(&self) -> (Acquired, usize) {
        let applied = self.store.marker().unwrap();
        let mut given = Vec::new();
        let acquired = self.pulsar.acquire(&self.assignment, applied.as_ref(), &mut |marker, delta| {
            given.push((marker, delta));
            Ok(())
        });
        let count = given.len();
        for (marker, delta) in given {
            self.store.apply(&delta, &marker).unwrap();
        }
        (acquired.unwrap(), count)
    }

    fn commit(&self, generation: Generation, epoch: u64, delta: &Delta) -> Marker {
        let progress = Progress { epoch: Epoch(epoch), ..Progress::default() };
        let (delta, outbox, watermarks) = (delta.clone(), Vec::new(), Vec::new());
        let frozen = FrozenEpoch { task: TASK, generation, progress, delta, outbox, watermarks };
        let (send, answer) = channel();
        self.pulsar.commit(Arc::new(frozen), Box::new(move |result| _ = send.send(result)));
        Marker { epoch: Epoch(epoch), log_end: answer.recv_timeout(PATIENCE).unwrap().unwrap() }
    }

    fn state(&self) -> Model {
        let mut pairs = Model::new();
        let visit = &mut |key: &[u8], value: &[u8]| {
            pairs.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            std::ops::ControlFlow::Continue(())
        };
        self.store.scan(b"", None, visit).unwrap();
        pairs
    }
}

fn world() -> Option<Options> {
    let options = Cluster::at(&broker()?).options();
    PulsarTopics::connect(&options).unwrap().create(&"in".into(), 1, Retention::default()).unwrap();
    Some(options)
}

fn random_delta(rng: &mut Rng) -> Delta {
    let mut delta = Delta::new();
    for _ in 0..rng.below(8) {
        let key = rng.bytes(2);
        match rng.below(10) {
            0 => delta.delete_range(&key, Some(&rng.bytes(2))),
            1..=2 => delta.write(&key, Write::Delete),
            3..=5 => delta.write(&key, Write::Merge(rng.bytes(3).into())),
            _ => delta.write(&key, Write::Put(rng.bytes(3).into())),
        }
    }
    delta
}

/// Epochs of all sorts of writes, applied several at a time, over processes that keep their disk, lose it, or find it one apply
/// behind the topic.
#[test]
fn state_is_what_was_committed_whatever_disk_is_left() {
    let Some(options) = world() else { return };
    let (mut rng, mut wanted, mut epoch) = (Rng::new(11), Model::new(), 0);
    let mut disk = Arc::new(MemStateStores::new());
    for round in 0..8 {
        let process = Process::start(&options, disk.clone());
        let (acquired, _) = process.recover();
        assert_eq!(acquired.progress.epoch, Epoch(epoch), "round {round}");
        assert_eq!(process.state(), wanted, "seed 11, round {round}");
        disk.sync();
        for _ in 0..3 {
            let mut unapplied = Delta::new();
            let mut marker = Marker::default();
            for _ in 0..1 + rng.below(3) {
                epoch += 1;
                let delta = random_delta(&mut rng);
                model::apply(&mut wanted, &delta);
                marker = process.commit(acquired.generation, epoch, &delta);
                unapplied.absorb(delta);
            }
            if rng.chance(80) {
                process.store.apply(&unapplied, &marker).unwrap();
                process.pulsar.trim(TASK, marker.epoch);
            } else {
                break;
            }
        }
        match rng.below(3) {
            // The disk is lost.
            0 => disk = Arc::new(MemStateStores::new()),
            // It forgets its last applies, which the topic has.
            1 => disk.lose_unsynced(|_, _| 0),
            _ => {}
        }
    }
}

#[test]
fn what_the_state_topic_has_is_dropped_from_the_delta_log() {
    let Some(options) = world() else { return };
    let process = Process::start(&options, Arc::new(MemStateStores::new()));
    let (acquired, _) = process.recover();
    let mut delta = Delta::new();
    delta.write(b"key", Write::Put(Bytes::from_static(b"value")));
    let markers: Vec<_> = (1..=6).map(|epoch| process.commit(acquired.generation, epoch, &delta)).collect();
    process.pulsar.trim(TASK, Epoch(6));
    process.store.apply(&delta, &markers[3]).unwrap();
    process.pulsar.trim(TASK, Epoch(6));
    process.store.apply(&delta, &markers[4]).unwrap();
    let emptied = Process::start(&options, Arc::new(MemStateStores::new()));
    let (acquired, given) = emptied.recover();
    assert_eq!((acquired.progress.epoch, given), (Epoch(6), 2), "one piece and one delta");
    assert_eq!(emptied.state(), Model::from([(Bytes::from_static(b"key"), Bytes::from_static(b"value"))]));
    assert!(emptied.disk.store(TASK).marker().unwrap().is_some_and(|marker| marker.epoch == Epoch(6)));
}

/// The disk forgets an apply that the topic has, and the delta that it lacks is applied together with a deletion of its key.
#[test]
fn a_range_deletes_what_only_the_topic_has() {
    let Some(options) = world() else { return };
    let disk = Arc::new(MemStateStores::new());
    let process = Process::start(&options, disk.clone());
    let (acquired, _) = process.recover();
    for (epoch, key) in [(1, b"a"), (2, b"b")] {
        let mut delta = Delta::new();
        delta.write(key, Write::Put(Bytes::from_static(b"v")));
        let marker = process.commit(acquired.generation, epoch, &delta);
        process.store.apply(&delta, &marker).unwrap();
        if epoch == 1 {
            disk.sync();
        }
    }
    drop(process);
    disk.lose_unsynced(|_, _| 0);
    let process = Process::start(&options, disk);
    let mut unapplied = Delta::new();
    let applied = process.store.marker().unwrap();
    assert_eq!(applied.as_ref().map(|marker| marker.epoch), Some(Epoch(1)));
    let acquired = process.pulsar.acquire(&process.assignment, applied.as_ref(), &mut |_, delta| {
        unapplied.absorb(delta);
        Ok(())
    });
    let mut delta = Delta::new();
    delta.delete_range(b"b", None);
    let marker = process.commit(acquired.unwrap().generation, 3, &delta);
    unapplied.absorb(delta);
    process.store.apply(&unapplied, &marker).unwrap();
    let emptied = Process::start(&options, Arc::new(MemStateStores::new()));
    emptied.recover();
    assert_eq!(emptied.state().into_keys().collect::<Vec<_>>(), ["a"]);
}
