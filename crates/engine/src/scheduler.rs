// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Who runs next: queues of what is ready and a list of alarms. Nothing here ever polls.
//!
//! A job that keeps its thread from the others is queued in a lane of its own (see [`crew`]), so the quick ones never wait
//! behind it.
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

mod crew;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use fnstream_core::clock::Clock;
use parking_lot::{Condvar, Mutex};

use self::crew::{Crew, HOG_TIME};
pub(crate) use self::crew::{Lane, MAX_EXTRA, Orders, Os, PostId, ThreadId};

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

/// After how many quick steps in a row a hog is let into the quick lane again. More than a task needs to fail and to be
/// opened anew: most hogs are so at each attempt.
const PENANCE: u8 = 16;

/// A runnable with its place in the scheduler.
pub(crate) struct Job {
    state: AtomicU8,
    /// Quick steps that it still owes before it leaves the slow lane.
    owes: AtomicU8,
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

    fn lane(&self) -> Lane {
        if self.owes.load(Ordering::Relaxed) > 0 { Lane::Slow } else { Lane::Quick }
    }

    fn run(self: Arc<Self>, seat: &Seat) {
        self.state.store(RUNNING, Ordering::Release);
        let begun = seat.begin();
        let next = self.runnable.step();
        // Before it can be queued again.
        let owes = if seat.was_hog(begun) { PENANCE } else { self.owes.load(Ordering::Relaxed).saturating_sub(1) };
        self.owes.store(owes, Ordering::Relaxed);
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

/// Where a thread sits: what it needs to know of itself while it runs a job.
pub(crate) struct Seat {
    post: PostId,
    hog: Arc<AtomicBool>,
    own_cpu_time: fn() -> Option<Duration>,
}

impl Seat {
    /// The processor time at the beginning of a step; only a thread of the slow lane has to measure it.
    fn begin(&self) -> Option<Duration> {
        if self.hog.load(Ordering::Relaxed) { (self.own_cpu_time)() } else { None }
    }

    /// Whether the step that has just ended used more of the processor than it should.
    fn was_hog(&self, begun: Option<Duration>) -> bool {
        match begun {
            // Found out during this step, if at all.
            None => self.hog.load(Ordering::Relaxed),
            Some(begun) => (self.own_cpu_time)().is_none_or(|now| now.saturating_sub(begun) >= 2 * HOG_TIME),
        }
    }
}

/// The queues, the alarms and the crew that works on them.
pub(crate) struct Scheduler {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
    /// Workers wait here for a job or the next alarm.
    ready: Condvar,
    /// The watchdog waits here until it may be needed.
    watch: Condvar,
    /// Who ends the crew waits here until the last of it has left.
    left: Condvar,
}

struct Inner {
    queue: VecDeque<Arc<Job>>,
    /// Jobs that hold up whoever runs them.
    slow: VecDeque<Arc<Job>>,
    alarms: BTreeMap<(Duration, u64), Weak<Job>>,
    sequence: u64,
    crew: Crew,
    /// Threads of the quick lane that wait for a job.
    waiting: usize,
    /// The watchdog sleeps without a time to wake up.
    unwatched: bool,
    closed: bool,
}

impl Scheduler {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Scheduler {
            clock,
            inner: Mutex::new(Inner {
                queue: VecDeque::new(),
                slow: VecDeque::new(),
                alarms: BTreeMap::new(),
                sequence: 0,
                crew: Crew::new(),
                waiting: 0,
                unwatched: false,
                closed: false,
            }),
            ready: Condvar::new(),
            watch: Condvar::new(),
            left: Condvar::new(),
        })
    }

