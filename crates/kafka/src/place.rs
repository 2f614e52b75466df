// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A place whose topics are those of one Kafka cluster.
//!
//! Without a group one process runs all tasks of its functions: partitions are assigned by hand. What tells its processes apart, one
//! after the other, is the transactional ids: whoever begins fences whoever was there before. With one, processes share the tasks
//! ([`share`]).

mod acquire;
mod broker;
mod committer;
mod largest;
mod share;

pub(crate) use acquire::place;
pub(crate) use share::Share;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fnstream_core::broker::{AssignmentListener, TaskInput};
use fnstream_core::epoch::{Epoch, FunctionId, Generation, TaskId};
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::state::Marker;
use fnstream_core::topic::{Cluster, GROUP_ID, Topic, TopicRef};
use fnstream_core::{Error, ErrorCode, Result, failpoint};
use parking_lot::Mutex;

use crate::admin::Admin;
use crate::delta_log::Entry;
use crate::feed::{Feed, Health};
use crate::lane::{Lane, lane_of};
use crate::meter::{Meter, Transactions};
use crate::native::Consumer;
use crate::properties::{Properties, check_name};
use crate::source::offset_of;
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
    /// What tells this connection from others of the same server that are there at the same time: a part of its transactional ids. May
    /// be empty.
    pub connection: String,
    /// What tells this process from others of the server that are there at the same time, and stays the same when it is started again:
    /// another part of its transactional ids. Empty if there are no others.
    pub process: String,
    /// How the processes of the server share its tasks; none if there is only one.
    pub sharing: Option<Sharing>,
    /// What tells the functions of this server from those that had their ids before, in the names of internal topics. May be empty.
    pub incarnation: String,
    /// Put before the name of every topic; empty to leave them as they are.
    pub namespace: String,
    /// How many copies of internal topics there are; `None` for the cluster's default.
    pub replication: Option<u16>,
    /// How many transactions may be under way at once; at least 1.
    pub lanes: usize,
}

/// How the processes of a server share its tasks: as a group of consumers, which has the server's name.
#[derive(Debug, Clone)]
pub struct Sharing {
    /// A process that is not heard of for so long has lost its tasks.
    pub session_timeout: Duration,
}

impl Options {
    /// The transactional id of one of its producers.
    pub(crate) fn transactional_id(&self, name: &str) -> String {
        let Options { namespace, server, process, connection, .. } = self;
        let parts = [process, connection].into_iter().filter(|part| !part.is_empty());
        let parts: String = parts.map(|part| format!("{part}.")).collect();
        format!("{namespace}{server}.{parts}{name}")
    }
}

/// Topics of a Kafka cluster: [`fnstream_core::broker::Broker`] and [`fnstream_core::committer::Committer`] in one.
pub struct Kafka {
    pub(crate) shared: Arc<Shared>,
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
    /// How functions read that commit elsewhere.
    abroad: Mutex<HashMap<FunctionId, Arc<Reading>>>,
    pub owners: Mutex<HashMap<TaskId, Owner>>,
    /// What is in state topics; see [`Kafka::closed`].
    closed: Mutex<HashMap<TaskId, Closed>>,
    /// How far functions have got that commit elsewhere, by group, topic and partition, which the groups are not told yet.
    reached: Mutex<HashMap<(String, String, u32), i64>>,
    pub meter: Meter,
    /// How large what is sent to a topic may be, as it was told at that time.
    largest: Mutex<HashMap<String, (Instant, Option<usize>)>>,
    /// When a cluster did not answer somebody who only looked on, and why.
    pub away: Mutex<Option<(Instant, Error)>>,
    /// The watermarks that the server's functions emit, once somebody has asked.
    marks: Mutex<Option<Arc<Marks>>>,
    /// Who runs which task, where processes share them.
    share: OnceLock<Share>,
}

/// A function that this process runs.
pub(crate) struct Function {
    /// The topic of its delta logs.
    pub log: String,
    /// The topic of its state.
    pub state: String,
    /// How its inputs are read.
    reading: Arc<Reading>,
    /// What each of its tasks reads.
    tasks: Vec<(TaskId, Vec<TaskInput>)>,
    listener: Arc<dyn AssignmentListener>,
    /// The number of this membership.
    member: u64,
}

