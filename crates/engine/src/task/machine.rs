// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The life of a task: taken over, started, running, and what comes after each failure.
//!
//! ```text
//!            take_over                 an instance starts                 the function fails
//!  Opening ────────────► Starting ──────────────────────► Running ─┬───────────────────────────► Starting, or BackingOff
//!     ▲                  (owned)                          (owned)  │                              (owned: nothing is taken
//!     │                                                            │                               over or read again)
//!     └───────────────── BackingOff ◄──────────────────────────────┴─ a fault outside user code, a panic
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::broker::Assignment;
use fnstream_core::error::ErrorCode;
use fnstream_core::interrupt::Interrupt;
use fnstream_core::panics::{self, Panicked};
use fnstream_core::runtime::CallFailure;
use fnstream_core::waker::Waker;
use parking_lot::Mutex;

use super::End;
use super::decide::{Recovery, after_open_failure, backoff};
use super::env::TaskEnv;
use super::failure::Failure;
use super::hunt::Hunt;
use super::in_flight::{Probe, Unanswered};
use super::open::{self, Opened, Place};
use super::ownership::Ownership;
use super::running::{Cx, Running, Turn};
use super::view::View;
use crate::dead_letters::DeadLetterOrder;
use crate::requests::Asked;
use crate::scheduler::Next;
use crate::status::TaskState;

/// The states of [`TaskState`] with what each of them holds.
enum Phase {
    /// The task is to be taken over.
    Opening,
    /// It is owned, and an instance is to be started.
    Starting(Box<Ownership>),
    Running(Box<Running>),
    /// It waits; a task that is still owned starts an instance then, another one is taken over anew.
    BackingOff {
        until: Duration,
        /// It need not wait longer than that if it waits for memory alone, and there is enough.
        least: Duration,
        owned: Option<Box<Ownership>>,
    },
    Failed,
    Ended,
}

/// See the module.
pub(super) struct Machine {
    assignment: Assignment,
    waker: Waker,
    view: Arc<Mutex<View>>,
    /// Set when the task has to end, in the middle of a call too.
    interrupt: Interrupt,
    phase: Phase,
    /// Retention has dropped what the task was to read next: it goes on behind that when it is taken over again.
    behind: bool,
    /// Failures since the last commit.
    failures: u32,
    hunt: Hunt,
    /// The order about dead letters that is being carried out.
    order: Option<DeadLetterOrder>,
    requests: VecDeque<Asked>,
    /// The epoch that was in flight when the ownership was given up. It is waited for before the task is taken over again:
    /// it may still be committed, and then need not be done again.
    unanswered: Option<Unanswered>,
    /// When the task has ended: tells whether its last epoch is answered.
    last: Option<Probe>,
}

/// The state of what was handed in.
enum Answered {
    Yes,
    /// The waker is called, or a refused epoch is handed in again at that time.
    Not(Option<Duration>),
}

impl Machine {
    pub(super) fn new(assignment: Assignment, waker: Waker, view: Arc<Mutex<View>>, interrupt: Interrupt) -> Self {
        Machine {
            assignment,
            waker,
            view,
            interrupt,
            phase: Phase::Opening,
            behind: false,
            failures: 0,
            hunt: Hunt::default(),
            order: None,
            requests: VecDeque::new(),
            unanswered: None,
            last: None,
        }
    }

    /// Accepts what others ask for.
    pub(super) fn take_mail(&mut self, orders: &mut VecDeque<DeadLetterOrder>, requests: &mut VecDeque<Asked>) {
        if self.order.is_none() {
            self.order = orders.pop_front();
        }
        self.requests.append(requests);
    }

    /// Reports whether the next step calls user code, when the task is to end like that.
    pub(super) fn calls_guest(&self, end: Option<End>) -> bool {
        match self.phase {
            Phase::Starting(_) => end.is_none(),
            Phase::Running(_) => end != Some(End::Abort),
            _ => false,
        }
    }

    /// Once the task has ended: the answer that was still to come for an epoch that it handed in. Until it has come the epoch
    /// may become visible.
    pub(super) fn last(&mut self) -> Option<Probe> {
        self.last.take()
    }

    /// Does a bounded piece of work; `is_cancelled` says whether the task is to end, to those who take long.
    pub(super) fn step(&mut self, env: &Arc<TaskEnv>, end: Option<End>, is_cancelled: &dyn Fn() -> bool) -> Next {
        let now = env.now();
        match &self.phase {
            Phase::Ended => return Next::Done,
            _ if end == Some(End::Abort) => return self.ended(),
            Phase::Running(_) => return self.run(env, end.is_some()),
            _ => {}
        }
        match self.settle(env, now) {
            Ok(Answered::Yes) => {}
            Ok(Answered::Not(until)) => return Next::Wait(until),
            Err(failure) => return self.failed(env, &failure),
        }
        match &mut self.phase {
            _ if end.is_some() => self.ended(),
            Phase::Failed => {
                // Nobody waits for a task that waits for a human.
                self.order = None;
                self.requests.clear();
                Next::Wait(None)
            }
            Phase::BackingOff { until, least, owned } => {
                let until = if has_memory(owned.as_deref()) { *least } else { *until };
                if now < until {
                    return Next::Wait(Some(until));
                }
                let next = owned.take().map_or(Phase::Opening, Phase::Starting);
                self.enter(next);
                Next::Again
            }
            Phase::Starting(_) => self.start(env),
            Phase::Opening | Phase::Running(_) | Phase::Ended => self.take_over(env, is_cancelled),
        }
    }

