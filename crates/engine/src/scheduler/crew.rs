// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Who works: the threads, what each of them is at, and how many more are needed. Decides only; whoever asks acts.
//!
//! ```text
//!                    a step longer than STUCK_AFTER             and HOG_TIME of the processor since
//!   quick lane ────► stuck: another thread takes its place ────► hog: lowered, slow lane from now on
//!       ▲                │
//!       └── step ends ───┘   then one of the threads is too many, and ends
//! ```
//!
//! A stuck thread need not be at fault: it may wait for the disk, or for a processor that others use. Only one that
//! really computes is a hog. Its thread gets a lower priority, which cannot be raised again, so it never returns to the
//! quick lane; its job is run in the slow lane until it has shown for a while that it has mended its ways. So a function
//! that is known to hold up its thread does not even for a moment hold up the others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The time that a step may last before its thread no longer counts among those that are there for others. A well-behaved
/// task ends its step after [`slice`](crate::EngineConfig::slice), which is less.
pub(super) const STUCK_AFTER: Duration = Duration::from_millis(10);

/// The processor time that a stuck step uses before it is a hog.
pub(super) const HOG_TIME: Duration = Duration::from_millis(5);

/// The most threads beside those that are configured.
pub(crate) const MAX_EXTRA: usize = 256;

/// The time in which nobody is hired after the system refused a thread.
const HIRE_PAUSE: Duration = Duration::from_secs(1);

/// The operating system's side of a thread.
pub(crate) trait Os: Send + Sync {
    /// The processor time that the thread has used; `None` when it cannot be told.
    fn cpu_time(&self, thread: ThreadId) -> Option<Duration>;

    /// Lowers its priority for good.
    fn lower(&self, thread: ThreadId);
}

/// A thread as the operating system knows it.
pub(crate) type ThreadId = i32;

/// Which jobs a thread runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Those that are not known to be hogs, at normal priority.
    Quick,
    /// Hogs, at a low one.
    Slow,
}

/// A thread's place in the crew.
pub(crate) type PostId = u64;

#[derive(Debug)]
struct Post {
    lane: Lane,
    /// Not known until the thread runs.
    thread: Option<ThreadId>,
    step: Option<Step>,
    /// Tells the thread that the step it is in has made it a hog.
    hog: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Step {
    since: Duration,
    /// When it is looked at next.
    look_at: Duration,
    /// The processor time at the first look.
    cpu: Option<Option<Duration>>,
}

/// Orders for the watchdog.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    /// Threads to be started.
    pub(crate) hired: Vec<(PostId, Lane)>,
    /// More would be needed, but there are as many as there may be. Said once, until things have become much better.
    pub(crate) full: bool,
}

/// The threads of a scheduler.
#[derive(Debug)]
pub(super) struct Crew {
    posts: BTreeMap<PostId, Post>,
    next: PostId,
    /// The number of threads of the quick lane there are to be that are not stuck.
    wanted: usize,
    most: usize,
    said_full: bool,
    hire_not_before: Duration,
}

impl Crew {
    /// Nobody, and nobody wanted: for a driver without threads.
    pub(super) fn new() -> Self {
        Crew { posts: BTreeMap::new(), next: 0, wanted: 0, most: 0, said_full: false, hire_not_before: Duration::ZERO }
    }

    pub(super) fn want(&mut self, wanted: usize, extra: usize) {
        self.wanted = wanted;
        self.most = wanted + extra;
    }

    /// The number that there are, those included who were hired and have not come yet.
    pub(super) fn len(&self) -> usize {
        self.posts.len()
    }

    /// A post was taken by the thread that is to fill it.
    pub(super) fn arrive(&mut self, id: PostId, thread: ThreadId) -> Arc<AtomicBool> {
        let Some(post) = self.posts.get_mut(&id) else { return Arc::default() };
        post.thread = Some(thread);
        post.hog.clone()
    }

    pub(super) fn leave(&mut self, id: PostId) {
        self.posts.remove(&id);
    }

    /// A thread could not be started.
    pub(super) fn refused(&mut self, id: PostId, now: Duration) {
        self.leave(id);
        self.hire_not_before = now + HIRE_PAUSE;
    }

