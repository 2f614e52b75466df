// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Timers: when they fire, in which order, how often, and what becomes of one that fails.
#![allow(clippy::unwrap_used)]

use fnstream_sdk::testing::Harness;
use fnstream_sdk::{Config, Context, Error, Function, Output, Record, TimeDomain, Timer};

/// `event AT KEY`, `processing AT KEY`, `delete KEY` (of event time). Tells what fires. The key `fail` fails, `again N` is set
/// anew a millisecond later until N is 0; from 501 on it is `again N-500` at the same time, and 1000 is itself.
struct Alarm;

fn domain(word: &str) -> TimeDomain {
    if word == "event" { TimeDomain::Event } else { TimeDomain::Processing }
}

impl Function for Alarm {
    fn init(_: &mut Context, _: &Config) -> Result<Self, Error> {
        Ok(Alarm)
    }

    fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error> {
        let text = std::str::from_utf8(record.bytes())?;
        match text.splitn(3, ' ').collect::<Vec<_>>()[..] {
            ["delete", key] => ctx.delete_timer(TimeDomain::Event, key.as_bytes()),
            ["long"] => ctx.set_timer(TimeDomain::Event, &[b'k'; 65_537], 0),
            [word, at, key] => ctx.set_timer(domain(word), key.as_bytes(), at.parse()?),
            _ => Err(Error::new(format!("what is '{text}'"))),
        }
    }

    fn process_watermark(&mut self, ctx: &mut Context, _: u32, watermark: u64) -> Result<(), Error> {
        if watermark == 20 {
            ctx.emit_record(Output::new(b"watermark 20").at(20))?;
        }
        Ok(())
    }

    fn on_timer(&mut self, ctx: &mut Context, timer: Timer<'_>) -> Result<(), Error> {
        let key = std::str::from_utf8(timer.key)?;
        if key == "again 1000" {
            return ctx.set_timer(timer.domain, timer.key, timer.at);
        }
        ctx.emit(0, format!("{:?} {} {key}", timer.domain, timer.at).as_bytes())?;
        match key.strip_prefix("again ").map(str::parse::<u32>).transpose()? {
            Some(0) | None if key != "fail" => Ok(()),
            Some(n) if n > 500 => ctx.set_timer(timer.domain, format!("again {}", n - 500).as_bytes(), timer.at),
            Some(n) => ctx.set_timer(timer.domain, format!("again {}", n - 1).as_bytes(), timer.at + 1),
            None => Err(Error::new("as told")),
        }
    }
}

fn alarm() -> Harness<Alarm> {
    Harness::new(&[]).unwrap()
}

fn told(test: &mut Harness<Alarm>) -> Vec<(i64, String)> {
    test.take_output().into_iter().map(|r| (r.timestamp, String::from_utf8(r.value.unwrap()).unwrap())).collect()
}

fn send(test: &mut Harness<Alarm>, commands: &[&str]) {
    let records: Vec<_> = commands.iter().map(|command| Record::new(command.as_bytes())).collect();
    test.process(&records).unwrap();
}

#[test]
fn timers_fire_once_in_the_order_of_their_times() {
    let mut test = alarm();
    send(&mut test, &["event 20 b", "event 10 a", "processing 15 p", "event 10 0", "event 30 later"]);
    test.process_watermark(0, 9).unwrap();
    assert!(told(&mut test).is_empty());
    test.process_watermark(0, 20).unwrap();
    let event = |at: i64, key| (at, format!("Event {at} {key}"));
    assert_eq!(told(&mut test), [event(10, "0"), event(10, "a"), event(20, "b"), (20, "watermark 20".to_owned())]);
    test.advance_time(15).unwrap();
    assert_eq!(told(&mut test), [(15, "Processing 15 p".to_owned())]);
    test.process_watermark(0, 29).unwrap();
    assert!(told(&mut test).is_empty());
    assert_eq!(test.timers(), [(TimeDomain::Event, 30, b"later".to_vec())]);
}

#[test]
fn a_timer_that_is_set_again_is_moved_and_one_that_is_deleted_is_gone() {
    let mut test = alarm();
    send(&mut test, &["event 10 a", "event 20 a", "event 10 b", "delete b", "delete never"]);
    test.process_watermark(0, 15).unwrap();
    assert!(told(&mut test).is_empty());
    test.process_watermark(0, 21).unwrap();
    assert_eq!(told(&mut test), [(20, "Event 20 a".to_owned())]);
}

#[test]
fn a_timer_whose_time_has_come_fires_when_the_call_is_over() {
    let mut test = alarm();
    test.process_watermark(0, 100).unwrap();
    send(&mut test, &["event 98 again 2"]);
    let fired: Vec<_> = told(&mut test).into_iter().map(|(_, text)| text).collect();
    assert_eq!(fired, ["Event 98 again 2", "Event 99 again 1", "Event 100 again 0"]);
}

