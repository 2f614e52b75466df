// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Timers of packed functions: what reaches the host, what is refused, and how those that are due come back.

use fnstream_core::runtime::Runtime;
use fnstream_core::timer::{MAX_TIMER_KEY, TimeDomain, Timer};
use fnstream_core::{Error, ErrorCode};

use crate::support::{Task, guest, runtime, said, spec, start, task};

fn obey() -> Task {
    task(&guest("packed"))
}

fn event(key: &'static str, at_ms: i64) -> Timer {
    Timer { domain: TimeDomain::Event, key: key.into(), at_ms }
}

/// The timers of event time that are set.
fn set(task: &Task) -> Vec<(String, i64)> {
    let host = task.host.lock();
    let timers = host.timers.iter().filter(|((domain, _), _)| *domain == TimeDomain::Event);
    timers.map(|((_, key), at_ms)| (String::from_utf8_lossy(key).into_owned(), *at_ms)).collect()
}

#[test]
fn a_timer_is_set_moved_and_deleted() {
    let mut task = obey();
    task.run(&["timer 5 old", "timer 7 a", "timer -9223372036854775808 "]).unwrap();
    assert_eq!(set(&task), [("".into(), i64::MIN), ("a".into(), 7), ("old".into(), 5)]);
    task.run(&["timers"]).unwrap();
    assert_eq!(set(&task), [("".into(), i64::MIN), ("a".into(), 10)]);
    assert_eq!(task.host.lock().timers[&(TimeDomain::Processing, "b".into())], -20);
}

#[test]
fn keys_have_a_bound_of_which_the_guest_is_told() {
    let mut task = obey();
    task.run(&[&format!("timer-of {MAX_TIMER_KEY}"), &format!("no-timer-of {MAX_TIMER_KEY}")]).unwrap();
    assert_eq!(set(&task), []);
    let told = "Err(\"a timer's key has 65537 bytes, more than 65536\")";
    assert_eq!(task.run(&["raw-timers"]).unwrap(), [format!("{told}; {told}")]);
    let refused = (ErrorCode::StateKeyInvalid, "a timer's key has 65537 bytes, more than 65536", Some(1));
    assert_eq!(said(&task.fail(&["echo a", "timer-of 65537"])), refused);
    assert_eq!(said(&obey().fail(&["echo a", "no-timer-of 65537"])), refused);
}

#[test]
fn what_else_the_host_refuses_cannot_be_hidden() {
    for code in [ErrorCode::StateLimit, ErrorCode::Storage] {
        let mut task = obey();
        task.host.lock().broken = Some(Error::new(code, "there is no room"));
        // A full disk is no record's fault.
        let record = (code == ErrorCode::StateLimit).then_some(0);
        assert_eq!(said(&task.fail(&["raw-hidden-timer"])), (code, "there is no room", record));
        assert_eq!(task.fail(&["echo a"]).error.code, ErrorCode::GuestPoisoned);
    }
}

#[test]
fn a_timer_that_is_due_may_be_set_again() {
    let mut task = obey();
    task.instance.on_timers(&[event("again", 30), event("once", 31)]).unwrap();
    assert_eq!(task.take(), ["event", "event"]);
    assert_eq!(set(&task), [("again".into(), 40)]);
}

#[test]
fn a_trap_and_an_endless_loop_at_a_timer_are_what_they_are_elsewhere() {
    let mut task = obey();
    let failure = task.instance.on_timers(&[event("fine", 1), event("trap", 2)]).unwrap_err();
    assert_eq!((failure.error.code, failure.record), (ErrorCode::GuestTrap, Some(1)));
    assert!(failure.backtrace.unwrap().contains("Obey as fnstream_sdk::function::Function>::on_timer"));

    let mut spec = spec();
    spec.limits.call_time = std::time::Duration::from_millis(100);
    let mut task = start(&runtime().load(&guest("packed")).unwrap(), &spec);
    let failure = task.instance.on_timers(&[event("loop", 1)]).unwrap_err();
    assert_eq!(failure.error.code, ErrorCode::GuestTimeout);
}

/// It is of the packed world as it was before there were timers.
#[test]
fn a_function_without_timers_runs_and_fails_at_those_of_an_earlier_revision() {
    let mut task = task(&guest("both"));
    assert_eq!(task.run(&["as it came"]).unwrap(), ["as it came"]);
    let failure = task.instance.on_timers(&[event("a", 1)]).unwrap_err();
    let told = "a timer is due, but the function does not export 'functionstream:packed/timer-handler@0.1.0'";
    assert_eq!(said(&failure), (ErrorCode::ArtifactUnsupported, told, Some(0)));
    assert_eq!(task.fail(&["as it came"]).error.code, ErrorCode::GuestPoisoned);
}

#[test]
fn a_program_says_whether_it_takes_timers() {
    let takes = |name: &str| runtime().load(&guest(name)).unwrap().takes_timers();
    assert!(takes("packed"));
    assert!(!takes("processor"));
}
