// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Looking at committed state from outside.

use std::ops::ControlFlow;

use bytes::Bytes;
use fnstream_core::delta::{Delta, Write};
use fnstream_core::epoch::{Epoch, TaskId};
use fnstream_core::state::Marker;
use fnstream_store::Store;

use crate::support::*;

fn seen(store: &Store, of: TaskId, start: &str, most: usize) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    store
        .peek(of, start.as_bytes(), &mut |key, value| {
            found.push((text(key), text(value)));
            if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .unwrap();
    found
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The same commits, of which the first `applied` are in the store and the others in deltas.
fn committed(store: &Store, of: TaskId, applied: u64) {
    let merge = |key: &str, value: &str| {
        let mut delta = Delta::new();
        delta.write(key.as_bytes(), Write::Merge(Bytes::copy_from_slice(value.as_bytes())));
        delta
    };
    let mut cleared = Delta::new();
    cleared.delete_range(b"b", Some(b"d"));
    cleared.write(b"c2", Write::Put(Bytes::from_static(b"new")));
    let mut deleted = Delta::new();
    deleted.write(b"a", Write::Delete);
    let mut first = put("a", "1");
    for key in ["b", "c1", "d"] {
        first.absorb(put(key, "1"));
    }
    let (acquired, _) = acquire(store, of, None);
    let state = store.state_stores().open(of).unwrap();
    let deltas = [first, merge("d", "+2"), cleared, deleted, merge("e", "5"), put("", "empty key")];
    for (number, delta) in (1..).zip(deltas) {
        if number <= applied {
            state.apply(&delta, &Marker { epoch: Epoch(number), ..Marker::default() }).unwrap();
        }
        commit(&*store.committer(), epoch(of, acquired.generation, number, delta, Vec::new())).unwrap();
    }
}

#[test]
fn what_is_seen_does_not_depend_on_what_is_applied() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let all = pairs(&[("", "empty key"), ("c2", "new"), ("d", "1+2"), ("e", "5")]);
    for applied in 0..=6 {
        let of = task(7, applied);
        committed(&store, of, u64::from(applied));
        assert_eq!(seen(&store, of, "", usize::MAX), all, "{applied}");
        assert_eq!(seen(&store, of, "d", usize::MAX), all[2..], "{applied}");
        assert_eq!(seen(&store, of, "c", 2), all[1..3], "{applied}");
    }
    assert_eq!(seen(&store, task(7, 7), "", usize::MAX), [], "others' keys are not seen");
}
