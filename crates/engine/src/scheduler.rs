// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Who runs next: a queue of what is ready and a list of alarms. Nothing here ever polls.
//!
//! ```text
//!            wake                    worker takes it              step says Again, or a wake came meanwhile
//!   Idle ───────────► Queued ───────────► Running ───────────► Queued
//!    ▲                                       │
//!    └────────── step says Wait ─────────────┘          step says Done: never again
//! ```
//!
//! A wake during a run is remembered in the state itself, so that none is lost between a task's last look and its going
//! idle.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use fnstream_core::clock::Clock;
use parking_lot::{Condvar, Mutex};

/// What a step asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// There is more to do at once.
    Again,
    /// Nothing until a wake, or until that time.
    Wait(Option<Duration>),
    /// Never again.
    Done,
}

/// Something that is run step by step.
pub(crate) trait Runnable: Send + Sync {
    /// Does a bounded piece of work. Never called twice at once.
    fn step(&self) -> Next;
}

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const WOKEN: u8 = 3;
const DONE: u8 = 4;

/// A runnable with its place in the scheduler.
pub(crate) struct Job {
    state: AtomicU8,
    /// Its entry among the alarms, of which it has one at most. Only locked while the scheduler's lock is held.
    alarm: Mutex<Option<(Duration, u64)>>,
    scheduler: Weak<Scheduler>,
    runnable: Box<dyn Runnable>,
}

impl Job {
    /// Runs the job once more from now on. Cheap when it is going to run anyway.
    pub(crate) fn wake(self: &Arc<Self>) {
        if self.mark()
            && let Some(scheduler) = self.scheduler.upgrade()
        {
            scheduler.push(self.clone());
        }
    }

    /// Notes a wake; true when the job must be put into the queue.
    fn mark(&self) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let next = match state {
                IDLE => QUEUED,
                RUNNING => WOKEN,
                _ => return false,
            };
            match self.state.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return next == QUEUED,
                Err(now) => state = now,
            }
        }
    }

    fn run(self: Arc<Self>) {
        self.state.store(RUNNING, Ordering::Release);
        let next = self.runnable.step();
        let Some(scheduler) = self.scheduler.upgrade() else { return };
        match next {
            Next::Done => self.state.store(DONE, Ordering::Release),
            Next::Again => {
                self.state.store(QUEUED, Ordering::Release);
                scheduler.push(self);
            }
            Next::Wait(until) => {
                // The alarm first: once idle, the job may run on another thread at once.
                if let Some(until) = until {
                    scheduler.alarm(until, &self);
                }
                if self.state.compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_err() {
                    self.state.store(QUEUED, Ordering::Release);
                    scheduler.push(self);
                }
            }
        }
    }
}

/// The queue and the alarms.
pub(crate) struct Scheduler {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
    /// Workers wait here for a job or the next alarm.
    ready: Condvar,
    /// The watchdog waits here for a queue that nobody empties.
    crowded: Condvar,
}

#[derive(Default)]
struct Inner {
    queue: VecDeque<Arc<Job>>,
    alarms: BTreeMap<(Duration, u64), Weak<Job>>,
    sequence: u64,
    /// Counts jobs taken, so that the watchdog sees whether the queue moves.
    taken: u64,
    waiting: usize,
    closed: bool,
}

/// What the watchdog saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Jobs wait and for a whole period nobody took one.
    Stuck,
    /// The scheduler is closed.
    Closed,
}

