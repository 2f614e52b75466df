// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Exactly once, over processes that die: a process of its own copies records and counts keys, and is killed.
//!
//! The process is this test's own program, started again with a word in its environment. It is killed amid its epochs, and with the
//! feature `failpoints` at each step of a commit; then another one goes on, until all records are through.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::broker::{Assignment, Broker, PollLimit, Polled, Subscription};
use fnstream_core::committer::Committer;
use fnstream_core::delta::{Delta, Write};
use fnstream_core::epoch::{FrozenEpoch, FunctionId, OutboxBatch, TaskId};
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::spec::InputSelector;
use fnstream_core::state::{Marker, StateStores};
use fnstream_core::test_util::mem_state::MemStateStores;
use fnstream_core::test_util::model::{self, Model};
use fnstream_core::test_util::rng::Rng;
use fnstream_core::test_util::support::RecordingListener;
use fnstream_core::topic::{Cluster as Named, Topic, TopicRef};
use fnstream_core::waker::Waker;
use fnstream_frame::{FrameBuilder, RecordRef};
use fnstream_kafka::{Kafka, KafkaStates, Options, Sharing};

use crate::cluster::{Cluster, PATIENCE, bootstrap, unique};

/// Has the namespace of the process that is to be one.
const PROCESS: &str = "FNSTREAM_KAFKA_PROCESS";
/// Is there if the process is one of a server group.
const IN_GROUP: &str = "FNSTREAM_KAFKA_IN_GROUP";
const RECORDS: usize = 2_000;
const KEYS: usize = 7;
const FUNCTION: FunctionId = FunctionId(3);

fn connect(cluster: &Cluster, namespace: &str, in_group: bool) -> Arc<Kafka> {
    Arc::new(
        Kafka::connect(Options {
            cluster: Named::own(),
            properties: cluster.properties(),
            server: "server".into(),
            connection: String::new(),
            process: if in_group { "p".into() } else { String::new() },
            sharing: in_group.then_some(Sharing { session_timeout: Duration::from_secs(6) }),
            incarnation: String::new(),
            namespace: namespace.to_owned(),
            replication: Some(1),
            lanes: 1,
        })
        .unwrap(),
    )
}

fn join(kafka: &Kafka) -> (Assignment, Box<dyn fnstream_core::broker::Membership>) {
    let listener = RecordingListener::new();
    let subscription = Subscription {
        function: FUNCTION,
        name: "counts".into(),
        groups: vec![vec![TopicRef::from("in")]],
        outputs: Vec::new(),
        selector: InputSelector::default(),
        elsewhere: Default::default(),
    };
    let membership = kafka.join(subscription, listener.clone()).unwrap();
    (listener.wait_for_assignment(TaskId::new(FUNCTION, 0), PATIENCE).unwrap(), membership)
}

/// Where the task stands, and its state.
fn take_over(kafka: &Kafka, assignment: &Assignment) -> (fnstream_core::committer::Acquired, Model) {
    let mut state = Model::new();
    let acquired = kafka.acquire(assignment, None, &mut |_, delta| {
        model::apply(&mut state, &delta);
        Ok(())
    });
    (acquired.unwrap(), state)
}

