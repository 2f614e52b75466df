// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Valid artifacts that were changed at random: each is refused with a code, or lives within its limits.
//!
//! The sequence is the same each time. The fuzz target `artifact` looks further.

use std::time::Duration;

use fnstream_core::ErrorCode;
use fnstream_core::runtime::Limits;
use fnstream_runtime::kind_of;

use crate::arena::{alone, limits, live_within};
use crate::components::{Parts, component};
use crate::support::{filter, guest};

/// How many of the small ones are compiled and run, and how many of the large ones are only looked at.
const RUN: usize = 3_000;
const LOOKED_AT: usize = 2_000;

/// A generator of the kind that needs no more than this.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }
}

/// Flips a bit, changes or repeats some bytes, cuts the end off, or puts a piece of another artifact in.
fn mutate(artifact: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..=random.below(3) {
        // The header is left alone: without it there is nothing to test.
        let at = 8 + random.below(artifact.len().saturating_sub(8));
        if at >= artifact.len() {
            return;
        }
        match random.below(6) {
            0 => artifact[at] ^= 1 << random.below(8),
            1 => artifact[at] = [0, 1, 0x40, 0x7f, 0x80, 0xff][random.below(6)],
            2 => artifact.truncate(at),
            3 => {
                let end = (at + random.below(64)).min(artifact.len());
                let piece = artifact[at..end].to_vec();
                artifact.splice(at..at, piece);
            }
            4 => drop(artifact.drain(at..(at + random.below(16)).min(artifact.len()))),
            _ => {
                let from = random.below(other.len());
                let piece = &other[from..(from + random.below(64)).min(other.len())];
                let end = (at + piece.len()).min(artifact.len());
                artifact.splice(at..end, piece.iter().copied());
            }
        }
    }
}

fn small() -> Vec<Vec<u8>> {
    let modules = [
        r#"(module (func $f (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
            (func (export "process") (drop (call $f (i32.const 1)))))"#,
        r#"(module
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_open"
                (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_readdir" (func $list (param i32 i32 i32 i64 i32) (result i32)))
            (memory (export "memory") 1) (table 4 funcref) (elem (i32.const 1) $start)
            (global $g (mut i64) (i64.const 7))
            (data (i32.const 0) "\40\00\00\00\10\00\00\00process")
            (func $start (export "_start")
                (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
                (drop (call $open (i32.const 3) (i32.const 0) (i32.const 8) (i32.const 7) (i32.const 0) (i64.const 0)
                    (i64.const 0) (i32.const 0) (i32.const 32)))
                (drop (call $list (i32.const 3) (i32.const 64) (i32.const 512) (i64.const 0) (i32.const 32)))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 36)))))"#,
        r#"(module (memory (export "memory") 1 3) (func $loop (param i32)
            (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
            (func (export "process") (call $loop (i32.const 1000)) (drop (memory.grow (i32.const 1)))
                (memory.fill (i32.const 0) (i32.const 1) (i32.const 9)) (f64.store (i32.const 8) (f64.const 1))))"#,
    ];
    let mut all: Vec<_> = modules.iter().map(|text| wat::parse_str(text).unwrap()).collect();
    let process =
        "(call $emit (i32.const 0) (i32.const 0) (i32.const 9)) (drop (call $open (i32.const 16) (i32.const 5)))";
    all.push(component(&Parts { process, ..Parts::default() }));
    all
}

#[test]
fn small_artifacts_that_were_changed_are_refused_or_run() {
    let seeds = small();
    let limits = Limits { call_time: Duration::from_millis(20), start_time: Duration::from_millis(20), ..limits() };
    let mut random = Random(0x5eed_0001);
    let mut ends = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..RUN {
        let mut artifact = seeds[random.below(seeds.len())].clone();
        mutate(&mut artifact, &seeds[random.below(seeds.len())], &mut random);
        let _alone = alone();
        *ends.entry(live_within(&artifact, limits)).or_default() += 1;
    }
    println!("{ends:?}");
    // All sorts of ends were seen, so the changes are neither too gentle nor too rough.
    for end in ["load FS-1202", "load FS-1203", "process FS-1402", "fine"] {
        assert!(ends.contains_key(end), "no {end}: {ends:?}");
    }
}

#[test]
fn large_artifacts_that_were_changed_are_told_apart_or_refused() {
    let seeds = [guest("packed"), guest("processor"), guest("both"), filter()];
    let mut random = Random(0x5eed_0002);
    let mut taken = 0;
    for _ in 0..LOOKED_AT {
        let mut artifact = seeds[random.below(seeds.len())].clone();
        mutate(&mut artifact, &seeds[random.below(seeds.len())], &mut random);
        let _alone = alone();
        match kind_of(&artifact) {
            Ok(_) => taken += 1,
            Err(e) => assert!(matches!(e.code, ErrorCode::ArtifactInvalid | ErrorCode::ArtifactUnsupported), "{e}"),
        }
    }
    assert!(taken > 0 && taken < LOOKED_AT, "{taken} of {LOOKED_AT} were taken");
}
