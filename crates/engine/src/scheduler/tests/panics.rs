// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Threads that die are replaced, and jobs that panic are run again.

use std::sync::atomic::AtomicU32;
use std::sync::mpsc;

use super::*;

const LONG: Duration = Duration::from_secs(60);

/// A clock that panics so many times.
struct Broken {
    clock: SystemClock,
    left: AtomicU32,
}

impl Clock for Broken {
    fn now(&self) -> Duration {
        let left = self.left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        assert!(left.is_err(), "planted in the clock");
        self.clock.now()
    }

    fn unix_ms(&self) -> i64 {
        self.clock.unix_ms()
    }
}

/// Tells when it has been run, after it has panicked so many times.
struct Tells {
    panics: AtomicU32,
    done: parking_lot::Mutex<mpsc::Sender<()>>,
}

impl Runnable for Tells {
    fn step(&self) -> Next {
        let left = self.panics.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        assert!(left.is_err(), "planted in the job");
        self.done.lock().send(()).unwrap();
        Next::Done
    }
}

fn tells(scheduler: &Arc<Scheduler>, panics: u32) -> (Arc<Job>, mpsc::Receiver<()>) {
    let (done, told) = mpsc::channel();
    let done = parking_lot::Mutex::new(done);
    (scheduler.job(|_| Tells { panics: AtomicU32::new(panics), done }), told)
}

#[test]
fn workers_and_their_watchdog_that_die_are_replaced_and_no_job_is_forgotten() {
    let clock = Arc::new(Broken { clock: SystemClock::new(), left: AtomicU32::new(20) });
    let scheduler = Scheduler::new(clock.clone());
    let workers = Workers::start(scheduler.clone(), 2).unwrap();
    let jobs: Vec<_> = (0..50).map(|_| tells(&scheduler, 0)).collect();
    jobs.iter().for_each(|(job, _)| job.wake());
    for (_, told) in &jobs {
        told.recv_timeout(LONG).unwrap();
    }
    assert_eq!(clock.left.load(Ordering::Relaxed), 0, "it panicked as often as it was told to");
    let (job, told) = tells(&scheduler, 0);
    job.wake();
    told.recv_timeout(LONG).unwrap();
    assert!(workers.stop(LONG));
}

#[test]
fn a_job_that_panics_is_run_again_after_a_while() {
    let clock = Arc::new(ManualClock::new(0));
    let scheduler = Scheduler::new(clock.clone());
    let (job, told) = tells(&scheduler, 2);
    job.wake();
    for _ in 0..2 {
        drain(&scheduler);
        assert!(told.try_recv().is_err());
        let alarm = scheduler.next_alarm().unwrap();
        assert!(alarm > clock.now());
        clock.advance(alarm - clock.now());
    }
    drain(&scheduler);
    told.try_recv().unwrap();
}
