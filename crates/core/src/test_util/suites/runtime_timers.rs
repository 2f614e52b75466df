// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What an instance keeps to whose guest has timers.

use bytes::Bytes;

use super::must;
use super::runtime::{Behaviour, RuntimeHarness};
use super::runtime_probe::{Task, guest};
use crate::error::ErrorCode;
use crate::test_util::emitted::Emitted;
use crate::timer::{TimeDomain, Timer};

fn timer(domain: TimeDomain, key: &str, at_ms: i64) -> Timer {
    Timer { domain, key: Bytes::copy_from_slice(key.as_bytes()), at_ms }
}

/// What the guest emits at a timer.
fn told(timer: &Timer) -> Emitted {
    let value = match timer.domain {
        TimeDomain::Event => "event",
        TimeDomain::Processing => "processing",
    };
    Emitted {
        target: 0,
        timestamp: timer.at_ms,
        key: Some(timer.key.to_vec()),
        headers: Vec::new(),
        value: Some(value.into()),
    }
}

pub(super) fn timers_reach_the_host(harness: &mut dyn RuntimeHarness) {
    let Some(guest) = guest(harness, Behaviour::Timers) else { return };
    let mut task = Task::start(&guest);
    // One that is moved, one that is deleted, and what has the same keys in the other domain.
    let (event, processing) = (TimeDomain::Event, TimeDomain::Processing);
    let before = [timer(event, "a", 5), timer(event, "old", 7), timer(processing, "a", 6), timer(processing, "old", 8)];
    task.probe.lock().timers.extend(before.map(|timer| ((timer.domain, timer.key), timer.at_ms)));
    must("setting timers", task.process(std::slice::from_ref(&guest.wanted)));
    let wanted =
        [timer(event, "a", 10), timer(processing, "a", 6), timer(processing, "b", -20), timer(processing, "old", 8)];
    let set: Vec<_> =
        task.probe.lock().timers.iter().map(|((domain, key), at_ms)| (*domain, key.clone(), *at_ms)).collect();
    assert_eq!(set, wanted.map(|timer| (timer.domain, timer.key, timer.at_ms)));
}

pub(super) fn timers_come_in_order_and_complete(harness: &mut dyn RuntimeHarness) {
    let Some(guest) = guest(harness, Behaviour::Timers) else { return };
    let mut task = Task::start(&guest);
    let many = (0..300).map(|i| timer(TimeDomain::ALL[i % 2], &format!("timer-{i}"), i as i64 / 3)).collect();
    let odd = vec![
        timer(TimeDomain::Event, "", i64::MIN),
        timer(TimeDomain::Processing, "x", -1),
        timer(TimeDomain::Event, &"k".repeat(64 << 10), i64::MAX),
    ];
    for timers in [Vec::new(), odd, many] {
        must("firing timers", task.call(|instance| instance.on_timers(&timers)));
        let emitted = std::mem::take(&mut task.probe.lock().emitted);
        let expected: Vec<_> = timers.iter().map(told).collect();
        let got = emitted.len();
        assert!(emitted == expected, "{} timers gave {got} records, or others, or in another order", timers.len());
    }
}

pub(super) fn the_failed_timer_is_named_rightly_and_poisons(harness: &mut dyn RuntimeHarness) {
    let Some(guest) = guest(harness, Behaviour::Timers) else { return };
    for at in [0, 1, 4] {
        let mut timers: Vec<_> = (0..5).map(|i| timer(TimeDomain::Event, "fine", i)).collect();
        timers[at] = timer(TimeDomain::Event, "bad", 3);
        let mut task = Task::start(&guest);
        let failed = task.call(|instance| instance.on_timers(&timers));
        let Err(failure) = failed else { panic!("a timer that had to fail did not") };
        assert_eq!(failure.error.code, ErrorCode::GuestError, "a timer's error was reported as: {failure}");
        match failure.record {
            Some(record) => assert_eq!(record as usize, at, "timer {at} of 5: {failure}"),
            None => assert!(!harness.names_record(Behaviour::Fail), "timer {at} of 5 is not named"),
        }
        let asked = task.probe.lock().asked;
        for again in [&timers[..], &[]] {
            let code = task.call(|instance| instance.on_timers(again)).err().map(|failure| failure.error.code);
            assert_eq!(code, Some(ErrorCode::GuestPoisoned), "timers after a failure");
        }
        let code = task.process(&[]).err().map(|failure| failure.error.code);
        assert_eq!(code, Some(ErrorCode::GuestPoisoned), "a batch after a timer's failure");
        assert_eq!(task.probe.lock().asked, asked, "a poisoned instance asks its host for nothing");
    }
}
