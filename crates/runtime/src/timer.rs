// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The time that a guest has, and which of its bounds ended it.
//!
//! A limit counts *processor time*: the time that the calling thread computes, in the guest or in the host's code for it. On a
//! busy machine a call takes longer by the clock, but uses no more of its limit. A guest that waits uses none at all, so its
//! waits end by the clock on the wall: at [`Limits::wall_time`], far above the limit. A guest that does not wait may take up to
//! [`Limits::MOST_WALL_TIME`]: however busy the machine is, it is not to die of having to stand back.
//!
//! Reading a thread's processor time costs a system call, which short calls must not pay. So nobody looks before
//! [`TICK`] has passed since a call began, and processor time is counted from the first look on: a call may use up to two
//! ticks more than its limit, never less. As no thread computes faster than the clock goes, the next look at the processor's
//! time comes when the rest of the limit has passed by the clock, and not before.
//!
//! A call also ends when its task is to end: that is looked at with each tick, and every wait ends with it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use fnstream_core::interrupt::Interrupt;
use fnstream_core::runtime::Limits;
use fnstream_core::{Error, ErrorCode};
use rustix::time::{ClockId, clock_gettime};

use crate::ticker::TICK;

/// Longer than any process lives.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Items between two looks at the clock.
const ITEMS: usize = 256;

/// The time that several parts of one start, or one call, may use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    cpu: Duration,
    wall: Duration,
}

impl Budget {
    /// All that a limit allows.
    pub(crate) fn of(limit: Duration) -> Self {
        Budget { cpu: limit, wall: Limits::wall_time(limit) }
    }
}

/// The clock of one call, or of a part of a start.
#[derive(Debug, Clone)]
pub(crate) struct Timer {
    phase: Phase,
    limit: Duration,
    budget: Budget,
    begun: Instant,
    /// The thread's processor time from which on it counts, once that was read.
    counted_from: Cell<Option<Duration>>,
    /// No bound can be reached before.
    next_look: Cell<Instant>,
    reached: Cell<Bound>,
    interrupt: Interrupt,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The instance is made, and its `init` called.
    Start,
    /// Any other call.
    Call,
}

/// The bounds that a guest can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Processor,
    Wall,
    /// Its task is to end.
    Task,
}

impl Timer {
    /// For one call, from now on.
    pub(crate) fn call(limits: &Limits) -> Self {
        Timer::new(Phase::Call, limits.call_time, Budget::of(limits.call_time))
    }

    /// For a part of the start, from now on, when earlier parts have left that much. A start is rare enough to be counted
    /// from its beginning.
    pub(crate) fn start(limits: &Limits, left: Budget) -> Self {
        let timer = Timer::new(Phase::Start, limits.start_time, left);
        timer.counted_from.set(Some(thread_time()));
        timer
    }

    fn new(phase: Phase, limit: Duration, budget: Budget) -> Self {
        let begun = Instant::now();
        Timer {
            phase,
            limit,
            budget,
            begun,
            counted_from: Cell::new(None),
            next_look: Cell::new(begun + TICK),
            reached: Cell::new(Bound::Processor),
            interrupt: Interrupt::default(),
        }
    }

    /// The same timer, whose call ends with the task of the one before it.
    pub(crate) fn after(self, before: &mut Timer) -> Self {
        Timer { interrupt: std::mem::take(&mut before.interrupt), ..self }
    }

    /// The same timer, whose call ends with that interrupt.
    pub(crate) fn ended_by(self, interrupt: &Interrupt) -> Self {
        Timer { interrupt: interrupt.clone(), ..self }
    }

    /// The interrupt that ends the call.
    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// The time by the clock after which it is worth looking again; `None` when a bound is reached.
    pub(crate) fn look(&self) -> Option<Duration> {
        if self.interrupt.is_set() {
            self.reached.set(Bound::Task);
            return None;
        }
        let now = Instant::now();
        if let Some(early) = self.next_look.get().checked_duration_since(now).filter(|early| !early.is_zero()) {
            return Some(early);
        }
        let wall = Limits::MOST_WALL_TIME.saturating_sub(now.duration_since(self.begun));
        if wall.is_zero() {
            self.reached.set(Bound::Wall);
            return None;
        }
        let cpu = self.budget.cpu.saturating_sub(self.used());
        if cpu.is_zero() {
            self.reached.set(Bound::Processor);
            return None;
        }
        let next = cpu.min(wall);
        self.next_look.set(now.checked_add(next).unwrap_or(now + FOR_EVER));
        Some(next)
    }

    /// Returns what is left by the clock on the wall, for a guest that waits.
    pub(crate) fn wall_left(&self) -> Duration {
        self.budget.wall.saturating_sub(self.begun.elapsed())
    }

    /// Returns what it leaves of its budget to the parts that come after it.
    pub(crate) fn rest(&self) -> Budget {
        Budget { cpu: self.budget.cpu.saturating_sub(self.used()), wall: self.wall_left() }
    }