/// What a process does until it is killed, or all records are through.
#[test]
fn process() {
    let (Ok(namespace), Some(bootstrap)) = (std::env::var(PROCESS), std::env::var("FNSTREAM_KAFKA").ok()) else {
        return;
    };
    fnstream_core::failpoint::init();
    let kafka = connect(&Cluster::at(&bootstrap), &namespace, std::env::var_os(IN_GROUP).is_some());
    let (assignment, _membership) = join(&kafka);
    // Each process has an empty disk, so its state comes from the state topic and the delta log.
    let store = KafkaStates::new(kafka.clone(), Arc::new(MemStateStores::new())).open(assignment.task).unwrap();
    let mut state = Model::new();
    let acquired = kafka.acquire(&assignment, None, &mut |marker, delta| {
        model::apply(&mut state, &delta);
        store.apply(&delta, &marker)
    });
    let acquired = acquired.unwrap();
    let mut unapplied = Delta::new();
    let mut progress = acquired.progress;
    let (wake, woken) = channel();
    let waker = Waker::new(move || _ = wake.send(()));
    let mut source = kafka.open_source(&assignment, &progress.positions, waker).unwrap();
    while progress.records_in < RECORDS as u64 {
        let batch = match source.poll(None, PollLimit { records: 20, bytes: 1 << 20 }).unwrap() {
            Polled::Batch(batch) => batch,
            Polled::Pending => {
                woken.recv_timeout(PATIENCE).unwrap();
                continue;
            }
            _ => continue,
        };
        let (mut delta, mut frame) = (Delta::new(), FrameBuilder::new());
        for (_, record) in batch.iter() {
            let key = record.key.unwrap();
            let count = state.get(key).map_or(0, |count| u64::from_be_bytes(count[..].try_into().unwrap())) + 1;
            state.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(&count.to_be_bytes()));
            delta.write(key, Write::Put(Bytes::copy_from_slice(&count.to_be_bytes())));
            frame.push(RecordRef::new(record.bytes()).with_key(Some(key)));
        }
        progress.epoch = progress.epoch.next();
        progress.positions.extend(batch.end().map(|end| (batch.from().clone(), end)));
        progress.records_in += batch.len() as u64;
        progress.records_out += batch.len() as u64;
        let out = OutboxBatch {
            topic: Topic::own("out"),
            partition: 0,
            frame: frame.to_bytes().into(),
            records: batch.len() as u32,
        };
        unapplied.absorb(delta.clone());
        let epoch = FrozenEpoch {
            task: assignment.task,
            generation: acquired.generation,
            progress: progress.clone(),
            delta,
            outbox: vec![out],
            watermarks: Vec::new(),
        };
        let (answer, answered) = channel();
        kafka.commit(Arc::new(epoch), Box::new(move |result| _ = answer.send(result)));
        let marker = Marker { epoch: progress.epoch, log_end: answered.recv_timeout(PATIENCE).unwrap().unwrap() };
        if progress.epoch.0 % 5 == 0 {
            store.apply(&std::mem::take(&mut unapplied), &marker).unwrap();
            kafka.trim(assignment.task, marker.epoch);
        }
        println!("committed {}", progress.epoch.0);
    }
    println!("done");
}

/// A fresh input of records, each with its number as value and one of a few keys.
struct World {
    cluster: Cluster,
    namespace: String,
    in_group: bool,
}

impl World {
    fn new(bootstrap: &str, in_group: bool) -> World {
        let world = World { cluster: Cluster::at(bootstrap), namespace: format!("{}.", unique()), in_group };
        for topic in ["in", "out"] {
            world.cluster.create(&format!("{}{topic}", world.namespace), 1);
        }
        let values: Vec<_> = (0..RECORDS).map(|i| i.to_string()).collect();
        let keys: Vec<_> = (0..RECORDS).map(|i| format!("key {}", i % KEYS)).collect();
        let record = |i: usize| RecordRef::new(values[i].as_bytes()).with_key(Some(keys[i].as_bytes())).at(1);
        let records: Vec<_> = (0..RECORDS).map(record).collect();
        world.cluster.append(&format!("{}in", world.namespace), 0, &records);
        world
    }

    fn start(&self, failpoints: &str) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["kills::process", "--exact", "--nocapture"]).env(PROCESS, &self.namespace);
        command.env("FNSTREAM_KAFKA", &self.cluster.bootstrap).env("FAILPOINTS", failpoints);
        if self.in_group {
            command.env(IN_GROUP, "1");
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs a process up to its nth commit, and kills it; says whether it was done before.
    fn run(&self, failpoints: &str, kill_after: usize) -> bool {
        let mut process = self.start(failpoints);
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut commits = 0;
        let mut is_done = false;
        for line in lines {
            let line = line.unwrap();
            is_done |= line == "done";
            commits += usize::from(line.starts_with("committed"));
            if commits == kill_after {
                process.kill().unwrap();
                break;
            }
        }
        process.wait().unwrap();
        is_done
    }

    /// Everything that came out: each record once, in order; counts and offsets to match.
    fn check(&self) {
        let out = self.cluster.read_all(&format!("{}out", self.namespace), 0);
        let numbers: Vec<usize> = out.iter().map(|v| String::from_utf8_lossy(v).parse().unwrap()).collect();
        assert_eq!(numbers, (0..RECORDS).collect::<Vec<_>>(), "each record once and in order");
        let kafka = connect(&self.cluster, &self.namespace, self.in_group);
        let (assignment, _membership) = join(&kafka);
        let (acquired, state) = take_over(&kafka, &assignment);
        let counts: BTreeMap<_, _> = state
            .iter()
            .map(|(key, count)| (key.to_vec(), u64::from_be_bytes(count[..].try_into().unwrap())))
            .collect();
        let wanted = (0..KEYS).map(|k| (format!("key {k}").into_bytes(), (k..RECORDS).step_by(KEYS).count() as u64));
        assert_eq!(counts, wanted.collect());
        assert_eq!(acquired.progress.records_in, RECORDS as u64);
        let offset = acquired.progress.positions[&TopicPartition::new("in", 0)].0 as i64;
        let group = self.cluster.committed("server.counts", &format!("{}in", self.namespace), 0);
        assert_eq!(group, Some(offset), "the group's offset moves with the progress");
    }
}

