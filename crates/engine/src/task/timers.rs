// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Which timers of a task are due. They are kept in its state ([`fnstream_core::timer`]), so they are committed, recovered and
//! rolled back like everything else there; here is only remembered when the next one is due, and where to look for it.

use std::ops::ControlFlow;

use fnstream_core::error::{Result, internal};
use fnstream_core::state_key::prefix_end;
use fnstream_core::timer::{
    Place, TimeDomain, Timer, due_prefix, encode_time, queue_prefix, queued_timer_of, timer_of,
};

use crate::state::Layers;

/// What is known of the timers of both domains.
#[derive(Debug, Default)]
pub(super) struct Timers([OfDomain; 2]);

/// The times that a call of user code begins with, for one domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reached {
    /// A timer that is set for this time or an earlier one is queued: what is at its time has had its turn.
    pub(super) queue: Option<i64>,
    /// A timer that is set for this time or an earlier one is due without that any time passes.
    pub(super) due: Option<i64>,
}

#[derive(Debug, Default)]
struct OfDomain {
    reached: Reached,
    /// When the first of those is due that are not queued.
    next: Known<Option<i64>>,
    /// None of them is due before this: what was there before is gone, and need not be passed over again.
    from: Option<i64>,
    queue: Known<Queue>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Known<T> {
    /// To be looked up.
    #[default]
    Not,
    Is(T),
}

/// The queue of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Queue {
    /// Nothing has a lower turn.
    from: u64,
    /// The turn of the first one that waits.
    first: Known<Option<u64>>,
    /// The turn of those that are set now.
    fill: u64,
}

impl Timers {
    fn of(&mut self, domain: TimeDomain) -> &mut OfDomain {
        &mut self.0[usize::from(domain.number())]
    }

    /// A call begins: these times have come.
    pub(super) fn reach(&mut self, domain: TimeDomain, reached: Reached) {
        self.of(domain).reached = reached;
    }

    /// Forgets what is known of the state, but not what time it is.
    pub(super) fn forget(&mut self) {
        self.0 = [0, 1].map(|index| OfDomain { reached: self.0[index].reached, ..OfDomain::default() });
    }

    /// When the next of those is due that are not queued.
    pub(super) fn next(&mut self, domain: TimeDomain, layers: &Layers) -> Result<Option<i64>> {
        let of = self.of(domain);
        if of.next == Known::Not {
            let next = of.at_time(domain, layers, i64::MAX, 1)?.first().map(|timer| timer.at_ms);
            of.next = Known::Is(next);
            of.from = Some(next.unwrap_or(i64::MAX));
        }
        match of.next {
            Known::Is(next) => Ok(next),
            Known::Not => Ok(None),
        }
    }

    /// The first of those that are due at `now_ms` and not queued, so many at most.
    pub(super) fn due(&self, domain: TimeDomain, layers: &Layers, now_ms: i64, most: usize) -> Result<Vec<Timer>> {
        self.0[usize::from(domain.number())].at_time(domain, layers, now_ms, most)
    }

    /// The turn of the first timer in the queue.
    pub(super) fn queued(&mut self, domain: TimeDomain, layers: &Layers) -> Result<Option<u64>> {
        let mut queue = self.queue(domain, layers)?;
        if queue.first == Known::Not {
            let first = in_queue(domain, layers, queue.from, u64::MAX, 1)?.first().map(|(turn, _)| *turn);
            queue.first = Known::Is(first);
            queue.from = first.unwrap_or(queue.fill);
            self.of(domain).queue = Known::Is(queue);
        }
        match queue.first {
            Known::Is(first) => Ok(first),
            Known::Not => Ok(None),
        }
    }

    /// The first timers of the queue up to a turn, so many at most. What is set from now on comes behind all of them.
    pub(super) fn take_turn(
        &mut self,
        domain: TimeDomain,
        layers: &Layers,
        through: u64,
        most: usize,
    ) -> Result<Vec<Timer>> {
        let queue = self.queue(domain, layers)?;
        let taken = in_queue(domain, layers, queue.from, through, most)?;
        if taken.iter().any(|(turn, _)| *turn == queue.fill) {
            self.end_turn(domain, layers)?;
        }
        Ok(taken.into_iter().map(|(_, timer)| timer).collect())
    }

