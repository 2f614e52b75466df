// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Jobs that compute for long.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fnstream_core::test_util::clock::ManualClock;

use super::gate::Gate;
use super::{act, counter, working};
use crate::scheduler::job::PENANCE;
use crate::scheduler::*;

#[cfg(target_os = "linux")]
#[test]
fn a_hog_is_lowered_and_does_not_come_back_to_the_others_threads() {
    use crate::workers::niceness;

    let (scheduler, workers) = working(1);
    let (first, second) = (Gate::default(), Gate::default());
    let (runs, signals) = (AtomicUsize::new(0), [first.clone(), second.clone()]);
    let hog = act(&scheduler, move || {
        // Computes until it has been found out; from the second time on it is run on a lowered thread from the start.
        let run = runs.fetch_add(1, Ordering::Relaxed);
        assert!(run == 0 || niceness() > 0);
        while niceness() == 0 {
            std::hint::spin_loop();
        }
        if run < 2 {
            signals[run].open();
        }
        Next::Wait(None)
    });
    hog.wake();
    first.wait();
    hog.wake();
    second.wait();
    // Whoever is quick is run with all rights.
    let done = Gate::default();
    let signal = done.clone();
    act(&scheduler, move || {
        assert_eq!(niceness(), 0);
        signal.open();
        Next::Done
    })
    .wake();
    done.wait();
    workers.stop(Duration::from_secs(60));
}

#[test]
fn a_hog_that_mends_its_ways_is_quick_again() {
    let scheduler = Scheduler::new(Arc::new(ManualClock::new(0)));
    let (job, _) = counter(&scheduler, Next::Wait(None), false);
    let seat = Seat::new(0, Arc::new(AtomicBool::new(true)), || None);
    job.wake();
    scheduler.inner.lock().queue.pop_front().expect("it was woken").run(&seat);
    let quick = Seat::new(0, Arc::default(), || None);
    for _ in 0..PENANCE {
        job.wake();
        scheduler.inner.lock().slow.pop_front().expect("it is a hog still").run(&quick);
    }
    job.wake();
    assert_eq!(scheduler.ready_jobs(), 1);
}

/// Hogs for each processor, and one job that is as busy but lets others in between. By the order of scheduling alone it
/// would get the share of one of them.
#[cfg(target_os = "linux")]
#[test]
fn a_busy_job_gets_more_of_the_processor_than_hogs() {
    use crate::workers::niceness;

    const ROUNDS: usize = 1000;
    let hogs = 8 * std::thread::available_parallelism().map_or(2, usize::from).min(16);
    let (scheduler, workers) = working(2);
    let (lowered, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (all_lowered, done) = (Gate::default(), Gate::default());
    let work = Arc::new(AtomicUsize::new(0));
    for _ in 0..hogs {
        let (lowered, release, all_lowered, work) =
            (lowered.clone(), release.clone(), all_lowered.clone(), work.clone());
        act(&scheduler, move || {
            while niceness() == 0 {
                compute();
            }
            if lowered.fetch_add(1, Ordering::AcqRel) + 1 == hogs {
                all_lowered.open();
            }
            while !release.load(Ordering::Acquire) {
                compute();
                work.fetch_add(1, Ordering::Relaxed);
            }
            Next::Done
        })
        .wake();
    }
    all_lowered.wait();
    work.store(0, Ordering::Relaxed);
    let (left, signal) = (AtomicUsize::new(ROUNDS), done.clone());
    act(&scheduler, move || {
        compute();
        if left.fetch_sub(1, Ordering::Relaxed) > 1 {
            return Next::Again;
        }
        signal.open();
        Next::Done
    })
    .wake();
    done.wait();
    let of_each_hog = work.load(Ordering::Relaxed) / hogs;
    release.store(true, Ordering::Release);
    workers.stop(Duration::from_secs(60));
    assert!(ROUNDS > 2 * of_each_hog, "{ROUNDS} rounds of the good job, {of_each_hog} of each hog");
}

/// About a tenth of a millisecond of work.
fn compute() {
    let mut sum = 0u64;
    for i in 0..100_000u64 {
        sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(i));
    }
    std::hint::black_box(sum);
}
