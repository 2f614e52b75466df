// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::sync::atomic::AtomicUsize;

use fnstream_core::clock::SystemClock;
use fnstream_core::test_util::clock::ManualClock;

use parking_lot::Condvar;

use self::gate::Gate;
use super::*;
use crate::workers::Workers;

mod hogs;
mod panics;

struct Counter {
    steps: Arc<AtomicUsize>,
    next: Next,
    wake_self: Option<Weak<Job>>,
}

impl Runnable for Counter {
    fn step(&self) -> Next {
        let first = self.steps.fetch_add(1, Ordering::Relaxed) == 0;
        if let Some(job) = self.wake_self.as_ref().filter(|_| first).and_then(Weak::upgrade) {
            job.wake();
        }
        self.next
    }
}

fn counter(scheduler: &Arc<Scheduler>, next: Next, wakes_itself: bool) -> (Arc<Job>, Arc<AtomicUsize>) {
    let steps = Arc::new(AtomicUsize::new(0));
    let job = scheduler.job(|job| Counter { steps: steps.clone(), next, wake_self: wakes_itself.then(|| job.clone()) });
    (job, steps)
}

fn drain(scheduler: &Scheduler) {
    while scheduler.ready_jobs() > 0 {
        scheduler.run_one(0);
    }
}

#[test]
fn many_wakes_before_a_run_are_one_run() {
    let scheduler = Scheduler::new(Arc::new(ManualClock::new(0)));
    let (job, steps) = counter(&scheduler, Next::Wait(None), false);
    job.wake();
    job.wake();
    drain(&scheduler);
    assert_eq!(steps.load(Ordering::Relaxed), 1);
}

#[test]
fn a_wake_during_a_run_is_not_lost() {
    let scheduler = Scheduler::new(Arc::new(ManualClock::new(0)));
    let (job, steps) = counter(&scheduler, Next::Wait(None), true);
    job.wake();
    drain(&scheduler);
    assert_eq!(steps.load(Ordering::Relaxed), 2);
}

#[test]
fn a_finished_job_never_runs_again() {
    let scheduler = Scheduler::new(Arc::new(ManualClock::new(0)));
    let (job, steps) = counter(&scheduler, Next::Done, true);
    job.wake();
    drain(&scheduler);
    job.wake();
    drain(&scheduler);
    assert_eq!(steps.load(Ordering::Relaxed), 1);
}

#[test]
fn an_alarm_rings_once_and_only_when_due() {
    let clock = Arc::new(ManualClock::new(0));
    let scheduler = Scheduler::new(clock.clone());
    let (job, steps) = counter(&scheduler, Next::Wait(Some(Duration::from_secs(5))), false);
    job.wake();
    drain(&scheduler);
    assert_eq!(scheduler.next_alarm(), Some(Duration::from_secs(5)));
    clock.advance(Duration::from_secs(4));
    assert_eq!(scheduler.ready_jobs(), 0);
    clock.advance(Duration::from_secs(1));
    assert_eq!(scheduler.ready_jobs(), 1);
    scheduler.run_one(0);
    assert_eq!(steps.load(Ordering::Relaxed), 2);
}

#[test]
fn a_job_has_one_alarm_at_most() {
    let scheduler = Scheduler::new(Arc::new(ManualClock::new(0)));
    let (job, _) = counter(&scheduler, Next::Wait(Some(Duration::from_secs(5))), false);
    for _ in 0..100 {
        job.wake();
        drain(&scheduler);
    }
    assert_eq!(scheduler.inner.lock().alarms.len(), 1);
}

/// A job that does what the closure says.
struct Act<F>(F);

impl<F: Fn() -> Next + Send + Sync> Runnable for Act<F> {
    fn step(&self) -> Next {
        (self.0)()
    }
}

fn act(scheduler: &Arc<Scheduler>, step: impl Fn() -> Next + Send + Sync + 'static) -> Arc<Job> {
    scheduler.job(|_| Act(step))
}

fn working(threads: usize) -> (Arc<Scheduler>, Workers) {
    let scheduler = Scheduler::new(Arc::new(SystemClock::new()));
    let workers = Workers::start(scheduler.clone(), threads).expect("threads");
    (scheduler, workers)
}

#[test]
fn a_stuck_worker_does_not_hold_up_the_queue() {
    let (scheduler, workers) = working(1);
    let (stuck, done) = (Gate::default(), Gate::default());
    let gate = stuck.clone();
    act(&scheduler, move || {
        gate.wait();
        Next::Done
    })
    .wake();
    let signal = done.clone();
    act(&scheduler, move || {
        signal.open();
        Next::Done
    })
    .wake();
    // Only a further thread can open it while the single worker is stuck.
    done.wait();
    stuck.open();
    workers.stop(Duration::from_secs(60));
}

#[test]
fn many_stuck_workers_do_not_hold_up_a_job_that_comes_again_and_again() {
    const STUCK: usize = 50;
    let (scheduler, workers) = working(2);
    let (release, done) = (Gate::default(), Gate::default());
    for _ in 0..STUCK {
        let release = release.clone();
        act(&scheduler, move || {
            release.wait();
            Next::Done
        })
        .wake();
    }
    let (left, signal) = (AtomicUsize::new(1000), done.clone());
    act(&scheduler, move || {
        if left.fetch_sub(1, Ordering::Relaxed) > 1 {
            return Next::Again;
        }
        signal.open();
        Next::Done
    })
    .wake();
    done.wait();
    let posts = scheduler.inner.lock().crew.len();
    assert!(posts > STUCK, "{posts} threads for {STUCK} stuck ones and others");
    release.open();
    workers.stop(Duration::from_secs(60));
}

#[test]
fn extra_threads_end_when_nobody_is_stuck() {
    let (scheduler, workers) = working(1);
    let (release, done) = (Gate::default(), Gate::default());
    for _ in 0..8 {
        let release = release.clone();
        act(&scheduler, move || {
            release.wait();
            Next::Done
        })
        .wake();
    }
    let signal = done.clone();
    act(&scheduler, move || {
        signal.open();
        Next::Done
    })
    .wake();
    done.wait();
    release.open();
    let mut inner = scheduler.inner.lock();
    while inner.crew.len() > 1 {
        scheduler.left.wait(&mut inner);
    }
    drop(inner);
    workers.stop(Duration::from_secs(60));
}

#[test]
fn a_job_that_panics_costs_no_thread() {
    let (scheduler, workers) = working(1);
    let done = Gate::default();
    act(&scheduler, || panic!("on purpose")).wake();
    let signal = done.clone();
    act(&scheduler, move || {
        signal.open();
        Next::Done
    })
    .wake();
    done.wait();
    workers.stop(Duration::from_secs(60));
}

mod gate {
    use super::*;

    #[derive(Clone, Default)]
    pub(super) struct Gate(Arc<(Mutex<bool>, Condvar)>);

    impl Gate {
        pub(super) fn open(&self) {
            *self.0.0.lock() = true;
            self.0.1.notify_all();
        }

        pub(super) fn wait(&self) {
            let mut open = self.0.0.lock();
            while !*open {
                self.0.1.wait(&mut open);
            }
        }
    }
}