    /// Ends the turn that is being filled, and answers its number.
    pub(super) fn end_turn(&mut self, domain: TimeDomain, layers: &Layers) -> Result<u64> {
        let mut queue = self.queue(domain, layers)?;
        let ended = queue.fill;
        queue.fill += 1;
        self.of(domain).queue = Known::Is(queue);
        Ok(ended)
    }

    /// Where a timer has its place that is set now, and whether it is due at once.
    pub(super) fn place(&mut self, timer: &Timer, layers: &Layers) -> Result<(Place, bool)> {
        let reached = self.of(timer.domain).reached;
        let place = match reached.queue.is_some_and(|reached| timer.at_ms <= reached) {
            true => Place::Queue(self.queue(timer.domain, layers)?.fill),
            false => Place::AtTime,
        };
        Ok((place, reached.due.is_some_and(|due| timer.at_ms <= due)))
    }

    pub(super) fn set(&mut self, timer: &Timer, place: Place) {
        let of = self.of(timer.domain);
        match place {
            Place::AtTime => {
                if let Known::Is(next) = &mut of.next {
                    *next = Some(next.map_or(timer.at_ms, |next| next.min(timer.at_ms)));
                }
                of.from = of.from.map(|from| from.min(timer.at_ms));
            }
            Place::Queue(turn) => {
                if let Known::Is(Queue { first: Known::Is(first), .. }) = &mut of.queue {
                    *first = Some(first.map_or(turn, |first| first.min(turn)));
                }
            }
        }
    }

    pub(super) fn deleted(&mut self, timer: &Timer, place: Place) {
        let of = self.of(timer.domain);
        match place {
            Place::AtTime => {
                if let Known::Is(Some(next)) = of.next
                    && next >= timer.at_ms
                {
                    of.from = Some(next);
                    of.next = Known::Not;
                }
            }
            Place::Queue(turn) => {
                if let Known::Is(queue) = &mut of.queue
                    && matches!(queue.first, Known::Is(Some(first)) if first >= turn)
                {
                    queue.first = Known::Not;
                }
            }
        }
    }

    /// The queue, looked up when it is not known: new timers come behind all that are there.
    fn queue(&mut self, domain: TimeDomain, layers: &Layers) -> Result<Queue> {
        if let Known::Is(queue) = self.of(domain).queue {
            return Ok(queue);
        }
        let (mut first, mut from, mut fill) = (None, 0, 0);
        // A queue has few turns at a time.
        while let Some((turn, _)) = in_queue(domain, layers, fill, u64::MAX, 1)?.first() {
            if first.is_none() {
                (first, from) = (Some(*turn), *turn);
            }
            fill = turn + 1;
        }
        let queue = Queue { from, first: Known::Is(first), fill };
        self.of(domain).queue = Known::Is(queue);
        Ok(queue)
    }
}

impl OfDomain {
    fn at_time(&self, domain: TimeDomain, layers: &Layers, now_ms: i64, most: usize) -> Result<Vec<Timer>> {
        let prefix = due_prefix(domain);
        let start = [&prefix[..], &encode_time(self.from.unwrap_or(i64::MIN))].concat();
        let end = match now_ms.checked_add(1) {
            Some(after) => Some([&prefix[..], &encode_time(after)].concat()),
            None => prefix_end(&prefix),
        };
        scan(layers, &start, end, most, |key| timer_of(domain, key))
    }
}

/// The first timers of a queue from a turn through another one.
fn in_queue(domain: TimeDomain, layers: &Layers, from: u64, through: u64, most: usize) -> Result<Vec<(u64, Timer)>> {
    let prefix = queue_prefix(domain);
    let start = [&prefix[..], &from.to_be_bytes()].concat();
    let end = match through.checked_add(1) {
        Some(after) => Some([&prefix[..], &after.to_be_bytes()].concat()),
        None => prefix_end(&prefix),
    };
    scan(layers, &start, end, most, |key| queued_timer_of(domain, key))
}

fn scan<T>(
    layers: &Layers,
    start: &[u8],
    end: Option<Vec<u8>>,
    most: usize,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Result<Vec<T>> {
    let mut found = Vec::new();
    let mut malformed = false;
    layers.scan(start, end.as_deref(), &mut |key, _| {
        match read(key) {
            Some(timer) => found.push(timer),
            None => malformed = true,
        }
        if found.len() < most && !malformed { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    if malformed {
        return Err(internal("a timer is kept under a key that is none"));
    }
    Ok(found)
}
