// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What guests print becomes lines of their function's log.

use std::sync::Arc;

use fnstream_core::epoch::FunctionId;
use fnstream_core::function_log::{FunctionLog, LogLine, Speaker};
use fnstream_core::runtime::Runtime;
use fnstream_runtime::{RuntimeOptions, WasmRuntime};
use parking_lot::Mutex;

use crate::support::{guest, spec, start};

type Line = (FunctionId, String, Option<u32>, Speaker, String);

#[derive(Default)]
struct Lines(Mutex<Vec<Line>>);

impl FunctionLog for Lines {
    fn write(&self, line: LogLine<'_>) {
        let LogLine { function, name, task, speaker, text } = line;
        self.0.lock().push((function, name.to_owned(), task, speaker, text.to_owned()));
    }
}

/// What is logged when an instance is given these values, and what it emits.
fn logged(artifact: &[u8], values: &[&str]) -> (Vec<Line>, Vec<String>) {
    let lines = Arc::new(Lines::default());
    let runtime = WasmRuntime::new(None, RuntimeOptions::default()).unwrap().with_log(lines.clone());
    let mut task = start(&runtime.load(artifact).unwrap(), &spec());
    let emitted = task.run(values).unwrap();
    drop(task);
    (std::mem::take(&mut *lines.0.lock()), emitted)
}

fn line(speaker: Speaker, text: &str) -> Line {
    (FunctionId(7), "f".into(), Some(1), speaker, text.into())
}

#[test]
fn lines_of_a_component_say_whose_they_are() {
    let (lines, _) = logged(&guest("packed"), &["print hello there"]);
    assert_eq!(lines, [line(Speaker::Stdout, "hello there"), line(Speaker::Stderr, "hello there")]);
}

#[test]
fn a_long_line_is_cut_and_says_so() {
    let long = format!("print {}", "x".repeat(10_000));
    let (lines, _) = logged(&guest("packed"), &[&long]);
    let expected = format!("{} … (line cut)", "x".repeat(4096));
    assert_eq!(lines, [line(Speaker::Stdout, &expected), line(Speaker::Stderr, &expected)]);
}

#[test]
fn standard_error_of_a_module_is_logged_and_its_standard_output_is_not() {
    let artifact = wat::parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\10\00\00\00\03\00\00\00")
            (data (i32.const 16) "hi\n")
            (func (export "process")
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
    )
    .unwrap();
    assert_eq!(logged(&artifact, &["x"]), (vec![line(Speaker::Stderr, "hi")], vec!["hi\n".to_owned()]));
}

/// Writes `why` to standard error, ends the line unless the record says something, and traps if it says `trap`.
const SPEAKING: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\03\00\00\00")
    (data (i32.const 16) "why")
    (data (i32.const 24) "\40\00\00\00\08\00\00\00")
    (func (export "process")
        (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
        (drop (call $read (i32.const 0) (i32.const 24) (i32.const 1) (i32.const 8)))
        (if (i32.eq (i32.load8_u (i32.const 64)) (i32.const 116)) (then unreachable))))"#;

#[test]
fn a_line_that_a_call_leaves_open_ends_with_it() {
    let lines = Arc::new(Lines::default());
    let runtime = WasmRuntime::new(None, RuntimeOptions::default()).unwrap().with_log(lines.clone());
    let speaking = wat::parse_str(SPEAKING).unwrap();
    for (artifact, value, text) in [(&guest("packed"), "print-open ab", "ab"), (&speaking, "x", "why")] {
        let mut task = start(&runtime.load(artifact).unwrap(), &spec());
        for calls in 1..3 {
            task.run(&[value]).unwrap();
            let stderr: Vec<_> =
                lines.0.lock().iter().filter(|line| line.3 == Speaker::Stderr).map(|line| line.4.clone()).collect();
            assert_eq!(stderr, vec![text; calls], "it is there when the call is over, and alone");
        }
        lines.0.lock().clear();
    }
}

#[test]
fn what_a_guest_says_before_it_dies_is_in_the_failure() {
    let runtime = WasmRuntime::new(None, RuntimeOptions::default()).unwrap();
    let failing = |artifact: &[u8], values: &[&str]| {
        let mut task = start(&runtime.load(artifact).unwrap(), &spec());
        let failure = task.run(values).unwrap_err();
        (failure.error.code.as_str(), failure.error.message)
    };
    let speaking = wat::parse_str(SPEAKING).unwrap();
    let unreachable = "wasm `unreachable` instruction executed; it last wrote: ";
    assert_eq!(failing(&speaking, &["x", "trap"]), ("FS-1402", format!("{unreachable}why")));
    let (code, message) = failing(&guest("packed"), &["trap"]);
    assert!(message.starts_with(&format!("{unreachable}thread '")) && message.contains("as told"), "{code} {message}");
    let exit = "exited with status 1; it last wrote: ";
    assert_eq!(failing(&guest("packed"), &["exit-saying for a reason"]), ("FS-1405", format!("{exit}for a reason")));
    // What it says of itself when it returns is all, and a long speech is cut.
    assert_eq!(failing(&guest("packed"), &["print chatter", "fail as told"]).1, "as told");
    let (_, message) = failing(&guest("packed"), &[&format!("exit-saying {}", "x".repeat(100_000))]);
    assert!(message.len() < 1_100 && message.ends_with("xxx"), "{} bytes", message.len());
}
