// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Which tasks fall to this process, where several share them.
//!
//! The processes are members of one group of consumers, which has the server's name. What it divides among them are the partitions of
//! the functions' delta logs: a partition is a task. They read nothing as members. Rebalances are cooperative: a task that stays where
//! it is does not notice.
//!
//! ```text
//!   a function is joined ──► its log is subscribed ──► partitions assigned ──► its listener hears of tasks
//!   revoked: listeners finish ──► given up ──► somebody else's            silence: lost, somebody else's already
//! ```
//!
//! Every transaction proves that its process is a member of the group's present generation ([`Share::proof`]). A process that slept
//! through the loss of its tasks cannot commit: its proof is refused. Whoever takes a task over writes to its log first, and reads up to
//! there; what a predecessor had proved in time is before that, and is decided by then.
//!
//! The members are static (they have names): a process that is started again at once gets its tasks back without anybody waiting. The
//! group looks at nothing else then. What the process had given up just before it died, for the group to give to others, would stay
//! nobody's; so once it is in, it subscribes to the register too, which nobody reads, and the group divides all tasks anew.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use fnstream_core::broker::RevokeDone;
use fnstream_core::clock::{Clock, SystemClock};
use fnstream_core::epoch::TaskId;
use fnstream_core::error::internal;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::{Condvar, Mutex};

use super::{Function, Shared, Sharing};
use crate::error::Failure;
use crate::group_log;
use crate::native::{Interrupt, Member, Partitions, Proof, Told};

/// How long the member is asked for news at once.
const WAIT: Duration = Duration::from_millis(500);
/// A function that is joined again within this time keeps its tasks where they are.
const GRACE: Duration = Duration::from_secs(1);
/// How long a process that ends waits until it has left.
const FAREWELL: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) struct Share {
    inner: Arc<Inner>,
    commands: Sender<Command>,
    interrupt: Interrupt,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Inner {
    group: String,
    member: Member,
    state: Mutex<State>,
    changed: Condvar,
    last_lease: AtomicU64,
}

#[derive(Default)]
struct State {
    /// The partitions of logs that are this process's.
    held: HashSet<(String, u32)>,
    /// Counts what the group has said.
    version: u64,
}

enum Command {
    /// A function whose log this is has joined.
    Want(String),
    /// It has left.
    Leave(String),
    /// A revoked task was given up.
    Done(TaskId),
    End,
}

impl Share {
    /// Joins the group, for no function yet.
    pub(super) fn join(shared: &Arc<Shared>, sharing: &Sharing) -> Result<Share> {
        let options = &shared.options;
        let group = format!("{}{}", options.namespace, options.server);
        let mut config = options.properties.asking(&group);
        let session = sharing.session_timeout.as_millis();
        config.set("session.timeout.ms", session.to_string());
        config.set("heartbeat.interval.ms", (session / 10).clamp(100, 1_000).to_string());
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config.set("group.instance.id", &options.process);
        config.set("enable.auto.offset.store", "false");
        // A log that has grown is seen soon.
        config.set("topic.metadata.refresh.interval.ms", "5000");
        let health = shared.health.clone();
        let member = Member::new(&config, move |failure| {
            if failure.code == rdkafka::types::RDKafkaErrorCode::FencedInstanceId {
                tracing::error!(
                    "another process of the server group has the name of this one: was its data folder copied? Its tasks are lost"
                );
            }
            health.note(&failure);
        })?;
        let interrupt = member.interrupt();
        let inner = Arc::new(Inner {
            group,
            member,
            state: Mutex::default(),
            changed: Condvar::new(),
            last_lease: AtomicU64::new(first_lease()),
        });
        let (commands, received) = unbounded();
        let thread = Thread {
            inner: inner.clone(),
            shared: Arc::downgrade(shared),
            commands: received,
            again: commands.clone(),
            interrupt: interrupt.clone(),
            register: group_log::topic(options, "functions"),
            wanted: BTreeSet::new(),
            is_in: false,
            leaving: HashMap::new(),
            revoking: None,
            ending: None,
        };
        let spawned = thread::Builder::new().name("kafka-member".into()).spawn(move || thread.run());
        let thread = spawned.map_err(|e| internal(format!("no thread for a group of Kafka: {e}")))?;
        Ok(Share { inner, commands, interrupt, thread: Mutex::new(Some(thread)) })
    }

    /// Has tasks of the function whose log this is fall to this process, too.
    pub(super) fn want(&self, log: &str) {
        self.tell(Command::Want(log.to_owned()));
    }

    /// Gives up all tasks of a function.
    pub(super) fn leave(&self, log: &str) {
        self.tell(Command::Leave(log.to_owned()));
    }

    /// What proves that this process is a member at this moment, and the number of what was heard of the group by then. Whoever commits
    /// asks for it first, and then looks whether the tasks are this process's.
    pub(crate) fn proof(&self) -> Result<(Proof, u64)> {
        let version = self.inner.state.lock().version;
        let none = || Error::new(ErrorCode::Unavailable, "this process is not a member of its server group");
        Ok((self.inner.member.proof().ok_or_else(none)?, version))
    }

    /// A proof did not hold: waits until the group has said something since then, for a while at most.
    pub(crate) fn await_news(&self, since: u64) {
        let mut state = self.inner.state.lock();
        if state.version == since {
            self.inner.changed.wait_for(&mut state, WAIT);
        }
    }

    /// Whether a partition of a log is this process's.
    pub(crate) fn holds(&self, log: &str, partition: u32) -> bool {
        self.inner.state.lock().held.contains(&(log.to_owned(), partition))
    }

    /// The number of the next assignment.
    pub(crate) fn next_lease(&self) -> u64 {
        self.inner.next_lease()
    }

    /// Leaves the group.
    pub(super) fn end(&self) {
        self.tell(Command::End);
        let thread = self.thread.lock().take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id()) {
            // It has panicked: that was told.
            drop(thread.join());
        }
    }

    fn tell(&self, command: Command) {
        // A thread that has ended has left the group.
        drop(self.commands.send(command));
        self.interrupt.interrupt();
    }
}