impl Scheduler {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Scheduler { clock, inner: Mutex::default(), ready: Condvar::new(), crowded: Condvar::new() })
    }

    /// A new job, idle until it is woken.
    ///
    /// `make` is given a handle to the job that is being made, for its wakers.
    pub(crate) fn job<R: Runnable + 'static>(self: &Arc<Self>, make: impl FnOnce(&Weak<Job>) -> R) -> Arc<Job> {
        Arc::new_cyclic(|job| Job {
            state: AtomicU8::new(IDLE),
            alarm: Mutex::new(None),
            scheduler: Arc::downgrade(self),
            runnable: Box::new(make(job)),
        })
    }

    fn push(&self, job: Arc<Job>) {
        let mut inner = self.inner.lock();
        inner.queue.push_back(job);
        if inner.waiting > 0 {
            self.ready.notify_one();
        } else {
            self.crowded.notify_one();
        }
    }

    fn alarm(&self, at: Duration, job: &Arc<Job>) {
        let mut inner = self.inner.lock();
        let mut own = job.alarm.lock();
        match *own {
            // An earlier one serves too: the step then asks again.
            Some((earlier, _)) if earlier <= at => return,
            Some(later) => inner.alarms.remove(&later),
            None => None,
        };
        inner.sequence += 1;
        let key = (at, inner.sequence);
        let is_first = inner.alarms.first_key_value().is_none_or(|(first, _)| key < *first);
        inner.alarms.insert(key, Arc::downgrade(job));
        *own = Some(key);
        if is_first {
            // Somebody sleeps until the alarm that was first before.
            self.ready.notify_one();
        }
    }

    /// Runs jobs until the scheduler is closed; with `while_busy`, only until the queue is empty.
    pub(crate) fn work(&self, while_busy: bool) {
        loop {
            let job = {
                let mut inner = self.inner.lock();
                loop {
                    self.ring(&mut inner);
                    if inner.closed {
                        return;
                    }
                    if let Some(job) = inner.queue.pop_front() {
                        inner.taken += 1;
                        break job;
                    }
                    if while_busy {
                        return;
                    }
                    inner.waiting += 1;
                    match inner.alarms.first_key_value().map(|((at, _), _)| *at) {
                        Some(at) => {
                            let wait = at.saturating_sub(self.clock.now());
                            self.ready.wait_for(&mut inner, wait);
                        }
                        None => self.ready.wait(&mut inner),
                    }
                    inner.waiting -= 1;
                }
            };
            job.run();
        }
    }

    /// Waits until jobs have been waiting for a whole `period` without anyone taking one.
    pub(crate) fn watch(&self, period: Duration) -> Watch {
        let mut inner = self.inner.lock();
        loop {
            if inner.closed {
                return Watch::Closed;
            }
            if inner.queue.is_empty() {
                self.crowded.wait(&mut inner);
                continue;
            }
            let taken = inner.taken;
            let timed_out = self.crowded_timeout(&mut inner, period);
            if timed_out && inner.taken == taken && !inner.queue.is_empty() {
                return Watch::Stuck;
            }
        }
    }

    /// Waits a whole period, also when more jobs come meanwhile.
    fn crowded_timeout(&self, inner: &mut parking_lot::MutexGuard<'_, Inner>, period: Duration) -> bool {
        let until = self.clock.now() + period;
        while !inner.closed && !inner.queue.is_empty() {
            let left = until.saturating_sub(self.clock.now());
            if left.is_zero() {
                return true;
            }
            self.crowded.wait_for(inner, left);
        }
        false
    }

    /// Ends all workers; jobs that are queued are not run any more.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        self.ready.notify_all();
        self.crowded.notify_all();
    }

    /// For a driver without threads: the number of jobs that are ready.
    pub(crate) fn ready_jobs(&self) -> usize {
        let mut inner = self.inner.lock();
        self.ring(&mut inner);
        inner.queue.len()
    }

    /// For a driver without threads: runs the ready job at `index`.
    pub(crate) fn run_one(&self, index: usize) -> bool {
        let job = self.inner.lock().queue.remove(index);
        job.map(Job::run).is_some()
    }

    /// For a driver without threads: when the next alarm rings.
    pub(crate) fn next_alarm(&self) -> Option<Duration> {
        self.inner.lock().alarms.first_key_value().map(|((at, _), _)| *at)
    }

    /// Moves the jobs whose alarm is due to the queue.
    fn ring(&self, inner: &mut parking_lot::MutexGuard<'_, Inner>) {
        if inner.alarms.is_empty() {
            return;
        }
        let now = self.clock.now();
        while let Some(first) = inner.alarms.first_entry()
            && first.key().0 <= now
        {
            let Some(job) = first.remove().upgrade() else { continue };
            *job.alarm.lock() = None;
            if job.mark() {
                inner.queue.push_back(job);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use fnstream_core::test_util::clock::ManualClock;

    use super::*;

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
        let job =
            scheduler.job(|job| Counter { steps: steps.clone(), next, wake_self: wakes_itself.then(|| job.clone()) });
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

    #[test]
    fn a_stuck_worker_does_not_hold_up_the_queue() {
        struct Stuck(gate::Gate);
        impl Runnable for Stuck {
            fn step(&self) -> Next {
                self.0.wait();
                Next::Done
            }
        }
        let scheduler = Scheduler::new(Arc::new(fnstream_core::clock::SystemClock::new()));
        let workers = crate::workers::Workers::start(scheduler.clone(), 1).expect("threads");
        let (stuck, done) = (gate::Gate::default(), gate::Gate::default());
        let gate = stuck.clone();
        scheduler.job(|_| Stuck(gate)).wake();
        struct Signal(gate::Gate);
        impl Runnable for Signal {
            fn step(&self) -> Next {
                self.0.open();
                Next::Done
            }
        }
        let signal = done.clone();
        scheduler.job(|_| Signal(signal)).wake();
        // Only a further thread can open it while the single worker is stuck.
        done.wait();
        stuck.open();
        workers.stop();
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
}
