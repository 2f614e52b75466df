// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A task as its function sees it: where wishes are left, and the job that carries them out.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use fnstream_core::broker::{Assignment, RevokeDone};
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
    mail: Arc<Mutex<Mail>>,
    pub(crate) view: Arc<Mutex<View>>,
}

/// Called when a task has ended, with its job, and what tells of the answer that is still to come for an epoch.
pub(crate) type Ended = Box<dyn Fn(&Arc<Job>, Option<Probe>) + Send + Sync>;

impl TaskHandle {
    /// Makes a task; it begins when its job is first woken.
    pub(crate) fn spawn(env: &Arc<TaskEnv>, permits: &Arc<Permits>, assignment: Assignment, ended: Ended) -> Arc<Self> {
        let mail = Arc::new(Mutex::new(Mail::default()));
        let view = Arc::new(Mutex::new(View::new(&assignment)));
        let job = env.core.scheduler.job(|job| Task {
            env: Arc::downgrade(env),
            permits: permits.clone(),
            job: job.clone(),
            mail: mail.clone(),
            machine: Mutex::new(Machine::new(assignment, waker_of(job), view.clone())),
            ended,
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

/// The job of a task.
struct Task {
    /// Kept by the function. A function that was thrown away has no tasks any more.
    env: Weak<TaskEnv>,
    /// At most `replicas` tasks of a function call user code at once.
    permits: Arc<Permits>,
    job: Weak<Job>,
    mail: Arc<Mutex<Mail>>,
    machine: Mutex<Machine>,
    ended: Ended,
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
        let next = machine.step(&env, end, &|| self.mail.lock().end.is_some());
        let last = machine.last();
        drop(machine);
        if permit {
            self.permits.give_back();
        }
        if next == Next::Done {
            (self.ended)(&job, last);
            // Only now may the broker give the task to another. Nobody does anything for the orders any more.
            let left = std::mem::take(&mut *self.mail.lock());
            drop(left);
        }
        next
    }
}
