// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A place whose topics are those of one Pulsar cluster.
//!
//! A function has a topic of delta logs, whose partition is the task. Each is written by one producer at a time, which fences whoever wrote
//! before; its epoch, which the broker counts, is the generation of the task. A subscription of the failover type keeps the log where it is
//! needed, and says which process runs the task where processes share them.

mod acquire;
mod broker;
mod committer;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use fnstream_core::broker::{Assignment, AssignmentListener, Subscription, TaskInput};
use fnstream_core::clock::{Clock, SystemClock};
use fnstream_core::epoch::{FunctionId, Generation, TaskId};
use fnstream_core::record::{Position, Positions};
use fnstream_core::topic::{GROUP_ID, OutputSchema, TOPICS_PATTERN, Topic, TopicRef};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_pulsar_client::{
    Client, Consumer, Error as Failure, InitialPosition, Message, Producer, SubscriptionType, TopicsMode,
};
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::admin::Admin;
use crate::lane::{Lane, fenced};
use crate::options::Options;
use crate::position::{EntryId, entry_id, position_of};
use crate::reader::Reading;
use crate::ring::Ring;
use crate::schemas::Modes;
use crate::state::States;
use crate::topics::patterns;
use crate::watermarks::Marks;
use crate::{error, names, runtime};

/// The subscription of an internal topic, which keeps what is needed of it.
pub(crate) const KEEPER: &str = "function-stream";
/// For so long the number of partitions of a topic is not asked for again.
const FRESH: Duration = Duration::from_secs(5);
/// How long a broker is waited for that is told of an end.
const FAREWELL: Duration = Duration::from_millis(500);
/// For so long a policy may take to reach a topic.
const SETTLES: Duration = Duration::from_secs(10);

/// Topics of a Pulsar cluster: [`fnstream_core::broker::Broker`] and [`fnstream_core::committer::Committer`] in one.
pub struct Pulsar {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub options: Options,
    pub client: Client,
    pub admin: Admin,
    functions: Mutex<HashMap<FunctionId, Arc<Function>>>,
    /// How functions read that commit elsewhere.
    abroad: Mutex<HashMap<FunctionId, Arc<Inputs>>>,
    owners: Mutex<HashMap<TaskId, Owner>>,
    /// What is read for the functions that run.
    rings: Mutex<HashMap<FunctionId, Vec<Weak<Ring>>>>,
    /// How many partitions topics have, 0 if they are not partitioned, as it was told at that time.
    counts: Mutex<HashMap<String, (Instant, u32)>>,
    /// The watermarks that the server's functions emit, once somebody has asked.
    marks: Mutex<Option<Arc<Marks>>>,
    /// Writes watermarks.
    voice: tokio::sync::Mutex<Option<Producer>>,
    last_lease: AtomicU64,
    last_member: AtomicU64,
    /// Whether the namespace of internal topics is known to be there.
    has_namespace: Mutex<bool>,
    /// How large a message may be, once a broker has said so.
    pub max_message_size: OnceLock<usize>,
    pub states: States,
    /// Partitions of which the broker is known to drop repeats.
    deduplicated: Mutex<HashSet<String>>,
}

/// A function that this process runs.
pub(crate) struct Function {
    pub id: FunctionId,
    pub name: String,
    /// The topic of its delta logs.
    pub log: String,
    /// The topic of its state.
    pub state: String,
    inputs: Arc<Inputs>,
    /// Which schemas its records are written with.
    pub modes: Modes,
    /// What each of its tasks reads.
    tasks: Vec<(TaskId, Vec<TaskInput>)>,
    listener: Arc<dyn AssignmentListener>,
    /// The number of this membership.
    member: u64,
}

/// How a function's inputs are read.
pub(crate) struct Inputs {
    function: String,
    /// The subscription of those that name none.
    subscription: String,
    refs: HashMap<Topic, TopicRef>,
    /// Whether the function is told the schema of each message.
    tells_schemas: bool,
}

/// What this process knows of a task's ownership.
#[derive(Default)]
struct Owner {
    /// Of the latest assignment.
    lease: u64,
    /// Commits; none if the task is somebody else's.
    lane: Option<Arc<Lane>>,
    /// Whether it was ever seen with state.
    has_state: bool,
    /// Keeps the log where it is needed.
    keeper: Option<Arc<Consumer>>,
    /// Whether the task is this process's to run.
    is_assigned: bool,
    /// Held while the task is taken over: of two who try, one waits.
    taking: Arc<Mutex<()>>,
}