    /// `Err` once a bound is reached. For host functions that go through a list of the guest's, which the engine cannot
    /// interrupt; asked with the number of each item, it looks now and then.
    pub(crate) fn check(&self, item: usize) -> Result<(), Error> {
        if item.is_multiple_of(ITEMS) && self.look().is_none() { Err(self.over()) } else { Ok(()) }
    }

    /// The failure of a guest that reached a bound.
    pub(crate) fn over(&self) -> Error {
        match self.reached.get() {
            Bound::Processor => {
                self.failure(|what, limit| format!("the {what} was ended at its limit {limit} of processor time"))
            }
            Bound::Wall => self.out_of_wall_time("was ended", Limits::MOST_WALL_TIME),
            Bound::Task => self.interrupt.error(),
        }
    }

    /// The failure of a guest that waited until its time by the clock was over, or its task was to end.
    pub(crate) fn waited(&self) -> Error {
        if self.interrupt.is_set() {
            return self.interrupt.error();
        }
        self.out_of_wall_time("waited until it was ended", Limits::wall_time(self.limit))
    }

    fn out_of_wall_time(&self, how: &str, wall: Duration) -> Error {
        self.failure(|what, limit| {
            format!("the {what} {how} {wall:?} after it began, the most by the clock with its limit {limit}")
        })
    }

    fn failure(&self, message: impl FnOnce(&str, &str) -> String) -> Error {
        let (what, name) = match self.phase {
            Phase::Start => ("start", "start-time"),
            Phase::Call => ("call", "call-time"),
        };
        Error::new(ErrorCode::GuestTimeout, message(what, &format!("'{name}' of {:?}", self.limit)))
    }

    /// Processor time since it is counted, which is from now on if it was not yet.
    fn used(&self) -> Duration {
        let now = thread_time();
        match self.counted_from.get() {
            Some(from) => now.saturating_sub(from),
            None => {
                self.counted_from.set(Some(now));
                Duration::ZERO
            }
        }
    }
}

/// The processor time that this thread has used.
fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(millis: u64) -> Limits {
        Limits {
            call_time: Duration::from_millis(millis),
            start_time: Duration::from_millis(millis),
            ..Limits::default()
        }
    }

    /// Computes until the thread has used that much more.
    fn compute(millis: u64) {
        let end = thread_time() + Duration::from_millis(millis);
        while thread_time() < end {}
    }

    fn until_over(timer: &Timer) -> Error {
        while timer.look().is_some() {}
        timer.over()
    }

    #[test]
    fn processor_time_ends_a_call_and_not_before_its_limit() {
        let (begun, timer) = (thread_time(), Timer::call(&limits(30)));
        let message = until_over(&timer).message;
        assert!(thread_time() - begun >= Duration::from_millis(30));
        assert_eq!(message, "the call was ended at its limit 'call-time' of 30ms of processor time");
    }

    #[test]
    fn nobody_looks_at_the_processors_time_in_a_short_call() {
        let timer = Timer::call(&limits(1));
        assert!(timer.look().is_some_and(|early| early <= TICK));
        assert_eq!(timer.counted_from.get(), None);
    }

    #[test]
    fn the_clock_ends_a_call_that_computes_little() {
        let timer = Timer::call(&limits(600_000));
        let begun = timer.begun - (Limits::wall_time(timer.limit) - Duration::from_secs(3));
        let late = Timer { begun, next_look: Cell::new(begun), ..timer.clone() };
        assert!(late.look().is_some_and(|left| left <= Duration::from_secs(3)));
        let over = Timer { begun: begun - Duration::from_secs(4), next_look: Cell::new(begun), ..timer };
        assert_eq!(over.look(), None);
        assert_eq!(over.wall_left(), Duration::ZERO);
        assert_eq!(
            over.over().message,
            "the call was ended 1800s after it began, the most by the clock with its limit 'call-time' of 600s"
        );
    }

    #[test]
    fn a_call_ends_with_its_task_and_so_does_the_next_one() {
        let interrupt = Interrupt::default();
        let mut first = Timer::call(&limits(600_000)).ended_by(&interrupt);
        assert!(first.look().is_some());
        let second = Timer::call(&limits(600_000)).after(&mut first);
        interrupt.set();
        assert_eq!(second.look(), None);
        assert_eq!((second.over().code, second.waited().code), (ErrorCode::Interrupted, ErrorCode::Interrupted));
    }

    #[test]
    fn parts_of_a_start_share_its_budget() {
        let limits = limits(1_000);
        let first = Timer::start(&limits, Budget::of(limits.start_time));
        compute(300);
        let left = first.rest();
        assert!(left.cpu <= Duration::from_millis(700) && left.wall <= Duration::from_millis(19_700), "{left:?}");
        let second = Timer::start(&limits, left);
        compute(300);
        assert!(second.rest().cpu <= Duration::from_millis(400));
        let spent = Timer::start(&limits, Budget { cpu: Duration::ZERO, ..left });
        let message = "the start was ended at its limit 'start-time' of 1s of processor time";
        assert_eq!(until_over(&spent).message, message);
    }
}