    /// A new job, idle until it is woken.
    ///
    /// `make` is given a handle to the job that is being made, for its wakers.
    pub(crate) fn job<R: Runnable + 'static>(self: &Arc<Self>, make: impl FnOnce(&Weak<Job>) -> R) -> Arc<Job> {
        Arc::new_cyclic(|job| Job {
            state: AtomicU8::new(IDLE),
            owes: AtomicU8::new(0),
            alarm: Mutex::new(None),
            scheduler: Arc::downgrade(self),
            runnable: Box::new(make(job)),
        })
    }

    fn push(&self, job: Arc<Job>) {
        self.enqueue(&mut self.inner.lock(), job);
    }

    fn enqueue(&self, inner: &mut Inner, job: Arc<Job>) {
        if job.lane() == Lane::Slow {
            inner.slow.push_back(job);
            self.rouse(inner);
            return;
        }
        inner.queue.push_back(job);
        if inner.waiting > 0 {
            self.ready.notify_one();
        }
    }

    /// Has the watchdog look after the crew.
    fn rouse(&self, inner: &mut Inner) {
        inner.unwatched = false;
        self.watch.notify_one();
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

    /// Says how many threads there are to be, and how many more at most. They are hired through [`Self::watch`].
    pub(crate) fn staff(&self, wanted: usize, extra: usize) {
        let mut inner = self.inner.lock();
        inner.crew.want(wanted, extra);
        self.rouse(&mut inner);
    }

    /// Fills a post; until this is called, nobody is there, but nobody else is hired for it either.
    pub(crate) fn take_seat(&self, post: PostId, thread: ThreadId, own_cpu_time: fn() -> Option<Duration>) -> Seat {
        let mut inner = self.inner.lock();
        let hog = inner.crew.arrive(post, thread);
        if inner.crew.lane(post) == Lane::Slow {
            hog.store(true, Ordering::Relaxed);
        }
        Seat { post, hog, own_cpu_time }
    }

    /// Gives a post up.
    pub(crate) fn leave(&self, post: PostId) {
        let mut inner = self.inner.lock();
        inner.crew.leave(post);
        self.rouse(&mut inner);
        self.left.notify_all();
    }

    /// A thread for that post could not be started.
    pub(crate) fn refused(&self, post: PostId) {
        let now = self.clock.now();
        self.inner.lock().crew.refused(post, now);
        self.left.notify_all();
    }

    /// Runs jobs until the thread is not needed any more or the scheduler is closed.
    pub(crate) fn work(&self, seat: &Seat) {
        while let Some(job) = self.next_job(seat.post) {
            job.run(seat);
        }
    }

    fn next_job(&self, post: PostId) -> Option<Arc<Job>> {
        let mut inner = self.inner.lock();
        inner.crew.rest(post);
        loop {
            let now = self.ring(&mut inner);
            if inner.closed {
                return None;
            }
            if inner.crew.lane(post) == Lane::Slow {
                let job = inner.slow.pop_front()?;
                inner.crew.begin(post, now);
                return Some(job);
            }
            if inner.crew.has_surplus(now) {
                // What it was woken for is done by another.
                self.ready.notify_one();
                return None;
            }
            if let Some(job) = inner.queue.pop_front() {
                inner.crew.begin(post, now);
                if inner.waiting == 0 && inner.unwatched {
                    self.rouse(&mut inner);
                }
                return Some(job);
            }
            inner.waiting += 1;
            match inner.alarms.first_key_value().map(|((at, _), _)| *at) {
                Some(at) => {
                    self.ready.wait_for(&mut inner, at.saturating_sub(now));
                }
                None => self.ready.wait(&mut inner),
            }
            inner.waiting -= 1;
        }
    }

    /// Waits until the crew lacks somebody; `None` when the scheduler is closed.
    pub(crate) fn watch(&self, os: &dyn Os) -> Option<Orders> {
        let mut inner = self.inner.lock();
        loop {
            if inner.closed {
                return None;
            }
            let now = self.clock.now();
            let slow_jobs = inner.slow.len();
            let orders = inner.crew.judge(now, slow_jobs, os);
            if orders != Orders::default() {
                return Some(orders);
            }
            match inner.crew.next_look(now, inner.waiting == 0) {
                Some(at) => {
                    inner.unwatched = false;
                    self.watch.wait_for(&mut inner, at.saturating_sub(now));
                }
                None => {
                    inner.unwatched = true;
                    self.watch.wait(&mut inner);
                    inner.unwatched = false;
                }
            }
        }
    }

    /// Ends all workers; jobs that are queued are not run any more.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        self.ready.notify_all();
        self.watch.notify_all();
    }

    /// Waits until the whole crew of a closed scheduler has left.
    pub(crate) fn wait_until_left(&self) {
        let mut inner = self.inner.lock();
        while inner.crew.len() > 0 {
            self.left.wait(&mut inner);
        }
    }

    /// For a driver without threads: the number of jobs that are ready.
    pub(crate) fn ready_jobs(&self) -> usize {
        let mut inner = self.inner.lock();
        self.ring(&mut inner);
        inner.queue.len()
    }

    /// For a driver without threads: runs the ready job at `index`.
    pub(crate) fn run_one(&self, index: usize) -> bool {
        let seat = Seat { post: 0, hog: Arc::default(), own_cpu_time: || None };
        let job = self.inner.lock().queue.remove(index);
        job.map(|job| job.run(&seat)).is_some()
    }

    /// For a driver without threads: when the next alarm rings.
    pub(crate) fn next_alarm(&self) -> Option<Duration> {
        self.inner.lock().alarms.first_key_value().map(|((at, _), _)| *at)
    }

    /// Moves the jobs whose alarm is due to their queues; answers what time it is.
    fn ring(&self, inner: &mut Inner) -> Duration {
        let now = self.clock.now();
        while let Some(first) = inner.alarms.first_entry()
            && first.key().0 <= now
        {
            let Some(job) = first.remove().upgrade() else { continue };
            *job.alarm.lock() = None;
            if job.mark() {
                self.enqueue(inner, job);
            }
        }
        now
    }
}

#[cfg(test)]
mod tests;
