// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Timers and watermarks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::epoch::{FunctionId, TaskId};
use fnstream_core::runtime::Host;
use fnstream_core::spec::{ErrorAction, FunctionSpec, InputSelector, Watermark, WatermarkStrategy};
use fnstream_core::timer::{TimeDomain, Timer};
use fnstream_core::{Error, ErrorCode};
use fnstream_engine::native::{NativeProgram, Told};
use fnstream_engine::{StopMode, TaskState};
use fnstream_frame::RecordRef;

use crate::world::{ID, World, groups};

/// Two inputs, bounded by 10 ms; the second is idle after a second.
fn timed() -> FunctionSpec {
    let bounded = |idle_timeout| Watermark {
        strategy: WatermarkStrategy::Bounded { delay: Duration::from_millis(10) },
        idle_timeout,
        idle_advance: None,
        max_ahead: None,
    };
    let watermarks = [("in0".into(), bounded(None)), ("in1".into(), bounded(Some(Duration::from_secs(1))))].into();
    FunctionSpec { watermarks, ..groups(2, InputSelector::RoundRobin) }
}

/// Sets a timer for each record, `time` after its own, and says what it is told.
fn timing(domain: TimeDomain, broken: &Arc<AtomicBool>) -> Arc<NativeProgram> {
    let broken = broken.clone();
    NativeProgram::with_time(move || {
        let broken = broken.clone();
        let process = move |record: RecordRef<'_>, host: &mut dyn Host| {
            let key = Bytes::copy_from_slice(record.bytes());
            match record.bytes().strip_prefix(b"no ") {
                Some(key) => host.delete_timer(domain, key),
                None => host.set_timer(Timer { domain, key, at_ms: record.timestamp }),
            }
        };
        let tell = move |told: Told<'_>, host: &mut dyn Host| {
            match told {
                Told::Watermark { group, watermark } => {
                    host.emit(RecordRef::new(format!("watermark {watermark} by {group}").as_bytes()))?;
                }
                Told::Timers(timers) => {
                    for timer in timers {
                        let line = format!("{} at {}", String::from_utf8_lossy(&timer.key), timer.at_ms);
                        host.emit(RecordRef::new(line.as_bytes()))?;
                    }
                }
            }
            match broken.load(Relaxed) {
                true => Err(Error::new(ErrorCode::GuestError, "broken")),
                false => Ok(()),
            }
        };
        (Box::new(process), Box::new(tell))
    })
}

#[test]
fn timers_fire_in_order_before_the_watermark_that_makes_them_due() {
    let mut world = World::new(timed());
    world.start(timing(TimeDomain::Event, &Arc::default()));
    for (value, time) in [("b", 20), ("a", 10), ("c", 95), ("moved", 30), ("moved", 25), ("gone", 15), ("no gone", 0)] {
        world.produce("in0", value, time);
    }
    world.settle();
    assert_eq!(world.outputs(), [""; 0], "the other input has no watermark");
    world.produce("in0", "late", 100);
    world.produce("in1", "d", 200);
    world.settle();
    assert_eq!(world.outputs(), ["a at 10", "b at 20", "moved at 25", "watermark 85 by 0", "watermark 90 by 0"]);
    world.produce("in0", "behind", 5);
    world.settle();
    assert_eq!(world.outputs()[5..], ["behind at 5"], "one behind the watermark fires at once");
}

#[test]
fn an_idle_input_lets_the_watermark_go_on_without_any_record() {
    let mut world = World::new(timed());
    world.start(timing(TimeDomain::Event, &Arc::default()));
    world.produce("in0", "a", 60);
    world.settle();
    world.wait(Duration::from_millis(999));
    assert_eq!(world.outputs(), [""; 0]);
    world.wait(Duration::from_millis(1));
    assert_eq!(world.outputs(), ["watermark 50 by 0"]);
    let progress = world.broker.progress(TaskId::new(ID, 0));
    // A new life knows what was told, and tells it only once.
    world.start(timing(TimeDomain::Event, &Arc::default()));
    world.wait(Duration::from_secs(5));
    assert_eq!(world.outputs(), ["watermark 50 by 0"]);
    assert_eq!(world.broker.progress(TaskId::new(ID, 0)).time, progress.time);
}

