// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A process on the broker, for the suites.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use fnstream_core::broker::{Assignment, Broker};
use fnstream_core::committer::{Acquired, CommitDone, Committer, Replay};
use fnstream_core::epoch::{Epoch, FrozenEpoch, FunctionId, TaskId};
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::state::{Marker, Visit};
use fnstream_core::tasks::{Standing, Tasks};
use fnstream_core::test_util::mem_state::MemStateStores;
use fnstream_core::test_util::suites::log::{Failing, LogHarness};
use fnstream_core::test_util::suites::tasks::TasksHarness;
use fnstream_core::topic::Cluster as Named;
use fnstream_core::{Error, Result};
use fnstream_frame::RecordRef;
use fnstream_kafka::{Kafka, KafkaTasks, Options, Sharing};
use parking_lot::Mutex;

use crate::cluster::{Cluster, Private, unique};

pub(crate) struct Process {
    cluster: Arc<Cluster>,
    options: Options,
    kafka: Arc<Kafka>,
    failing: Arc<NextFailure>,
    /// A broker of its own, which may be stopped.
    broker: Option<Arc<Private>>,
}

#[derive(Default)]
struct NextFailure(Mutex<Option<Failing>>);

impl Process {
    pub(crate) fn new(bootstrap: &str) -> Process {
        let cluster = Arc::new(Cluster::at(bootstrap));
        let options = Options {
            cluster: Named::own(),
            properties: cluster.properties(),
            server: "server".into(),
            connection: String::new(),
            process: String::new(),
            sharing: None,
            incarnation: String::new(),
            namespace: format!("{}.", unique()),
            replication: Some(1),
            lanes: 1,
        };
        let kafka = Arc::new(Kafka::connect(options.clone()).unwrap());
        Process { cluster, options, kafka, failing: Arc::default(), broker: None }
    }

    /// As a process of a group that shares its tasks.
    pub(crate) fn sharing(bootstrap: &str) -> Process {
        let mut process = Process::new(bootstrap);
        process.options.process = "p".into();
        process.options.sharing = Some(Sharing { session_timeout: Duration::from_secs(6) });
        process.kafka = Arc::new(Kafka::connect(process.options.clone()).unwrap());
        process
    }

    /// With a broker that can be stopped.
    pub(crate) fn on(broker: Arc<Private>) -> Process {
        Process { broker: Some(broker.clone()), ..Process::new(&broker.bootstrap) }
    }

    fn name(&self, topic: &str) -> String {
        format!("{}{topic}", self.options.namespace)
    }
}

impl LogHarness for Process {
    fn broker(&self) -> Arc<dyn Broker> {
        self.kafka.clone()
    }

    fn committer(&self) -> Arc<dyn Committer> {
        let (cluster, failing) = (self.cluster.clone(), self.failing.clone());
        let transactional_id = if self.options.sharing.is_some() { "server.p.0" } else { "server.0" };
        let namespace = self.options.namespace.clone();
        Arc::new(Failable { kafka: self.kafka.clone(), cluster, failing, namespace, transactional_id })
    }

    fn create_topic(&self, topic: &str, partitions: u32) {
        self.cluster.create(&self.name(topic), partitions);
    }

    fn append(&self, at: &TopicPartition, records: &[RecordRef<'_>]) {
        self.cluster.append(&self.name(&at.topic.name), at.partition, records);
    }

    fn read_all(&self, at: &TopicPartition) -> Vec<Vec<u8>> {
        self.cluster.read_all(&self.name(&at.topic.name), at.partition)
    }

    fn reopen(&mut self) {
        self.kafka = Arc::new(Kafka::connect(self.options.clone()).unwrap());
    }

    fn fail_next(&self, how: Failing) -> bool {
        let can = matches!(how, Failing::Rejected | Failing::Fenced);
        if can {
            *self.failing.0.lock() = Some(how);
        }
        can
    }

    fn set_away(&self, away: bool) -> bool {
        let Some(broker) = &self.broker else { return false };
        broker.script(if away { "stop" } else { "start" });
        true
    }

    fn drop_before(&self, at: &TopicPartition, position: Position) -> bool {
        self.cluster.delete_records(&self.name(&at.topic.name), at.partition, position.0 as i64);
        true
    }
}

impl TasksHarness for Process {
    fn tasks(&self) -> Arc<dyn Tasks> {
        Arc::new(TasksOfAll(self.kafka.clone(), Arc::new(MemStateStores::new())))
    }
}

/// The tasks of every function of the suites, which have one name.
struct TasksOfAll(Arc<Kafka>, Arc<MemStateStores>);

impl TasksOfAll {
    fn of(&self, function: FunctionId) -> KafkaTasks {
        KafkaTasks::new(self.0.clone(), function, "suite", self.1.clone())
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
    kafka: Arc<Kafka>,
    cluster: Arc<Cluster>,
    failing: Arc<NextFailure>,
    namespace: String,
    /// Of the lane that commits, within the namespace.
    transactional_id: &'static str,
}

impl Committer for Failable {
    fn acquire(&self, assignment: &Assignment, applied: Option<&Marker>, replay: &mut Replay<'_>) -> Result<Acquired> {
        self.kafka.acquire(assignment, applied, replay)
    }

    fn commit(&self, epoch: Arc<FrozenEpoch>, done: CommitDone) {
        let out = format!("{}out", self.namespace);
        match self.failing.0.lock().take() {
            Some(Failing::Rejected) => {
                // A compacted topic takes no record without a key.
                self.cluster.set(&out, "cleanup.policy", "compact");
                self.cluster.until_refused(&out);
                let (send, receive) = channel();
                self.kafka.commit(epoch, Box::new(move |result| _ = send.send(result)));
                let cluster = self.cluster.clone();
                std::thread::spawn(move || {
                    let result = receive.recv().unwrap();
                    cluster.set(&out, "cleanup.policy", "delete");
                    done(result);
                });
            }
            Some(Failing::Fenced) => {
                // Both producers of the lane.
                for turn in ["", "b"] {
                    self.cluster.fence(&format!("{}{}{turn}", self.namespace, self.transactional_id));
                }
                self.kafka.commit(epoch, done);
            }
            _ => self.kafka.commit(epoch, done),
        }
    }

    fn trim(&self, task: TaskId, through: Epoch) {
        self.kafka.trim(task, through);
    }

    fn trouble(&self, task: TaskId) -> Option<Error> {
        self.kafka.trouble(task)
    }
}
