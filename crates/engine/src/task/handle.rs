// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A task as its function sees it: where wishes are left, and the job that carries them out.
//!
//! A wish that the task ends reaches it in the middle of a call too: at once when it is to abort, and after a time of grace when it
//! is to finish what it began ([`Interrupt`]). A step that panics is caught here; the machine drops what it left.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use fnstream_core::broker::{Assignment, RevokeDone};
use fnstream_core::clock::Clock;
use fnstream_core::interrupt::Interrupt;
use fnstream_core::panics;
use fnstream_core::waker::Waker;
use parking_lot::Mutex;

use super::End;
use super::env::TaskEnv;
use super::in_flight::Probe;
use super::machine::Machine;
use super::view::View;
use crate::dead_letters::DeadLetterOrder;
use crate::function::Permits;
use crate::requests::Asked;
use crate::scheduler::{Job, Next, Runnable};

/// The wishes of others. A task reads them at the beginning of each step.
#[derive(Default)]
struct Mail {
    end: Option<End>,
    /// Dropped, and thereby called, when the task has ended.
    revoked: Vec<RevokeDone>,
    /// Orders about dead letters, carried out one after the other.
    orders: VecDeque<DeadLetterOrder>,
    /// Requests of users to the instance.
    requests: VecDeque<Asked>,
}

/// A task as others see it.
pub(crate) struct TaskHandle {
    pub(crate) job: Arc<Job>,
    env: Weak<TaskEnv>,
    mail: Arc<Mutex<Mail>>,
    pub(crate) view: Arc<Mutex<View>>,
    interrupt: Interrupt,
    /// Waits for the end of the task's time of grace.
    grace: Mutex<Option<Arc<Job>>>,
}

/// Called when a task has ended, with its job, and what tells of the answer that is still to come for an epoch.
pub(crate) type Ended = Box<dyn FnOnce(&Arc<Job>, Option<Probe>) + Send>;

impl TaskHandle {
    /// Makes a task; it begins when its job is first woken.
    pub(crate) fn spawn(env: &Arc<TaskEnv>, permits: &Arc<Permits>, assignment: Assignment, ended: Ended) -> Arc<Self> {
        let mail = Arc::new(Mutex::new(Mail::default()));
        let view = Arc::new(Mutex::new(View::new(&assignment, &env.core.coming_up)));
        let interrupt = Interrupt::default();
        let job = env.core.scheduler.job(|job| Task {
            env: Arc::downgrade(env),
            permits: permits.clone(),
            job: job.clone(),
            mail: mail.clone(),
            machine: Mutex::new(Machine::new(assignment, waker_of(job), view.clone(), interrupt.clone())),
            ended: Mutex::new(Some(ended)),
        });
        Arc::new(TaskHandle { job, env: Arc::downgrade(env), mail, view, interrupt, grace: Mutex::default() })
    }

    /// Asks the task to end; of two wishes the harder one counts.
    pub(crate) fn end(&self, end: End) {
        let before = {
            let mut mail = self.mail.lock();
            let before = mail.end;
            mail.end = before.max(Some(end));
            before
        };
        match end {
            End::Abort => self.interrupt.set(),
            End::Drain if before.is_none() => self.begin_grace(),
            End::Drain => {}
        }
        self.job.wake();
    }

    /// From now on the task has a bounded time to finish what it began.
    fn begin_grace(&self) {
        let Some(env) = self.env.upgrade() else { return self.interrupt.set() };
        let (until, clock) = (env.now() + env.core.config.grace, env.core.deps.clock.clone());
        let job = env.core.scheduler.job(|_| Grace { until, clock, interrupt: self.interrupt.clone() });
        job.wake();
        *self.grace.lock() = Some(job);
    }

    /// Asks the task to do something with its dead letters.
    pub(crate) fn order(&self, order: DeadLetterOrder) {
        self.mail.lock().orders.push_back(order);
        self.job.wake();
    }

    /// Wakes the task, as long as it is there.
    pub(crate) fn waker(&self) -> Waker {
        waker_of(&Arc::downgrade(&self.job))
    }

    /// Asks the task's instance something.
    pub(crate) fn ask(&self, asked: Asked) {
        self.mail.lock().requests.push_back(asked);
        self.job.wake();
    }

    /// Asks the task to end orderly and to report when it has.
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

/// The job that ends a time of grace.
struct Grace {
    until: Duration,
    clock: Arc<dyn Clock>,
    interrupt: Interrupt,
}

impl Runnable for Grace {
    fn step(&self) -> Next {
        if self.clock.now() < self.until {
            return Next::Wait(Some(self.until));
        }
        self.interrupt.set();
        Next::Done
    }
}

/// The job of a task.
struct Task {
    /// Kept by the function. A function that was thrown away has no tasks any more.
    env: Weak<TaskEnv>,
    /// At most `replicas` tasks of a function call user code at once.
    permits: Arc<Permits>,
    job: Weak<Job>,
    mail: Arc<Mutex<Mail>>,
    machine: Mutex<Machine>,
    /// Taken when it is called.
    ended: Mutex<Option<Ended>>,
}

impl Runnable for Task {
    fn step(&self) -> Next {
        let (Some(env), Some(job)) = (self.env.upgrade(), self.job.upgrade()) else { return Next::Done };
        let mut machine = self.machine.lock();
        // A task that is taken over calls no user code yet, and may take long: it keeps no other from running. One that ends at
        // once calls none any more, and waits for no other.
        let end = self.mail.lock().end;
        let permit = machine.calls_guest(end);
        // Others are woken as these let go.
        if permit && !self.permits.try_take(&job) {
            return Next::Wait(None);
        }
        if !permit {
            self.permits.forget(&job);
        }
        let end = {
            let mail = &mut *self.mail.lock();
            machine.take_mail(&mut mail.orders, &mut mail.requests);
            mail.end
        };
        let stepped = panics::catch(|| machine.step(&env, end, &|| self.mail.lock().end.is_some()));
        let next = stepped.unwrap_or_else(|panicked| machine.panicked(&env, &panicked));
        let last = machine.last();
        drop(machine);
        env.stepped();
        if permit {
            self.permits.give_back();
        }
        if next == Next::Done {
            if let Some(ended) = self.ended.lock().take() {
                ended(&job, last);
            }
            // Only now may the broker give the task to another. Nobody does anything for the orders any more.
            let left = std::mem::take(&mut *self.mail.lock());
            drop(left);
        }
        next
    }
}
