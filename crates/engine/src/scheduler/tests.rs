// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::sync::atomic::AtomicUsize;

use fnstream_core::clock::SystemClock;
use fnstream_core::test_util::clock::ManualClock;

use self::gate::Gate;
use super::*;
use crate::workers::Workers;

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
    workers.stop();
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
    workers.stop();
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
    workers.stop();
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
    workers.stop();
}

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
    workers.stop();
}

#[test]
fn a_hog_that_mends_its_ways_is_quick_again() {
    let scheduler = Scheduler::new(Arc::new(ManualClock::new(0)));
    let (job, _) = counter(&scheduler, Next::Wait(None), false);
    let seat = Seat { post: 0, hog: Arc::new(AtomicBool::new(true)), own_cpu_time: || None };
    job.wake();
    scheduler.inner.lock().queue.pop_front().expect("it was woken").run(&seat);
    let quick = Seat { post: 0, hog: Arc::default(), own_cpu_time: || None };
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
    workers.stop();
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
