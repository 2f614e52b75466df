// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A function that runs here: its tasks, as the broker assigns and revokes them.

mod permits;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};

use fnstream_core::broker::{Assignment, AssignmentListener, Membership, RevokeDone};
use fnstream_core::epoch::TaskId;
use fnstream_core::record::Position;
use fnstream_core::runtime::Program;
use fnstream_core::spec::{FunctionEntry, FunctionSpec, InputSelector};
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result, panics};
use parking_lot::Mutex;

pub(crate) use self::permits::Permits;
use crate::dead_letters::{DeadLetterAction, DeadLetterOrder, DeadLettersDone, DeadLettersOrdered, Tally};
use crate::requests::Asked;
use crate::scheduler::Job;
use crate::shared::{Backend, EngineCore};
use crate::status::Stopped;
use crate::status::{FunctionState, FunctionStatus, TaskState, TaskStatus};
use crate::task::{End, Probe, ShortestStart, TaskEnv, TaskHandle};

/// Called when a function has stopped.
pub type StopDone = Box<dyn FnOnce(Stopped) + Send>;

/// A function that runs here.
pub(crate) struct Function {
    /// Everything that its tasks reach.
    env: Arc<TaskEnv>,
    permits: Arc<Permits>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The present owner of each index.
    tasks: BTreeMap<u32, Arc<TaskHandle>>,
    /// Tasks that have not ended, those included that were replaced by a newer owner.
    live: usize,
    stopping: Option<End>,
    when_stopped: Vec<StopDone>,
    /// Answers that tasks which have ended did not wait for.
    unanswered: Vec<Probe>,
    membership: Option<Box<dyn Membership>>,
}

impl Function {
    pub(crate) fn new(
        core: Arc<EngineCore>,
        entry: FunctionEntry,
        program: Arc<dyn Program>,
        backend: Backend,
    ) -> Arc<Self> {
        // Groups that run in parallel have as many tasks each.
        let parallel = match entry.spec.selector {
            InputSelector::GroupParallel => entry.spec.inputs.len() as u32,
            _ => 1,
        };
        let permits = Arc::new(Permits::new(entry.spec.replicas.saturating_mul(parallel)));
        let meter = core.meters.of(&entry.spec.name);
        let (shortest_start, watcher) = (ShortestStart::default(), OnceLock::new());
        let env = Arc::new(TaskEnv { entry, program, backend, meter, core, shortest_start, watcher });
        Arc::new(Function { env, permits, inner: Mutex::default() })
    }

    pub(crate) fn listener(self: &Arc<Self>) -> Arc<dyn AssignmentListener> {
        Arc::new(Listener(Arc::downgrade(self)))
    }

    /// Keeps the membership of the group until the function has stopped.
    pub(crate) fn joined(&self, membership: Box<dyn Membership>) {
        let mut inner = self.inner.lock();
        if inner.stopping.is_none() || inner.live > 0 {
            inner.membership = Some(membership);
        }
    }

    /// Ends all tasks and calls `done` when that is so.
    pub(crate) fn stop(&self, end: End, done: StopDone) {
        let tasks: Vec<_> = {
            let mut inner = self.inner.lock();
            inner.stopping = inner.stopping.max(Some(end));
            inner.when_stopped.push(done);
            inner.tasks.values().cloned().collect()
        };
        for task in tasks {
            task.end(end);
        }
        self.finish_if_stopped();
    }

    /// The indexes of the tasks that run here.
    pub(crate) fn task_indexes(&self) -> Vec<u32> {
        self.inner.lock().tasks.keys().copied().collect()
    }

    /// Asks the instance of a task something.
    pub(crate) fn ask(&self, index: u32, asked: Asked) {
        let task = self.inner.lock().tasks.get(&index).cloned();
        if let Some(task) = task {
            task.ask(asked);
        }
    }

    /// Gives each task its part of an order about dead letters; `until` names the end of each partition of them.
    pub(crate) fn order_dead_letters(
        &self,
        action: &DeadLetterAction,
        until: &BTreeMap<u32, Position>,
        done: DeadLettersDone,
    ) -> Result<DeadLettersOrdered> {
        let topic = self.env.entry.spec.dead_letter_topic().ok_or_else(|| {
            Error::new(
                ErrorCode::NoDeadLetters,
                format!("function '{}' keeps no dead letters", self.env.entry.spec.name),
            )
        })?;
        let partitions = self.env.backend.broker.partitions(&topic)?;
        let tasks: Vec<_> = self.inner.lock().tasks.iter().map(|(index, task)| (*index, task.clone())).collect();
        let parts: Vec<_> = tasks
            .iter()
            .filter_map(|(i, task)| Some((task, *until.get(&FunctionSpec::dead_letter_partition(*i, partitions))?)))
            .collect();
        if parts.is_empty() {
            let why = format!("no task of function '{}' runs that has dead letters", self.env.entry.spec.name);
            return Err(Error::new(ErrorCode::FunctionStopped, why));
        }
        let tally = Tally::new(parts.len() as u32, done);
        let wakers = parts.iter().map(|(task, _)| task.waker()).collect();
        let ordered = DeadLettersOrdered::new(&tally, wakers);
        for (task, until) in parts {
            task.order(DeadLetterOrder { action: action.clone(), until, tally: tally.clone() });
        }
        Ok(ordered)
    }