#[test]
fn the_input_group_that_is_furthest_behind_decides() {
    let mut test = alarm().with_inputs(2);
    send(&mut test, &["event 10 a"]);
    test.process_watermark(0, 100).unwrap();
    assert!(told(&mut test).is_empty());
    test.process_watermark(1, 10).unwrap();
    assert_eq!(told(&mut test).len(), 1);
    assert!(test.process_watermark(2, 10).unwrap_err().to_string().contains("there is no input group 2"));
}

#[test]
fn nothing_happens_before_a_timer_that_fails_succeeds() {
    let mut test = alarm();
    send(&mut test, &["event 10 a", "event 11 fail", "event 12 b"]);
    for at in [20, 21] {
        let failed = test.process_watermark(0, at).unwrap_err();
        assert_eq!(failed.to_string(), "the timer 'fail' of 11: as told");
    }
    let failed = test.process(&[Record::new(b"delete fail")]).unwrap_err();
    assert_eq!((failed.record, &failed.message[..]), (None, "the timer 'fail' of 11: as told"));
    assert_eq!(told(&mut test), [(10, "Event 10 a".to_owned())]);
    assert_eq!(test.take_watermarks(), []);
    assert_eq!(test.timers().len(), 2);
}

#[test]
fn the_watermark_is_told_after_the_timers_that_it_made_due() {
    let mut test = alarm();
    send(&mut test, &["event 10 again 1"]);
    test.process_watermark(0, 20).unwrap();
    test.process_watermark(0, 20).unwrap();
    test.process_watermark(0, 5).unwrap();
    let order: Vec<_> = told(&mut test).into_iter().map(|(_, text)| text).collect();
    assert_eq!(order, ["Event 10 again 1", "Event 11 again 0", "watermark 20"]);
}

#[test]
fn a_timer_that_is_set_for_a_time_that_fires_comes_after_the_watermark() {
    let mut test = alarm();
    send(&mut test, &["event 20 again 501"]);
    test.process_watermark(0, 20).unwrap();
    let order: Vec<_> = told(&mut test).into_iter().map(|(_, text)| text).collect();
    assert_eq!(order, ["Event 20 again 501", "watermark 20", "Event 20 again 1"]);
    test.process_watermark(0, 21).unwrap();
    assert_eq!(told(&mut test), [(21, "Event 21 again 0".to_owned())]);
}

#[test]
fn timers_without_end_are_an_error_and_not_a_test_that_hangs() {
    for (command, domain) in
        [("event 20 again 1000", TimeDomain::Event), ("processing 20 again 1000", TimeDomain::Processing)]
    {
        let mut test = alarm();
        send(&mut test, &[command]);
        let failed = match domain {
            TimeDomain::Event => test.process_watermark(0, 20),
            TimeDomain::Processing => test.advance_time(20),
        };
        assert!(failed.unwrap_err().to_string().ends_with("timers set timers that are due already, without end"));
    }
}

#[test]
fn timers_that_were_set_before_a_record_failed_outlast_that_and_the_instance() {
    let mut test = alarm();
    send(&mut test, &["event 10 a"]);
    test.process(&[Record::new(b"event 10 b"), Record::new(b"nonsense"), Record::new(b"event 10 c")]).unwrap_err();
    test.restart().unwrap();
    test.process_watermark(0, 21).unwrap();
    assert_eq!(told(&mut test), [(10, "Event 10 a".to_owned()), (10, "Event 10 b".to_owned())]);
}

#[test]
fn a_key_that_is_too_long_is_refused() {
    let failed = alarm().process(&[Record::new(b"long")]).unwrap_err();
    assert_eq!((failed.record, &failed.message[..]), (Some(0), "a timer's key has 65537 bytes, more than 65536"));
}

/// Sets a timer without what it needs.
struct Deaf;

impl Function for Deaf {
    fn init(_: &mut Context, _: &Config) -> Result<Self, Error> {
        Ok(Deaf)
    }

    fn process(&mut self, ctx: &mut Context, _: Record<'_>) -> Result<(), Error> {
        ctx.set_timer(TimeDomain::Processing, b"k", 5)
    }
}

#[test]
fn a_function_that_does_not_listen_is_told() {
    let mut test = Harness::<Deaf>::new(&[]).unwrap();
    test.process(&[Record::new(b"")]).unwrap();
    let failed = test.advance_time(5).unwrap_err().to_string();
    assert_eq!(failed, "the timer 'k' of 5: a timer is due, but the function does not implement 'on_timer'");
}