impl Inputs {
    pub(crate) fn new(options: &Options, function: &str, groups: &[Vec<TopicRef>]) -> Inputs {
        let refs = groups.iter().flatten().map(|named| (named.topic.clone(), named.clone())).collect();
        let subscription = Inputs::subscription(options, function);
        Inputs { function: function.to_owned(), subscription, refs, tells_schemas: false }
    }

    /// The subscription of a function that is told to use none.
    fn subscription(options: &Options, function: &str) -> String {
        format!("{}.{function}", options.server)
    }

    /// The same for a function that writes there.
    fn of(options: &Options, subscription: &Subscription) -> Inputs {
        let tells_schemas = subscription.outputs.iter().any(|output| output.schema() == OutputSchema::Input);
        Inputs { tells_schemas, ..Inputs::new(options, &subscription.name, &subscription.groups) }
    }

    /// How a topic is read.
    pub(crate) fn reading(&self, options: &Options, topic: &Topic) -> Result<Reading> {
        let named = self.refs.get(topic);
        let properties = match named {
            Some(named) => options.properties.with(&named.options)?,
            None => options.properties.clone(),
        };
        let subscription = named.and_then(|named| named.options.get(GROUP_ID)).unwrap_or(&self.subscription);
        let process = if options.process.is_empty() { &options.server } else { &options.process };
        Ok(Reading {
            subscription: subscription.clone(),
            name: format!("{} in {process}", self.function),
            begins_at_end: properties.begins_at_end(),
            is_matched: named.is_some_and(|named| named.options.contains_key(TOPICS_PATTERN)),
            // What dead letters were read with, they say themselves.
            schemas_of: named.filter(|_| self.tells_schemas).map(|_| options.name(topic)).transpose()?,
        })
    }
}

impl Function {
    /// How many tasks it has.
    pub(crate) fn width(&self) -> u32 {
        self.tasks.len() as u32
    }

    /// The name of one of its internal topics, or of its producers.
    pub(crate) fn internal(options: &Options, id: FunctionId, name: &str, what: &str) -> String {
        let dash = if options.incarnation.is_empty() { "" } else { "-" };
        options.own(&format!("{}{dash}{}.{name}.{what}", options.incarnation, id.0))
    }
}

impl Pulsar {
    /// Connects to a cluster. It need not be reachable.
    pub fn connect(options: Options) -> Result<Pulsar> {
        options.check()?;
        let client = options.properties.client()?;
        let admin = Admin::new(&options.properties)?;
        Ok(Pulsar::over(client, admin, options))
    }

    /// What it is made of.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// The same connections under another incarnation.
    #[must_use]
    pub fn reborn(&self, incarnation: String) -> Pulsar {
        let Shared { client, admin, options, .. } = &*self.shared;
        Pulsar::over(client.clone(), admin.clone(), Options { incarnation, ..options.clone() })
    }

    fn over(client: Client, admin: Admin, options: Options) -> Pulsar {
        let shared = Shared {
            client,
            admin,
            functions: Mutex::default(),
            abroad: Mutex::default(),
            owners: Mutex::default(),
            rings: Mutex::default(),
            counts: Mutex::default(),
            marks: Mutex::default(),
            voice: tokio::sync::Mutex::default(),
            // Higher than those of a process that was here before.
            last_lease: AtomicU64::new(u64::try_from(SystemClock::new().unix_ms()).unwrap_or_default() << 10),
            last_member: AtomicU64::new(0),
            has_namespace: Mutex::new(false),
            max_message_size: OnceLock::new(),
            states: States::default(),
            deduplicated: Mutex::default(),
            options,
        };
        Pulsar { shared: Arc::new(shared) }
    }

    /// Waits until the cluster answers, for as long as a broker takes to start. Blocks.
    pub fn greet(&self) -> Result<()> {
        let (shared, url) = (&self.shared, self.shared.options.properties.service_url());
        let topic = shared.options.own("functions");
        if runtime::soon("looking for a broker", shared.answers(&topic)).is_ok() {
            return Ok(());
        }
        tracing::warn!(url, "no broker of Apache Pulsar answers yet: it is tried again for a while");
        runtime::wait(shared.answers(&topic)).map_err(|error| {
            let message = format!("no broker of Apache Pulsar answers at '{url}': {}", error.message);
            Error::new(error.code, message).advising(
                "check that Apache Pulsar runs and that --pulsar-url (pulsar.service_url) names its brokers; a server that needs no broker is \
                 'function-stream standalone', one on Apache Kafka has '--backend kafka'",
            )
        })
    }

