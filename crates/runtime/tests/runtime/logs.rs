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
