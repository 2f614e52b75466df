// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Starting, stopping and seeing functions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fnstream_core::broker::Subscription;
use fnstream_core::epoch::FunctionId;
use fnstream_core::error::{Error, ErrorCode, Result};
use fnstream_core::record::Position;
use fnstream_core::runtime::Program;
use fnstream_core::spec::{FunctionEntry, FunctionSpec};
use fnstream_core::waker::Waker;
use parking_lot::{Condvar, Mutex};

use crate::checking::check;
use crate::config::EngineConfig;
use crate::dead_letters::{DeadLetterAction, DeadLettersDone, DeadLettersOrdered};
use crate::function::{Function, StopDone};
use crate::metrics::Meters;
use crate::requests::{Asked, Request, RequestDone};
use crate::scheduler::Scheduler;
use crate::shared::{Backend, EngineCore, EngineDeps};
use crate::status::{FunctionStatus, Stopped};
use crate::task::End;
use crate::task::trigger::{Trigger, Triggered, trigger};
use crate::workers::Workers;

/// The time that a shutdown waits for tasks that must end at once.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

/// The way in which a function is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Its instances are closed and what they have done is committed.
    Drain,
    /// At once; what is not committed is done again when it is started.
    Abort,
}

/// The rest of a function that was abandoned.
pub struct Abandoned {
    _function: Option<Arc<Function>>,
}

/// Runs functions. Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    core: Arc<EngineCore>,
    functions: Arc<Mutex<HashMap<FunctionId, Arc<Function>>>>,
    workers: Option<Arc<Workers>>,
}

impl Engine {
    /// Starts an engine with threads of its own.
    pub fn start(config: EngineConfig, deps: EngineDeps) -> Result<Self> {
        let core = EngineCore::new(config, deps);
        let workers = Workers::start(core.scheduler.clone(), core.config.workers)?;
        Ok(Engine { core, functions: Arc::default(), workers: Some(Arc::new(workers)) })
    }

    /// An engine without threads, driven step by step: for tests in virtual time.
    pub fn manual(config: EngineConfig, deps: EngineDeps) -> (Self, ManualDriver) {
        let core = EngineCore::new(config, deps);
        let driver = ManualDriver { scheduler: core.scheduler.clone() };
        (Engine { core, functions: Arc::default(), workers: None }, driver)
    }

    /// Runs a function on a backend: joins its group there; its tasks come up by themselves as they are assigned.
    pub fn start_function(&self, entry: &FunctionEntry, program: Arc<dyn Program>, backend: Backend) -> Result<()> {
        let broker = backend.broker.clone();
        let function = Function::new(self.core.clone(), entry.clone(), program, backend);
        {
            let mut functions = self.functions.lock();
            if functions.contains_key(&entry.id) {
                return Err(Error::new(ErrorCode::Internal, format!("function '{}' runs already", entry.spec.name)));
            }
            functions.insert(entry.id, function.clone());
        }
        let subscription = Subscription::new(entry.id, &entry.spec);
        let joined = broker.join(subscription, function.listener());
        match joined {
            Ok(membership) => {
                function.joined(membership);
                Ok(())
            }
            Err(error) => {
                function.stop(End::Abort, Box::new(|_| ()));
                self.functions.lock().remove(&entry.id);
                Err(error)
            }
        }
    }

    /// Stops a function; `done` is called when none of its tasks runs any more, at once when none does.
    ///
    /// An abort does not wait for commits that are under way. [`Stopped`] says whether there are any: whoever goes on to read
    /// what the tasks have committed must then fence them first.
    pub fn stop_function(&self, id: FunctionId, mode: StopMode, done: StopDone) {
        let function = self.functions.lock().get(&id).cloned();
        let Some(function) = function else { return done(Stopped::default()) };
        let functions = Arc::downgrade(&self.functions);
        let ended = Arc::downgrade(&function);
        let end = match mode {
            StopMode::Drain => End::Drain,
            StopMode::Abort => End::Abort,
        };
        function.stop(
            end,
            Box::new(move |stopped| {
                if let Some(functions) = functions.upgrade() {
                    let mut functions = functions.lock();
                    // Not another one that was started under the same id meanwhile.
                    if functions.get(&id).is_some_and(|f| Arc::downgrade(f).ptr_eq(&ended)) {
                        functions.remove(&id);
                    }
                }
                done(stopped);
            }),
        );
    }

    /// Knows nothing of a function any more, whose tasks do not end: they wait for something that nobody can interrupt. Another one
    /// may be started under its id; whoever takes its tasks over fences them. What is answered is what is left of it: letting go
    /// of that may wait too.
    pub fn abandon(&self, id: FunctionId) -> Abandoned {
        Abandoned { _function: self.functions.lock().remove(&id) }
    }

    /// Wakes once, as soon as it is known of all tasks that were assigned how they fare: an instance has started, something has
    /// failed, or they restore their state.
    pub fn when_up(&self, waker: Waker) {
        self.core.coming_up.when_none(waker);
    }

    /// Wakes whenever a task of any function has started its first instance, has failed or has ended. The waker must not ask the
    /// engine anything.
    pub fn watch(&self, waker: Waker) {
        self.core.coming_up.watch(waker);
    }

