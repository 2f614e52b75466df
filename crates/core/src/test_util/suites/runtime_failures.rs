// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What an instance keeps to when its guest, or its host, fails.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::must;
use super::runtime::{Behaviour, Guest, RuntimeHarness};
use super::runtime_probe::{Probe, Task, guest, misbehave};
use crate::epoch::Epoch;
use crate::error::{Error, ErrorCode, Fault};
use crate::runtime::{CallFailure, CallResult, Limits};

/// How guests fail while they process a record, and what it is called.
const WAYS: [(Behaviour, ErrorCode); 7] = [
    (Behaviour::Fail, ErrorCode::GuestError),
    (Behaviour::FailLate, ErrorCode::GuestError),
    (Behaviour::Trap, ErrorCode::GuestTrap),
    (Behaviour::Loop, ErrorCode::GuestTimeout),
    (Behaviour::Grow, ErrorCode::GuestOutOfMemory),
    (Behaviour::Exit, ErrorCode::GuestExit),
    (Behaviour::UnknownTarget, ErrorCode::UnknownTarget),
];

/// Memory of those that want more.
const MEMORY: usize = 32 << 20;

/// Limits within which a failure comes soon. Only what never ends has little time: on a busy machine others need theirs.
fn limits(behaviour: Behaviour) -> Limits {
    let generous = Limits { memory: MEMORY, ..Limits::default() };
    if behaviour == Behaviour::Loop { Limits { call_time: Duration::from_millis(200), ..generous } } else { generous }
}

fn start(guest: &Guest, behaviour: Behaviour) -> Task {
    let mut task = must("instantiating", Task::make(guest, limits(behaviour), &Arc::default()));
    must("init", task.call(|instance| instance.init()));
    task
}

/// The ways that this kind is able to fail, each with its guest.
fn ways(harness: &dyn RuntimeHarness) -> Vec<(Behaviour, ErrorCode, Guest)> {
    WAYS.into_iter().filter_map(|(behaviour, code)| Some((behaviour, code, guest(harness, behaviour)?))).collect()
}

pub(super) fn every_way_to_fail_has_its_own_code(harness: &mut dyn RuntimeHarness) {
    for (behaviour, code, guest) in ways(harness) {
        if behaviour == Behaviour::Loop || behaviour == Behaviour::Grow {
            // Limits have checks of their own.
            continue;
        }
        let (_, failure) = misbehave(harness, start(&guest, behaviour), &guest, (1, 3));
        assert_eq!(failure.error.code, code, "{behaviour:?} was reported as: {failure}");
    }
}

pub(super) fn the_failed_record_is_named_rightly(harness: &mut dyn RuntimeHarness) {
    for (behaviour, _, guest) in ways(harness) {
        for at in [0, 1, 4] {
            let (_, failure) = misbehave(harness, start(&guest, behaviour), &guest, (at, 5));
            match failure.record {
                Some(record) => assert_eq!(record as usize, at, "{behaviour:?} of record {at} of 5: {failure}"),
                None => assert!(!harness.names_record(behaviour), "{behaviour:?} of record {at} of 5 names no record"),
            }
        }
    }
}

/// Calls every method; each has to refuse.
#[track_caller]
fn is_poisoned(task: &mut Task, guest: &Guest, by: Behaviour) {
    let refused = |what: &str, result: CallResult| {
        let code = result.as_ref().err().map(|failure| failure.error.code);
        assert_eq!(code, Some(ErrorCode::GuestPoisoned), "{what} after {by:?} answered {result:?}");
    };
    let asked = task.probe.lock().asked;
    refused("process", task.process(&[(guest.echo)("fine")]));
    refused("init", task.call(|instance| instance.init()));
    refused("process_watermark", task.call(|instance| instance.process_watermark(0, 1)));
    refused("take_checkpoint", task.call(|instance| instance.take_checkpoint(Epoch(1))));
    refused("check_heartbeat", task.call(|instance| instance.check_heartbeat().map(drop)));
    refused("exec", task.call(|instance| instance.exec("Main", &[])));
    refused("custom", task.call(|instance| instance.custom(b"x").map(drop)));
    refused("close", task.call(|instance| instance.close()));
    refused("process, once more,", task.process(&[]));
    assert_eq!(task.probe.lock().asked, asked, "a poisoned instance asks its host for nothing");
}

pub(super) fn after_a_failure_every_call_is_refused(harness: &mut dyn RuntimeHarness) {
    for (behaviour, _, guest) in ways(harness) {
        let (mut task, failure) = misbehave(harness, start(&guest, behaviour), &guest, (1, 3));
        if !failure.undone {
            is_poisoned(&mut task, &guest, behaviour);
        }
    }
}

pub(super) fn an_undone_record_leaves_nothing_and_its_instance_goes_on(harness: &mut dyn RuntimeHarness) {
    for (behaviour, _, guest) in ways(harness) {
        for at in [0, 1, 4] {
            let (mut task, failure) = misbehave(harness, start(&guest, behaviour), &guest, (at, 5));
            if !failure.undone {
                assert!(!harness.undoes(behaviour), "{behaviour:?} did not undo its record: {failure}");
                continue;
            }
            assert_eq!(failure.record, Some(at as u32), "{behaviour:?} undid a record that it does not name rightly");
            assert_eq!(task.take_values(), vec![b"fine".to_vec(); at], "emitted up to an undone record, {behaviour:?}");
            {
                let probe = task.probe.lock();
                assert!(probe.state.is_empty(), "{behaviour:?} left something of an undone record in state");
                assert!(
                    probe.timers.is_empty() && probe.watermarks.is_empty(),
                    "{behaviour:?} left a timer, or a watermark"
                );
            }
            let again = refusal("the same record", task.process(std::slice::from_ref(&guest.wanted)));
            assert_eq!((again.record, again.undone), (Some(0), true), "{behaviour:?} once more: {again}");
            let said = must("echoing after an undone record", task.echo(&guest, "after"));
            assert_eq!(said, [b"after".to_vec()], "after {behaviour:?} was undone");
            must("a checkpoint", task.call(|instance| instance.take_checkpoint(Epoch(1))));
            must("closing", task.call(|instance| instance.close()));
        }
    }
}

