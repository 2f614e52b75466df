// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! An in-memory broker that behaves like a foreign one: processes come and go, tasks move, commits end in every way.
//!
//! It has no threads and no time: nothing happens until the test says so. State deltas live in a changelog in the broker,
//! apart from any state store, and positions, deltas and outbox of an epoch become visible in one step.
//!
//! ```text
//!   test: append ──► topics ──► Source::poll ──► an engine ──► Committer::commit ──► queue
//!   test: assign, revoke, lose, pause, crash ──► AssignmentListener                    │
//!   test: resolve_next(process, Outcome) ◄─────────────────────────────────────────────┘
//! ```
//!
//! What an engine must never do (commit after giving a task up, skip an epoch, go back in a partition …) is noted in
//! [`MemBroker::violations`].
//!
//! ```
//! use fnstream_core::test_util::mem_broker::{MemBroker, Outcome};
//!
//! let broker = MemBroker::new();
//! broker.create_topic("in", 2);
//! broker.append("in", 0, b"hello");
//! let client = broker.connect(1);
//! // client.join(…), then:
//! assert_eq!(broker.pending_commits(), vec![]);
//! assert_eq!(broker.resolve_next(1, Outcome::Commit), None);
//! # drop(client);
//! ```

mod autopilot;
mod client;
mod clients;
mod commits;
mod driver;
mod groups;
mod manners;
mod processes;
mod producers;
mod source;
mod standing;
mod state_stores;
mod state_topic;
mod tasks;
mod topics;

use std::collections::BTreeSet;
use std::sync::Arc;

use fnstream_frame::RecordRef;
use parking_lot::Mutex;

pub use client::MemClient;
pub use clients::MemGroups;
pub use commits::{Outcome, PendingCommit};
pub use manners::Manners;
pub use standing::MemForks;
pub use topics::StoredRecord;

use crate::delta::Delta;
use crate::epoch::{Epoch, FrozenEpoch, FunctionId, OutboxWatermark, Progress, TaskId};
use crate::error::{Error, ErrorCode, Result};
use crate::record::{Position, TopicPartition, partition_for_key};
use crate::state::Marker;
use crate::test_util::model::Model;
use clients::Clients;
use commits::Ledger;
use groups::Groups;
use manners::Weather;
use processes::Processes;
use source::Sources;
use state_stores::Landings;

/// The broker, and the test's hand on it. Clones are the same broker.
///
/// # Panics
/// The methods panic when the test asks for something that cannot be, such as a topic that is not there.
#[derive(Clone, Default)]
pub struct MemBroker {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ledger: Ledger,
    groups: Groups,
    processes: Processes,
    sources: Sources,
    weather: Weather,
    landings: Landings,
    clients: Clients,
    /// Whether tasks are assigned and commits resolved without a driver.
    autopilot: bool,
    /// Whether commits wait all the same.
    commits_held: bool,
    /// Copies of functions' state that may still be discarded.
    forks: BTreeSet<FunctionId>,
}

impl MemBroker {
    /// An empty broker whose positions have no gaps.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty broker where each transaction, committed or not, leaves a gap in the positions of what it touched.
    pub fn with_gaps() -> Self {
        Self::with(Manners { gaps: true, ..Manners::default() })
    }

    /// The same, for the topics of a cluster.
    #[must_use]
    pub fn of(self, cluster: crate::topic::Cluster) -> Self {
        self.shared.state.lock().ledger.topics.cluster = cluster;
        self
    }

    /// Creates a topic.
    pub fn create_topic(&self, topic: &str, partitions: u32) {
        let created = self.shared.state.lock().ledger.topics.create(&topic.into(), partitions);
        assert!(created, "topic '{topic}' exists");
    }

    /// Appends a value without key at time 0.
    pub fn append(&self, topic: &str, partition: u32, value: &[u8]) -> Position {
        self.append_record(topic, partition, RecordRef::new(value))
    }

    /// Appends a record with a key to the partition that the key chooses.
    pub fn produce(&self, topic: &str, key: &[u8], value: &[u8]) -> Position {
        self.produce_at(topic, key, value, 0)
    }

    /// The same, at a time.
    pub fn produce_at(&self, topic: &str, key: &[u8], value: &[u8], timestamp: i64) -> Position {
        let partitions = expect(self.shared.state.lock().ledger.topics.partitions(&topic.into()));
        let record = RecordRef::new(value).with_key(Some(key)).at(timestamp);
        self.append_record(topic, partition_for_key(key, partitions), record)
    }

    /// Appends a record, in a transaction of its own.
    pub fn append_record(&self, topic: &str, partition: u32, record: RecordRef<'_>) -> Position {
        let at = TopicPartition::new(topic, partition);
        let position = {
            let mut state = self.shared.state.lock();
            let topics = &mut state.ledger.topics;
            let position = expect(topics.get_mut(&at)).append(record);
            expect(topics.end_transaction(&at, 0));
            state.ledger.appended.insert(at);
            position
        };
        self.wake();
        position
    }

