// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Who runs next: queues of what is ready and a list of alarms. Nothing here ever polls.
//!
//! A job that keeps its thread from the others is queued in a lane of its own (see [`crew`]), so the quick ones never wait
//! behind it.

mod crew;
mod job;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use fnstream_core::clock::Clock;
use parking_lot::{Condvar, Mutex};

use self::crew::Crew;
pub(crate) use self::crew::{Lane, MAX_EXTRA, Orders, Os, PostId, ThreadId};
pub(crate) use self::job::{Job, Next, Runnable, Seat};

/// The queues, the alarms and the crew that works on them.
pub(crate) struct Scheduler {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
    /// Workers wait here for a job or the next alarm.
    ready: Condvar,
    /// The watchdog waits here until it may be needed.
    watch: Condvar,
    /// The one who ends the crew waits here until the last of it has left.
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
        Job::new(self, make)
    }

    /// Queues a job.
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
        Seat::new(post, hog, own_cpu_time)
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

    /// Waits until the whole crew of a closed scheduler has left, so long at most; false when it has not.
    pub(crate) fn wait_until_left(&self, most: Duration) -> bool {
        let mut inner = self.inner.lock();
        !self.left.wait_while_for(&mut inner, |inner| inner.crew.len() > 0, most).timed_out()
    }

    /// For a driver without threads: the number of jobs that are ready.
    pub(crate) fn ready_jobs(&self) -> usize {
        let mut inner = self.inner.lock();
        self.ring(&mut inner);
        inner.queue.len()
    }

    /// For a driver without threads: runs the ready job at `index`.
    pub(crate) fn run_one(&self, index: usize) -> bool {
        let seat = Seat::new(0, Arc::default(), || None);
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
