// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Timers that set timers which are due already, without end: input has its turn, the order of timers and watermarks holds, and
//! somebody is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use fnstream_core::ErrorCode;
use fnstream_core::clock::Clock;
use fnstream_core::epoch::TaskId;
use fnstream_core::runtime::Host;
use fnstream_core::spec::{FunctionSpec, InputSelector, Watermark, WatermarkStrategy};
use fnstream_core::timer::{TimeDomain, Timer};
use fnstream_engine::StopMode;
use fnstream_engine::native::{NativeProgram, Told};
use fnstream_frame::RecordRef;

use crate::world::{ID, World, groups};

/// The timer that is set when this one fires.
type Next = fn(&Timer) -> Option<Timer>;

fn again(timer: &Timer) -> Option<Timer> {
    Some(timer.clone())
}

fn in_pairs(timer: &Timer) -> Option<Timer> {
    let key = if timer.key == "a" { "b" } else { "a" };
    Some(Timer { key: key.into(), ..timer.clone() })
}

/// Another key each time, and each comes after the one before in the order of keys.
fn with_new_keys(timer: &Timer) -> Option<Timer> {
    let number: u64 = std::str::from_utf8(&timer.key).ok().and_then(|key| key.parse().ok()).unwrap_or(0);
    Some(Timer { key: format!("{:020}", number + 1).into(), ..timer.clone() })
}

fn a_moment_later(timer: &Timer) -> Option<Timer> {
    Some(Timer { at_ms: timer.at_ms + 1, ..timer.clone() })
}

/// In one step forward and one back.
fn to_and_fro(timer: &Timer) -> Option<Timer> {
    Some(Timer { at_ms: if timer.at_ms == 5 { 30 } else { 5 }, ..timer.clone() })
}

/// `set KEY TIME` sets a timer, anything else is passed on; timers go on as `next` says, and watermarks are told.
fn circling(domain: TimeDomain, next: Next, fired: &Arc<AtomicU64>) -> Arc<NativeProgram> {
    let fired = fired.clone();
    NativeProgram::with_time(move || {
        let fired = fired.clone();
        let process = move |record: RecordRef<'_>, host: &mut dyn Host| {
            let text = String::from_utf8_lossy(record.bytes()).into_owned();
            match text.split(' ').collect::<Vec<_>>()[..] {
                ["set", key, at] => {
                    let key = Bytes::copy_from_slice(key.as_bytes());
                    host.set_timer(Timer { domain, key, at_ms: at.parse().unwrap() })
                }
                _ => host.emit(RecordRef::new(record.bytes())),
            }
        };
        let tell = move |told: Told<'_>, host: &mut dyn Host| match told {
            Told::Watermark { watermark, .. } => host.emit(RecordRef::new(format!("watermark {watermark}").as_bytes())),
            Told::Timers(timers) => {
                fired.fetch_add(timers.len() as u64, Relaxed);
                for timer in timers {
                    if timer.key.starts_with(b"once") {
                        let line = format!("{} at {}", timer.key.escape_ascii(), timer.at_ms);
                        host.emit(RecordRef::new(line.as_bytes()))?;
                    } else if let Some(next) = next(timer) {
                        host.set_timer(next)?;
                    }
                }
                Ok(())
            }
        };
        (Box::new(process), Box::new(tell))
    })
}

fn monotonic() -> FunctionSpec {
    let rule =
        Watermark { strategy: WatermarkStrategy::Monotonic, idle_timeout: None, idle_advance: None, max_ahead: None };
    FunctionSpec { watermarks: [("in0".into(), rule)].into(), ..groups(1, InputSelector::RoundRobin) }
}

impl World {
    /// Runs for so many slices of a task that is never done.
    fn run_slices(&self, slices: usize) {
        let (_, driver) = self.running.as_ref().unwrap();
        for _ in 0..slices {
            assert!(driver.run(0), "it idles");
            self.broker.commit_all();
        }
    }

    fn circling(&self) -> Option<ErrorCode> {
        let status = self.running.as_ref().unwrap().0.status(ID).unwrap();
        status.tasks[0].circling.as_ref().map(|error| error.code)
    }

    fn set_due(&self) -> u64 {
        self.running.as_ref().unwrap().0.meters().of("f").timers_set_due.get()
    }
}

/// The chains, each with the timers that it begins with; which of them need a clock that is far ahead of them.
const CHAINS: [(Next, &[&str]); 5] = [
    (again, &["set again 1"]),
    (in_pairs, &["set a 1", "set b 1"]),
    (with_new_keys, &["set 0 1"]),
    (a_moment_later, &["set later 1"]),
    (to_and_fro, &["set to 5", "set fro 30"]),
];