/// Up to which epoch a state topic has a task's state, and which keys it may have that the local store lacks.
type Closed = (Epoch, Arc<HashSet<Bytes>>);

/// How a function's inputs are read.
pub(crate) struct Reading {
    /// The group of those that name none.
    group: String,
    refs: HashMap<Topic, TopicRef>,
    commits_here: bool,
}

impl Reading {
    fn new(options: &Options, function: &str, groups: &[Vec<TopicRef>], commits_here: bool) -> Reading {
        let refs = groups.iter().flatten().map(|named| (named.topic.clone(), named.clone())).collect();
        Reading { group: format!("{}.{function}", options.server), refs, commits_here }
    }

    /// The group whose offsets are those of the function in this topic.
    fn group_of(&self, topic: &Topic) -> &str {
        let named = self.refs.get(topic).and_then(|named| named.options.get(GROUP_ID));
        named.unwrap_or(&self.group)
    }

    /// Whether an offset of its group that is not where the function stands was moved by somebody else. It says nothing where the
    /// function commits elsewhere, and the offset follows behind; nor where it reads a partition that it names, which others of its
    /// group may read too.
    fn follows_group(&self, topic: &Topic) -> bool {
        self.commits_here && self.refs.get(topic).is_some_and(|named| named.partition().is_none())
    }
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
    /// Whether it was ever seen with state.
    pub has_state: bool,
    /// Where the entries of recent commits are.
    pub offsets: VecDeque<(Epoch, i64)>,
}

impl Kafka {
    /// Connects to a cluster. It need not be reachable.
    pub fn connect(options: Options) -> Result<Kafka> {
        let shared = Shared::new(options)?;
        if let Some(sharing) = &shared.options.sharing {
            let share = Share::join(&shared, sharing)?;
            drop(shared.share.set(share));
        }
        let lanes = (0..shared.options.lanes.max(1)).map(|number| Lane::start(Some(number), &shared));
        let lanes = lanes.collect::<Result<_>>()?;
        let states = Lane::start(None, &shared)?;
        Ok(Kafka { shared, lanes, states })
    }

    /// How many transactions there were, and how they ended.
    pub fn transactions(&self) -> Transactions {
        self.shared.meter.counted()
    }

    /// Hears how a function reads that commits elsewhere. Those that commit here say so when they join.
    pub fn read_for(&self, function: FunctionId, name: &str, groups: &[Vec<TopicRef>]) {
        let reading = Arc::new(Reading::new(&self.shared.options, name, groups, false));
        self.shared.abroad.lock().insert(function, reading);
    }

    /// Hears how far a function has got that commits elsewhere: the offsets of its groups follow within about a second, for those who
    /// look at them.
    pub fn follow(&self, function: FunctionId, positions: &Positions) {
        let shared = &self.shared;
        let Some(reading) = shared.abroad.lock().get(&function).cloned() else { return };
        let mut reached = shared.reached.lock();
        for (at, position) in positions.iter().filter(|(at, _)| reading.refs.contains_key(&at.topic)) {
            let (Ok(name), Ok(offset)) = (shared.name(&at.topic), offset_of(*position)) else { continue };
            reached.insert((reading.group_of(&at.topic).to_owned(), name, at.partition), offset);
        }
    }

    /// Has a function that does not run begin at these places: the offsets of its groups are moved there, which count when it starts.
    /// `inputs` are those of the function, none of which names a partition.
    pub fn move_groups(
        &self,
        function: &str,
        inputs: &[Vec<TopicRef>],
        places: &[(TopicPartition, Position)],
    ) -> Result<()> {
        let shared = &self.shared;
        let reading = Reading::new(&shared.options, function, inputs, true);
        for (at, position) in places {
            let (name, offset) = (shared.name(&at.topic)?, offset_of(*position)?);
            shared.admin.commit(reading.group_of(&at.topic), &name, at.partition, offset)?;
        }
        Ok(())
    }

