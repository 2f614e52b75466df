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
//! Any failure drops the overlay, the outbox and the instance, and goes on from the last commit. Nobody but the committer
//! has seen anything of the open epoch, so nothing has to be undone.
//!
//! Reading order: `handle` (the task as its function sees it), this file (its life), `open` (taking it over), `ownership`
//! (what stays as long as it is owned), `running` (one turn after the other), `epoch` and `in_flight` (its work), `decide`
//! (every decision).

mod dead_letters;
mod decide;
mod dirty;
mod env;
mod epoch;
mod event_time;
mod failure;
mod guest;
mod handle;
mod host;
mod hunt;
mod in_flight;
mod open;
mod outbox;
mod ownership;
mod quota;
mod running;
mod timers;
mod trial;
mod turns;
mod view;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::broker::Assignment;
use fnstream_core::runtime::CallFailure;
use fnstream_core::waker::Waker;
use parking_lot::Mutex;

use self::decide::{Recovery, after_open_failure, backoff};
pub(crate) use self::env::TaskEnv;
use self::failure::Failure;
pub(crate) use self::handle::TaskHandle;
use self::hunt::Hunt;
use self::in_flight::Unanswered;
use self::open::Opened;
use self::ownership::Ownership;
use self::running::{Cx, Running, Turn};
use self::view::View;
use crate::dead_letters::DeadLetterOrder;
use crate::requests::Asked;
use crate::scheduler::Next;
use crate::status::{TaskError, TaskState};

/// How a task is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// Close the instance, commit what is open, then end.
    Drain,
    /// End at once, commit nothing more.
    Abort,
}

/// The states of [`TaskState`] with what each of them holds.
enum Phase {
    /// The task is to be taken over.
    Opening,
    /// It is owned, and an instance is to be started.
    Starting(Box<Ownership>),
    Running(Box<Running>),
    BackingOff {
        until: Duration,
    },
    Failed,
    Ended,
}

/// The life of a task, step by step.
struct Machine {
    assignment: Assignment,
    waker: Waker,
    view: Arc<Mutex<View>>,
    phase: Phase,
    /// Failures since the last commit.
    failures: u32,
    hunt: Hunt,
    /// The order about dead letters that is being carried out.
    order: Option<DeadLetterOrder>,
    requests: VecDeque<Asked>,
    /// The epoch that was in flight when the task failed. It is waited for before the task is opened again or given up: it
    /// may still be committed, and then need not be done again.
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

    /// Takes over what others ask for.
    fn take_mail(&mut self, orders: &mut VecDeque<DeadLetterOrder>, requests: &mut VecDeque<Asked>) {
        if self.order.is_none() {
            self.order = orders.pop_front();
        }
        self.requests.append(requests);
    }

    fn step(&mut self, env: &Arc<TaskEnv>, end: Option<End>) -> Next {
        let now = env.now();
        let answered = self.is_answered(env, now);
        match &self.phase {
            Phase::Ended => Next::Done,
            _ if end == Some(End::Abort) => self.ended(),
            Phase::Running(_) => self.run(env, end.is_some()),
            _ if !answered => Next::Wait(None),
            _ if end.is_some() => self.ended(),
            Phase::Failed => {
                // Nobody waits for a task that waits for a human.
                self.order = None;
                self.requests.clear();
                Next::Wait(None)
            }
            Phase::BackingOff { until } if now < *until => Next::Wait(Some(*until)),
            Phase::BackingOff { .. } | Phase::Opening => self.open(env),
            Phase::Starting(_) => self.start(env),
        }
    }

    fn run(&mut self, env: &Arc<TaskEnv>, ending: bool) -> Next {
        let Phase::Running(running) = &mut self.phase else { return Next::Again };
        let (hunt, order, requests) = (&mut self.hunt, &mut self.order, &mut self.requests);
        let mut cx = Cx { env, waker: &self.waker, hunt, order, requests, ending };
        let turn = running.turn(&mut cx);
        if matches!(turn, Ok(Turn::Committed)) && running.is_to_be_replaced(&cx) {
            self.failures = 0;
            self.enter(Phase::Opening);
            return Next::Again;
        }
        running.show(&mut self.view.lock(), ending);
        match turn {
            Ok(Turn::Again) => Next::Again,
            Ok(Turn::Wait(until)) => Next::Wait(until),
            Ok(Turn::Committed) => {
                self.failures = 0;
                Next::Again
            }
            Ok(Turn::End) => self.ended(),
            Err(failure) => {
                self.unanswered = running.unanswered();
                self.failed(env, &failure)
            }
        }
    }

