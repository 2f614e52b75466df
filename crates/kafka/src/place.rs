// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A place whose topics are those of one Kafka cluster.
//!
//! One process runs all tasks of its functions: partitions are assigned by hand. What tells its processes apart, one after the
//! other, is the transactional ids: whoever begins fences whoever was there before.

mod acquire;
mod broker;
mod committer;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::broker::{AssignmentListener, TaskInput};
use fnstream_core::epoch::{Epoch, FunctionId, Generation, TaskId};
use fnstream_core::record::TopicPartition;
use fnstream_core::state::Marker;
use fnstream_core::topic::{Cluster, Topic, TopicRef};
use fnstream_core::{Error, ErrorCode, Result, failpoint};
use parking_lot::Mutex;

use crate::admin::Admin;
use crate::delta_log::Entry;
use crate::feed::{Feed, Health};
use crate::lane::{Lane, lane_of};
use crate::native::Consumer;
use crate::properties::{Properties, check_name};
use crate::state::{self, Record};
use crate::watermarks::Marks;

/// What a place is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cluster, as topics name it.
    pub cluster: Cluster,
    /// Its addresses, and how clients talk to it.
    pub properties: Properties,
    /// The name of this server, which no other server of the cluster has at the same time: transactional ids and the names of
    /// internal topics begin with it.
    pub server: String,
    /// Put before the name of every topic; empty to leave them as they are.
    pub namespace: String,
    /// How many copies of internal topics there are; `None` for the cluster's default.
    pub replication: Option<u16>,
    /// How many transactions may be under way at once; at least 1.
    pub lanes: usize,
}

/// Topics of a Kafka cluster: [`fnstream_core::broker::Broker`] and [`fnstream_core::committer::Committer`] in one.
pub struct Kafka {
    shared: Arc<Shared>,
    lanes: Vec<Lane>,
    /// Writes state topics.
    states: Lane,
}

pub(crate) struct Shared {
    pub options: Options,
    pub admin: Admin,
    /// Of the producers.
    pub health: Arc<Health>,
    /// Consumers of sources.
    feeds: Mutex<Vec<Arc<Feed>>>,
    /// Consumers that read logs at take-overs, while nobody has them.
    readers: Mutex<Vec<Consumer>>,
    functions: Mutex<HashMap<FunctionId, Arc<Function>>>,
    pub owners: Mutex<HashMap<TaskId, Owner>>,
    /// What is in state topics; see [`Kafka::closed`].
    closed: Mutex<HashMap<TaskId, (Epoch, Arc<HashSet<Bytes>>)>>,
    /// The watermarks that the server's functions emit, once somebody has asked.
    marks: Mutex<Option<Arc<Marks>>>,
}

/// A function that this process runs.
pub(crate) struct Function {
    /// The topic of its delta logs.
    pub log: String,
    /// The topic of its state.
    pub state: String,
    /// The groups whose offsets are moved, by input partition.
    groups: HashMap<TopicPartition, String>,
    /// How its inputs are read, by topic.
    refs: HashMap<Topic, TopicRef>,
    /// What each of its tasks reads.
    tasks: Vec<(TaskId, Vec<TaskInput>)>,
    listener: Arc<dyn AssignmentListener>,
    /// The number of this membership.
    member: u64,
}

/// What this process knows of a task's ownership.
#[derive(Debug, Default)]
pub(crate) struct Owner {
    /// Of the latest assignment.
    pub lease: u64,
    /// Of the latest take-over; `None` when the task is somebody else's.
    pub generation: Option<Generation>,
    /// The last commit, and the generation that made it.
    pub committed: Epoch,
    pub committed_by: Option<Generation>,
    /// The offset of the last commit's entry.
    pub log_end: i64,
    /// How many commits were handed in.
    pub arrivals: u64,
    /// Commits with lower numbers of arrival fail: one before them has.
    pub doomed: u64,
    /// Where the entries of recent commits are.
    pub offsets: VecDeque<(Epoch, i64)>,
}

impl Kafka {
    /// Connects to a cluster. It need not be reachable.
    pub fn connect(options: Options) -> Result<Kafka> {
        check_name(&options.server)?;
        let shared = Arc::new(Shared {
            admin: Admin::new(&options.properties)?,
            health: Arc::default(),
            feeds: Mutex::default(),
            readers: Mutex::default(),
            functions: Mutex::default(),
            owners: Mutex::default(),
            marks: Mutex::default(),
            closed: Mutex::default(),
            options,
        });
        let lanes = (0..shared.options.lanes.max(1)).map(|number| Lane::start(Some(number), &shared));
        let lanes = lanes.collect::<Result<_>>()?;
        let states = Lane::start(None, &shared)?;
        Ok(Kafka { shared, lanes, states })
    }

    /// Up to which epoch the state topic has a task's state, and which keys it may have that the local store lacks.
    pub(crate) fn closed(&self, task: TaskId) -> (Epoch, Arc<HashSet<Bytes>>) {
        self.shared.closed.lock().get(&task).cloned().unwrap_or_default()
    }

    /// Writes what was applied to the state topic, with its marker.
    pub(crate) fn write_state(&self, task: TaskId, mut records: Vec<Record>, marker: &Marker) -> Result<()> {
        let function = self.shared.function(task.function)?;
        records.push((state::MARKER.to_vec(), Some(state::encode(marker)?)));
        let entry = Some((function.log.clone(), Entry::Applied(marker.epoch).encode()?));
        self.states.write(Some(task), &function.state, task.index, records, entry)?;
        failpoint!("kafka.state.after-marker");
        self.shared.closed.lock().insert(task, (marker.epoch, Arc::default()));
        Ok(())
    }

    fn lane(&self, task: TaskId) -> &Lane {
        &self.lanes[lane_of(task, self.lanes.len())]
    }
}

impl std::fmt::Debug for Kafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kafka").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Shared {
    /// The name of a topic in Kafka.
    pub(crate) fn name(&self, topic: &Topic) -> Result<String> {
        if topic.cluster != self.options.cluster {
            let message =
                format!("topic '{topic}' is of the cluster '{}', which this place does not serve", topic.cluster);
            return Err(Error::new(ErrorCode::ClusterUnknown, message));
        }
        let name = format!("{}{}", self.options.namespace, topic.name);
        check_name(&name)?;
        Ok(name)
    }

    /// The topic of watermarks.
    pub(crate) fn watermarks(&self) -> String {
        format!("{}{}.watermarks", self.options.namespace, self.options.server)
    }

    pub(crate) fn function(&self, id: FunctionId) -> Result<Arc<Function>> {
        let found = self.functions.lock().get(&id).cloned();
        found.ok_or_else(|| Error::new(ErrorCode::Fenced, format!("function {} is not run by this process", id.0)))
    }

    /// The offsets of an epoch's positions, by group.
    pub(crate) fn group_of(&self, function: FunctionId, at: &TopicPartition) -> Option<String> {
        self.functions.lock().get(&function)?.groups.get(at).cloned()
    }
}

impl Function {
    /// How many tasks it has.
    pub(crate) fn width(&self) -> u32 {
        self.tasks.len() as u32
    }

    /// The name of one of its internal topics: the name of a function may be as long as that of a topic.
    fn internal(options: &Options, id: FunctionId, name: &str, what: &str) -> String {
        let rest = format!("{}{}.{}..{what}", options.namespace, options.server, id.0);
        let room = 249usize.saturating_sub(rest.len());
        format!("{}{}.{}.{}.{what}", options.namespace, options.server, id.0, &name[..name.len().min(room)])
    }
}
