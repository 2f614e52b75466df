// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The examples do what their pages say.

use fnstream_core::ErrorCode;
use fnstream_core::timer::{TimeDomain, Timer};

use crate::support::{example, said, task};

#[test]
fn basic_in_go_adds_one() {
    let mut basic = task(&example("basic"));
    assert_eq!(basic.run(&[r#"{"name":"rbt","money":2}"#]).unwrap(), [r#"{"name":"rbt","money":3,"expected":0}"#]);
    // The same instance goes on.
    let two = [r#"{"name":"a","money":-1,"expected":5}"#, r#"{}"#];
    let expected = [r#"{"name":"a","money":0,"expected":5}"#, r#"{"name":"","money":1,"expected":0}"#];
    assert_eq!(basic.run(&two).unwrap(), expected);
    let failure = basic.fail(&["{}", "x"]);
    let (code, message, record) = said(&failure);
    assert_eq!((code, record), (ErrorCode::GuestExit, Some(1)));
    assert!(message.starts_with("exited with status 1; it last wrote: "), "{message}");
}

#[test]
fn basic_in_rust_is_the_same() {
    let mut basic = task(&example("basic_rust"));
    assert_eq!(basic.run(&[r#"{"name":"rbt","money":2}"#]).unwrap(), [r#"{"name":"rbt","money":3,"expected":0}"#]);
    let failure = basic.fail(&["{}", "x"]);
    assert_eq!(said(&failure), (ErrorCode::GuestError, "expected value at line 1 column 1", Some(1)));
}

#[test]
fn pass_through_keeps_everything() {
    let mut pass = task(&example("pass_through_rust"));
    pass.run(&["x"]).unwrap();
    pass.instance.process(&crate::support::batch(&["v"])).unwrap();
    let host = pass.host.lock();
    let emitted = &host.outbox[0];
    assert_eq!(
        (emitted.timestamp, emitted.key.as_deref(), emitted.value.as_deref()),
        (100, Some(&b"k"[..]), Some(&b"v"[..]))
    );
    assert_eq!(emitted.headers, [("h".to_owned(), b"1".to_vec())]);
}

#[test]
fn word_count_counts() {
    let mut words = task(&example("word_count_rust"));
    assert_eq!(words.run(&["a b a", "b"]).unwrap(), ["1", "1", "2", "2"]);
    assert_eq!(words.run(&["a"]).unwrap(), ["3"]);
}

#[test]
fn window_counts_windows() {
    let mut window = task(&example("window_rust"));
    // Of the times 100 and 101.
    window.instance.process(&crate::support::batch(&["x", "y"])).unwrap();
    let set: Vec<_> = std::mem::take(&mut window.host.lock().timers).into_iter().collect();
    let [((domain, key), at_ms)] = &set[..] else { panic!("{set:?}") };
    assert_eq!((*domain, &key[8..], *at_ms), (TimeDomain::Event, &b"k"[..], 10_000));
    window.instance.on_timers(&[Timer { domain: *domain, key: key.clone(), at_ms: *at_ms }]).unwrap();
    assert_eq!(window.take(), [r#"{"key":"k","window":0,"count":2}"#]);
}

#[test]
fn keyed_count_counts() {
    let mut counts = task(&example("keyed_count_rust"));
    counts.instance.process(&crate::support::batch(&["x", "y"])).unwrap();
    let values: Vec<_> = counts.host.lock().outbox.iter().map(|emitted| emitted.value.clone()).collect();
    assert_eq!(values, [1u64, 2].map(|count| Some(count.to_le_bytes().to_vec())));
}
