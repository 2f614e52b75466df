// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Time and memory: what takes too much of either is ended, and says so.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fnstream_core::ErrorCode;
use fnstream_core::runtime::{InstanceSpec, Runtime};

use crate::support::{TestHost, guest, refusal, runtime, said, spec, start, task};

const LATE: &str = "the call was ended at its limit 'call-time' of 50ms of processor time";

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
    assert_eq!(said(&failure), (ErrorCode::GuestTimeout, LATE, Some(1)));
    assert_eq!(task.fail(&["echo a"]).error.code, ErrorCode::GuestPoisoned);

    let module = wat::parse_str(r#"(module (func (export "process") (loop (br 0))))"#).unwrap();
    let failure = start(&runtime().load(&module).unwrap(), &short(64 << 20)).fail(&["a"]);
    assert_eq!(said(&failure), (ErrorCode::GuestTimeout, LATE, Some(0)));
}

/// The processor time that this thread has used.
fn thread_time() -> Duration {
    rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).try_into().unwrap()
}

#[test]
fn a_loop_on_a_busy_machine_has_all_of_its_processor_time() {
    let module = wat::parse_str(r#"(module (func (export "process") (loop (br 0))))"#).unwrap();
    let mut spec = spec();
    spec.limits.call_time = Duration::from_millis(300);
    let mut task = start(&runtime().load(&module).unwrap(), &spec);
    let done = AtomicBool::new(false);
    let busy = 2 * thread::available_parallelism().unwrap().get();
    thread::scope(|scope| {
        for _ in 0..busy {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let begun = (Instant::now(), thread_time());
        let failure = task.fail(&["a"]);
        let (took, used) = (begun.0.elapsed(), thread_time() - begun.1);
        done.store(true, Ordering::Relaxed);
        let message = "the call was ended at its limit 'call-time' of 300ms of processor time";
        assert_eq!(said(&failure), (ErrorCode::GuestTimeout, message, Some(0)), "after {took:?}, {used:?} used");
        assert!((300..600).contains(&used.as_millis()), "{used:?} of processor time in {took:?}");
    });
}

#[test]
fn a_loop_that_keeps_waiting_ends_by_the_clock() {
    // Waits for 10 ms again and again: no single wait is too long, and it computes little.
    let module = wat::parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "process")
                (i32.store (i32.const 16) (i32.const 1))
                (i64.store (i32.const 24) (i64.const 10000000))
                (loop (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))) (br 0))))"#,
    )
    .unwrap();
    let failure = start(&runtime().load(&module).unwrap(), &short(64 << 20)).fail(&["a"]);
    let message = "the call waited until it was ended 1s after it began, the most by the clock with its limit 'call-time' of 50ms";
    assert_eq!(said(&failure), (ErrorCode::GuestTimeout, message, Some(0)));
}

#[test]
fn the_limit_is_of_one_call_not_of_an_instance() {
    // Each record waits for 60 ms of the 200 that a limit of 10 allows by the clock: a batch of four takes longer, and is fine.
    let module = wat::parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "process")
                (i32.store (i32.const 16) (i32.const 1))
                (i64.store (i32.const 24) (i64.const 60000000))
                (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"#,
    )
    .unwrap();
    let mut spec = short(64 << 20);
    spec.limits.call_time = Duration::from_millis(10);
    let mut task = start(&runtime().load(&module).unwrap(), &spec);
    let begun = Instant::now();
    task.run(&["a", "b", "c", "d"]).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(240));
}

/// Waits for 100 ms in each of the two parts of its start, and for 10 ms for a record.
fn slow_starter() -> Vec<u8> {
    wat::parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func $wait (param $ms i64)
                (i32.store (i32.const 16) (i32.const 1))
                (i64.store (i32.const 24) (i64.mul (local.get $ms) (i64.const 1000000)))
                (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))
            (func $begin (call $wait (i64.const 100)))
            (start $begin)
            (func (export "_initialize") (call $wait (i64.const 100)))
            (func (export "process") (call $wait (i64.const 10))))"#,
    )
    .unwrap()
}

#[test]
fn a_start_may_take_longer_than_a_call() {
    let mut spec = spec();
    // 80 ms by the clock.
    spec.limits.call_time = Duration::from_millis(4);
    spec.limits.start_time = Duration::from_secs(30);
    start(&runtime().load(&slow_starter()).unwrap(), &spec).run(&["a", "b"]).unwrap();
}

#[test]
fn both_parts_of_a_start_share_its_time() {
    let mut spec = spec();
    // 160 ms by the clock.
    spec.limits.start_time = Duration::from_millis(8);
    let program = runtime().load(&slow_starter()).unwrap();
    let host = std::sync::Arc::new(parking_lot::Mutex::new(TestHost::default()));
    // The first part alone may be too long on a busy machine.
    let failure = match program.instantiate(&spec, host) {
        Ok(mut instance) => instance.init().unwrap_err(),
        Err(failure) => failure,
    };
    let message = "the start waited until it was ended 160ms after it began, the most by the clock with its limit 'start-time' of 8ms";
    assert_eq!(said(&failure), (ErrorCode::GuestTimeout, message, None));
}