impl Inner {
    fn next_lease(&self) -> u64 {
        self.last_lease.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn news(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        state.version += 1;
        self.changed.notify_all();
    }
}

struct Thread {
    inner: Arc<Inner>,
    shared: Weak<Shared>,
    commands: Receiver<Command>,
    again: Sender<Command>,
    interrupt: Interrupt,
    /// A topic whose subscription changes what the group knows of this process, and nothing else.
    register: String,
    /// The logs that are subscribed.
    wanted: BTreeSet<String>,
    /// Whether the group has said something since this process has joined it.
    is_in: bool,
    /// Those of functions that have left, and until when they may come again.
    leaving: HashMap<String, Instant>,
    revoking: Option<Revoking>,
    /// Until when it waits for its end.
    ending: Option<Instant>,
}

/// Partitions that are to be given up, and the tasks that have not finished yet.
struct Revoking {
    partitions: Partitions,
    left: HashSet<TaskId>,
}

impl Thread {
    fn run(mut self) {
        let mut is_changed = false;
        loop {
            while let Ok(command) = self.commands.try_recv() {
                is_changed |= self.obey(command);
            }
            let now = Instant::now();
            let over: Vec<_> = self.leaving.extract_if(|_, until| *until <= now).map(|(log, _)| log).collect();
            for log in over {
                is_changed |= self.wanted.remove(&log);
            }
            if std::mem::take(&mut is_changed)
                && let Err(failure) = self.subscribe()
            {
                tracing::error!(
                    group = self.inner.group,
                    error = failure.text,
                    "the group of processes was not told what is wanted"
                );
            }
            let next = self.leaving.values().min().map_or(WAIT, |until| until.saturating_duration_since(now).min(WAIT));
            if let Some(told) = self.inner.member.poll(next) {
                let was_in = self.is_in;
                self.hear(told);
                is_changed = self.is_in != was_in;
            }
            let is_out = self.revoking.is_none() && self.inner.state.lock().held.is_empty();
            match self.ending {
                // Leaving takes another turn of the client.
                Some(_) if is_out => {
                    self.inner.member.poll(Duration::from_millis(100));
                    return;
                }
                Some(until) if Instant::now() > until => return,
                None if self.shared.strong_count() == 0 => return,
                _ => {}
            }
        }
    }

    fn subscribe(&mut self) -> Result<(), Failure> {
        self.is_in &= !self.wanted.is_empty();
        self.inner.member.subscribe(self.wanted.iter().chain(self.is_in.then_some(&self.register)))
    }