#[test]
fn the_last_window_closes_when_all_inputs_are_idle_if_that_was_asked_for() {
    for advance in [None, Some(Duration::from_millis(30))] {
        let mut spec = timed();
        for rule in spec.watermarks.values_mut() {
            rule.idle_timeout = Some(Duration::from_secs(1));
            rule.idle_advance = advance;
        }
        let mut world = World::new(spec);
        world.start(timing(TimeDomain::Event, &Arc::default()));
        world.produce("in1", "a", 40);
        world.produce("in0", "window", 70);
        world.produce("in0", "next", 81);
        world.settle();
        world.wait(Duration::from_millis(999));
        let before: Vec<String> = vec!["watermark 30 by 1".into()];
        assert_eq!(world.outputs(), before);
        world.wait(Duration::from_millis(1));
        // 81 less the delay of 10, and with the advance.
        let rest = match advance {
            None => vec!["a at 40", "window at 70", "watermark 71 by 0"],
            Some(_) => vec!["a at 40", "window at 70", "next at 81", "watermark 101 by 0"],
        };
        assert_eq!(world.outputs()[1..], rest[..], "{advance:?}");
        // Once, however long it lasts, and also in another life.
        world.wait(Duration::from_hours(1));
        world.start(timing(TimeDomain::Event, &Arc::default()));
        world.wait(Duration::from_hours(1));
        assert_eq!(world.outputs()[1..], rest[..], "{advance:?}");
        // With further records it goes on from there.
        for topic in ["in0", "in1"] {
            world.produce(topic, "later", 150);
        }
        world.settle();
        assert_eq!(world.outputs().last().unwrap(), "watermark 140 by 0");
    }
}

#[test]
fn an_input_that_is_idle_alone_does_not_advance() {
    let mut spec = timed();
    for rule in spec.watermarks.values_mut() {
        rule.idle_timeout = Some(Duration::from_secs(1));
        rule.idle_advance = Some(Duration::from_hours(1));
    }
    let mut world = World::new(spec);
    world.start(timing(TimeDomain::Event, &Arc::default()));
    world.produce("in1", "a", 40);
    world.produce("in0", "b", 70);
    world.settle();
    world.wait(Duration::from_millis(600));
    world.produce("in0", "c", 80);
    world.settle();
    world.wait(Duration::from_millis(600));
    assert_eq!(world.outputs(), ["watermark 30 by 1", "a at 40", "b at 70", "watermark 70 by 0"]);
}

#[test]
fn a_timestamp_of_the_far_future_is_processed_and_makes_nothing_late() {
    let mut spec = timed();
    for rule in spec.watermarks.values_mut() {
        rule.max_ahead = Some(Duration::from_hours(1));
    }
    let mut world = World::new(spec);
    world.start(timing(TimeDomain::Event, &Arc::default()));
    let year_2250 = 8_836_000_000_000;
    for topic in ["in0", "in1"] {
        world.produce(topic, "future", year_2250);
        world.produce(topic, "hour", 3_600_000);
        world.produce(topic, "hour and a bit", 3_600_001);
    }
    world.settle();
    // One as far ahead as may be counts. Otherwise the timer of 2250 would have fired, and every later record be late.
    assert_eq!(world.outputs(), ["watermark 3599990 by 0"]);
    let ahead = |world: &World| world.running.as_ref().unwrap().0.meters().of("f").records_ahead.get();
    assert_eq!(ahead(&world), 4);
    world.start(timing(TimeDomain::Event, &Arc::default()));
    world.wait(Duration::from_millis(10));
    for topic in ["in0", "in1"] {
        world.produce(topic, "next", 3_600_010);
    }
    world.settle();
    assert_eq!(world.outputs()[1..], ["hour at 3600000", "watermark 3600000 by 0"], "the clock went on by 10 ms");
    assert_eq!(ahead(&world), 0, "each is counted once");
}

#[test]
fn timers_of_processing_time_wait_for_the_clock_alone_also_over_a_crash() {
    let mut world = World::new(groups(1, InputSelector::RoundRobin));
    world.start(timing(TimeDomain::Processing, &Arc::default()));
    world.produce("in0", "b", 3_000);
    world.produce("in0", "a", 1_000);
    world.settle();
    world.wait(Duration::from_millis(999));
    assert_eq!(world.outputs(), [""; 0]);
    world.wait(Duration::from_millis(1));
    assert_eq!(world.outputs(), ["a at 1000"]);
    world.start(timing(TimeDomain::Processing, &Arc::default()));
    world.settle();
    assert_eq!(world.outputs(), ["a at 1000"]);
    world.wait(Duration::from_secs(10));
    assert_eq!(world.outputs(), ["a at 1000", "b at 3000"]);
}