    fn run(&mut self, env: &Arc<TaskEnv>, ending: bool) -> Next {
        let Phase::Running(running) = &mut self.phase else { return Next::Again };
        let (hunt, order, requests) = (&mut self.hunt, &mut self.order, &mut self.requests);
        let mut cx = Cx { env, waker: &self.waker, hunt, order, requests, ending };
        let turn = running.turn(&mut cx);
        // Also when there is nothing to commit: it may have worn itself out at a record that is to be tried once more.
        let replace = matches!(turn, Ok(Turn::Committed | Turn::Wait(_))) && running.is_to_be_replaced(&cx);
        running.show(&mut self.view.lock(), ending, env.now());
        match turn {
            Ok(Turn::Again) => Next::Again,
            Ok(Turn::Wait(until)) if !replace => Next::Wait(until),
            Ok(done @ (Turn::Committed | Turn::Wait(_))) => {
                // Only what is durable shows that it gets on.
                if matches!(done, Turn::Committed) {
                    self.failures = 0;
                }
                if replace && let Some(own) = self.take_owned() {
                    self.enter(Phase::Starting(own));
                }
                Next::Again
            }
            Ok(Turn::End) => self.ended(),
            Err(failure) => self.failed(env, &failure),
        }
    }

    /// Looks for the answers of epochs that were in flight when the task failed: nothing is read or taken over before.
    fn settle(&mut self, env: &TaskEnv, now: Duration) -> Result<Answered, Failure> {
        let order = self.order.as_ref();
        self.unanswered.take_if(|unanswered| unanswered.settle(env, order, now));
        if self.unanswered.is_some() {
            return Ok(Answered::Not(None));
        }
        let (Phase::Starting(own) | Phase::BackingOff { owned: Some(own), .. }) = &mut self.phase else {
            return Ok(Answered::Yes);
        };
        if own.settle_commit(env, &self.waker, &mut self.hunt, order, now)? {
            self.failures = 0;
            own.show(&mut self.view.lock(), false);
        }
        Ok(match &own.in_flight {
            None => Answered::Yes,
            Some(in_flight) => Answered::Not(in_flight.retry_at),
        })
    }

    fn take_over(&mut self, env: &Arc<TaskEnv>, is_cancelled: &dyn Fn() -> bool) -> Next {
        self.enter(Phase::Opening);
        let place = Place { assignment: &self.assignment, behind: self.behind };
        match open::take_over(env, place, &self.waker, &self.view, &self.interrupt, is_cancelled) {
            Ok(Opened::Owned(own)) => {
                self.behind = false;
                // It may never run, and has its past all the same.
                own.show(&mut self.view.lock(), true);
                self.enter(Phase::Starting(own));
                Next::Again
            }
            Ok(Opened::NotYet) => Next::Wait(None),
            Err(error) if error.code == ErrorCode::Cancelled && is_cancelled() => Next::Again,
            Err(error) => self.failed(env, &Failure::new(after_open_failure(&error), error)),
        }
    }

    /// Starts an instance, which goes on from the last commit.
    fn start(&mut self, env: &Arc<TaskEnv>) -> Next {
        let Some(mut own) = self.take_owned() else { return Next::Again };
        own.find_dead_letters();
        if own.dead_letters_end.is_some() {
            // The waker is called when it is known.
            own.show(&mut self.view.lock(), true);
            self.enter(Phase::Starting(own));
            return Next::Wait(None);
        }
        match Running::start(env, &mut own) {
            Ok(start) => {
                self.enter(Phase::Running(Box::new(Running::new(own, start))));
                Next::Again
            }
            Err(failure) => {
                self.enter(Phase::Starting(own));
                self.failed(env, &failure)
            }
        }
    }

    /// The ownership of a task that is owned; the instance is dropped. The phase is to be entered anew.
    fn take_owned(&mut self) -> Option<Box<Ownership>> {
        match std::mem::replace(&mut self.phase, Phase::Opening) {
            Phase::Starting(own) => Some(own),
            Phase::Running(running) => Some(running.into_ownership()),
            Phase::BackingOff { owned, .. } => owned,
            Phase::Opening | Phase::Failed | Phase::Ended => None,
        }
    }

