// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What every [`Program`] and its [`Instance`](crate::runtime::Instance)s keep to.
//!
//! Kinds of artifacts differ in what their guests are able to do, so a harness says what it is able to show: it has to have
//! a guest for each [`Behaviour`] that it lists, and the [`ESSENTIAL`] ones have to be among them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fnstream_frame::{HeadersBuilder, RecordRef};

use super::runtime_failures::{
    a_call_that_never_ends_is_ended, a_failure_touches_no_other_instance, a_fault_of_the_host_is_no_records,
    a_fault_of_the_host_keeps_its_code, a_refused_init_poisons, after_a_failure_every_call_is_refused,
    an_instance_larger_than_its_limit_does_not_run, an_undone_record_leaves_nothing_and_its_instance_goes_on,
    every_way_to_fail_has_its_own_code, memory_stays_within_its_limit, the_failed_record_is_named_rightly,
};
use super::runtime_probe::{Probe, Task, batch, guest};
use super::runtime_timers::{
    the_failed_timer_is_named_rightly_and_poisons, timers_come_in_order_and_complete, timers_reach_the_host,
};
use super::{Check, checks, must};
use crate::epoch::Epoch;
use crate::runtime::{Limits, Program};
use crate::state_key::check_key_in_store;
use crate::test_util::emitted::Emitted;

/// What a guest does with a record whose value is [`Guest::wanted`], or with every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Emits what it is told to, with any key, headers and time.
    Echo,
    /// Emits each record to output 0 as it is: key, headers, time, value.
    PassThrough,
    /// Reads a number in its state, adds 1, writes it, emits it in the form of [`RuntimeHarness::counted`].
    Count,
    /// Returns an error.
    Fail,
    /// Counts as `Count` does, emits, and returns an error then.
    FailLate,
    /// Traps.
    Trap,
    /// Never ends.
    Loop,
    /// Asks for memory until it is refused, and cannot go on then.
    Grow,
    /// Ends itself with a status other than 0.
    Exit,
    /// Emits to an output that it does not have, and reports the refusal where it is told of it.
    UnknownTarget,
    /// Fails in `init`.
    RefuseInit,
    /// Emits `w + 1` at a watermark `w` to the output of the source's number, emits one record in each of
    /// `take_checkpoint`, `exec` and `close`, and answers `custom` with the payload backwards.
    Hooks,
    /// Sets the timer `a` of event time to 10 and the timer `b` of processing time to -20, and deletes the timer `old` of event
    /// time. At each timer that is due, emits a record to output 0 with the timer's key and time, whose value is `event` or
    /// `processing`; at one whose key is `bad`, returns an error.
    Timers,
}

impl Behaviour {
    /// All behaviours.
    pub const ALL: [Behaviour; 13] = [
        Behaviour::Echo,
        Behaviour::PassThrough,
        Behaviour::Count,
        Behaviour::Fail,
        Behaviour::FailLate,
        Behaviour::Trap,
        Behaviour::Loop,
        Behaviour::Grow,
        Behaviour::Exit,
        Behaviour::UnknownTarget,
        Behaviour::RefuseInit,
        Behaviour::Hooks,
        Behaviour::Timers,
    ];
}

/// What code of any kind is able to do.
pub const ESSENTIAL: [Behaviour; 4] = [Behaviour::Echo, Behaviour::Trap, Behaviour::Loop, Behaviour::Grow];

/// A program that behaves in a certain way.
pub struct Guest {
    /// The program.
    pub program: Arc<dyn Program>,
    /// The configuration that makes it behave so, if it takes any.
    pub config: BTreeMap<String, String>,
    /// The value of a record at which it emits one record with that text as its value.
    pub echo: fn(&str) -> Vec<u8>,
    /// The value of the record that brings the behaviour about.
    pub wanted: Vec<u8>,
}

/// Programs of one kind.
pub trait RuntimeHarness {
    /// What guests of this kind are able to do.
    fn able(&self) -> &[Behaviour];

    /// A guest that behaves so; `None` when guests of this kind are not able to.
    fn guest(&self, behaviour: Behaviour) -> Option<Guest>;

    /// Whether a failure of that sort comes with the index of its record. Where it need not it may, but then rightly.
    fn names_record(&self, behaviour: Behaviour) -> bool;

    /// Whether a failure of that sort undoes its record. Where it need not it may, but then wholly.
    fn undoes(&self, _: Behaviour) -> bool {
        false
    }