    /// Has the waker called now and after each step of the function's tasks, when [`Engine::status`] may tell something new. A
    /// function has one who watches: the first.
    pub fn watch_function(&self, id: FunctionId, waker: Waker) {
        let function = self.functions.lock().get(&id).cloned();
        if let Some(function) = function {
            function.watch(waker);
        }
    }

    /// The state of a function that runs here.
    pub fn status(&self, id: FunctionId) -> Option<FunctionStatus> {
        let function = self.functions.lock().get(&id).cloned();
        function.map(|function| function.status())
    }

    /// Has the tasks of a function do something with its dead letters, up to `until`: one position per partition of their topic.
    /// `done` is called when none of them does anything for it any more; it may be soon, when they are stopped.
    pub fn dead_letters(
        &self,
        id: FunctionId,
        action: &DeadLetterAction,
        until: &BTreeMap<u32, Position>,
        done: DeadLettersDone,
    ) -> Result<DeadLettersOrdered> {
        let function = self.functions.lock().get(&id).cloned();
        let function = function.ok_or_else(|| Error::new(ErrorCode::FunctionStopped, "the function is not running"))?;
        function.order_dead_letters(action, until, done)
    }

    /// The indexes of a function's tasks that run here; none when it does not run.
    pub fn tasks(&self, id: FunctionId) -> Vec<u32> {
        let function = self.functions.lock().get(&id).cloned();
        function.map(|function| function.task_indexes()).unwrap_or_default()
    }

    /// Asks the instance of a task something, between two batches. `done` is called when it has answered, failed, or does not
    /// run any more; while the task waits after a failure, the request waits too. One that the task has not begun after `most` is
    /// answered with an error when its turn comes, and not carried out.
    pub fn request(&self, id: FunctionId, task: u32, request: Request, most: Duration, done: RequestDone) {
        // Dropping it answers.
        let asked = Asked::new(request, self.core.deps.clock.now().saturating_add(most), done);
        let function = self.functions.lock().get(&id).cloned();
        if let Some(function) = function {
            function.ask(task, asked);
        }
    }

    /// Gives a function an event aside, and tells what it would do; nothing is kept. Blocks while it is called.
    pub fn trigger(&self, given: Trigger<'_>) -> Result<Triggered> {
        trigger(&self.core.config, given)
    }

    /// Has a program find what is wrong with it, with what instances of the function would be given. Blocks meanwhile.
    pub fn check(&self, spec: &FunctionSpec, program: &dyn Program) -> Result<()> {
        check(&self.core.config.guests, spec, program)
    }

    /// The counters of each function. A function gets its meter when it is first started; who deletes the function
    /// removes it.
    pub fn meters(&self) -> &Meters {
        &self.core.meters
    }

    /// Bytes of committed state, of all tasks together, that the state stores do not have yet.
    pub fn unapplied_bytes(&self) -> usize {
        self.core.dirty.bytes()
    }

    /// The most bytes that the instances of all functions may hold together.
    pub fn memory_of_all(&self) -> usize {
        self.core.config.guests.limit()
    }

    /// Stops all functions orderly, those that take longer than `timeout` at once, then the threads.
    pub fn shutdown(&self, timeout: Duration) {
        if !self.stop_all(StopMode::Drain, timeout) {
            tracing::warn!(
                ?timeout,
                "functions did not finish in time, what they have not committed is done again at the next start"
            );
            if !self.stop_all(StopMode::Abort, ABORT_TIMEOUT) {
                // Calls of user code are interrupted, so these wait for something else, such as a disk that does not answer.
                tracing::warn!("functions have not ended, the process ends without waiting for them");
                self.core.scheduler.close();
                return;
            }
        }
        if let Some(workers) = &self.workers
            && !workers.stop(timeout)
        {
            tracing::warn!("threads of abandoned functions have not ended, the process ends without waiting for them");
        }
    }

    /// Reports whether all functions stopped within the time.
    fn stop_all(&self, mode: StopMode, timeout: Duration) -> bool {
        let ids: Vec<_> = self.functions.lock().keys().copied().collect();
        let left = Arc::new((Mutex::new(ids.len()), Condvar::new()));
        for id in ids {
            let left = left.clone();
            self.stop_function(
                id,
                mode,
                Box::new(move |_| {
                    *left.0.lock() -= 1;
                    left.1.notify_all();
                }),
            );
        }
        let until = Instant::now() + timeout;
        let mut count = left.0.lock();
        while *count > 0 {
            if left.1.wait_until(&mut count, until).timed_out() {
                return *count == 0;
            }
        }
        true
    }
}

/// Drives an engine without threads. The order in which ready jobs run is the caller's to choose.
pub struct ManualDriver {
    scheduler: Arc<Scheduler>,
}

impl ManualDriver {
    /// The number of jobs that are ready now.
    pub fn ready(&self) -> usize {
        self.scheduler.ready_jobs()
    }

    /// Runs one step of the ready job at `index`; false when there is none.
    pub fn run(&self, index: usize) -> bool {
        self.scheduler.run_one(index)
    }

    /// When, on the engine's clock, something becomes ready by the passing of time alone.
    pub fn next_alarm(&self) -> Option<Duration> {
        self.scheduler.next_alarm()
    }
}