    /// Hears how a function reads that commits elsewhere. Those that commit here say so when they join.
    pub fn read_for(&self, function: FunctionId, name: &str, groups: &[Vec<TopicRef>]) {
        let inputs = Arc::new(Inputs::new(&self.shared.options, name, groups));
        self.shared.abroad.lock().insert(function, inputs);
    }

    /// Hears how far a function has got that commits elsewhere: its subscriptions follow, for those who look at them.
    pub fn follow(&self, function: FunctionId, positions: &Positions) {
        self.shared.follow(function, positions);
    }

    /// Lets other processes have the tasks of this one: they need not wait until the broker misses it. Blocks for a moment.
    pub fn leave(&self) {
        let mut owners = self.shared.owners.lock();
        let keepers: Vec<_> = owners.values_mut().filter_map(|owner| owner.keeper.take()).collect();
        drop(owners);
        runtime::wait(async {
            for keeper in keepers {
                // A broker that cannot be told finds out by itself.
                drop(timeout(FAREWELL, keeper.close()).await);
            }
        });
    }

    /// Removes what the cluster keeps of a function that is gone: its internal topics, and its own subscriptions of the topics and
    /// patterns that it read, which would hold their records for ever. One that has consumers stays, and so does one that the
    /// function was told to use. Blocks.
    pub fn forget(&self, function: FunctionId, name: &str, reads: &[TopicRef]) -> Result<()> {
        let shared = &self.shared;
        shared.abroad.lock().remove(&function);
        shared.owners.lock().retain(|task, _| task.function != function);
        let subscription = Inputs::subscription(&shared.options, name);
        for of in reads.iter().filter(|of| !of.options.contains_key(GROUP_ID)) {
            let topics = match of.is_pattern() {
                true => patterns::matching(shared, &of.topic)?.into_keys().collect(),
                false => vec![of.topic.clone()],
            };
            for topic in topics {
                shared.admin.unsubscribe(&shared.options.name(&topic)?, &subscription)?;
            }
        }
        for what in ["log", "state"] {
            let topic = Function::internal(&shared.options, function, name, what);
            match shared.admin.delete(&topic, true) {
                Err(error) if error.code != ErrorCode::TopicNotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Shared {
    /// Whether a broker answers who is asked for a topic, which need not be there.
    pub(crate) async fn answers(&self, topic: &str) -> Result<()> {
        match self.client.partitions(topic).await {
            Ok(_) | Err(Failure::TopicNotFound(_)) => Ok(()),
            Err(failure) => Err(error::of("looking for a broker", &failure)),
        }
    }

    /// The number of partitions of a topic, 0 if it is not partitioned; [`ErrorCode::TopicNotFound`] if it is not there.
    pub(crate) async fn count(&self, topic: &str) -> Result<u32> {
        if let Some((_, count)) = self.counts.lock().get(topic).filter(|(since, _)| since.elapsed() < FRESH) {
            return Ok(*count);
        }
        let doing = || format!("looking for topic '{topic}'");
        let mut count = self.client.partitions(topic).await.map_err(|e| error::of(doing(), &e))?;
        if count == 0 && !self.is_there(topic).await? {
            // It may just have been made.
            count = self.client.partitions(topic).await.map_err(|e| error::of(doing(), &e))?;
            if count == 0 {
                return Err(Error::new(ErrorCode::TopicNotFound, format!("Pulsar has no topic '{topic}'")));
            }
        }
        self.counts.lock().insert(topic.to_owned(), (Instant::now(), count));
        Ok(count)
    }

    /// Whether a topic is there that is not partitioned, or that is a partition.
    async fn is_there(&self, topic: &str) -> Result<bool> {
        let Some((namespace, _)) = names::parts(topic) else { return Ok(false) };
        let found = self.client.topics(namespace, TopicsMode::Persistent, None).await;
        let found = found.map_err(|e| error::of(format!("looking for topic '{topic}'"), &e))?;
        Ok(found.iter().any(|name| name == topic))
    }

    pub(crate) fn forget_count(&self, topic: &str) {
        self.counts.lock().remove(topic);
    }

    /// The name in full of a partition of a topic, which is there.
    pub(crate) async fn partition(&self, topic: &Topic, partition: u32) -> Result<String> {
        let name = self.options.name(topic)?;
        let count = self.count(&name).await?;
        if partition >= count.max(1) {
            let message = format!("topic '{name}' has {} partitions, and none of the number {partition}", count.max(1));
            return Err(Error::new(ErrorCode::PartitionNotFound, message));
        }
        Ok(names::partition(&name, partition, count))
    }

    /// The position that the next record of a partition will get, or one before it.
    pub(crate) async fn end_of(&self, topic: &Topic, partition: u32) -> Result<Position> {
        let name = self.partition(topic, partition).await?;
        Ok(self.bounds(&name).await?.1)
    }

    /// The oldest position of a topic that is no group of partitions, and its end.
    pub(crate) async fn bounds(&self, name: &str) -> Result<(Position, Position)> {
        let doing = |e| error::of(format!("looking at topic '{name}'"), &e);
        let reader = self
            .client
            .consumer(name)
            .subscription(format!("{}-looks", self.unique()))
            .subscription_type(SubscriptionType::Exclusive)
            .durable(false)
            .initial_position(InitialPosition::Earliest)
            .receiver_queue(0)
            .force_topic_creation(false)
            .subscribe()
            .await
            .map_err(doing)?;
        let told = reader.last_message_id().await;
        drop(reader.close().await);
        let told = told.map_err(doing)?;
        let end = told.last.map_or(Position::START, |last| position_of(&last).next());
        // What the cursor of a new reader stands behind is all that is gone.
        let earliest =
            told.mark_delete.map_or(Position::START, |mark| crate::position::behind((mark.ledger, mark.entry)));
        Ok((earliest.min(end), end))
    }

    /// Makes sure that the broker drops what is written to a partition once more.
    pub(crate) async fn have_deduplication(&self, topic: &str, partition: &str) -> Result<()> {
        if self.deduplicated.lock().contains(partition) {
            return Ok(());
        }
        let (namespace, _) = names::parts(topic).unwrap_or_default();
        let off = |why: &str| {
            let message = format!("the broker does not drop repeats in '{topic}', of the namespace '{namespace}'{why}");
            Error::new(ErrorCode::DeduplicationOff, message)
        };
        if self.admin.deduplicates(topic).await? != Some(true)
            && let Err(error) = self.admin.deduplicate(topic).await
        {
            return Err(off(&format!(", and cannot be told to: {}", error.message)));
        }
        // The policy reaches the topic a moment later.
        let until = Instant::now() + SETTLES;
        let mut wait = Duration::from_millis(20);
        while !self.admin.has_deduplication_cursor(partition).await? {
            if Instant::now() > until {
                return Err(off(" yet, although its policy says so"));
            }
            runtime::pause(wait).await;
            wait = (wait * 2).min(Duration::from_secs(1));
        }
        self.deduplicated.lock().insert(partition.to_owned());
        Ok(())
    }

    /// A function that this process runs.
    pub(crate) fn function(&self, id: FunctionId) -> Result<Arc<Function>> {
        let found = self.functions.lock().get(&id).cloned();
        found.ok_or_else(|| Error::new(ErrorCode::Fenced, format!("function {} is not run by this process", id.0)))
    }

    /// How a function reads here.
    fn inputs(&self, id: FunctionId) -> Option<Arc<Inputs>> {
        let own = self.functions.lock().get(&id).map(|function| function.inputs.clone());
        own.or_else(|| self.abroad.lock().get(&id).cloned())
    }

    /// A function has committed, or has got so far elsewhere.
    pub(crate) fn follow(&self, function: FunctionId, positions: &Positions) {
        let mut rings = self.rings.lock();
        let Some(of) = rings.get_mut(&function) else { return };
        of.retain(|ring| ring.strong_count() > 0);
        for ring in of.iter().filter_map(Weak::upgrade) {
            if let Some(position) = positions.get(&ring.at) {
                ring.commit(*position);
            }
        }
    }

    pub(crate) fn committed(&self, task: TaskId, positions: &Positions) {
        self.follow(task.function, positions);
    }

    fn next_lease(&self) -> u64 {
        self.last_lease.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn next_member(&self) -> u64 {
        self.last_member.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Tells a function that one of its tasks is this process's.
    pub(crate) fn assign(&self, function: &Function, task: TaskId) {
        let Some((_, inputs)) = function.tasks.iter().find(|(of, _)| *of == task) else { return };
        let lease = self.next_lease();
        {
            let mut owners = self.owners.lock();
            let owner = owners.entry(task).or_default();
            (owner.lease, owner.is_assigned) = (lease, true);
        }
        function.listener.assigned(Assignment { task, lease, inputs: inputs.clone() });
    }

    /// Tells a function that one of its tasks is somebody else's.
    pub(crate) fn disown(&self, function: &Function, task: TaskId) {
        let lane = {
            let mut owners = self.owners.lock();
            let owner = owners.entry(task).or_default();
            // Whoever is just taking it over has come too late.
            (owner.lease, owner.is_assigned) = (self.next_lease(), false);
            owner.lane.take()
        };
        self.states.forget(task);
        if let Some(lane) = lane {
            runtime::spawn(async move { lane.stop().await.into_iter().for_each(|(_, done)| fenced(done)) });
        }
        function.listener.lost(task);
    }

    /// Somebody has fenced a task under this generation. It falls to this process again if that is the only one, or the one that the
    /// broker has chosen.
    pub(crate) fn lose(self: &Arc<Self>, task: TaskId, generation: Generation) {
        let is_latest = self
            .owners
            .lock()
            .get(&task)
            .and_then(|owner| owner.lane.as_ref())
            .is_some_and(|lane| lane.generation == generation);
        let Ok(function) = self.function(task.function) else { return };
        if !is_latest {
            return;
        }
        self.disown(&function, task);
        if !self.options.is_shared {
            return self.assign(&function, task);
        }
        let (shared, keeper) = (self.clone(), self.owners.lock().get(&task).and_then(|owner| owner.keeper.clone()));
        let Some(keeper) = keeper else { return };
        runtime::spawn(async move {
            // What the broker has said of the task before is known when it has answered. Two that both took it for theirs would take it
            // from each other again and again.
            if keeper.last_message_id().await.is_ok() && keeper.is_active() {
                shared.hear(&function, task, true);
            }
        });
    }

    /// Makes the namespace of internal topics, if it is not there. Blocks.
    fn have_namespace(&self) -> Result<()> {
        let mut has = self.has_namespace.lock();
        if !*has {
            self.admin.have_namespace(&self.options.internal)?;
            *has = true;
        }
        Ok(())
    }

    /// Makes an internal topic of at least so many partitions. Blocks.
    pub(crate) fn have_topic(&self, topic: &str, partitions: u32) -> Result<()> {
        self.have_namespace()?;
        match runtime::wait(self.count(topic)) {
            Ok(count) if count >= partitions => return Ok(()),
            Ok(_) => self.admin.grow(topic, partitions)?,
            Err(error) if error.code == ErrorCode::TopicNotFound => _ = self.admin.create(topic, partitions)?,
            Err(error) => return Err(error),
        }
        self.forget_count(topic);
        Ok(())
    }

    /// The topic of watermarks.
    fn watermarks(&self) -> String {
        self.options.own("watermarks")
    }

    /// Follows the watermarks of the server's functions, from the first time on that somebody asks. Blocks.
    fn marks(&self) -> Result<Arc<Marks>> {
        let mut marks = self.marks.lock();
        if let Some(marks) = &*marks {
            return Ok(marks.clone());
        }
        self.have_topic(&self.watermarks(), 1)?;
        let made = Arc::new(Marks::follow(&self.client, &names::partition(&self.watermarks(), 0, 1)));
        *marks = Some(made.clone());
        Ok(made)
    }

    /// Writes what a task says of event time.
    pub(crate) async fn say(&self, key: Vec<u8>, value: Vec<u8>) -> Result<()> {
        let failed = |e| error::of("saying a watermark", &e);
        let mut voice = self.voice.lock().await;
        let producer = match voice.take().filter(|producer| producer.ended().is_none()) {
            Some(producer) => producer,
            None => self.client.producer(names::partition(&self.watermarks(), 0, 1)).create().await.map_err(failed)?,
        };
        let said = producer.send(Message::new(value).key(key));
        *voice = Some(producer);
        drop(voice);
        said.await.map(drop).map_err(failed)
    }

    /// Drops entries of a log that are needed no more.
    fn drop_through(&self, task: TaskId, entry: EntryId) {
        let keeper = self.owners.lock().get(&task).and_then(|owner| owner.keeper.clone());
        let Some(keeper) = keeper else { return };
        let id = entry_id(entry);
        runtime::spawn(async move {
            if let Err(failure) = keeper.ack_cumulative(&id).await {
                tracing::debug!(%task, %failure, "a delta log is not cut yet");
            }
        });
    }

    /// What no other subscription of a reader has in its name.
    pub(crate) fn unique(&self) -> String {
        let mut random = [0; 6];
        // Without it names may meet of two processes that begin at the same moment.
        let _ = getrandom::fill(&mut random);
        let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{random}-{}", self.options.server, self.next_member())
    }

    /// What this process is called where people look.
    pub(crate) fn who(&self) -> &str {
        if self.options.process.is_empty() { &self.options.server } else { &self.options.process }
    }
}

impl std::fmt::Debug for Pulsar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pulsar").field("options", &self.shared.options).finish_non_exhaustive()
    }
}
