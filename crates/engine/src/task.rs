// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A task: the unit of order, state and commit.
//!
//! ```text
//!  mail (stop, revoke, lost) ─┐            ┌─► source.poll ─► instance.process ─► overlay + outbox
//!  wake-ups ──────────────────┴─► step ────┼─► instance.take_checkpoint, freeze ─► committer.commit ─┐
//!       ▲                                  └─► dirty map ─► bulk apply                               │
//!       └──────────────────────────── answered ◄────────────────────────────────────────────────────┘
//! ```
//!
//! Any failure drops the overlay, the outbox and the instance, and opens the task again from its last commit. Nobody but
//! the committer has seen anything of the open epoch, so nothing has to be undone.

mod decide;
mod event_time;
mod host;
mod hunt;
mod letters;
mod open;
mod outbox;
mod quota;
mod running;
mod timers;
mod trial;
mod turns;
mod view;

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use fnstream_core::broker::{Assignment, RevokeDone};
use fnstream_core::runtime::CallFailure;
use fnstream_core::waker::Waker;
use parking_lot::Mutex;

use self::decide::{Recovery, after_open_failure, backoff};
use self::hunt::Hunt;
use self::open::Opened;
use self::running::{Cx, Running, Turn, Unanswered};
pub(crate) use self::view::View;
use crate::function::Function;
use crate::letters::LetterOrder;
use crate::requests::Asked;
use crate::scheduler::{Job, Next, Runnable};
use crate::status::{TaskError, TaskState};

/// How a task is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// Close the instance, commit what is open, then end.
    Drain,
    /// End at once, commit nothing more.
    Abort,
}

/// What others want of a task. Read at the beginning of each step.
#[derive(Default)]
struct Mail {
    end: Option<End>,
    /// Told by being dropped, when the task has ended.
    revoked: Vec<RevokeDone>,
    /// What is to be done with dead letters, one after the other.
    orders: VecDeque<LetterOrder>,
    /// What users ask of the instance.
    requests: VecDeque<Asked>,
}

/// A task as others see it.
pub(crate) struct TaskHandle {
    pub(crate) job: Arc<Job>,
    mail: Arc<Mutex<Mail>>,
    pub(crate) view: Arc<Mutex<View>>,
}

impl TaskHandle {
    /// Makes a task; it begins when its job is first woken.
    pub(crate) fn spawn(function: &Arc<Function>, assignment: Assignment) -> Arc<Self> {
        let mail = Arc::new(Mutex::new(Mail::default()));
        let view = Arc::new(Mutex::new(View::new(&assignment)));
        let job = function.engine.scheduler.job(|job| Task {
            function: Arc::downgrade(function),
            job: job.clone(),
            mail: mail.clone(),
            machine: Mutex::new(Machine::new(assignment, waker_of(job), view.clone())),
        });
        Arc::new(TaskHandle { job, mail, view })
    }

    /// Asks the task to end; of two wishes the harder one counts.
    pub(crate) fn end(&self, end: End) {
        {
            let mut mail = self.mail.lock();
            mail.end = mail.end.max(Some(end));
        }
        self.job.wake();
    }

    /// Asks the task to do something with its dead letters.
    pub(crate) fn order(&self, order: LetterOrder) {
        self.mail.lock().orders.push_back(order);
        self.job.wake();
    }

    /// Asks the task's instance something.
    pub(crate) fn ask(&self, asked: Asked) {
        self.mail.lock().requests.push_back(asked);
        self.job.wake();
    }

    /// Asks the task to end orderly and to say when it has.
    pub(crate) fn revoke(&self, done: RevokeDone) {
        self.mail.lock().revoked.push(done);
        self.end(End::Drain);
    }
}

fn waker_of(job: &Weak<Job>) -> Waker {
    let job = job.clone();
    Waker::new(move || {
        if let Some(job) = job.upgrade() {
            job.wake();
        }
    })
}

struct Task {
    function: Weak<Function>,
    job: Weak<Job>,
    mail: Arc<Mutex<Mail>>,
    machine: Mutex<Machine>,
}

impl Runnable for Task {
    fn step(&self) -> Next {
        let (Some(function), Some(job)) = (self.function.upgrade(), self.job.upgrade()) else { return Next::Done };
        // At most `replicas` tasks of a function run at once; the others are woken as these let go.
        if !function.permits.try_take(&job) {
            return Next::Wait(None);
        }
        let mut machine = self.machine.lock();
        let end = {
            let mut mail = self.mail.lock();
            if machine.order.is_none() {
                machine.order = mail.orders.pop_front();
            }
            machine.requests.append(&mut mail.requests);
            mail.end
        };
        let next = machine.step(&function, end);
        drop(machine);
        function.permits.give_back();
        if next == Next::Done {
            function.task_ended(&job);
            // Only now may the broker give the task to another. Nobody does anything for the orders any more.
            let left = std::mem::take(&mut *self.mail.lock());
            drop(left);
        }
        next
    }
}

enum Phase {
    Opening,
    Running(Box<Running>),
    BackingOff { until: Duration },
    Failed,
    Ended,
}

/// The states of [`TaskState`] with what each of them holds.
pub(crate) struct Machine {
    assignment: Assignment,
    waker: Waker,
    view: Arc<Mutex<View>>,
    phase: Phase,
    /// Failures since the last commit.
    failures: u32,
    hunt: Hunt,
    /// What is being done with dead letters.
    order: Option<LetterOrder>,
    requests: VecDeque<Asked>,
    /// What was in flight when the task failed. It is waited for before the task is opened again or given up: it may
    /// still be committed, and then need not be done again.
    unanswered: Option<Unanswered>,
}

