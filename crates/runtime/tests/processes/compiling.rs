// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Children that compile: they answer as this process would, and are ended when they take too long.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fnstream_core::runtime::Runtime;
use fnstream_core::{Error, ErrorCode};
use fnstream_runtime::{Compiling, RuntimeOptions, WasmRuntime};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("a_child_answers_as_this_process_would", a_child_answers_as_this_process_would),
    ("a_child_is_ended_at_its_limit_of_processor_time", a_child_is_ended_at_its_limit_of_processor_time),
    ("a_child_has_the_memory_that_it_is_given_and_no_more", a_child_has_the_memory_that_it_is_given_and_no_more),
    ("a_child_that_does_nothing_is_ended_by_the_clock", a_child_that_does_nothing_is_ended_by_the_clock),
    ("a_child_that_dies_or_cannot_be_started_is_an_error", a_child_that_dies_or_cannot_be_started_is_an_error),
];

fn runtime(compiling: Compiling) -> WasmRuntime {
    WasmRuntime::new(None, RuntimeOptions { compiling, ..RuntimeOptions::default() }).unwrap()
}

fn in_children(limit: Duration) -> WasmRuntime {
    runtime(Compiling::in_children(limit))
}

fn failure(runtime: &WasmRuntime, artifact: &[u8]) -> Error {
    runtime.load(artifact).err().expect("it was compiled")
}

fn module(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn a_child_answers_as_this_process_would() {
    let (here, children) = (runtime(Compiling::Here), in_children(Duration::from_secs(60)));
    let good = module(r#"(module (func (export "process")))"#);
    assert_eq!(children.load(&good).unwrap().kind(), here.load(&good).unwrap().kind());
    // Valid, but with a feature that the compiler does not have.
    let shared = module(r#"(module (memory 1 1 shared) (func (export "process")))"#);
    let (expected, error) = (failure(&here, &shared), failure(&children, &shared));
    assert_eq!(expected.code, ErrorCode::ArtifactInvalid);
    assert!(expected.message.starts_with("the artifact cannot be compiled: "), "{}", expected.message);
    assert_eq!((error.code, error.message), (expected.code, expected.message));
}

/// Functions that take a compiler a second and more each, though each is small enough to be allowed.
fn slow() -> Vec<u8> {
    let mut text = String::from(r#"(module (memory 1) (func (export "process"))"#);
    for number in 0..40 {
        text.push_str("(func (param i32) (result i32) (local i32)");
        for step in 0..20_000 {
            write!(
                text,
                "(local.set 1 (i32.add (i32.load offset={step} (local.get 0)) (i32.mul (local.get 1) (i32.const {}))))",
                step + number
            )
            .unwrap();
        }
        text.push_str("(local.get 1))");
    }
    text.push(')');
    module(&text)
}

fn a_child_is_ended_at_its_limit_of_processor_time() {
    let (artifact, begun) = (slow(), Instant::now());
    let children = in_children(Duration::from_millis(900));
    let error = failure(&children, &artifact);
    let message = "compiling the artifact was ended at its limit of 900ms of processor time";
    assert_eq!((error.code, &*error.message), (ErrorCode::CompileTimeout, message));
    println!("ended after {:?}", begun.elapsed());
    // Nothing is left of it, and others are compiled.
    children.load(&module(r#"(module (func (export "_start")))"#)).unwrap();
}

fn a_child_has_the_memory_that_it_is_given_and_no_more() {
    let children = in_children(Duration::from_secs(60));
    let functions =
        |count: usize| module(&format!(r#"(module {} (func (export "process")))"#, "(func) ".repeat(count)));
    for (count, least) in [(1, 1), (3_000, 3_000 << 10)] {
        let artifact = functions(count);
        let guessed = children.memory_to_load(&artifact);
        assert!(guessed > least, "{count}: {guessed}");
        let loaded = children.load_within(&artifact, guessed).unwrap_or_else(|e| panic!("{count}, {guessed}: {e}"));
        assert_eq!(children.memory_to_load(&artifact), 0, "it is loaded already");
        drop(loaded);
    }
    let error = children.load_within(&functions(20_000), 32 << 20).err().expect("it was compiled");
    let message = "compiling the artifact takes more than the 33554432 bytes of memory that it was given; it last wrote: memory \
                   allocation of ";
    assert_eq!(error.code, ErrorCode::CompileMemory, "{error}");
    assert!(error.message.starts_with(message), "{error}");
    assert_eq!(children.memory_to_load(b"no artifact"), 0, "it is refused before it is compiled");
}

/// A runtime whose compiler is a script.
fn with_script(dir: &tempfile::TempDir, limit: Duration, text: &str) -> WasmRuntime {
    let program = dir.path().join("compiler");
    fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    runtime(Compiling::Child { program, limit })
}

fn a_child_that_does_nothing_is_ended_by_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let stuck = format!("echo $$ > {}\nexec sleep 600", pid.display());
    let begun = Instant::now();
    // More than a pipe holds, and nobody reads it.
    let artifact = [module(r#"(module (func (export "process")))"#), custom_section(1 << 20)].concat();
    let error = failure(&with_script(&dir, Duration::from_millis(50), &stuck), &artifact);
    let message =
        "compiling the artifact was ended at 1s by the clock, the most with a limit of 50ms of processor time";
    assert_eq!((error.code, &*error.message), (ErrorCode::CompileTimeout, message));
    assert!(begun.elapsed() < Duration::from_secs(300));
    let pid = fs::read_to_string(pid).unwrap();
    assert!(!PathBuf::from(format!("/proc/{}", pid.trim())).exists(), "it lives on");
}

fn custom_section(len: u32) -> Vec<u8> {
    let mut section = vec![0];
    // LEB128 of five bytes.
    let mut left = len;
    for _ in 0..4 {
        section.push(0x80 | (left & 0x7f) as u8);
        left >>= 7;
    }
    section.push(left as u8);
    section.resize(section.len() + len as usize, 0);
    section
}

fn a_child_that_dies_or_cannot_be_started_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let artifact = module(r#"(module (func (export "process")))"#);
    // More than is kept, and than a pipe holds.
    let chatty = "i=0; while [ $i -lt 20000 ]; do echo nothing of importance; i=$((i+1)); done >&2; echo 'the end' >&2";
    for (end, code, message) in [
        (
            "kill -9 $$",
            ErrorCode::MemoryShort,
            "the system ended the compiler, most likely for want of memory: signal: 9",
        ),
        ("kill -11 $$", ErrorCode::Internal, "the compiler died of the artifact: signal: 11"),
        ("exit 3", ErrorCode::Internal, "the compiler died of the artifact: exit status: 3"),
    ] {
        let script = format!("{chatty}\n{end}");
        let error = failure(&with_script(&dir, Duration::from_secs(60), &script), &artifact);
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.starts_with(message) && error.message.ends_with("; the end"), "{error}");
        assert!(error.message.contains("; it last wrote: nothing") && error.message.len() < 2048, "{error}");
    }
    let program = dir.path().join("not-there");
    let missing = runtime(Compiling::Child { program, limit: Duration::from_secs(60) });
    let error = failure(&missing, &artifact);
    assert!(error.message.starts_with("the compiler cannot be run: No such file"), "{}", error.message);
}