    pub(super) fn lane(&self, id: PostId) -> Lane {
        self.posts.get(&id).map_or(Lane::Slow, |post| post.lane)
    }

    /// A step begins.
    pub(super) fn begin(&mut self, id: PostId, now: Duration) {
        if let Some(post) = self.posts.get_mut(&id) {
            post.step = Some(Step { since: now, look_at: now + STUCK_AFTER, cpu: None });
        }
    }

    /// A step has ended.
    pub(super) fn rest(&mut self, id: PostId) {
        if let Some(post) = self.posts.get_mut(&id) {
            post.step = None;
        }
    }

    /// Reports whether there is a thread more in the quick lane than is needed.
    pub(super) fn has_surplus(&self, now: Duration) -> bool {
        self.posts.len() > self.wanted && self.healthy(now) > self.wanted
    }

    fn healthy(&self, now: Duration) -> usize {
        let quick = self.posts.values().filter(|post| post.lane == Lane::Quick);
        quick.filter(|post| post.step.as_ref().is_none_or(|step| now < step.since + STUCK_AFTER)).count()
    }

    /// Looks at those that are due, and says who is needed beside them while so many jobs wait in the slow lane.
    pub(super) fn judge(&mut self, now: Duration, slow_jobs: usize, os: &dyn Os) -> Orders {
        for post in self.posts.values_mut() {
            post.look(now, os);
        }
        let free = self.posts.values().filter(|post| post.lane == Lane::Slow && post.step.is_none()).count();
        let quick = self.wanted.saturating_sub(self.healthy(now));
        let slow = slow_jobs.saturating_sub(free);
        if quick + slow == 0 || now < self.hire_not_before {
            return Orders::default();
        }
        // A part is kept for the quick lane: hogs may wait for each other.
        let room = self.most.saturating_sub(self.posts.len());
        let slow_room = (self.most - self.most / 4).saturating_sub(self.posts.len());
        let mut orders = Orders { hired: Vec::new(), full: room < quick && !self.said_full };
        self.said_full = room < quick || (self.said_full && self.posts.len() > self.most / 2);
        for _ in 0..quick.min(room) {
            orders.hired.push((self.hire(Lane::Quick), Lane::Quick));
        }
        for _ in 0..slow.min(slow_room.saturating_sub(orders.hired.len())) {
            orders.hired.push((self.hire(Lane::Slow), Lane::Slow));
        }
        orders
    }

    fn hire(&mut self, lane: Lane) -> PostId {
        self.next += 1;
        self.posts.insert(self.next, Post { lane, thread: None, step: None, hog: Arc::default() });
        self.next
    }

    /// When to judge again; while nobody is free for the next job, those are looked at too that are not stuck yet.
    pub(super) fn next_look(&self, now: Duration, nobody_is_free: bool) -> Option<Duration> {
        let quick = self.posts.values().filter(|post| post.lane == Lane::Quick);
        let steps = quick.filter_map(|post| post.step.as_ref());
        let looks = steps.filter(|step| nobody_is_free || step.cpu.is_some()).map(|step| step.look_at);
        looks.chain((self.hire_not_before > now).then_some(self.hire_not_before)).min()
    }
}

impl Post {
    fn look(&mut self, now: Duration, os: &dyn Os) {
        let (Lane::Quick, Some(thread), Some(step)) = (self.lane, self.thread, &mut self.step) else { return };
        if now < step.look_at {
            return;
        }
        let cpu = os.cpu_time(thread);
        let Some(before) = step.cpu else {
            step.cpu = Some(cpu);
            step.look_at = now + STUCK_AFTER;
            return;
        };
        let used = cpu.zip(before).map(|(now, before)| now.saturating_sub(before));
        if used.is_some_and(|used| used < HOG_TIME) {
            // It waits for something. The longer it does, the more rarely it is looked at.
            step.look_at = now + (now - step.since);
            return;
        }
        self.lane = Lane::Slow;
        self.hog.store(true, Ordering::Relaxed);
        os.lower(thread);
    }
}

#[cfg(test)]
mod tests;