    /// A task has ended.
    fn task_ended(&self, job: &Arc<Job>, last: Option<Probe>) {
        {
            let mut inner = self.inner.lock();
            inner.live -= 1;
            inner.unanswered.extend(last);
            inner.unanswered.retain(|probe| !probe.is_answered());
            inner.tasks.retain(|_, task| !Arc::ptr_eq(&task.job, job));
        }
        self.finish_if_stopped();
    }

    /// Has the waker called after each step of a task; the first one counts.
    pub(crate) fn watch(&self, waker: Waker) {
        // There is one who watches, or none.
        let _ = self.env.watcher.set(waker.clone());
        waker.wake();
    }

    pub(crate) fn status(&self) -> FunctionStatus {
        let inner = self.inner.lock();
        let mut tasks: Vec<TaskStatus> = inner.tasks.values().map(|task| task.view.lock().status()).collect();
        for task in &mut tasks {
            let of_commits = || self.env.backend.committer.trouble(TaskId::new(self.env.entry.id, task.index));
            task.trouble = task.trouble.take().or_else(of_commits);
        }
        let reads_nothing = self.env.entry.spec.inputs.iter().all(Vec::is_empty);
        let state = overall(inner.stopping.is_some(), reads_nothing, &tasks);
        FunctionStatus { state, kind: self.env.program.kind(), tasks }
    }

    fn finish_if_stopped(&self) {
        let (membership, done, stopped) = {
            let mut inner = self.inner.lock();
            if inner.stopping.is_none() || inner.live > 0 {
                return;
            }
            inner.unanswered.retain(|probe| !probe.is_answered());
            let stopped = Stopped { unanswered: inner.unanswered.len() as u32 };
            (inner.membership.take(), std::mem::take(&mut inner.when_stopped), stopped)
        };
        // One of them that panics must not cost the others their word.
        let told = panics::catch(|| drop(membership)).err().into_iter();
        let told = told.chain(done.into_iter().filter_map(|done| panics::catch(|| done(stopped)).err()));
        for panicked in told {
            let (function, message) = (&self.env.entry.spec.name, panicked.to_error().message);
            tracing::error!(function, code = %ErrorCode::Panicked, "telling that a function has stopped {message}");
        }
    }

    fn assigned(self: &Arc<Self>, assignment: Assignment) {
        let index = assignment.task.index;
        let (replaced, task) = {
            let mut inner = self.inner.lock();
            if inner.stopping.is_some() {
                return;
            }
            let function = Arc::downgrade(self);
            let ended = Box::new(move |job: &Arc<Job>, last: Option<Probe>| {
                if let Some(function) = function.upgrade() {
                    function.task_ended(job, last);
                }
            });
            let task = TaskHandle::spawn(&self.env, &self.permits, assignment, ended);
            inner.live += 1;
            (inner.tasks.insert(index, task.clone()), task)
        };
        if let Some(replaced) = replaced {
            // Its assignment is gone, whether we were told or not.
            replaced.end(End::Abort);
        }
        task.job.wake();
    }

    fn task(&self, task: TaskId) -> Option<Arc<TaskHandle>> {
        self.inner.lock().tasks.get(&task.index).cloned()
    }
}

/// The broker's view of a function; it does not keep the function alive.
struct Listener(Weak<Function>);

impl AssignmentListener for Listener {
    fn assigned(&self, assignment: Assignment) {
        if let Some(function) = self.0.upgrade() {
            function.assigned(assignment);
        }
    }

    fn revoked(&self, task: TaskId, done: RevokeDone) {
        // Dropping `done` says that the task is not run here.
        if let Some(task) = self.0.upgrade().and_then(|function| function.task(task)) {
            task.revoke(done);
        }
    }

    fn lost(&self, task: TaskId) {
        if let Some(task) = self.0.upgrade().and_then(|function| function.task(task)) {
            task.end(End::Abort);
        }
    }
}

/// The state of the whole: the worst of its tasks. One that has no inputs at present has no tasks, and runs as far as it can.
fn overall(stopping: bool, reads_nothing: bool, tasks: &[TaskStatus]) -> FunctionState {
    let any = |state| tasks.iter().any(|task| task.state == state);
    if stopping {
        FunctionState::Stopping
    } else if any(TaskState::Failed) {
        FunctionState::Failed
    } else if any(TaskState::BackingOff) {
        FunctionState::BackingOff
    } else if any(TaskState::Running) || (reads_nothing && tasks.is_empty()) {
        FunctionState::Running
    } else {
        FunctionState::Starting
    }
}