#[test]
fn input_is_read_beside_timers_that_are_always_due() {
    for domain in TimeDomain::ALL {
        for (chain, (next, begin)) in CHAINS.into_iter().enumerate() {
            let mut world = World::new(monotonic());
            // The clock stands still, so epochs don't end by their age.
            world.epoch.records = 100;
            world.clock.advance(std::time::Duration::from_secs(10_000_000));
            let fired = Arc::default();
            world.start(circling(domain, next, &fired));
            for line in begin {
                world.produce("in0", line, 0);
            }
            world.produce("in0", "up", 5_000_000_000);
            world.run_slices(20);
            assert!(fired.load(Relaxed) > 100, "chain {chain} of {domain:?} goes round");
            for index in 0..100 {
                world.produce("in0", &format!("record {index}"), 5_000_000_000 + index);
            }
            world.run_slices(100);
            let records = world.outputs().iter().filter(|line| line.starts_with("record")).count();
            assert_eq!(records, 100, "chain {chain} of {domain:?} keeps no input out");
            assert!(world.broker.progress(TaskId::new(ID, 0)).records_in > 100);
            let before = fired.load(Relaxed);
            world.run_slices(20);
            assert!(fired.load(Relaxed) > before + 100, "chain {chain} of {domain:?} goes on");
            assert!(world.set_due() >= before);
        }
    }
}

#[test]
fn a_circle_is_told_in_the_status_until_it_ends() {
    for domain in TimeDomain::ALL {
        let mut world = World::new(monotonic());
        world.clock.advance(std::time::Duration::from_secs(1));
        let fired = Arc::default();
        world.start(circling(domain, |timer| (timer.key != "end").then(|| timer.clone()), &fired));
        world.produce("in0", "set end 1", 0);
        world.produce("in0", "up", 50);
        world.settle();
        assert_eq!((world.circling(), world.set_due()), (None, 0), "one that is due at once is no circle");
        world.produce("in0", "set again 1", 51);
        world.run_slices(100);
        assert_eq!(world.circling(), None, "it may come to its end yet");
        world.run_slices(400);
        assert_eq!(world.circling(), Some(ErrorCode::TimersCircle), "{domain:?}");
        // The timer is moved to a time that does not come.
        world.produce("in0", "set again 9000000000000", 52);
        world.settle();
        assert_eq!(world.circling(), None);
        assert!(world.clock.unix_ms() < 2_000);
    }
}

#[test]
fn timers_that_circle_leave_the_others_their_turn() {
    for domain in TimeDomain::ALL {
        let mut world = World::new(monotonic());
        world.clock.advance(std::time::Duration::from_secs(1));
        let fired = Arc::default();
        // More than one call has room for, all of which come before the other one.
        world.config.batch.records = 1_000;
        world.epoch.records = 4_000;
        world.start(circling(domain, again, &fired));
        (0..1_500).for_each(|index| world.produce("in0", &format!("set again-{index} 1"), 0));
        world.produce("in0", "set once 500", 0);
        world.produce("in0", "up", 400);
        world.run_slices(30);
        assert!(fired.load(Relaxed) > 3_000, "{domain:?}");
        world.produce("in0", "set once-too 1", 600);
        world.clock.advance(std::time::Duration::from_secs(1));
        world.run_slices(30);
        let once: Vec<_> = world.outputs().into_iter().filter(|line| line.starts_with("once")).collect();
        assert_eq!(once.len(), 2, "{domain:?}: {once:?}");
    }
}