    /// Says whether something else is wanted now.
    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Want(log) => {
                self.leaving.remove(&log);
                let held: Vec<_> = {
                    let state = self.inner.state.lock();
                    state.held.iter().filter(|(of, _)| *of == log).cloned().collect()
                };
                let revoking: HashSet<_> =
                    self.revoking.iter().flat_map(|revoking| revoking.partitions.iter().cloned()).collect();
                // It has come again before its tasks went elsewhere.
                held.iter().filter(|at| !revoking.contains(at)).for_each(|at| self.assign(at));
                self.wanted.insert(log)
            }
            Command::Leave(log) => {
                self.leaving.insert(log, Instant::now() + GRACE);
                false
            }
            Command::Done(task) => {
                if let Some(revoking) = &mut self.revoking {
                    revoking.left.remove(&task);
                }
                self.give_up_revoked();
                false
            }
            Command::End => {
                self.ending = Some(Instant::now() + FAREWELL);
                self.wanted.clear();
                self.leaving.clear();
                true
            }
        }
    }

    fn hear(&mut self, told: Told) {
        tracing::debug!(group = self.inner.group, ?told, "the group of processes");
        if let Some(shared) = self.shared.upgrade() {
            shared.meter.rebalanced();
        }
        match told {
            Told::Assigned(partitions) => {
                let taken = self.inner.member.take(&partitions);
                self.inner.news(|state| state.held.extend(partitions.iter().cloned()));
                if let Err(failure) = taken {
                    tracing::error!(group = self.inner.group, error = failure.text, "tasks were not taken");
                }
                tracing::info!(group = self.inner.group, tasks = ?self.named(&partitions), "tasks fall to this process");
                partitions.iter().for_each(|at| self.assign(at));
                self.is_in = true;
            }
            Told::Revoked(partitions) => {
                tracing::info!(group = self.inner.group, tasks = ?self.named(&partitions), "tasks are given up");
                let mut revoking = Revoking { left: HashSet::new(), partitions };
                let mut calls = Vec::new();
                for at in &revoking.partitions {
                    if let Some((function, task)) = self.task_of(at) {
                        revoking.left.insert(task);
                        calls.push((function, task));
                    }
                }
                self.revoking = Some(revoking);
                for (function, task) in calls {
                    let (again, interrupt) = (self.again.clone(), self.interrupt.clone());
                    let done = RevokeDone::new(move || {
                        // The receiver is this thread's own.
                        drop(again.send(Command::Done(task)));
                        interrupt.interrupt();
                    });
                    function.listener.revoked(task, done);
                }
                self.give_up_revoked();
            }
            Told::Lost(partitions) => {
                tracing::warn!(
                    group = self.inner.group, tasks = ?self.named(&partitions),
                    "this process was taken for dead: its tasks are lost"
                );
                self.revoking = None;
                for at in &partitions {
                    if let Some((function, task)) = self.task_of(at) {
                        self.disown(task);
                        function.listener.lost(task);
                    }
                }
                self.give_up(&partitions);
            }
        }
    }

    /// Gives up what was revoked, once all tasks have finished.
    fn give_up_revoked(&mut self) {
        let Some(revoking) = self.revoking.take_if(|revoking| revoking.left.is_empty()) else { return };
        for at in &revoking.partitions {
            if let Some((_, task)) = self.task_of(at) {
                self.disown(task);
            }
        }
        self.give_up(&revoking.partitions);
    }

    fn give_up(&self, partitions: &Partitions) {
        // Before the group may give them to others.
        self.inner.news(|state| partitions.iter().for_each(|at| _ = state.held.remove(at)));
        if let Err(failure) = self.inner.member.give_up(partitions) {
            tracing::debug!(group = self.inner.group, error = failure.text, "tasks were not given up");
        }
    }

    /// The tasks among them, for the log.
    fn named(&self, partitions: &Partitions) -> Vec<String> {
        let tasks = partitions.iter().filter(|(log, _)| *log != self.register);
        tasks.map(|(log, partition)| format!("{log}-{partition}")).collect()
    }

    fn disown(&self, task: TaskId) {
        if let Some(shared) = self.shared.upgrade() {
            shared.disown(task);
        }
    }

    fn assign(&self, at: &(String, u32)) {
        let (Some(shared), Some((function, task))) = (self.shared.upgrade(), self.task_of(at)) else { return };
        shared.assign(&function, self.inner.next_lease(), |of| of == task);
    }

    /// The task that a partition of a log is, and its function, if that has joined.
    fn task_of(&self, (log, partition): &(String, u32)) -> Option<(Arc<Function>, TaskId)> {
        let shared = self.shared.upgrade()?;
        let function = shared.functions.lock().values().find(|function| function.log == *log).cloned()?;
        let task = function.tasks.iter().map(|(task, _)| *task).find(|task| task.index == *partition)?;
        Some((function, task))
    }
}

/// Higher than those of a process that was here before.
fn first_lease() -> u64 {
    u64::try_from(SystemClock::new().unix_ms()).unwrap_or_default() << 10
}