#[test]
fn a_loop_in_either_part_of_a_start_ends() {
    let mut spec = spec();
    spec.limits.start_time = Duration::from_millis(50);
    let late =
        (ErrorCode::GuestTimeout, "the start was ended at its limit 'start-time' of 50ms of processor time", None);
    let module = |text| runtime().load(&wat::parse_str(text).unwrap()).unwrap();
    let start = module(r#"(module (func $f (loop (br 0))) (start $f) (func (export "process")))"#);
    assert_eq!(said(&refusal(&start, &spec)), late);

    let setup = module(r#"(module (func (export "_initialize") (loop (br 0))) (func (export "process")))"#);
    let host = std::sync::Arc::new(parking_lot::Mutex::new(TestHost::default()));
    let mut instance = setup.instantiate(&spec, host).unwrap();
    assert_eq!(said(&instance.init().unwrap_err()), late);
    assert_eq!(instance.init().unwrap_err().error.code, ErrorCode::GuestPoisoned);
}

#[test]
fn a_program_that_is_started_for_each_record_has_the_time_of_a_call() {
    let module = wat::parse_str(r#"(module (func $f (loop (br 0))) (start $f) (func (export "_start")))"#).unwrap();
    let failure = start(&runtime().load(&module).unwrap(), &short(1 << 20)).fail(&["a"]);
    assert_eq!(said(&failure), (ErrorCode::GuestTimeout, LATE, Some(0)));
}

#[test]
fn a_component_that_loops_in_init_has_the_time_of_a_start() {
    let mut spec = spec();
    spec.limits.start_time = Duration::from_millis(200);
    spec.config.insert("loop".into(), "yes".into());
    let program = runtime().load(&guest("packed")).unwrap();
    let host = std::sync::Arc::new(parking_lot::Mutex::new(TestHost::default()));
    let failure = program.instantiate(&spec, host).unwrap().init().unwrap_err();
    let message = "the start was ended at its limit 'start-time' of 200ms of processor time";
    assert_eq!(said(&failure), (ErrorCode::GuestTimeout, message, None));
}

#[test]
fn memory_beyond_the_limit_is_refused_and_a_guest_that_dies_of_it_says_so() {
    let program = runtime().load(&guest("packed")).unwrap();
    let mut task = start(&program, &InstanceSpec { limits: spec().limits, ..spec() });
    let failure = task.fail(&["grow"]);
    let (code, message, record) = said(&failure);
    assert_eq!((code, record), (ErrorCode::GuestOutOfMemory, Some(0)));
    let expected = "the limit of 67108864 bytes of memory was reached; it last wrote: memory allocation of ";
    assert!(message.starts_with(expected), "{message}");
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
    let failure = refusal(&runtime().load(&module).unwrap(), &short(8 << 20));
    assert_eq!(said(&failure).0, ErrorCode::GuestOutOfMemory);
}

#[test]
fn a_result_larger_than_a_record_may_be_is_refused() {
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
    spec.limits.record_bytes = 100_000;
    let failure = start(&runtime().load(&module).unwrap(), &spec).fail(&["a"]);
    let message = "the result of one record is larger than its limit 'record' of 100000 bytes";
    assert_eq!(said(&failure), (ErrorCode::OutputTooLarge, message, Some(0)));
}

#[test]
fn long_words_of_a_guest_are_cut_and_say_so() {
    let failure = task(&guest("packed")).fail(&["error 3000000"]);
    let message = failure.error.message;
    assert_eq!(failure.error.code, ErrorCode::GuestError);
    assert!(message.ends_with("e … (cut, 3000000 bytes in all)") && message.len() < 9_000, "{} bytes", message.len());
}

#[test]
fn one_list_of_buffers_that_takes_for_ever_ends_at_the_time_limit() {
    // 8,000 buffers that are all the same 4 MiB, written to the standard error.
    let module = wat::parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 65)
            (func (export "process") (local $at i32)
                (loop $fill
                    (i32.store offset=4 (local.get $at) (i32.const 4194304))
                    (local.set $at (i32.add (local.get $at) (i32.const 8)))
                    (br_if $fill (i32.lt_u (local.get $at) (i32.const 64000))))
                (drop (call $write (i32.const 2) (i32.const 0) (i32.const 8000) (i32.const 65000)))))"#,
    )
    .unwrap();
    let failure = start(&runtime().load(&module).unwrap(), &short(64 << 20)).fail(&["a"]);
    assert_eq!(said(&failure), (ErrorCode::GuestTimeout, LATE, Some(0)));
}

#[test]
fn endless_recursion_is_a_trap() {
    let module = wat::parse_str(r#"(module (func $f (export "process") (call $f)))"#).unwrap();
    let failure = start(&runtime().load(&module).unwrap(), &spec()).fail(&["a"]);
    assert_eq!(said(&failure), (ErrorCode::GuestTrap, "call stack exhausted", Some(0)));
}