    /// Raises the watermark of a topic, as the commit of a task that emitted it does.
    pub fn emit_watermark(&self, task: TaskId, topic: &str, watermark: u64) {
        {
            let mut state = self.shared.state.lock();
            let said = OutboxWatermark { topic: topic.into(), watermark, idle: false };
            let raised = expect(state.ledger.topics.say(task, &said, &[task]));
            state.ledger.appended.extend(raised);
        }
        self.wake();
    }

    /// The committed records of a partition that retention left.
    pub fn read(&self, topic: &str, partition: u32) -> Vec<StoredRecord> {
        let at = TopicPartition::new(topic, partition);
        expect(self.shared.state.lock().ledger.topics.get(&at)).records.clone()
    }

    /// Their values alone.
    pub fn values(&self, topic: &str, partition: u32) -> Vec<Vec<u8>> {
        self.read(topic, partition).into_iter().map(|record| record.bytes().to_vec()).collect()
    }

    /// Drops the records of a partition below a position, as retention does.
    pub fn drop_before(&self, topic: &str, partition: u32, position: Position) {
        let at = TopicPartition::new(topic, partition);
        expect(self.shared.state.lock().ledger.topics.get_mut(&at)).drop_before(position);
    }

    /// Where a task stands.
    pub fn progress(&self, task: TaskId) -> Progress {
        self.shared.state.lock().ledger.tasks.entry(task).or_default().progress.clone()
    }

    /// The deltas in a task's changelog, each with the marker of a store that has it.
    pub fn changelog(&self, task: TaskId) -> Vec<(Marker, Delta)> {
        expect(self.shared.state.lock().ledger.tasks.entry(task).or_default().after(None))
    }

    /// The committed state of a task: what its changelog adds up to.
    pub fn state(&self, task: TaskId) -> Model {
        expect(self.shared.state.lock().ledger.tasks.entry(task).or_default().state())
    }

    /// Compacts every changelog except for the newest delta of each: the rest becomes one delta that makes the same state.
    /// Where there are state topics it is their affair, and this does nothing.
    pub fn compact(&self) {
        let mut state = self.shared.state.lock();
        if state.weather.manners.state_topic {
            return;
        }
        for log in state.ledger.tasks.values_mut() {
            let through = Epoch(log.progress.epoch.0.saturating_sub(1));
            expect(log.compact(through));
        }
    }

    /// Up to which epoch the task's owner said that its store has everything.
    pub fn trimmed(&self, task: TaskId) -> Option<Epoch> {
        self.shared.state.lock().ledger.tasks.entry(task).or_default().trimmed
    }

    /// What was done that no correct engine does.
    pub fn violations(&self) -> Vec<String> {
        self.shared.state.lock().ledger.violations.clone()
    }

    /// Panics when there are any [`MemBroker::violations`].
    pub fn assert_no_violations(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "the engine broke its side of the contract:\n{}", violations.join("\n"));
    }

    /// Wakes who waits for what was appended, without the lock.
    fn wake(&self) {
        let wakers: Vec<_> = {
            let mut state = self.shared.state.lock();
            let appended = std::mem::take(&mut state.ledger.appended);
            let State { ledger, sources, clients, .. } = &*state;
            let waiting = |at| sources.woken(at, &ledger.topics).chain(clients.watchers(at)).collect::<Vec<_>>();
            appended.iter().flat_map(waiting).collect()
        };
        for waker in wakers {
            waker.wake();
        }
    }
}

impl State {
    fn check_alive(&self, process: u32, session: u64) -> Result<()> {
        if self.processes.is_alive(process, session) {
            return Ok(());
        }
        Err(Error::new(ErrorCode::Unavailable, format!("process {process} is dead to the broker")))
    }

    /// Refuses a look-up of a process that does not know the topics yet, or cannot know them.
    fn look_up(&mut self, process: u32, session: u64) -> Result<()> {
        self.check_alive(process, session)?;
        self.weather.check_reachable()?;
        let stale = &mut self.processes.get(process).stale_lookups;
        if *stale > 0 {
            *stale -= 1;
            return Err(Error::new(ErrorCode::Unavailable, "the topics are not known yet"));
        }
        Ok(())
    }

    /// Notes a commit that should not have been handed in.
    fn note_hand_in(&mut self, epoch: &FrozenEpoch) {
        let log = self.ledger.tasks.entry(epoch.task).or_default();
        let what = format!("epoch {} of task {}", epoch.progress.epoch.0, epoch.task);
        match log.leases.get(&epoch.generation) {
            None => self.ledger.violations.push(format!("{what} has a generation that nobody was given")),
            Some(lease) if self.groups.given_up.contains(&(epoch.task, *lease)) => {
                self.ledger.violations.push(format!("{what} was handed in after the task was given up"));
            }
            Some(_) => {}
        }
    }

    fn trim(&mut self, task: TaskId, through: Epoch) {
        let log = self.ledger.tasks.entry(task).or_default();
        if through > log.progress.epoch {
            self.ledger.violations.push(format!("task {task} trims epoch {}, which is not committed", through.0));
        }
        log.trimmed = log.trimmed.max(Some(through));
    }
}

/// The test asked for something that cannot be.
fn expect<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|e| panic!("{e}"))
}