#[test]
fn what_cannot_be_told_is_tried_for_ever_and_takes_nothing_with_it() {
    let broken = Arc::new(AtomicBool::new(true));
    let mut world = World::new(timed());
    world.start(timing(TimeDomain::Event, &broken));
    world.produce("in1", "z", 1_000);
    for index in 0..8 {
        world.produce("in0", &index.to_string(), index);
    }
    world.produce("in0", "up", 500);
    for _ in 0..20 {
        world.wait(Duration::from_secs(31));
    }
    assert_eq!(world.outputs(), [""; 0]);
    assert_eq!(world.broker.values("f.dlq", 0).len(), 0, "no record is to blame");
    assert_eq!(world.broker.progress(TaskId::new(ID, 0)).records_in, 10, "what came before is committed");
    assert_eq!(world.state_of(0), TaskState::BackingOff);
    broken.store(false, Relaxed);
    world.wait(Duration::from_secs(31));
    let expected: Vec<_> = (0..8).map(|i| format!("{i} at {i}")).chain(["watermark 490 by 0".to_owned()]).collect();
    assert_eq!(world.outputs(), expected);
}

#[test]
fn a_policy_to_stop_stops_at_what_cannot_be_told() {
    let broken = Arc::new(AtomicBool::new(true));
    let mut spec = timed();
    spec.on_error.action = ErrorAction::Stop;
    let mut world = World::new(spec);
    world.start(timing(TimeDomain::Event, &broken));
    world.produce("in0", "a", 5);
    world.produce("in1", "b", 100);
    world.produce("in0", "up", 50);
    for _ in 0..5 {
        world.wait(Duration::from_secs(31));
    }
    assert_eq!(world.state_of(0), TaskState::Failed);
    broken.store(false, Relaxed);
    world.start(timing(TimeDomain::Event, &broken));
    world.settle();
    assert_eq!(world.outputs(), ["a at 5", "watermark 40 by 0"]);
}

#[test]
fn timers_that_set_themselves_again_do_not_keep_their_epoch_open_nor_input_out_for_ever() {
    let mut world = World::new(timed());
    world.start(NativeProgram::with_time(|| {
        let tell = |told: Told<'_>, host: &mut dyn Host| match told {
            Told::Watermark { .. } => Ok(()),
            Told::Timers(timers) => {
                for timer in timers.iter().filter(|timer| timer.at_ms < 5_000) {
                    host.set_timer(Timer { at_ms: timer.at_ms + 1, ..timer.clone() })?;
                    host.emit(RecordRef::new(b"x"))?;
                }
                Ok(())
            }
        };
        let process = |record: RecordRef<'_>, host: &mut dyn Host| {
            host.set_timer(Timer { domain: TimeDomain::Event, key: "k".into(), at_ms: record.timestamp.min(0) })
        };
        (Box::new(process), Box::new(tell))
    }));
    world.produce("in0", "a", 10_000);
    world.produce("in1", "a", 10_000);
    world.settle();
    assert_eq!(world.outputs().len(), 5_000);
}

#[test]
fn stopping_leaves_timers_and_watermarks_for_the_next_start() {
    let mut world = World::new(timed());
    world.start(timing(TimeDomain::Event, &Arc::default()));
    world.produce("in0", "a", 100);
    world.produce("in0", "b", 200);
    world.settle();
    world.running.as_ref().unwrap().0.stop_function(ID, StopMode::Drain, Box::new(|_| ()));
    world.settle();
    world.produce("in1", "c", 300);
    world.start(timing(TimeDomain::Event, &Arc::default()));
    world.settle();
    assert_eq!(world.outputs(), ["a at 100", "watermark 190 by 0"]);
}

#[test]
fn a_chain_hands_watermarks_on_between_records() {
    // The same topic is written with watermarks by another task: here by hand, as a committer would.
    let mut world = World::new(FunctionSpec { watermarks: BTreeMap::new(), ..groups(1, InputSelector::RoundRobin) });
    world.start(timing(TimeDomain::Event, &Arc::default()));
    world.produce("in0", "a", 5);
    world.settle();
    assert_eq!(world.outputs(), [""; 0], "timestamps say nothing here");
    world.broker.emit_watermark(TaskId::new(FunctionId(9), 0), "in0", 7);
    world.settle();
    assert_eq!(world.outputs(), ["a at 5", "watermark 7 by 0"]);
    assert_eq!(world.broker.values("in0", 0).len(), 1, "a watermark is no record");
}