    /// Removes what the cluster keeps of a function that is gone.
    pub fn forget(&self, function: FunctionId, name: &str) -> Result<()> {
        let shared = &self.shared;
        shared.abroad.lock().remove(&function);
        shared.owners.lock().retain(|task, _| task.function != function);
        shared.closed.lock().retain(|task, _| task.function != function);
        let topics = ["log", "state"].map(|what| Function::internal(&shared.options, function, name, what));
        // Whoever asks for this comes again, and need not wait for long.
        shared.admin.glance(&topics[0])?;
        for topic in topics {
            match shared.admin.remove(&topic) {
                Err(error) if error.code != ErrorCode::TopicNotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Up to which epoch the state topic has a task's state, and which keys it may have that the local store lacks.
    pub(crate) fn closed(&self, task: TaskId) -> Closed {
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

    /// Leaves the group of processes, if it is in one: others need not wait for its silence. Blocks for a moment.
    pub fn leave(&self) {
        if let Some(share) = self.shared.share() {
            share.end();
        }
    }

    pub(crate) fn lane(&self, task: TaskId) -> &Lane {
        &self.lanes[lane_of(task, self.lanes.len())]
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.leave();
    }
}

impl std::fmt::Debug for Kafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kafka").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Shared {
    /// Connects to nobody yet.
    pub(crate) fn new(options: Options) -> Result<Arc<Shared>> {
        check_name(&options.server)?;
        Ok(Arc::new(Shared {
            admin: Admin::new(&options.properties)?,
            health: Arc::default(),
            feeds: Mutex::default(),
            readers: Mutex::default(),
            functions: Mutex::default(),
            abroad: Mutex::default(),
            owners: Mutex::default(),
            marks: Mutex::default(),
            away: Mutex::default(),
            largest: Mutex::default(),
            meter: Meter::default(),
            reached: Mutex::default(),
            closed: Mutex::default(),
            share: OnceLock::new(),
            options,
        }))
    }

    /// Who runs which task; none if this process runs all.
    pub(crate) fn share(&self) -> Option<&Share> {
        self.share.get()
    }

    /// The name of a topic in Kafka.
    pub(crate) fn name(&self, topic: &Topic) -> Result<String> {
        self.options.name(topic)
    }

    /// The topic of watermarks.
    pub(crate) fn watermarks(&self) -> String {
        format!("{}{}.watermarks", self.options.namespace, self.options.server)
    }

    pub(crate) fn function(&self, id: FunctionId) -> Result<Arc<Function>> {
        let found = self.functions.lock().get(&id).cloned();
        found.ok_or_else(|| Error::new(ErrorCode::Fenced, format!("function {} is not run by this process", id.0)))
    }

    /// Moves the offsets of groups to where functions are that commit elsewhere.
    pub(crate) fn move_groups(&self) {
        let reached = std::mem::take(&mut *self.reached.lock());
        for ((group, topic, partition), offset) in reached {
            if let Err(error) = self.admin.commit(&group, &topic, partition, offset) {
                tracing::debug!(group, topic, partition, offset, %error, "the offset of a group does not follow");
            }
        }
    }

    /// How a function reads here.
    pub(crate) fn reading(&self, id: FunctionId) -> Option<Arc<Reading>> {
        let own = self.functions.lock().get(&id).map(|function| function.reading.clone());
        own.or_else(|| self.abroad.lock().get(&id).cloned())
    }

    /// The group whose offset an input partition of a function moves.
    pub(crate) fn group_of(&self, function: FunctionId, at: &TopicPartition) -> Option<String> {
        let reading = self.functions.lock().get(&function)?.reading.clone();
        // Dead letters are read without a group.
        reading.refs.contains_key(&at.topic).then(|| reading.group_of(&at.topic).to_owned())
    }
}

impl Function {
    /// How many tasks it has.
    pub(crate) fn width(&self) -> u32 {
        self.tasks.len() as u32
    }

    /// The name of one of its internal topics: the name of a function may be as long as that of a topic.
    pub(crate) fn internal(options: &Options, id: FunctionId, name: &str, what: &str) -> String {
        let Options { namespace, server, incarnation, .. } = options;
        let dash = if incarnation.is_empty() { "" } else { "-" };
        let own = format!("{namespace}{server}.{incarnation}{dash}{}", id.0);
        let room = 249usize.saturating_sub(own.len() + what.len() + 2);
        format!("{own}.{}.{what}", &name[..name.len().min(room)])
    }
}