    /// A step panicked. Whatever it left is dropped as a whole, since nobody knows what of it is half done, and the task is taken
    /// over anew after a wait, as after any fault of the host. What it has handed in counts or not, as the committer says.
    pub(super) fn panicked(&mut self, env: &TaskEnv, panicked: &Panicked) -> Next {
        let (task, error) = (self.assignment.task.index, panicked.to_error());
        let message = &error.message;
        tracing::error!(function = env.spec().name, task, code = %error.code, "a step of a task {message}");
        env.meter.panicked();
        env.meter.restarted();
        self.failures = self.failures.saturating_add(1);
        let config = &env.core.config;
        let wait = backoff(self.failures, config.backoff_min, config.backoff_max);
        // What is dropped or told here may be what panics.
        let unanswered = panics::catch(|| self.take_owned().and_then(|mut given_up| given_up.unanswered()));
        self.unanswered = unanswered.unwrap_or_default().or_else(|| self.unanswered.take());
        let text = format_args!("failed, it goes on from its last commit after a wait: {error}");
        let _ = panics::catch(|| env.say(task, text));
        let at_ms = panics::catch(|| env.core.deps.clock.unix_ms()).unwrap_or_default();
        let now = panics::catch(|| env.now()).unwrap_or_default();
        self.view.lock().failed(&CallFailure::from(error.clone()), false, at_ms);
        self.enter(Phase::BackingOff { until: now + wait, least: now + wait, owned: None });
        Next::Again
    }

    /// Something failed, in a task that is owned or not. What it owns stays in the phase until this is told: telling may panic, and
    /// an epoch in flight is not to be forgotten then.
    fn failed(&mut self, env: &TaskEnv, failure: &Failure) -> Next {
        let Failure { recovery, cause } = failure;
        if cause.error.code == ErrorCode::Interrupted && self.interrupt.is_set() {
            // It is to end, and does so in the next step. What was handed in before may still be waited for.
            let owned = self.take_owned();
            self.enter(owned.map_or(Phase::Opening, Phase::Starting));
            return Next::Again;
        }
        if *recovery == Recovery::GiveUp {
            // The broker has given it to another, and tells us so; or it was to end anyway.
            tracing::info!(task = %self.assignment.task, error = %cause.error, "task was taken over");
            return self.ended();
        }
        failure.report(env, self.assignment.task.index);
        self.behind |= cause.error.code == ErrorCode::PositionDropped;
        let at_ms = env.core.deps.clock.unix_ms();
        self.view.lock().failed(cause, failure.waits(), at_ms);
        let mut owned = self.take_owned();
        if let Some(own) = owned.as_ref().filter(|_| cause.error.code != ErrorCode::GuestMemoryShort) {
            // It had memory enough to fail otherwise, and waits for what that asks for.
            own.spec.memory.content();
        }
        if matches!(recovery, Recovery::Fail | Recovery::TakeOver)
            && let Some(mut given_up) = owned.take()
        {
            self.unanswered = given_up.unanswered();
        }
        match *recovery {
            Recovery::Fail => {
                self.enter(Phase::Failed);
                Next::Wait(None)
            }
            Recovery::RestartNow => {
                self.enter(owned.map_or(Phase::Opening, Phase::Starting));
                Next::Again
            }
            Recovery::RestartAfter(wait) => self.back_off(env, wait, owned),
            Recovery::RestartLater | Recovery::TakeOver | Recovery::GiveUp | Recovery::Resubmit => {
                self.failures = self.failures.saturating_add(1);
                let config = &env.core.config;
                self.back_off(env, backoff(self.failures, config.backoff_min, config.backoff_max), owned)
            }
        }
    }

    fn back_off(&mut self, env: &TaskEnv, wait: Duration, owned: Option<Box<Ownership>>) -> Next {
        let now = env.now();
        let (until, least) = (now + wait, now + wait.min(env.core.config.backoff_min));
        self.enter(Phase::BackingOff { until, least, owned });
        // An epoch in flight may have been answered already.
        Next::Again
    }

    fn ended(&mut self) -> Next {
        let owned = self.take_owned();
        self.last = owned.and_then(|own| own.probe()).or_else(|| self.unanswered.as_ref().map(Unanswered::probe));
        self.requests.clear();
        self.enter(Phase::Ended);
        Next::Done
    }

    fn enter(&mut self, phase: Phase) {
        self.view.lock().enter(match &phase {
            Phase::Opening | Phase::Starting(_) => TaskState::Opening,
            Phase::Running(_) => TaskState::Running,
            Phase::BackingOff { .. } => TaskState::BackingOff,
            Phase::Failed => TaskState::Failed,
            Phase::Ended => TaskState::Ended,
        });
        self.phase = phase;
    }
}

/// Reports whether a task waits for the memory of its instance, and there is enough by now.
fn has_memory(owned: Option<&Ownership>) -> bool {
    owned.is_some_and(|own| own.spec.memory.is_granted())
}
