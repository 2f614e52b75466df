// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The per-record world, with a guest made by its bindings alone.

use fnstream_core::epoch::Epoch;
use fnstream_core::test_util::emitted::Emitted;
use fnstream_core::{Error, ErrorCode};
use fnstream_frame::RecordRef;

use crate::support::{batch, guest, records, said, task};

fn obey() -> crate::support::Task {
    task(&guest("processor"))
}

#[track_caller]
fn answers(commands: &[&str], expected: &[&str]) {
    assert_eq!(obey().run(commands).unwrap(), expected);
}

#[test]
fn words_are_counted() {
    answers(&["words a b a", "words b c"], &["a=1,b=1,a=2", "b=2,c=1"]);
}

#[test]
fn emits_have_the_time_of_their_record() {
    let mut task = obey();
    task.instance.process(&batch(&["echo a", "echo b"])).unwrap();
    let emitted = |timestamp, value: &[u8]| Emitted {
        target: 0,
        timestamp,
        key: None,
        headers: vec![],
        value: Some(value.into()),
    };
    assert_eq!(task.host.lock().outbox, [emitted(100, b"a"), emitted(101, b"b")]);
}

#[test]
fn a_null_value_comes_as_an_empty_one() {
    let mut task = obey();
    task.instance.process(&records(&[RecordRef::null().with_key(Some(b"k")), RecordRef::new(b"")])).unwrap();
    assert_eq!(task.take(), ["(no bytes)", "(no bytes)"]);
}

#[test]
fn absent_is_not_empty() {
    answers(
        &["get-state a", "put-state a ", "get-state a", "delete-state a", "get-state a"],
        &["(absent)", "ok", "''", "ok", "(absent)"],
    );
    answers(&["get a", "put a ", "get a", "delete a", "get a"], &["(absent)", "ok", "''", "ok", "(absent)"]);
}

#[test]
fn merge_appends() {
    answers(
        &["merge a 1", "merge a 2", "get a", "put a x", "merge a y", "get a"],
        &["ok", "ok", "'12'", "ok", "ok", "'xy'"],
    );
}

#[test]
fn list_states_gives_user_keys_in_byte_order() {
    let puts = ["put-state b 1", "put-state a 1", "put-state ab 1", "put-state c 1", "put a 1"];
    let mut task = obey();
    task.run(&puts).unwrap();
    let lists = ["list-states a c", "list-states ab b", "list-states  zz", "list-states c a", "list-states a "];
    assert_eq!(task.run(&lists).unwrap(), ["a,ab,b", "ab", "a,ab,b,c", "", ""]);
}

#[test]
fn list_and_scan_stay_within_their_prefix() {
    let mut task = obey();
    task.run(&["put b 2", "put a 1", "put ab 3", "put-state a 9", "split"]).unwrap();
    assert_eq!(task.run(&["list a b", "list  zz", "scan"]).unwrap(), ["a,ab", "a,ab,b", "a=1,ab=3,b=2"]);
}

#[test]
fn keys_of_different_parts_never_collide() {
    answers(&["put a mine", "split"], &["ok", "'mine'"]);
}

#[test]
fn delete_prefix_is_one_range_delete() {
    let mut task = obey();
    task.run(&["put a 1", "put ab 1", "put b 1", "put-state a 1"]).unwrap();
    assert_eq!(task.run(&["delete-prefix a", "scan", "get-state a"]).unwrap(), ["ok", "b=1", "'1'"]);
    assert_eq!(task.run(&["delete-prefix ", "scan"]).unwrap(), ["ok", ""]);
    assert_eq!(task.host.lock().range_deletes, 2);
}

#[test]
fn iterators_stream_in_pages() {
    let mut task = obey();
    assert_eq!(task.run(&["fill 3000"]).unwrap(), ["3000"]);
    // 300 kB of values and more of keys: never all at once.
    assert!(task.host.lock().scans >= 6, "{}", task.host.lock().scans);
}

#[test]
fn a_trap_fails_its_record() {
    let mut task = obey();
    let failure = task.fail(&["echo a", "echo b", "trap"]);
    assert_eq!((failure.error.code, failure.record), (ErrorCode::GuestTrap, Some(2)));
    assert!(failure.backtrace.is_some());
    assert_eq!(said(&task.fail(&["echo a"])), (ErrorCode::GuestPoisoned, "the instance failed before", None));
}

#[test]
fn an_unknown_target_fails_its_record_with_its_own_code() {
    assert_eq!(said(&obey().fail(&["echo a", "emit 4"])), (ErrorCode::UnknownTarget, "there is no output 4", Some(1)));
}

#[test]
fn a_store_without_a_name_fails_its_record() {
    let failure = obey().fail(&["no-name"]);
    assert_eq!(said(&failure), (ErrorCode::StateKeyInvalid, "a store name has 0 bytes, not 1 to 255", Some(0)));
}

#[test]
fn faults_of_the_store_end_the_call_with_their_own_code() {
    for command in ["get a", "put a 1", "scan", "list a b", "delete-prefix a", "get-state a"] {
        let mut task = obey();
        task.host.lock().broken = Some(Error::new(ErrorCode::Storage, "the disk is on fire"));
        assert_eq!(said(&task.fail(&[command])), (ErrorCode::Storage, "the disk is on fire", None), "{command}");
    }
}

#[test]
fn a_refusal_is_an_error_that_the_guest_sees() {
    let mut task = obey();
    task.host.lock().broken = Some(Error::new(ErrorCode::StateKeyInvalid, "too long"));
    assert_eq!(task.run(&["put a 1"]).unwrap(), [r#"Error::Other("too long")"#]);
}

#[test]
fn hooks_happen() {
    let mut task = obey();
    assert_eq!(task.run(&["config"]).unwrap(), [r#"[("colour", "red")]"#]);
    task.instance.process_watermark(0, 41).unwrap();
    assert_eq!(task.host.lock().watermarks, [(0, 42)]);
    task.instance.take_checkpoint(Epoch(9)).unwrap();
    assert!(task.instance.check_heartbeat().unwrap());
    task.instance.exec("Main", &[("m".into(), vec![1])]).unwrap();
    assert_eq!(task.instance.custom(b"abc").unwrap(), b"cba");
    task.instance.close().unwrap();
    assert_eq!(task.take(), ["checkpoint 9", r#"Main [("m", [1])]"#, "closed"]);
}
