// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Commits beside a bulk apply.
#![allow(clippy::print_stdout, reason = "how long commits waited is part of the result")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use fnstream_core::delta::{Delta, Write};
use fnstream_core::epoch::Epoch;
use fnstream_core::state::Marker;
use fnstream_store::{Durability, Store, StoreOptions};

use crate::support::*;

/// As many keys as an engine keeps unapplied.
const KEYS: u32 = 200_000;

fn large() -> Delta {
    let mut delta = Delta::new();
    for key in 0..KEYS {
        // In no order, as hashes are.
        let key = key.wrapping_mul(0x9e37_79b9).to_be_bytes();
        delta.write(&key, Write::Put(Bytes::copy_from_slice(&[7; 32])));
    }
    delta
}

#[test]
fn commits_go_on_between_the_parts_of_an_apply() {
    let dir = tempfile::tempdir().unwrap();
    // Unsynced, so that many commits fall into the apply.
    let store = Store::open(dir.path(), StoreOptions { durability: Durability::Os, ..options() }).unwrap();
    let (busy, other) = (task(1, 0), task(2, 0));
    let generation = acquire(&store, other, None).0.generation;
    let state = store.state_stores().open(busy).unwrap();
    let marker = Marker { epoch: Epoch(1), ..Marker::default() };
    let (mut between, mut longest, mut number) = (0, Duration::ZERO, 0);
    let took = std::thread::scope(|scope| {
        let apply = scope.spawn(|| {
            let (delta, begun) = (large(), Instant::now());
            state.apply(&delta, &marker).unwrap();
            begun.elapsed()
        });
        while !apply.is_finished() {
            let before = state.unfinished().unwrap();
            let begun = Instant::now();
            number += 1;
            commit(&*store.committer(), epoch(other, generation, number, put("k", "v"), Vec::new())).unwrap();
            longest = longest.max(begun.elapsed());
            // The apply was under way before the commit and was not at its end after it.
            between += u32::from(before.is_some() && state.unfinished().unwrap().is_some());
        }
        apply.join().unwrap()
    });
    println!("an apply of {KEYS} keys took {took:?}; of {number} commits beside it the longest took {longest:?}");
    assert!(between >= 3, "{between} commits within the apply");
    assert_eq!(state.marker().unwrap(), Some(marker));
    assert_eq!(state.unfinished().unwrap(), None);
}
