// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A process on the broker, for the suites.

use std::sync::Arc;
use std::sync::mpsc::channel;

use fnstream_core::broker::{Assignment, Broker};
use fnstream_core::committer::{Acquired, CommitDone, Committer, Replay};
use fnstream_core::epoch::{Epoch, FrozenEpoch, FunctionId, TaskId};
use fnstream_core::record::TopicPartition;
use fnstream_core::state::{Marker, Visit};
use fnstream_core::tasks::{Standing, Tasks};
use fnstream_core::test_util::mem_state::MemStateStores;
use fnstream_core::test_util::suites::log::{Failing, LogHarness};
use fnstream_core::test_util::suites::tasks::TasksHarness;
use fnstream_core::topics::{Retention, Topics};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::{FrameBuilder, RecordRef};
use fnstream_pulsar::{Options, Pulsar, PulsarTasks, PulsarTopics};
use parking_lot::Mutex;

use crate::cluster::{Cluster, OWN};

pub(crate) struct Process {
    cluster: Arc<Cluster>,
    options: Options,
    pulsar: Arc<Pulsar>,
    topics: Arc<PulsarTopics>,
    failing: Arc<NextFailure>,
}

#[derive(Default)]
struct NextFailure(Mutex<Option<Failing>>);

impl Process {
    pub(crate) fn new(broker: &(String, String)) -> Process {
        let cluster = Arc::new(Cluster::at(broker));
        let options = cluster.options();
        Process {
            pulsar: Arc::new(Pulsar::connect(options.clone()).unwrap()),
            topics: PulsarTopics::connect(&options).unwrap(),
            cluster,
            options,
            failing: Arc::default(),
        }
    }

    /// As a process of a group that shares its tasks.
    pub(crate) fn sharing(broker: &(String, String)) -> Process {
        let mut process = Process::new(broker);
        process.options.process = "p".into();
        process.options.is_shared = true;
        process.pulsar = Arc::new(Pulsar::connect(process.options.clone()).unwrap());
        process
    }
}

impl LogHarness for Process {
    fn broker(&self) -> Arc<dyn Broker> {
        self.pulsar.clone()
    }

    fn committer(&self) -> Arc<dyn Committer> {
        Arc::new(Failable { pulsar: self.pulsar.clone(), cluster: self.cluster.clone(), failing: self.failing.clone() })
    }

    fn create_topic(&self, topic: &str, partitions: u32) {
        match self.topics.create(&topic.into(), partitions, Retention::default()) {
            // Some checks make a topic twice.
            Err(error) if error.code == ErrorCode::TopicExists => {}
            made => made.unwrap(),
        }
    }

    fn append(&self, at: &TopicPartition, records: &[RecordRef<'_>]) {
        let mut frame = FrameBuilder::new();
        records.iter().for_each(|record| frame.push(*record));
        let (send, receive) = channel();
        let done = Box::new(move |result| _ = send.send(result));
        self.topics.append(&at.topic, Some(at.partition), frame.to_bytes().into(), done);
        receive.recv().unwrap().unwrap();
    }

    fn read_all(&self, at: &TopicPartition) -> Vec<Vec<u8>> {
        let namespace = &self.cluster.namespace;
        self.cluster.read_all(&format!("persistent://{namespace}/{}-partition-{}", at.topic.name, at.partition))
    }

    fn reopen(&mut self) {
        self.pulsar = Arc::new(Pulsar::connect(self.options.clone()).unwrap());
    }

    fn fail_next(&self, how: Failing) -> bool {
        let can = how == Failing::Fenced;
        if can {
            *self.failing.0.lock() = Some(how);
        }
        can
    }
}

impl TasksHarness for Process {
    fn tasks(&self) -> Arc<dyn Tasks> {
        Arc::new(TasksOfAll(self.pulsar.clone(), Arc::new(MemStateStores::new())))
    }
}

/// The tasks of every function of the suites, which have one name.
struct TasksOfAll(Arc<Pulsar>, Arc<MemStateStores>);

impl TasksOfAll {
    fn of(&self, function: FunctionId) -> PulsarTasks {
        PulsarTasks::new(self.0.clone(), function, "suite", self.1.clone())
    }
}

impl Tasks for TasksOfAll {
    fn fence(&self, function: FunctionId) -> Result<Standing> {
        self.of(function).fence(function)
    }

    fn progress(&self, function: FunctionId) -> Result<Standing> {
        self.of(function).progress(function)
    }

    fn peek(&self, task: TaskId, start: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        self.of(task.function).peek(task, start, visit)
    }
}

/// The committer, in the way of whose next commit something is put: on the broker, not in the committer.
struct Failable {
    pulsar: Arc<Pulsar>,
    cluster: Arc<Cluster>,
    failing: Arc<NextFailure>,
}

impl Committer for Failable {
    fn acquire(&self, assignment: &Assignment, applied: Option<&Marker>, replay: &mut Replay<'_>) -> Result<Acquired> {
        self.pulsar.acquire(assignment, applied, replay)
    }

    fn commit(&self, epoch: Arc<FrozenEpoch>, done: CommitDone) {
        if self.failing.0.lock().take().is_some() {
            let (server, task) = (&self.cluster.server, epoch.task);
            let log = format!("{server}.{}.suite.log-partition-{}", task.function.0, task.index);
            self.cluster.fence(&format!("persistent://{OWN}/{log}"));
        }
        self.pulsar.commit(epoch, done);
    }

    fn trim(&self, task: TaskId, through: Epoch) {
        self.pulsar.trim(task, through);
    }

    fn trouble(&self, task: TaskId) -> Option<Error> {
        self.pulsar.trouble(task)
    }
}
