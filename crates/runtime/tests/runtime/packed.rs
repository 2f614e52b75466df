// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The packed world, with a guest made by the Rust SDK.

use fnstream_core::epoch::Epoch;
use fnstream_core::runtime::Runtime;
use fnstream_core::{Error, ErrorCode};

use crate::support::{TestHost, batch, guest, runtime, said, simple_key, spec, start, task};

fn obey() -> crate::support::Task {
    task(&guest("packed"))
}

#[test]
fn a_batch_goes_in_and_comes_out_in_order() {
    assert_eq!(obey().run(&["echo a", "echo ", "echo c"]).unwrap(), ["a", "", "c"]);
    assert_eq!(obey().run(&[]).unwrap(), [""; 0]);
}

#[test]
fn config_and_metadata_arrive() {
    let about = obey().run(&["about"]).unwrap();
    let expected = r#"{"colour": "red"} Metadata { name: "f", revision: 3, task_index: 1, outputs: ["out"] }"#;
    assert_eq!(about, [expected]);
}

#[test]
fn init_can_refuse() {
    let mut spec = spec();
    spec.config.insert("fail".into(), "no colour".into());
    let host = std::sync::Arc::new(parking_lot::Mutex::new(TestHost::default()));
    let mut instance = runtime().load(&guest("packed")).unwrap().instantiate(&spec, host).unwrap();
    assert_eq!(said(&instance.init().unwrap_err()), (ErrorCode::GuestError, "no colour", None));
    assert_eq!(said(&instance.init().unwrap_err()).0, ErrorCode::GuestPoisoned);
}

#[test]
fn a_returned_error_names_its_record_and_leaves_the_instance_well() {
    let mut task = obey();
    let failure = task.fail(&["echo a", "fail bad data", "echo b"]);
    assert_eq!((said(&failure), failure.undone), ((ErrorCode::GuestError, "bad data", Some(1)), true));
    // What the record before it did is there.
    assert_eq!(task.run(&["echo c"]).unwrap(), ["a", "c"]);
}

#[test]
fn a_trap_has_a_backtrace_and_harms_no_other_instance() {
    let program = runtime().load(&guest("packed")).unwrap();
    let (mut one, mut other) = (start(&program, &spec()), start(&program, &spec()));
    let failure = one.fail(&["echo a", "trap"]);
    assert_eq!((failure.error.code, failure.record), (ErrorCode::GuestTrap, Some(1)));
    // Names are shown as they were written.
    assert!(
        failure.backtrace.as_ref().unwrap().contains("Obey as fnstream_sdk::function::Function>::process"),
        "{failure:?}"
    );
    assert_eq!(one.fail(&["echo a"]).error.code, ErrorCode::GuestPoisoned);
    assert_eq!(one.instance.check_heartbeat().unwrap_err().error.code, ErrorCode::GuestPoisoned);
    assert_eq!(other.run(&["echo b"]).unwrap(), ["b"]);
}

#[test]
fn ending_the_process_is_an_exit() {
    assert_eq!(obey().fail(&["exit 7"]).error.code, ErrorCode::GuestExit);
}

#[test]
fn an_unknown_target_and_a_malformed_frame_have_their_codes() {
    let failure = obey().fail(&["echo a", "raw-target 5"]);
    assert_eq!(said(&failure), (ErrorCode::UnknownTarget, "there is no output 5", Some(1)));
    let failure = obey().fail(&["raw-frame what"]);
    assert_eq!(said(&failure), (ErrorCode::GuestProtocol, "the frame is truncated", Some(0)));
    // The SDK does not even ask.
    assert_eq!(obey().run(&["raw-swallow"]).unwrap(), ["true"]);
}

#[test]
fn state_is_read_and_written_once_a_batch() {
    let mut task = obey();
    assert_eq!(task.run(&["count a", "count a", "count b", "count a"]).unwrap(), ["1", "2", "1", "3"]);
    assert_eq!(task.host.lock().gets, 2);
    assert_eq!(&task.host.lock().state[&simple_key("a")][..], 3u64.to_be_bytes());
    assert_eq!(task.run(&["count a"]).unwrap(), ["4"]);
}

#[test]
fn scans_come_in_pages() {
    let mut task = obey();
    let puts: Vec<_> = (0..200).map(|i| format!("put {i:03}")).collect();
    let commands: Vec<_> = puts.iter().map(String::as_str).chain(["scan"]).collect();
    let expected: String = (0..200).map(|i| format!("{i:03}")).collect();
    assert_eq!(task.run(&commands).unwrap(), [expected]);
    // 200 kB in pages of 1 KiB, 4, 16 and then of 64.
    assert_eq!(task.host.lock().scans, 6);
}

#[test]
fn get_many_tells_absent_from_empty() {
    let mut task = obey();
    task.host.lock().state.insert(simple_key("a"), "1".into());
    task.host.lock().state.insert(simple_key("c"), "".into());
    assert_eq!(task.run(&["raw-many"]).unwrap(), ["\u{3}\0\0\0\u{1}\0\0\x001\u{fffd}\u{fffd}\u{fffd}\u{fffd}\0\0\0\0"]);
}

#[test]
fn malformed_state_calls_are_refused() {
    let expected = "Err(Error::InvalidName(\"a store name has 0 bytes, not 1 to 255\")); \
        Err(Error::InvalidKey(\"a state key does not have the form of a simple or a complex key\")); \
        Err(Error::Malformed(\"store 1 was not opened\")); \
        Err(Error::Malformed(\"the op list is malformed: it is truncated\")); \
        Err(Error::Malformed(\"the key list is malformed: it is truncated\"))";
    assert_eq!(obey().run(&["raw-state"]).unwrap(), [expected]);
}

#[test]
fn a_fault_of_the_store_keeps_its_code_and_cannot_be_hidden() {
    let mut task = obey();
    task.host.lock().broken = Some(Error::new(ErrorCode::Storage, "the disk is on fire"));
    assert_eq!(said(&task.fail(&["count a"])), (ErrorCode::Storage, "the disk is on fire", None));
    assert_eq!(task.fail(&["echo a"]).error.code, ErrorCode::GuestPoisoned);
}

#[test]
fn hooks_happen() {
    let mut task = obey();
    task.instance.process_watermark(0, 41).unwrap();
    assert_eq!(task.host.lock().watermarks, [(0, 42)]);
    task.instance.take_checkpoint(Epoch(9)).unwrap();
    assert_eq!(task.take(), ["checkpoint 9"]);
    assert_eq!(&task.host.lock().state[&simple_key("checkpoint")][..], 9u64.to_be_bytes());
    assert!(task.instance.check_heartbeat().unwrap());
    task.instance.process(&batch(&["sick"])).unwrap();
    assert!(!task.instance.check_heartbeat().unwrap());
    task.instance.exec("Main", &[("m".into(), vec![1, 2])]).unwrap();
    assert_eq!(task.take(), [r#"Main [Module { name: "m", bytes: [1, 2] }]"#]);
    assert_eq!(task.instance.custom(b"abc").unwrap(), b"cba");
    task.instance.close().unwrap();
    assert_eq!(task.take(), ["closed"]);
    let refused = task.instance.custom(b"").unwrap_err();
    assert_eq!(said(&refused), (ErrorCode::GuestError, "nothing was asked", None));
}

#[test]
fn an_unknown_target_of_a_watermark_has_its_code() {
    let failure = obey().instance.process_watermark(3, 1).unwrap_err();
    assert_eq!(said(&failure), (ErrorCode::UnknownTarget, "there is no output 3", None));
}
