// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Time and memory: what takes too much of either is ended, and says so.

use std::time::Duration;

use fnstream_core::ErrorCode;
use fnstream_core::runtime::{InstanceSpec, Runtime};

use crate::support::{TestHost, guest, runtime, said, spec, start};

fn short(memory: usize) -> InstanceSpec {
    let mut spec = spec();
    spec.limits.call_time = Duration::from_millis(50);
    spec.limits.memory = memory;
    spec
}

#[test]
fn an_endless_loop_ends_at_the_time_limit() {
    let program = runtime().load(&guest("packed")).unwrap();
    let mut task = start(&program, &short(64 << 20));
    let failure = task.fail(&["echo a", "loop"]);
    assert_eq!(said(&failure), (ErrorCode::GuestTimeout, "the call was ended at its time limit", None));
    assert_eq!(task.fail(&["echo a"]).error.code, ErrorCode::GuestPoisoned);

    let module = wat::parse_str(r#"(module (func (export "process") (loop (br 0))))"#).unwrap();
    let failure = start(&runtime().load(&module).unwrap(), &short(64 << 20)).fail(&["a"]);
    assert_eq!(said(&failure), (ErrorCode::GuestTimeout, "the call was ended at its time limit", Some(0)));
}

#[test]
fn the_limit_is_of_one_call_not_of_an_instance() {
    // Each record waits for 20 ms of a limit of 50: a batch of four takes longer than the limit, and is fine.
    let module = wat::parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "process")
                (i32.store (i32.const 16) (i32.const 1))
                (i64.store (i32.const 24) (i64.const 20000000))
                (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"#,
    )
    .unwrap();
    let mut task = start(&runtime().load(&module).unwrap(), &short(64 << 20));
    task.run(&["a", "b", "c", "d"]).unwrap();
}

#[test]
fn a_loop_while_instantiating_ends_too() {
    let module = wat::parse_str(r#"(module (func $f (loop (br 0))) (start $f) (func (export "process")))"#).unwrap();
    let host = std::sync::Arc::new(parking_lot::Mutex::new(TestHost::default()));
    let failure = runtime().load(&module).unwrap().instantiate(&short(1 << 20), host).err().unwrap();
    assert_eq!(said(&failure).0, ErrorCode::GuestTimeout);
}

#[test]
fn memory_beyond_the_limit_is_refused_and_a_guest_that_dies_of_it_says_so() {
    let program = runtime().load(&guest("packed")).unwrap();
    let mut task = start(&program, &InstanceSpec { limits: spec().limits, ..spec() });
    let failure = task.fail(&["grow"]);
    assert_eq!(
        said(&failure),
        (ErrorCode::GuestOutOfMemory, "the limit of 67108864 bytes of memory was reached", None)
    );
    assert!(task.instance.memory_bytes() <= 64 << 20);
}

#[test]
fn a_module_that_grows_for_ever_is_ended() {
    let module = wat::parse_str(
        r#"(module (memory (export "memory") 1)
            (func (export "process")
                (loop (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable)) (br 0))))"#,
    )
    .unwrap();
    let mut task = start(&runtime().load(&module).unwrap(), &short(8 << 20));
    assert_eq!(said(&task.fail(&["a"])).0, ErrorCode::GuestOutOfMemory);
}

#[test]
fn a_guest_that_lives_with_a_refusal_is_fine() {
    let module = wat::parse_str(
        r#"(module (memory (export "memory") 1)
            (func (export "process") (drop (memory.grow (i32.const 30000)))))"#,
    )
    .unwrap();
    let mut task = start(&runtime().load(&module).unwrap(), &short(8 << 20));
    task.run(&["a", "b"]).unwrap();
    assert_eq!(task.instance.memory_bytes(), 64 << 10);
}

#[test]
fn a_table_counts_as_memory() {
    let module = wat::parse_str(
        r#"(module (table $t 1 externref) (memory (export "memory") 1)
            (func (export "process")
                (if (i32.eq (table.grow $t (ref.null extern) (i32.const 2000000)) (i32.const -1)) (then unreachable))))"#,
    )
    .unwrap();
    let mut task = start(&runtime().load(&module).unwrap(), &short(8 << 20));
    assert_eq!(said(&task.fail(&["a"])).0, ErrorCode::GuestOutOfMemory);
}

#[test]
fn an_instance_that_starts_over_the_limit_is_not_made() {
    let module = wat::parse_str(r#"(module (memory (export "memory") 200) (func (export "process")))"#).unwrap();
    let host = std::sync::Arc::new(parking_lot::Mutex::new(TestHost::default()));
    let failure = runtime().load(&module).unwrap().instantiate(&short(8 << 20), host).err().unwrap();
    assert_eq!(said(&failure).0, ErrorCode::GuestOutOfMemory);
}

#[test]
fn a_result_larger_than_the_guest_may_be_is_refused() {
    // Writes one page to the standard output for ever.
    let module = wat::parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 2)
            (data (i32.const 4) "\00\00\01\00")
            (func (export "process")
                (loop (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12))) (br 0))))"#,
    )
    .unwrap();
    let mut spec = spec();
    spec.limits.memory = 1 << 20;
    let failure = start(&runtime().load(&module).unwrap(), &spec).fail(&["a"]);
    assert_eq!(
        said(&failure),
        (ErrorCode::GuestOutOfMemory, "the result of one record is larger than 1048576 bytes", Some(0))
    );
}

#[test]
fn endless_recursion_is_a_trap() {
    let module = wat::parse_str(r#"(module (func $f (export "process") (call $f)))"#).unwrap();
    let failure = start(&runtime().load(&module).unwrap(), &spec()).fail(&["a"]);
    assert_eq!(said(&failure), (ErrorCode::GuestTrap, "call stack exhausted", Some(0)));
}