pub(super) fn a_failure_touches_no_other_instance(harness: &mut dyn RuntimeHarness) {
    for (behaviour, _, guest) in ways(harness) {
        let mut sibling = Task::start(&guest);
        must("echoing", sibling.echo(&guest, "before"));
        misbehave(harness, start(&guest, behaviour), &guest, (1, 3));
        let said = must("echoing beside one that failed", sibling.echo(&guest, "after"));
        assert_eq!(said, [b"after".to_vec()], "beside {behaviour:?}");
        let said = must("echoing after one that failed", Task::start(&guest).echo(&guest, "anew"));
        assert_eq!(said, [b"anew".to_vec()], "after {behaviour:?}");
    }
}

pub(super) fn a_refused_init_poisons(harness: &mut dyn RuntimeHarness) {
    let Some(guest) = guest(harness, Behaviour::RefuseInit) else { return };
    let mut task = must("instantiating", Task::make(&guest, Limits::default(), &Arc::default()));
    let failure = refusal("init", task.call(|instance| instance.init()));
    let code = failure.error.code;
    assert!(code.fault() == Fault::User && code != ErrorCode::GuestPoisoned, "a refused init was reported as {code}");
    is_poisoned(&mut task, &guest, Behaviour::RefuseInit);
}

#[track_caller]
fn refusal(what: &str, result: CallResult) -> CallFailure {
    result.err().unwrap_or_else(|| panic!("{what} had to fail"))
}

pub(super) fn a_call_that_never_ends_is_ended(harness: &mut dyn RuntimeHarness) {
    let Some(guest) = guest(harness, Behaviour::Loop) else { return };
    let (_, failure) = misbehave(harness, start(&guest, Behaviour::Loop), &guest, (1, 3));
    assert_eq!(failure.error.code, ErrorCode::GuestTimeout, "a call without end was reported as: {failure}");
}

pub(super) fn memory_stays_within_its_limit(harness: &mut dyn RuntimeHarness) {
    let Some(guest) = guest(harness, Behaviour::Grow) else { return };
    let (task, failure) = misbehave(harness, start(&guest, Behaviour::Grow), &guest, (1, 3));
    assert_eq!(failure.error.code, ErrorCode::GuestOutOfMemory, "growth without end was reported as: {failure}");
    let used = task.memory_bytes();
    assert!(used <= MEMORY, "{used} bytes are in use, {MEMORY} are the limit");
}

/// The limits hold from the beginning; where in it the instance ends is its own affair.
pub(super) fn an_instance_larger_than_its_limit_does_not_run(harness: &mut dyn RuntimeHarness) {
    let Some(guest) = guest(harness, Behaviour::Grow) else { return };
    let limits = Limits { memory: 1, ..Limits::default() };
    let lives = |probe: &Arc<Mutex<Probe>>| {
        let mut task = Task::make(&guest, limits, probe)?;
        task.call(|instance| instance.init())?;
        task.echo(&guest, "alive").map(drop)
    };
    let failure = refusal("running in one byte of memory", lives(&Arc::default()));
    assert_eq!(failure.error.code, ErrorCode::GuestOutOfMemory, "too little memory was reported as: {failure}");
}

/// Has a host fail with each of some codes, none of which is the guest's; the failures.
fn with_failing_hosts(
    harness: &dyn RuntimeHarness,
    mut see: impl FnMut(Behaviour, ErrorCode, Task, &Guest, CallFailure),
) {
    for behaviour in [Behaviour::Echo, Behaviour::PassThrough, Behaviour::Count, Behaviour::Timers] {
        let Some(guest) = guest(harness, behaviour) else { continue };
        let told = matches!(behaviour, Behaviour::Count | Behaviour::Timers);
        let value = if told { guest.wanted.clone() } else { (guest.echo)("fine") };
        for code in [ErrorCode::Storage, ErrorCode::Fenced, ErrorCode::Internal] {
            let mut task = Task::start(&guest);
            task.probe.lock().fault = Some(Error::new(code, "the disk is on fire"));
            let failure = refusal("a call whose host fails", task.process(&vec![value.clone(); 3]));
            task.probe.lock().fault = None;
            see(behaviour, code, task, &guest, failure);
        }
    }
}

pub(super) fn a_fault_of_the_host_keeps_its_code(harness: &mut dyn RuntimeHarness) {
    with_failing_hosts(harness, |behaviour, code, mut task, guest, failure| {
        let said = (failure.error.code, &*failure.error.message);
        assert_eq!(said, (code, "the disk is on fire"), "a fault of the host at {behaviour:?}");
        is_poisoned(&mut task, guest, behaviour);
    });
}

pub(super) fn a_fault_of_the_host_is_no_records(harness: &mut dyn RuntimeHarness) {
    with_failing_hosts(harness, |behaviour, code, _, _, failure| {
        assert_eq!(failure.record, None, "a record of {behaviour:?} was blamed for {code} of the host");
    });
}