#[test]
fn killed_at_random_nothing_is_lost_or_doubled() {
    let Some(bootstrap) = bootstrap() else { return };
    for in_group in [false, true] {
        let world = World::new(&bootstrap, in_group);
        let mut rng = Rng::new(5);
        let mut kills = 0;
        while !world.run("", 1 + rng.below(20)) {
            kills += 1;
        }
        assert!(kills >= 4, "only {kills} kills");
        world.check();
    }
}

/// `kill -9` at each step of a commit and of an apply, at its first, its second and a later time.
#[cfg(feature = "failpoints")]
#[test]
fn killed_at_each_step_nothing_is_lost_or_doubled() {
    let Some(bootstrap) = bootstrap() else { return };
    for in_group in [false, true] {
        let world = World::new(&bootstrap, in_group);
        for step in steps() {
            for times in [0, 1, 3] {
                let died = !world.run(&format!("{step}={times}*off->return"), usize::MAX);
                assert!(died, "it did not die at {step}");
            }
        }
        assert!(world.run("", usize::MAX), "the last one ends");
        world.check();
    }
}

/// The same twice in a row, at any two steps: the second process dies while it recovers from the death of the first one, or soon after.
#[cfg(feature = "failpoints")]
#[test]
fn killed_at_any_two_steps_nothing_is_lost_or_doubled() {
    let Some(bootstrap) = bootstrap() else { return };
    for in_group in [false, true] {
        let mut world = World::new(&bootstrap, in_group);
        let mut rng = Rng::new(11);
        for first in steps() {
            for second in steps() {
                let mut died = |step: &str| !world.run(&format!("{step}={}*off->return", rng.below(4)), usize::MAX);
                // Near its end a world may be through before the second death.
                if !died(&first) || !died(&second) {
                    world.check();
                    world = World::new(&bootstrap, in_group);
                }
            }
        }
        assert!(world.run("", usize::MAX), "the last one ends");
        world.check();
    }
}

/// The steps of a commit and of an apply.
#[cfg(feature = "failpoints")]
fn steps() -> impl Iterator<Item = String> {
    let of_commits = ["before-begin", "after-outputs", "after-blob", "after-offsets", "after-commit"];
    let of_commits = of_commits.map(|step| format!("kafka.commit.{step}"));
    of_commits.into_iter().chain(["kafka.state.before-marker".into(), "kafka.state.after-marker".into()])
}

#[test]
fn a_function_begins_at_the_offset_of_its_group() {
    let Some(bootstrap) = bootstrap() else { return };
    let world = World::new(&bootstrap, false);
    let topic = format!("{}in", world.namespace);
    let group = unique();
    world.cluster.commit(&group, &topic, 0, 1_990);
    let kafka = connect(&world.cluster, &world.namespace, false);
    let listener = RecordingListener::new();
    let input: TopicRef = format!("in?group_id={group}").parse().unwrap();
    let (name, groups) = ("takes-over".to_owned(), vec![vec![input]]);
    let subscription = Subscription {
        function: FUNCTION,
        name,
        groups,
        outputs: Vec::new(),
        selector: InputSelector::default(),
        elsewhere: Default::default(),
    };
    let _membership = kafka.join(subscription, listener.clone()).unwrap();
    let assignment = listener.wait_for_assignment(TaskId::new(FUNCTION, 0), PATIENCE).unwrap();
    let begin = |known: &Positions| kafka.begin(&assignment, known).unwrap();
    let at = TopicPartition::new("in", 0);
    let of_group = Positions::from([(at.clone(), Position(1_990))]);
    assert_eq!(begin(&Positions::new()), of_group);
    assert_eq!(begin(&Positions::from([(at.clone(), Position(7))])), of_group, "others have moved the group since");
    assert_eq!(begin(&of_group), Positions::new(), "it goes on where it stands");
    let (wake, woken) = channel();
    let mut source = kafka.open_source(&assignment, &of_group, Waker::new(move || _ = wake.send(()))).unwrap();
    let first = loop {
        match source.poll(None, PollLimit { records: 1, bytes: 1 << 20 }).unwrap() {
            Polled::Batch(batch) => break batch,
            _ => woken.recv_timeout(PATIENCE).unwrap(),
        }
    };
    assert_eq!(first.frame().record(0).bytes(), b"1990");
}
