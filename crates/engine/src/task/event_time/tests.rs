// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use fnstream_core::batch::BatchPositions;
use fnstream_core::record::Position;
use fnstream_core::topic::Topic;
use fnstream_frame::{FrameBuilder, RecordRef};

use super::*;

const START: Duration = Duration::from_secs(100);

fn partition(topic: &str) -> TopicPartition {
    TopicPartition::new(topic, 0)
}

fn batch(topic: &str, times: &[i64]) -> Batch {
    let mut frame = FrameBuilder::new();
    times.iter().for_each(|time| frame.push(RecordRef::new(b"x").at(*time)));
    Batch::new(partition(topic), BatchPositions::Contiguous(Position(0)), frame.to_bytes().into()).unwrap()
}

fn bounded(delay_ms: u64, idle_ms: Option<u64>) -> Watermark {
    Watermark {
        strategy: WatermarkStrategy::Bounded { delay: Duration::from_millis(delay_ms) },
        idle_timeout: idle_ms.map(Duration::from_millis),
        idle_advance: None,
        max_ahead: None,
    }
}

/// Inputs `a` and `b`, each a group, with these rules.
fn opened(rules: [Watermark; 2], kept: &Bytes) -> EventTime {
    let names = ["a", "b"];
    let watermarks = names.iter().zip(rules).map(|(name, rule)| (Topic::own(*name), rule)).collect();
    let spec = FunctionSpec { watermarks, ..FunctionSpec::default() };
    let inputs = (0..).zip(names).map(|(group, name)| TaskInput { group, partition: partition(name) });
    EventTime::open(&spec, &inputs.collect::<Vec<_>>(), kept, START).unwrap()
}

/// None of these rules looks at the clock.
fn consume(time: &mut EventTime, batch: &Batch, now: Duration) {
    assert_eq!(time.consumed(batch, now, 0), 0);
}

fn told(time: &mut EventTime) -> Option<(u32, u64)> {
    let rise = time.rise()?;
    time.tell(rise);
    Some((rise.group, rise.watermark))
}

#[test]
fn the_function_is_told_the_least_and_never_less() {
    let mut time = opened([bounded(10, None), bounded(0, None)], &Bytes::new());
    consume(&mut time, &batch("a", &[100, 90]), START);
    assert_eq!(told(&mut time), None, "b has no watermark yet");
    consume(&mut time, &batch("b", &[50]), START);
    assert_eq!(told(&mut time), Some((1, 50)));
    consume(&mut time, &batch("b", &[500, 40]), START);
    assert_eq!(told(&mut time), Some((0, 90)), "the delay is 10");
    consume(&mut time, &batch("a", &[80]), START);
    assert_eq!(told(&mut time), None);
    consume(&mut time, &batch("a", &[-5, 111]), START);
    assert_eq!(told(&mut time), Some((0, 101)));
}

#[test]
fn an_idle_input_holds_nothing_back_until_it_has_a_record() {
    let mut time = opened([bounded(0, None), bounded(0, Some(500))], &Bytes::new());
    consume(&mut time, &batch("a", &[100]), START);
    time.drained(START + Duration::from_millis(499));
    assert_eq!(told(&mut time), None);
    assert_eq!(time.next_idle(), Some(START + Duration::from_millis(500)));
    time.drained(START + Duration::from_millis(500));
    assert_eq!(told(&mut time), Some((0, 100)));
    consume(&mut time, &batch("b", &[70]), START + Duration::from_millis(600));
    consume(&mut time, &batch("a", &[200]), START + Duration::from_millis(600));
    assert_eq!(told(&mut time), None, "b is back, and behind");
    consume(&mut time, &batch("b", &[150]), START + Duration::from_millis(600));
    assert_eq!(told(&mut time), Some((1, 150)));
}

#[test]
fn when_all_are_idle_the_latest_counts() {
    let mut time = opened([bounded(0, Some(1)), bounded(0, Some(1))], &Bytes::new());
    consume(&mut time, &batch("a", &[100]), START);
    consume(&mut time, &batch("b", &[70]), START);
    time.drained(START + Duration::from_secs(1));
    assert_eq!(told(&mut time), Some((0, 100)));
}