    /// Whether nothing of an earlier life of the task can become visible any more.
    fn is_answered(&mut self, env: &TaskEnv, now: Duration) -> bool {
        let order = self.order.as_ref();
        self.unanswered.take_if(|unanswered| unanswered.settle(env, order, now));
        self.unanswered.is_none()
    }

    /// Takes the task over.
    fn open(&mut self, env: &Arc<TaskEnv>) -> Next {
        self.enter(Phase::Opening);
        match open::take_over(env, &self.assignment, &self.waker) {
            Ok(Opened::Owned(own)) => {
                self.enter(Phase::Starting(own));
                Next::Again
            }
            Ok(Opened::NotYet) => Next::Wait(None),
            Err(error) => self.failed(env, &Failure::new(after_open_failure(&error), error)),
        }
    }

    /// Starts an instance.
    fn start(&mut self, env: &TaskEnv) -> Next {
        let Phase::Starting(own) = std::mem::replace(&mut self.phase, Phase::Opening) else { return Next::Again };
        match Running::start(env, own) {
            Ok(running) => {
                self.enter(Phase::Running(Box::new(running)));
                Next::Again
            }
            Err(failure) => {
                let recovery = after_open_failure(&failure.cause.error);
                self.failed(env, &Failure { recovery, ..failure })
            }
        }
    }

    fn failed(&mut self, env: &TaskEnv, failure: &Failure) -> Next {
        let Failure { recovery, cause } = failure;
        if *recovery == Recovery::GiveUp {
            // The broker has given it to another, and tells us so; or it was to end anyway.
            tracing::info!(task = %self.assignment.task, error = %cause.error, "task was taken over");
            return self.ended();
        }
        self.note(env, *recovery, cause);
        match *recovery {
            Recovery::Fail => {
                self.enter(Phase::Failed);
                Next::Wait(None)
            }
            Recovery::RestartNow => {
                self.enter(Phase::Opening);
                Next::Again
            }
            Recovery::RestartAfter(wait) => self.back_off(env, wait),
            Recovery::RestartLater | Recovery::TakeOver | Recovery::GiveUp | Recovery::Resubmit => {
                self.failures = self.failures.saturating_add(1);
                let config = &env.core.config;
                self.back_off(env, backoff(self.failures, config.backoff_min, config.backoff_max))
            }
        }
    }

    fn back_off(&mut self, env: &TaskEnv, wait: Duration) -> Next {
        let until = env.now() + wait;
        self.enter(Phase::BackingOff { until });
        Next::Wait(Some(until))
    }

    /// Makes a failure visible.
    ///
    /// A culprit that is looked for or tried again is nothing unexpected: functions may fail as often as they like.
    fn note(&self, env: &TaskEnv, recovery: Recovery, failure: &CallFailure) {
        let task = self.assignment.task.index;
        let (code, message) = (failure.error.code, &failure.error.message);
        match recovery {
            Recovery::RestartNow | Recovery::RestartAfter(_) => {
                let name = &env.spec().name;
                tracing::debug!(function = name, task, %code, message, "a call failed, nothing of its epoch is kept");
            }
            Recovery::Fail => env.warn(task, format_args!("stopped, it needs you: {}", failure.error)),
            _ => env.warn(task, format_args!("failed, it is opened again after a wait: {}", failure.error)),
        }
        env.meter.restarted();
        let mut view = self.view.lock();
        view.restarts += 1;
        view.last_error = Some(TaskError {
            code,
            message: message.clone(),
            backtrace: failure.backtrace.clone(),
            at_ms: env.core.deps.clock.unix_ms(),
        });
    }

    fn ended(&mut self) -> Next {
        self.requests.clear();
        self.enter(Phase::Ended);
        Next::Done
    }

    fn enter(&mut self, phase: Phase) {
        self.view.lock().state = match &phase {
            Phase::Opening | Phase::Starting(_) => TaskState::Opening,
            Phase::Running(_) => TaskState::Running,
            Phase::BackingOff { .. } => TaskState::BackingOff,
            Phase::Failed => TaskState::Failed,
            Phase::Ended => TaskState::Ended,
        };
        self.phase = phase;
    }
}
