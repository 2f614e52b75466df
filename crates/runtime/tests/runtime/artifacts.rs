// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is refused, and in which words.

use fnstream_core::ErrorCode::{ArtifactInvalid, ArtifactUnsupported};
use fnstream_core::runtime::Runtime;
use fnstream_core::{Error, ErrorCode};

use crate::support::{example, guest, runtime, task};

fn refused(artifact: &[u8]) -> Error {
    runtime().load(artifact).err().expect("the artifact was taken")
}

#[track_caller]
fn golden(artifact: &[u8], code: ErrorCode, message: &str) {
    let error = refused(artifact);
    assert_eq!((error.code, error.message.as_str()), (code, message));
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn each_kind_is_told_from_the_others() {
    let kind = |artifact: &[u8]| runtime().load(artifact).unwrap().kind();
    assert_eq!(kind(&guest("packed")), "packed");
    assert_eq!(kind(&guest("processor")), "processor");
    assert_eq!(kind(&wat(r#"(module (func (export "process")))"#)), "stdio");
    assert_eq!(kind(&wat(r#"(module (func (export "_start")))"#)), "stdio");
}

#[test]
fn a_component_of_both_worlds_is_packed() {
    let artifact = guest("both");
    assert_eq!(runtime().load(&artifact).unwrap().kind(), "packed");
    assert_eq!(task(&artifact).run(&["as it came"]).unwrap(), ["as it came"]);
}

#[test]
fn what_is_not_webassembly_is_invalid() {
    golden(b"", ArtifactInvalid, "the artifact is empty");
    let not =
        "the artifact is neither webassembly nor a zip archive of source: it begins with neither '\\0asm' nor 'PK'";
    golden(b"#!/bin/sh", ArtifactInvalid, not);
    golden(b"(module)", ArtifactInvalid, not);
    golden(
        b"\0asm\x07\0\0\0",
        ArtifactInvalid,
        "the artifact stops being valid webassembly at byte 4: unknown binary version: 0x7",
    );
}

#[test]
fn a_truncated_artifact_is_invalid_wherever_it_ends() {
    let whole = example("pass_through_rust");
    for part in [4, 6, 100, whole.len() / 2, whole.len() - 1] {
        let error = refused(&whole[..part]);
        assert_eq!(error.code, ArtifactInvalid, "{part}: {error}");
        assert!(error.message.starts_with("the artifact stops being valid webassembly at byte "), "{part}: {error}");
    }
}

#[test]
fn code_that_does_not_check_is_invalid_with_its_place() {
    let artifact = wat(r#"(module (func (export "process") i32.add drop))"#);
    golden(
        &artifact,
        ArtifactInvalid,
        "the artifact stops being valid webassembly at byte 36: \
         type mismatch: expected i32 but nothing on stack",
    );
}

#[test]
fn a_foreign_import_is_named() {
    golden(
        &wat(r#"(component (import "foo:bar/baz@1.0.0" (instance)))"#),
        ArtifactUnsupported,
        "the artifact imports 'foo:bar/baz@1.0.0', which no kind of function has",
    );
    golden(
        &wat(r#"(component (import "wasi:http/types@0.2.0" (instance)))"#),
        ArtifactUnsupported,
        "the artifact imports 'wasi:http/types@0.2.0', which no kind of function has",
    );
    golden(
        &wat(r#"(component (import "wasi:cli/stdin@0.3.0" (instance)))"#),
        ArtifactUnsupported,
        "the artifact imports 'wasi:cli/stdin@0.3.0', which no kind of function has",
    );
    golden(
        &wat(r#"(module (import "env" "print" (func (param i32))) (func (export "process")))"#),
        ArtifactUnsupported,
        "the artifact imports 'env.print', which no kind of function has",
    );
    golden(
        &wat(r#"(module (import "wasi_snapshot_preview1" "fly" (func)) (func (export "process")))"#),
        ArtifactUnsupported,
        "the artifact imports 'wasi_snapshot_preview1.fly', which no kind of function has",
    );
}

#[test]
fn missing_exports_are_named() {
    golden(
        &wat("(component)"),
        ArtifactUnsupported,
        "the artifact exports nothing, but neither 'functionstream:packed/function@0.1.0' nor 'fs-process'",
    );
    golden(
        &wat(r#"(module (memory (export "memory") 1))"#),
        ArtifactUnsupported,
        "the artifact exports 'memory', but neither 'process' nor '_start'",
    );
    let one_of_eight = r#"(component
        (core module $m
            (func (export "p") (param i32 i32 i32))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (memory (export "memory") 1))
        (core instance $i (instantiate $m))
        (func $p (param "source-id" u32) (param "data" (list u8))
            (canon lift (core func $i "p") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
        (export "fs-process" (func $p)))"#;
    golden(
        &wat(one_of_eight),
        ArtifactUnsupported,
        "the artifact does not export 'fs-init: func(list<tuple<string, string>>)'",
    );
}

#[test]
fn timers_without_what_they_call_are_refused() {
    let with_timers = |exports: &str| {
        wat(&format!(r#"(component (import "functionstream:packed/timers@0.1.0" (instance)) (instance $i) {exports})"#))
    };
    golden(
        &with_timers(r#"(export "functionstream:packed/function@0.1.0" (instance $i))"#),
        ArtifactUnsupported,
        "the artifact imports 'functionstream:packed/timers@0.1.0' \
         without exporting 'functionstream:packed/timer-handler@0.1.0'",
    );
    golden(
        &with_timers(
            r#"(core module $m (func (export "f"))) (core instance $c (instantiate $m))
            (func $f (canon lift (core func $c "f"))) (export "fs-process" (func $f))"#,
        ),
        ArtifactUnsupported,
        "the artifact imports 'functionstream:packed/timers@0.1.0' \
         without exporting 'functionstream:packed/function@0.1.0'",
    );
    golden(
        &with_timers(
            r#"(export "functionstream:packed/function@0.1.0" (instance $i))
            (export "functionstream:packed/timer-handler@0.1.0" (instance $i))"#,
        ),
        ArtifactUnsupported,
        "the artifact does not export 'functionstream:packed/timer-handler@0.1.0#on-timers: \
         func(list<u8>) -> result<_, record{index: u32, message: string}>'",
    );
    golden(
        &wat(r#"(component
            (core module $m (func (export "f") (param i64))) (core instance $c (instantiate $m))
            (func $f (param "timer" s64) (canon lift (core func $c "f")))
            (instance $handler (export "on-timers" (func $f))) (instance $function)
            (export "functionstream:packed/function@0.1.0" (instance $function))
            (export "functionstream:packed/timer-handler@0.1.0" (instance $handler)))"#),
        ArtifactUnsupported,
        "the artifact exports 'functionstream:packed/timer-handler@0.1.0#on-timers' as func(s64), \
         not as func(list<u8>) -> result<_, record{index: u32, message: string}>",
    );
}

#[test]
fn exports_of_another_type_are_shown_beside_what_they_should_be() {
    golden(
        &wat(r#"(module (func (export "process") (param i32 i64) (result i32) i32.const 0))"#),
        ArtifactUnsupported,
        "the artifact exports 'process' as func(i32, i64) -> i32, not as func()",
    );
    golden(
        &wat(r#"(module (memory (export "process") 1))"#),
        ArtifactUnsupported,
        "the artifact exports 'process', but not as a function",
    );
    let wrong = r#"(component
        (core module $m (func (export "f")) (func (export "p") (param i32)))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (func $p (param "data" u32) (canon lift (core func $i "p")))
        (export "fs-process" (func $p))
        (export "fs-init" (func $f)))"#;
    golden(
        &wat(wrong),
        ArtifactUnsupported,
        "the artifact exports 'fs-init' as func(), not as func(list<tuple<string, string>>)",
    );
}

#[test]
fn imports_of_another_type_are_refused_at_load() {
    let error = refused(&wat(r#"(module (import "wasi_snapshot_preview1" "fd_close" (func (param i64) (result i32)))
            (memory (export "memory") 1) (func (export "process")))"#));
    assert_eq!(error.code, ArtifactUnsupported);
    assert!(error.message.contains("wasi_snapshot_preview1::fd_close"), "{error}");
    // A whole processor, but for what it thinks that `emit` takes.
    let processor = |emit: &str| {
        let with = r#"(memory (core memory $i "memory")) (realloc (core func $i "realloc"))"#;
        wat(&format!(
            r#"(component
            (import "functionstream:core/collector@0.1.0" (instance (export "emit" (func {emit}))))
            (core module $m
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)
                (func (export "none"))
                (func (export "list") (param i32 i32))
                (func (export "process") (param i32 i32 i32))
                (func (export "watermark") (param i32 i64))
                (func (export "checkpoint") (param i64))
                (func (export "heartbeat") (result i32) i32.const 1)
                (func (export "exec") (param i32 i32 i32 i32))
                (func (export "custom") (param i32 i32) (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func $init (param "config" (list (tuple string string))) (canon lift (core func $i "list") {with}))
            (func $process (param "source-id" u32) (param "data" (list u8)) (canon lift (core func $i "process") {with}))
            (func $watermark (param "source-id" u32) (param "watermark" u64) (canon lift (core func $i "watermark")))
            (func $checkpoint (param "checkpoint-id" u64) (canon lift (core func $i "checkpoint")))
            (func $heartbeat (result bool) (canon lift (core func $i "heartbeat")))
            (func $close (canon lift (core func $i "none")))
            (func $exec (param "class-name" string) (param "modules" (list (tuple string (list u8))))
                (canon lift (core func $i "exec") {with}))
            (func $custom (param "payload" (list u8)) (result (list u8)) (canon lift (core func $i "custom") {with}))
            (export "fs-init" (func $init))
            (export "fs-process" (func $process))
            (export "fs-process-watermark" (func $watermark))
            (export "fs-take-checkpoint" (func $checkpoint))
            (export "fs-check-heartbeat" (func $heartbeat))
            (export "fs-close" (func $close))
            (export "fs-exec" (func $exec))
            (export "fs-custom" (func $custom)))"#
        ))
    };
    assert_eq!(task(&processor(r#"(param "target-id" u32) (param "data" (list u8))"#)).run(&["x"]).unwrap(), [""; 0]);
    let error = refused(&processor(r#"(param "target-id" string)"#));
    assert_eq!(error.code, ArtifactUnsupported);
    assert!(error.message.starts_with("the artifact cannot be linked: "), "{error}");
    assert!(error.message.contains("functionstream:core/collector@0.1.0"), "{error}");
}

#[test]
fn a_module_that_keeps_its_memory_to_itself_is_refused() {
    golden(
        &wat(r#"(module (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32)))
            (memory 1) (func (export "process")))"#),
        ArtifactUnsupported,
        "the artifact does not export 'memory', which WASI needs",
    );
}
