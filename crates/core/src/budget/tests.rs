// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake};

use super::*;
use crate::ErrorCode;
use crate::waker::Waker;

fn part(limit: usize) -> Part {
    Part::new("bodies", "requests' bodies", limit)
}

/// A waker that counts.
#[derive(Default)]
struct Woken(AtomicU32);

impl Woken {
    fn times(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    fn waker(self: &Arc<Self>) -> Waker {
        let woken = Arc::clone(self);
        Waker::new(move || {
            woken.0.fetch_add(1, Ordering::SeqCst);
        })
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn the_shares_are_the_whole_and_no_more() {
    assert_eq!(GUESTS.0 + OTHERS.iter().map(|share| share.0).sum::<usize>(), 100);
    for total in [0, LEAST, LEAST + (1 << 20), 512 << 20, 1 << 30, 2 << 30, 64 << 30] {
        let budget = Budget::new(total);
        let sum: usize = budget.parts().iter().map(|part| part.limit()).sum::<usize>() + budget.own();
        assert!(sum <= budget.total() && sum + 100 >= budget.total(), "{total}: {sum} of {}", budget.total());
        assert!(budget.parts().iter().all(|part| part.limit() > 1 << 20), "{total}: {budget:?}");
        assert!(budget.guests.limit() >= 40 << 20 && budget.answers.limit() > 16 << 20, "{total}: {budget:?}");
        assert!(budget.compiling.limit() >= 160 << 20, "{total}: {budget:?}");
    }
    assert_eq!(Budget::new(0).total(), LEAST);
}

#[test]
fn more_in_all_is_never_less_for_anybody() {
    let budgets: Vec<_> = (384..8192).step_by(16).map(|mib| Budget::new(mib << 20)).collect();
    for pair in budgets.windows(2) {
        for (less, more) in pair[0].parts().iter().zip(pair[1].parts()) {
            assert!(less.limit() <= more.limit(), "{}: {less:?} of {}, {more:?}", more.name(), pair[0].total());
        }
    }
}

#[test]
fn what_passes_the_limit_is_refused_and_what_is_dropped_is_free_again() {
    let part = part(1000);
    let first = part.try_take(600).unwrap();
    let refused = part.try_take(401).unwrap_err();
    assert_eq!(refused.code, ErrorCode::MemoryShort);
    assert_eq!(
        refused.message,
        "the server's memory for requests' bodies is used up: of 1000 bytes 600 are taken, and 401 more were asked for"
    );
    assert_eq!((part.used(), part.refused()), (600, 1), "a refusal takes nothing");
    let second = part.try_take(400).unwrap();
    assert_eq!((part.used(), part.peak()), (1000, 1000));
    drop((first, second));
    assert_eq!((part.used(), part.peak()), (0, 1000));
}

#[test]
fn what_is_held_grows_shrinks_and_splits() {
    let part = part(1000);
    let mut held = part.try_take(0).unwrap();
    held.try_grow(900).unwrap();
    assert_eq!(held.try_grow(101).unwrap_err().code, ErrorCode::MemoryShort);
    assert_eq!((held.bytes(), part.used()), (900, 900), "a refused growth leaves what was held");
    let half = held.split(500);
    assert_eq!((held.bytes(), half.bytes(), part.used()), (400, 500, 900));
    held.shrink_to(100);
    assert_eq!((held.bytes(), part.used()), (100, 600));
    held.shrink_to(200);
    assert_eq!(held.bytes(), 100, "shrinking never grows");
    drop(held);
    assert_eq!(part.used(), 500);
    drop(half);
    assert_eq!(part.used(), 0);
}

#[test]
fn who_waits_is_served_in_turn_and_not_overtaken() {
    let part = part(1000);
    let held = part.try_take(900).unwrap();
    let (first, second) = (Arc::<Woken>::default(), Arc::<Woken>::default());
    let mut large = part.wait(800, first.waker()).unwrap();
    let mut small = part.wait(50, second.waker()).unwrap();
    assert!(large.ready().is_none() && small.ready().is_none(), "it would fit, but is not first");
    assert_eq!(part.try_take(50).unwrap_err().code, ErrorCode::MemoryShort, "neither may who does not wait");
    assert_eq!(part.waiting(), 2);
    drop(held);
    assert_eq!((first.times(), second.times()), (1, 1));
    assert_eq!(part.used(), 850, "taken for them before they fetch it");
    assert_eq!(large.ready().unwrap().bytes(), 800);
    assert_eq!(part.used(), 50, "given back at once, since nobody kept it");
    let kept = small.ready().unwrap();
    assert!(small.ready().is_none(), "there is only one to fetch");
    drop(small);
    assert_eq!(part.used(), kept.bytes());
}

#[test]
fn who_holds_grows_before_those_who_wait() {
    let part = part(1000);
    let mut held = part.try_take(500).unwrap();
    let _waiting = part.wait(600, Waker::noop()).unwrap();
    held.try_grow(500).unwrap();
    assert_eq!(part.used(), 1000);
}

#[test]
fn who_leaves_the_queue_lets_the_next_one_pass_and_keeps_nothing() {
    let part = part(1000);
    let held = part.try_take(900).unwrap();
    let woken = Arc::<Woken>::default();
    let large = part.wait(800, Waker::noop()).unwrap();
    let mut small = part.wait(100, woken.waker()).unwrap();
    drop(large);
    assert_eq!(woken.times(), 1);
    drop(small.ready().unwrap());
    let unfetched = part.wait(100, Waker::noop()).unwrap();
    assert_eq!(part.used(), 1000);
    drop((unfetched, held));
    assert_eq!((part.used(), part.waiting()), (0, 0));
}

#[test]
fn what_can_never_fit_is_refused_rather_than_waited_for() {
    assert_eq!(part(1000).wait(1001, Waker::noop()).unwrap_err().code, ErrorCode::MemoryShort);
}

#[test]
fn a_future_waits_its_turn_and_may_be_dropped() {
    let part = part(1000);
    let (woken, held) = (Arc::<Woken>::default(), part.try_take(1000).unwrap());
    let (task, mut taking) = (std::task::Waker::from(Arc::clone(&woken)), pin!(part.take(400)));
    let mut cx = Context::from_waker(&task);
    assert!(taking.as_mut().poll(&mut cx).is_pending());
    {
        let mut dropped = pin!(part.take(1000));
        assert!(dropped.as_mut().poll(&mut cx).is_pending());
        assert_eq!(part.waiting(), 2);
    }
    assert_eq!(part.waiting(), 1);
    drop(held);
    assert_eq!(woken.times(), 1);
    let Poll::Ready(Ok(taken)) = taking.as_mut().poll(&mut cx) else { panic!("it has its turn") };
    assert_eq!((taken.bytes(), part.used()), (400, 400));
    let mut hopeless = pin!(part.take(1001));
    let Poll::Ready(Err(e)) = hopeless.as_mut().poll(&mut cx) else { panic!("it never fits") };
    assert_eq!(e.code, ErrorCode::MemoryShort);
}

#[test]
fn nothing_is_lost_among_many_threads() {
    let part = part(1000);
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let part = &part;
            threads.spawn(move || {
                for round in 0..2_000 {
                    let bytes = (thread * 131 + round * 17) % 700;
                    match part.try_take(bytes) {
                        Ok(mut held) => drop(held.try_grow(bytes)),
                        Err(_) => drop(part.wait(bytes, Waker::noop()).unwrap().ready()),
                    }
                    assert!(part.used() <= 1000);
                }
            });
        }
    });
    assert_eq!((part.used(), part.waiting()), (0, 0));
    assert!(part.peak() <= 1000);
}