#[test]
fn emitted_watermarks_count_from_the_first_on() {
    let none = Watermark::default();
    let mut time = opened([none, none], &Bytes::new());
    consume(&mut time, &batch("a", &[100]), START);
    assert_eq!(told(&mut time), None);
    assert_eq!(time.keep(), Bytes::new(), "nothing is known");
    time.emitted(&partition("b"), 42, START);
    assert_eq!(told(&mut time), Some((1, 42)), "a takes no part");
    time.emitted(&partition("b"), 41, START);
    time.emitted(&partition("a"), 43, START);
    assert_eq!(told(&mut time), None);
    time.emitted(&partition("b"), 50, START);
    assert_eq!(told(&mut time), Some((0, 43)));
}

#[test]
fn a_timestamp_too_far_ahead_of_the_clock_moves_nothing() {
    let rule = Watermark { max_ahead: Some(Duration::from_millis(50)), ..bounded(10, Some(500)) };
    let mut time = opened([rule, Watermark::default()], &Bytes::new());
    let year_2250 = 8_836_000_000_000;
    assert_eq!(time.consumed(&batch("a", &[year_2250, 1000, 1051, 1050]), START, 1000), 2);
    assert_eq!(told(&mut time), Some((0, 1040)), "1050 is as far ahead as may be");
    assert_eq!(time.consumed(&batch("a", &[i64::MAX]), START, i64::MAX - 60), 1);
    assert_eq!(told(&mut time), None);
    time.drained(START + Duration::from_millis(499));
    assert!(!time.is_idle(), "one that does not count shows all the same that the input is not idle");
    assert_eq!(time.consumed(&batch("a", &[i64::MAX]), START, i64::MAX - 10), 0, "the clock has come near it");
}

#[test]
fn what_is_known_survives() {
    let rules = [bounded(10, None), Watermark::default()];
    let mut time = opened(rules, &Bytes::new());
    consume(&mut time, &batch("a", &[100]), START);
    time.emitted(&partition("b"), 95, START);
    assert_eq!(told(&mut time), Some((0, 90)));
    let mut again = opened(rules, &time.keep());
    assert_eq!(again.told(), Some(90));
    assert_eq!(told(&mut again), None);
    consume(&mut again, &batch("a", &[200]), START);
    assert_eq!(told(&mut again), Some((1, 95)));
}

#[test]
fn a_rise_for_which_timers_were_fired_is_told_whatever_happens() {
    let rules = [bounded(0, None), bounded(0, Some(500))];
    let mut time = opened(rules, &Bytes::new());
    consume(&mut time, &batch("a", &[100]), START);
    time.drained(START + Duration::from_secs(1));
    let rise = time.rise().unwrap();
    time.begin(rise);
    // Opened again, when b is not idle yet.
    let mut again = opened(rules, &time.keep());
    assert_eq!(again.rise(), Some(rise));
    again.tell(rise);
    assert_eq!((again.told(), again.rise()), (Some(100), None));
}

#[test]
fn the_encoding_of_the_first_version_stays_readable() {
    let bytes = Bytes::from_static(b"\x01\x01\x5a\x01\x01\x5c\x02\0\x01a\x00\x01\xc8\x01\x00\0\x01b\x00\x00\x01\x5f");
    let rules = [bounded(10, None), Watermark::default()];
    let time = opened(rules, &bytes);
    assert_eq!(
        (time.told(), time.inputs[0].known.latest, time.inputs[1].known.emitted),
        (Some(90), Some(100), Some(95))
    );
    assert_eq!(time.begun, Some(Rise { group: 1, watermark: 92 }));
    assert_eq!(time.keep(), bytes);
    assert!(EventTime::open(&FunctionSpec::default(), &[], &Bytes::from_static(b"\x02"), START).is_err());
    assert!(EventTime::open(&FunctionSpec::default(), &[], &Bytes::from_static(b"\x01\x01"), START).is_err());
}

#[test]
fn times_before_the_epoch_and_at_the_ends_are_no_watermark() {
    let mut time = opened([bounded(u64::MAX / 2, None), bounded(0, None)], &Bytes::new());
    consume(&mut time, &batch("a", &[i64::MIN]), START);
    consume(&mut time, &batch("b", &[i64::MAX]), START);
    assert_eq!(told(&mut time), None);
}