#[test]
fn a_watermark_is_told_after_all_timers_that_were_set_before_it_and_before_those_that_they_set_behind() {
    let mut world = World::new(monotonic());
    world.start(NativeProgram::with_time(|| {
        let process = |record: RecordRef<'_>, host: &mut dyn Host| {
            host.set_timer(Timer { domain: TimeDomain::Event, key: "first".into(), at_ms: record.timestamp })
        };
        let tell = |told: Told<'_>, host: &mut dyn Host| match told {
            Told::Watermark { watermark, .. } => host.emit(RecordRef::new(format!("watermark {watermark}").as_bytes())),
            Told::Timers(timers) => timers.iter().try_for_each(|timer| {
                host.emit(RecordRef::new(format!("{} at {}", timer.key.escape_ascii(), timer.at_ms).as_bytes()))?;
                if timer.key != "first" {
                    return Ok(());
                }
                for (key, at_ms) in [("before", 10), ("same", 20), ("on-the-way", 30), ("beyond", 90)] {
                    host.set_timer(Timer { domain: TimeDomain::Event, key: key.into(), at_ms })?;
                }
                Ok(())
            }),
        };
        (Box::new(process), Box::new(tell))
    }));
    world.produce("in0", "x", 20);
    world.settle();
    // The record's own time is the watermark: the timer is due with it.
    assert_eq!(world.outputs(), ["first at 20", "watermark 20", "before at 10", "same at 20"]);
    let told = world.broker.progress(TaskId::new(ID, 0)).time;
    assert!(!told.is_empty());
    world.broker.emit_watermark(TaskId::new(fnstream_core::epoch::FunctionId(9), 0), "in0", 50);
    world.settle();
    assert_eq!(world.outputs()[4..], ["on-the-way at 30", "watermark 50"]);
}

#[test]
fn on_a_long_way_the_function_is_told_watermarks_in_between_and_input_has_its_turn() {
    let mut world = World::new(monotonic());
    let fired = Arc::default();
    world.start(circling(TimeDomain::Event, |timer| a_moment_later(timer).filter(|next| next.at_ms <= 2_000), &fired));
    world.produce("in0", "set later 1", 0);
    world.settle();
    world.produce("in0", "up", 1_000);
    world.run_slices(2);
    world.produce("in0", "record", 1_000);
    world.settle();
    let outputs = world.outputs();
    let watermarks: Vec<u64> =
        outputs.iter().filter_map(|line| line.strip_prefix("watermark ")?.parse().ok()).collect();
    assert!(watermarks.is_sorted_by(|a, b| a < b) && watermarks.len() > 5, "{watermarks:?}");
    assert_eq!(watermarks.last(), Some(&1_000));
    let record = outputs.iter().position(|line| line == "record").unwrap();
    assert!(record < outputs.len() - 1, "the record was read on the way: {outputs:?}");
    assert_eq!(fired.load(Relaxed), 1_000, "each fired once");
}

#[test]
fn many_timers_of_one_time_fire_without_input_in_between_also_over_a_crash() {
    let mut world = World::new(monotonic());
    world.epoch.records = 1_500;
    let fired = Arc::default();
    world.start(circling(TimeDomain::Event, |_| None, &fired));
    (0..5_000).for_each(|index| world.produce("in0", &format!("set once-{index} 100"), 0));
    world.settle();
    world.produce("in0", "up", 100);
    for index in 0..50 {
        world.produce("in0", &format!("record {index}"), 100);
    }
    let mut lives = 0;
    while world.outputs().iter().filter(|line| line.starts_with("once")).count() < 5_000 {
        // The process dies in the middle of it, several times.
        world.run_slices(1);
        if lives < 3 {
            lives += 1;
            world.start(circling(TimeDomain::Event, |_| None, &fired));
        }
    }
    world.settle();
    let outputs = world.outputs();
    let first = outputs.iter().position(|line| line.starts_with("once")).unwrap();
    let told = outputs.iter().position(|line| line == "watermark 100").unwrap();
    assert!(outputs[first..told].iter().all(|line| line.starts_with("once")), "nothing is read in between");
    assert_eq!(told - first, 5_000, "each fires once, and all before the watermark");
}

#[test]
fn a_function_that_is_stopped_amid_due_timers_is_closed_and_goes_on_later() {
    for domain in TimeDomain::ALL {
        let mut world = World::new(monotonic());
        world.clock.advance(std::time::Duration::from_secs(1));
        let fired = Arc::default();
        world.start(circling(domain, again, &fired));
        (0..60).for_each(|index| world.produce("in0", &format!("set again-{index} 1"), 0));
        world.produce("in0", "up", 400);
        world.run_slices(40);
        let stopped = Arc::new(AtomicU64::new(0));
        let done = stopped.clone();
        let (engine, _) = world.running.as_ref().unwrap();
        engine.stop_function(ID, StopMode::Drain, Box::new(move |_| _ = done.fetch_add(1, Relaxed)));
        world.settle();
        assert_eq!(stopped.load(Relaxed), 1);
        let restarts = world.running.as_ref().unwrap().0.meters().of("f").restarts.get();
        assert_eq!(restarts, 0, "nothing failed");
        let before = fired.load(Relaxed);
        world.start(circling(domain, |_| None, &fired));
        world.settle();
        assert_eq!(fired.load(Relaxed) - before, 60, "{domain:?}: each of them is still set, once");
    }
}