impl Machine {
    fn new(assignment: Assignment, waker: Waker, view: Arc<Mutex<View>>) -> Self {
        Machine {
            assignment,
            waker,
            view,
            phase: Phase::Opening,
            failures: 0,
            hunt: Hunt::default(),
            order: None,
            requests: VecDeque::new(),
            unanswered: None,
        }
    }

    fn step(&mut self, function: &Arc<Function>, end: Option<End>) -> Next {
        let now = function.engine.deps.clock.now();
        let answered = self.is_answered(function, now);
        match &mut self.phase {
            Phase::Ended => Next::Done,
            Phase::Running(_) if end == Some(End::Abort) => self.ended(),
            Phase::Running(running) => {
                let (hunt, order, requests) = (&mut self.hunt, &mut self.order, &mut self.requests);
                let mut cx = Cx { function, waker: &self.waker, hunt, order, requests, ending: end.is_some() };
                let turn = running.turn(&mut cx);
                if matches!(turn, Ok(Turn::Committed)) && running.is_to_be_replaced(&cx) {
                    self.failures = 0;
                    self.enter(Phase::Opening);
                    return Next::Again;
                }
                running.show(&mut self.view.lock(), end.is_some());
                match turn {
                    Ok(Turn::Again) => Next::Again,
                    Ok(Turn::Wait(until)) => Next::Wait(until),
                    Ok(Turn::Committed) => {
                        self.failures = 0;
                        Next::Again
                    }
                    Ok(Turn::End) => self.ended(),
                    // The broker has given it to another, and tells us so; or it was to end anyway.
                    Err((Recovery::GiveUp, failure)) => {
                        tracing::info!(task = %self.assignment.task, error = %failure.error, "task was taken over");
                        self.ended()
                    }
                    Err((recovery, failure)) => {
                        self.unanswered = running.unanswered();
                        self.failed(function, recovery, &failure)
                    }
                }
            }
            _ if end == Some(End::Abort) => self.ended(),
            _ if !answered => Next::Wait(None),
            _ if end.is_some() => self.ended(),
            Phase::Failed => {
                // Nobody waits for a task that waits for a human.
                self.order = None;
                self.requests.clear();
                Next::Wait(None)
            }
            Phase::BackingOff { until } if now < *until => Next::Wait(Some(*until)),
            Phase::BackingOff { .. } | Phase::Opening => self.open(function),
        }
    }

    /// Whether nothing of an earlier life of the task can become visible any more.
    fn is_answered(&mut self, function: &Function, now: Duration) -> bool {
        let order = self.order.as_ref();
        self.unanswered.take_if(|unanswered| unanswered.settle(function, order, now));
        self.unanswered.is_none()
    }

    fn open(&mut self, function: &Arc<Function>) -> Next {
        self.enter(Phase::Opening);
        match open::open(function, &self.assignment, &self.waker) {
            Ok(Opened::Running(running)) => {
                self.enter(Phase::Running(running));
                Next::Again
            }
            Ok(Opened::NotYet) => Next::Wait(None),
            Err(failure) => match after_open_failure(&failure.error) {
                Recovery::GiveUp => self.ended(),
                recovery => self.failed(function, recovery, &failure),
            },
        }
    }

    fn failed(&mut self, function: &Arc<Function>, recovery: Recovery, failure: &CallFailure) -> Next {
        self.note(function, recovery, failure);
        match recovery {
            Recovery::Fail => {
                self.enter(Phase::Failed);
                Next::Wait(None)
            }
            Recovery::ReopenNow => {
                self.enter(Phase::Opening);
                Next::Again
            }
            Recovery::Retry(wait) => self.back_off(function, wait),
            Recovery::GiveUp | Recovery::Resubmit | Recovery::Reopen => {
                self.failures = self.failures.saturating_add(1);
                let config = &function.engine.config;
                self.back_off(function, backoff(self.failures, config.backoff_min, config.backoff_max))
            }
        }
    }

    fn back_off(&mut self, function: &Function, wait: Duration) -> Next {
        let until = function.engine.deps.clock.now() + wait;
        self.enter(Phase::BackingOff { until });
        Next::Wait(Some(until))
    }

    /// Makes a failure visible.
    ///
    /// A culprit that is looked for or tried again is nothing unexpected: functions may fail as often as they like.
    fn note(&self, function: &Function, recovery: Recovery, failure: &CallFailure) {
        let task = self.assignment.task.index;
        let (code, message) = (failure.error.code, &failure.error.message);
        match recovery {
            Recovery::ReopenNow | Recovery::Retry(_) => {
                let name = &function.entry.spec.name;
                tracing::debug!(function = name, task, %code, message, "a call failed, nothing of its epoch is kept");
            }
            Recovery::Fail => function.warn(task, format_args!("stopped, it needs you: {}", failure.error)),
            _ => function.warn(task, format_args!("failed, it is opened again after a wait: {}", failure.error)),
        }
        function.meter.restarted();
        let mut view = self.view.lock();
        view.restarts += 1;
        view.last_error = Some(TaskError {
            code,
            message: message.clone(),
            backtrace: failure.backtrace.clone(),
            at_ms: function.engine.deps.clock.unix_ms(),
        });
    }

    fn ended(&mut self) -> Next {
        self.requests.clear();
        self.enter(Phase::Ended);
        Next::Done
    }

    fn enter(&mut self, phase: Phase) {
        self.view.lock().state = match &phase {
            Phase::Opening => TaskState::Opening,
            Phase::Running(_) => TaskState::Running,
            Phase::BackingOff { .. } => TaskState::BackingOff,
            Phase::Failed => TaskState::Failed,
            Phase::Ended => TaskState::Ended,
        };
        self.phase = phase;
    }
}