    /// Whether guests of this kind can emit a value without bytes, empty or null. Those for which an empty output means
    /// that they emit nothing cannot.
    fn emits_values_without_bytes(&self) -> bool {
        true
    }

    /// What [`Behaviour::Count`] emits at a count.
    fn counted(&self, count: u64) -> Vec<u8> {
        count.to_string().into_bytes()
    }

    /// How long to wait for a call that must end.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// The contract of [`Program`] and [`Instance`](crate::runtime::Instance).
pub const CHECKS: &[Check<dyn RuntimeHarness>] = checks![
    the_harness_has_what_it_says,
    records_come_in_order_and_complete,
    a_record_is_carried_over_whole,
    state_is_kept_by_the_host,
    a_healthy_instance_answers_every_call,
    what_hooks_do_reaches_the_host,
    timers_reach_the_host,
    timers_come_in_order_and_complete,
    the_failed_timer_is_named_rightly_and_poisons,
    the_host_is_called_only_while_a_method_runs,
    every_way_to_fail_has_its_own_code,
    the_failed_record_is_named_rightly,
    after_a_failure_every_call_is_refused,
    an_undone_record_leaves_nothing_and_its_instance_goes_on,
    a_failure_touches_no_other_instance,
    a_refused_init_poisons,
    a_call_that_never_ends_is_ended,
    memory_stays_within_its_limit,
    an_instance_larger_than_its_limit_does_not_run,
    a_fault_of_the_host_keeps_its_code,
    a_fault_of_the_host_is_no_records,
];

fn the_harness_has_what_it_says(harness: &mut dyn RuntimeHarness) {
    for behaviour in Behaviour::ALL {
        let says = harness.able().contains(&behaviour);
        assert_eq!(harness.guest(behaviour).is_some(), says, "whether there is a guest for {behaviour:?}");
        assert!(says || !ESSENTIAL.contains(&behaviour), "code of any kind is able to do {behaviour:?}");
    }
}

fn records_come_in_order_and_complete(harness: &mut dyn RuntimeHarness) {
    let Some(guest) = guest(harness, Behaviour::Echo) else { return };
    let mut task = Task::start(&guest);
    for len in [0, 1, 2, 300, 1] {
        let texts: Vec<_> = (0..len).map(|i| format!("record-{i}-of-{len}")).collect();
        let values: Vec<_> = texts.iter().map(|text| (guest.echo)(text)).collect();
        must("processing", task.process(&values));
        let emitted: Vec<_> = task.take_values();
        let expected: Vec<_> = texts.into_iter().map(String::into_bytes).collect();
        let got = emitted.len();
        assert!(emitted == expected, "a batch of {len} echoes gave {got} records, or others, or in another order");
    }
}

fn a_record_is_carried_over_whole(harness: &mut dyn RuntimeHarness) {
    let Some(guest) = guest(harness, Behaviour::PassThrough) else { return };
    let mut task = Task::start(&guest);
    let mut headers = HeadersBuilder::new();
    for (name, value) in [("name", &b"\0\xff"[..]), ("", b"no name"), ("name", b"")] {
        must("a header", headers.push(name, value));
    }
    let records = [
        RecordRef::new(b"plain").at(1_700_000_000_000),
        RecordRef::new(b"\0\xff\n").with_key(Some(b"")).at(0),
        RecordRef::new(b"keyed").with_key(Some(b"\xffk\0")).with_headers(headers.as_headers()).at(1),
        RecordRef::new(b"headed").with_headers(headers.as_headers()).at(i64::MAX),
        RecordRef::new(b"old").with_key(Some(b"k")).at(-1),
        RecordRef::new(b"").with_key(Some(b"empty")).at(2),
        RecordRef::null().with_key(Some(b"deleted")).at(3),
    ];
    must("processing", task.call(|instance| instance.process(&batch(&records))));
    let all = harness.emits_values_without_bytes();
    let emitted = records.iter().filter(|record| all || !record.bytes().is_empty());
    let expected: Vec<_> = emitted.map(|record| Emitted::from(*record)).collect();
    assert_eq!(task.probe.lock().emitted, expected);
}

fn state_is_kept_by_the_host(harness: &mut dyn RuntimeHarness) {
    let Some(guest) = guest(harness, Behaviour::Count) else { return };
    let counts = |range: std::ops::RangeInclusive<u64>| range.map(|n| harness.counted(n)).collect::<Vec<_>>();
    let mut task = Task::start(&guest);
    must("counting", task.process(&vec![guest.wanted.clone(); 3]));
    assert_eq!(task.take_values(), counts(1..=3), "a batch sees what it wrote");
    must("counting", task.process(&vec![guest.wanted.clone(); 2]));
    assert_eq!(task.take_values(), counts(4..=5), "a batch sees what the one before wrote");
    let probe = Arc::clone(&task.probe);
    let keys: Vec<_> = probe.lock().state.keys().cloned().collect();
    assert_eq!(keys.len(), 1, "one count is under one key");
    let in_store =
        keys[0].split_first_chunk::<4>().and_then(|(len, rest)| rest.get(u32::from_be_bytes(*len) as usize..));
    assert!(in_store.is_some_and(|key| check_key_in_store(key).is_ok()), "{:?} is not a complete key", keys[0]);
    drop(task);
    let mut later = Task::start_on(&guest, &probe);
    must("counting", later.process(std::slice::from_ref(&guest.wanted)));
    assert_eq!(later.take_values(), counts(6..=6), "state outlasts the instance");
    let mut other = Task::start(&guest);
    must("counting", other.process(std::slice::from_ref(&guest.wanted)));
    assert_eq!(other.take_values(), counts(1..=1), "the state of one task is not another's");
}

fn a_healthy_instance_answers_every_call(harness: &mut dyn RuntimeHarness) {
    let Some(guest) = guest(harness, Behaviour::Echo) else { return };
    let mut task = Task::start(&guest);
    for epoch in 1..=3 {
        assert!(must("echoing", task.echo(&guest, "fine")).contains(&b"fine".to_vec()));
        must("a watermark", task.call(|instance| instance.process_watermark(0, epoch)));
        must("a checkpoint", task.call(|instance| instance.take_checkpoint(Epoch(epoch))));
        assert!(must("a heartbeat", task.call(|instance| instance.check_heartbeat())), "a healthy instance is well");
        task.take_values();
    }
    must("closing", task.call(|instance| instance.close()));
}

fn what_hooks_do_reaches_the_host(harness: &mut dyn RuntimeHarness) {
    let Some(guest) = guest(harness, Behaviour::Hooks) else { return };
    let mut task = Task::start(&guest);
    must("a watermark", task.call(|instance| instance.process_watermark(0, u64::from(u32::MAX))));
    assert_eq!(task.probe.lock().watermarks, [(0, u64::from(u32::MAX) + 1)]);
    must("a checkpoint", task.call(|instance| instance.take_checkpoint(Epoch(9))));
    assert_eq!(task.take_values().len(), 1, "what a checkpoint emits is there when it returns");
    must("exec", task.call(|instance| instance.exec("Main", &[("m".into(), vec![1, 2])])));
    assert_eq!(task.take_values().len(), 1, "what exec emits is there when it returns");
    assert_eq!(must("custom", task.call(|instance| instance.custom(b"ab\0"))), b"\0ba");
    must("closing", task.call(|instance| instance.close()));
    assert_eq!(task.take_values().len(), 1, "what closing emits is there when it returns");
}

fn the_host_is_called_only_while_a_method_runs(harness: &mut dyn RuntimeHarness) {
    for behaviour in [Behaviour::Echo, Behaviour::Count, Behaviour::Hooks] {
        let Some(guest) = guest(harness, behaviour) else { continue };
        let probe = Arc::<parking_lot::Mutex<Probe>>::default();
        let mut task = must("instantiating", Task::make(&guest, Limits::default(), &probe));
        assert_eq!(probe.lock().strays, [""; 0], "asked while it was instantiated");
        must("init", task.call(|instance| instance.init()));
        must("echoing", task.echo(&guest, "fine"));
        if behaviour == Behaviour::Count {
            must("counting", task.process(std::slice::from_ref(&guest.wanted)));
        }
        must("a checkpoint", task.call(|instance| instance.take_checkpoint(Epoch(1))));
        must("closing", task.call(|instance| instance.close()));
        drop(task);
        assert_eq!(probe.lock().strays, [""; 0], "asked between calls, or while it was dropped");
        assert_eq!(Arc::strong_count(&probe), 1, "the host outlives the instance in somebody's hands");
    }
}
