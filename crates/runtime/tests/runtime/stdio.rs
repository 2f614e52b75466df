// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Core modules of WASI preview 1: records on standard input, results on standard output.

use std::time::Duration;

use fnstream_core::ErrorCode;
use fnstream_core::runtime::Runtime;
use fnstream_core::test_util::emitted::Emitted;
use fnstream_frame::RecordRef;

use crate::support::{Task, batch, records, runtime, said, spec, start, task};

/// A module around these function bodies, with a memory whose first bytes are free, and `copy` from one file to another.
fn module(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_open"
            (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_filestat_get" (func $fd_filestat_get (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_sync" (func $fd_sync (param i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
        (memory (export "memory") 2)
        (data (i32.const 64) "process/missing<>")
        (global $calls (mut i32) (i32.const 48))
        ;; Everything that can be read from $in is written to $out, 16 bytes at a time.
        (func $copy (param $in i32) (param $out i32)
            (loop $more
                (i32.store (i32.const 0) (i32.const 1024))
                (i32.store (i32.const 4) (i32.const 16))
                (if (call $fd_read (local.get $in) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
                (i32.store (i32.const 4) (i32.load (i32.const 8)))
                (if (i32.load (i32.const 8)) (then
                    (if (call $fd_write (local.get $out) (i32.const 0) (i32.const 1) (i32.const 12)) (then unreachable))
                    (br $more)))))
        ;; Writes one byte to $out.
        (func $put (param $out i32) (param $byte i32)
            (i32.store8 (i32.const 1024) (local.get $byte))
            (i32.store (i32.const 0) (i32.const 1024))
            (i32.store (i32.const 4) (i32.const 1))
            (if (call $fd_write (local.get $out) (i32.const 0) (i32.const 1) (i32.const 12)) (then unreachable)))
        ;; Opens a path below the first folder; gives the errno in the upper half, the descriptor in the lower.
        (func $open (param $at i32) (param $len i32) (param $flags i32) (result i32)
            (i32.or
                (i32.shl
                    (call $path_open (i32.const 3) (i32.const 0) (local.get $at) (local.get $len) (local.get $flags)
                        (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 16))
                    (i32.const 16))
                (i32.load (i32.const 16))))
        {body})"#
    );
    wat::parse_str(text).unwrap()
}

const COUNT_CALL: &str = "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))";

#[test]
fn key_headers_and_time_of_the_record_are_carried_over() {
    let mut task = task(&module(r#"(func (export "process") (call $copy (i32.const 0) (i32.const 1)))"#));
    task.instance.process(&batch(&["first", "a second one that takes several reads"])).unwrap();
    let emitted = |timestamp, value: &[u8]| Emitted {
        target: 0,
        timestamp,
        key: Some(b"k".to_vec()),
        headers: vec![("h".into(), b"1".to_vec())],
        value: Some(value.to_vec()),
    };
    let expected = [emitted(100, b"first"), emitted(101, b"a second one that takes several reads")];
    assert_eq!(task.host.lock().outbox, expected);
}

#[test]
fn a_null_value_comes_as_an_empty_one() {
    let copy = "(call $copy (i32.const 0) (i32.const 1)) (call $put (i32.const 1) (i32.const 33))";
    for exported in ["process", "_start"] {
        let mut task = task(&module(&format!(r#"(func (export "{exported}") {copy})"#)));
        task.instance.process(&records(&[RecordRef::new(b"a"), RecordRef::null(), RecordRef::new(b"")])).unwrap();
        assert_eq!(task.take(), ["a!", "!", "!"]);
    }
}

#[test]
fn no_output_means_nothing_is_emitted() {
    let mut task = task(&module(r#"(func (export "process"))"#));
    assert_eq!(task.run(&["a", "b"]).unwrap(), [""; 0]);
}

#[test]
fn initialize_is_called_once_and_start_then_is_not() {
    let body = format!(
        r#"(func (export "_initialize") {COUNT_CALL})
        (func (export "_start") unreachable)
        (func (export "process") (call $put (i32.const 1) (global.get $calls)))"#
    );
    assert_eq!(task(&module(&body)).run(&["a", "b"]).unwrap(), ["1", "1"]);
}

#[test]
fn start_is_called_once_before_process_even_when_it_exits_with_0() {
    for exit in ["", "(call $proc_exit (i32.const 0))"] {
        let body = format!(
            r#"(func (export "_start") {COUNT_CALL} {exit})
            (func (export "process") (call $put (i32.const 1) (global.get $calls)))"#
        );
        assert_eq!(task(&module(&body)).run(&["a", "b"]).unwrap(), ["1", "1"], "{exit}");
    }
}

#[test]
fn a_start_that_exits_with_another_status_fails_init() {
    let artifact = module(r#"(func (export "_start") (call $proc_exit (i32.const 3))) (func (export "process"))"#);
    let program = runtime().load(&artifact).unwrap();
    let mut instance = program.instantiate(&spec(), start(&program_that_works(), &spec()).host).unwrap();
    assert_eq!(said(&instance.init().unwrap_err()), (ErrorCode::GuestExit, "exited with status 3", None));
}

fn program_that_works() -> std::sync::Arc<dyn fnstream_core::runtime::Program> {
    runtime().load(&module(r#"(func (export "process"))"#)).unwrap()
}

#[test]
fn the_record_is_also_the_file_process() {
    let body = r#"(func (export "_start"))
        (func (export "process")
            (local $fd i32)
            (local.set $fd (call $open (i32.const 64) (i32.const 7) (i32.const 0)))
            (if (i32.shr_u (local.get $fd) (i32.const 16)) (then unreachable))
            ;; Its size is known, so that it can be read at once.
            (if (call $fd_filestat_get (local.get $fd) (i32.const 2048)) (then unreachable))
            (call $put (i32.const 1) (i32.add (i32.const 48) (i32.load (i32.const 2080))))
            (call $copy (local.get $fd) (i32.const 1))
            (if (call $fd_close (local.get $fd)) (then unreachable)))"#;
    assert_eq!(task(&module(body)).run(&["abc", "de"]).unwrap(), ["3abc", "2de"]);
}

#[test]
fn what_is_written_to_the_file_process_is_the_result_too() {
    let body = r#"(func (export "process")
            (call $copy (i32.const 0) (call $open (i32.const 64) (i32.const 7) (i32.const 9))))"#;
    assert_eq!(task(&module(body)).run(&["abc"]).unwrap(), ["abc"]);
}

#[test]
fn a_file_that_stays_open_reads_each_record_from_its_start() {
    let body = r#"(global $fd (mut i32) (i32.const 0))
        (func (export "_initialize") (global.set $fd (call $open (i32.const 64) (i32.const 7) (i32.const 0))))
        (func (export "process") (call $copy (global.get $fd) (i32.const 1)))"#;
    assert_eq!(task(&module(body)).run(&["abc", "def"]).unwrap(), ["abc", "def"]);
}

#[test]
fn there_are_no_other_files_and_nothing_can_be_made() {
    let body = r#"(func (export "process")
            ;; NOENT is 44, ROFS 69.
            (call $put (i32.const 1) (i32.shr_u (call $open (i32.const 72) (i32.const 7) (i32.const 0)) (i32.const 16)))
            (call $put (i32.const 1) (i32.shr_u (call $open (i32.const 72) (i32.const 7) (i32.const 1)) (i32.const 16)))
            ;; NOSYS is 52: what is not there says so.
            (call $put (i32.const 1) (call $fd_sync (i32.const 1))))"#;
    assert_eq!(task(&module(body)).run(&["x"]).unwrap(), [",E4"]);
}

#[test]
fn addresses_outside_the_memory_are_refused_not_followed() {
    let body = r#"(func (export "process")
            ;; FAULT is 21: a list of buffers past the end, a buffer past the end, and one whose end overflows.
            (if (i32.ne (i32.const 21) (call $fd_read (i32.const 0) (i32.const 131069) (i32.const 1) (i32.const 8)))
                (then unreachable))
            (i32.store (i32.const 0) (i32.const 131070))
            (i32.store (i32.const 4) (i32.const 16))
            (if (i32.ne (i32.const 21) (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                (then unreachable))
            (i32.store (i32.const 4) (i32.const -1))
            (if (i32.ne (i32.const 21) (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                (then unreachable))
            (call $put (i32.const 1) (i32.const 111)))"#;
    assert_eq!(task(&module(body)).run(&["x"]).unwrap(), ["o"]);
}

#[test]
fn a_module_with_only_start_is_fresh_for_each_record() {
    let body = format!(
        r#"(func (export "_start") {COUNT_CALL}
            (call $put (i32.const 1) (global.get $calls))
            (call $copy (i32.const 0) (i32.const 1))
            (call $proc_exit (i32.const 0)))"#
    );
    assert_eq!(task(&module(&body)).run(&["a", "b"]).unwrap(), ["1a", "1b"]);
}

/// Exits with the status that a record names, traps at `t`, else passes it on.
const PICKY: &str = r#"
    (call $copy (i32.const 0) (i32.const 1))
    (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 116)) (then unreachable))
    (if (i32.le_u (i32.load8_u (i32.const 1024)) (i32.const 57)) (then
        (call $proc_exit (i32.sub (i32.load8_u (i32.const 1024)) (i32.const 48)))))"#;

#[test]
fn exit_with_0_is_success_and_any_other_status_or_a_trap_fails_that_record() {
    // A program that runs anew for each record leaves nothing of one that fails.
    for (name, undone) in [("process", false), ("_start", true)] {
        let artifact = module(&format!(r#"(func $picky (export "{name}") {PICKY})"#));
        assert_eq!(task(&artifact).run(&["a", "0", "b"]).unwrap(), ["a", "0", "b"], "{name}");

        let goes_on = |task: &mut Task, done: &[&str]| {
            if undone {
                assert_eq!(task.run(&["c"]).unwrap(), [done, &["c"]].concat());
            } else {
                assert_eq!(said(&task.fail(&["a"])).0, ErrorCode::GuestPoisoned);
                let checkpoint = task.instance.take_checkpoint(Default::default());
                assert_eq!(checkpoint.unwrap_err().error.code, ErrorCode::GuestPoisoned);
            }
        };
        let mut exits = task(&artifact);
        let failure = exits.fail(&["a", "3", "b"]);
        assert_eq!(said(&failure), (ErrorCode::GuestExit, "exited with status 3", Some(1)));
        assert_eq!(failure.undone, undone);
        goes_on(&mut exits, &["a"]);

        let mut traps = task(&artifact);
        let failure = traps.fail(&["t"]);
        assert_eq!(said(&failure), (ErrorCode::GuestTrap, "wasm `unreachable` instruction executed", Some(0)));
        assert!(failure.backtrace.as_ref().unwrap().contains("picky"), "{failure:?}");
        goes_on(&mut traps, &[]);
    }
}

#[test]
fn abort_says_what_and_where() {
    // Strings of AssemblyScript: UTF-16 with their length in bytes just before them.
    let artifact = wat::parse_str(
        r#"(module
            (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
            (memory (export "memory") 1)
            (data (i32.const 8) "\06\00\00\00b\00a\00d\00")
            (data (i32.const 32) "\08\00\00\00a\00.\00t\00s\00")
            (func (export "process") (call $abort (i32.const 12) (i32.const 36) (i32.const 7) (i32.const 9))))"#,
    )
    .unwrap();
    assert_eq!(said(&task(&artifact).fail(&["x"])), (ErrorCode::GuestTrap, "aborted: bad (a.ts:7:9)", Some(0)));
}

#[test]
fn a_wait_is_over_when_its_clock_or_the_call_is() {
    let artifact = |nanos: i64| {
        wat::parse_str(format!(
            r#"(module
            (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "process")
                (i64.store (i32.const 0) (i64.const 42))   ;; userdata
                (i32.store (i32.const 16) (i32.const 1))   ;; the monotonic clock
                (i64.store (i32.const 24) (i64.const {nanos}))
                (if (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)) (then unreachable))
                (if (i32.ne (i32.load (i32.const 128)) (i32.const 1)) (then unreachable))
                (if (i64.ne (i64.load (i32.const 64)) (i64.const 42)) (then unreachable))))"#
        ))
        .unwrap()
    };
    assert_eq!(task(&artifact(1000)).run(&["x"]).unwrap(), [""; 0]);
    let mut spec = spec();
    spec.limits.call_time = Duration::from_millis(20);
    let mut waits = start(&runtime().load(&artifact(i64::MAX)).unwrap(), &spec);
    let message = "the call waited until it was ended 400ms after it began, the most by the clock with its limit 'call-time' of 20ms";
    assert_eq!(said(&waits.fail(&["x"])), (ErrorCode::GuestTimeout, message, Some(0)));
}

#[test]
fn hooks_are_no_ops_and_requests_are_refused() {
    let mut task = task(&module(r#"(func (export "process"))"#));
    task.instance.process_watermark(0, 1).unwrap();
    task.instance.take_checkpoint(Default::default()).unwrap();
    assert!(task.instance.check_heartbeat().unwrap());
    assert_eq!(task.instance.custom(b"x").unwrap_err().error.message, "a stdio module takes no requests");
    task.instance.close().unwrap();
}
