// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What guests print becomes lines of the log.

use std::io::Write;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{guest, task};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The lines that are logged while `run` runs.
fn logged(run: impl FnOnce()) -> Vec<String> {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt().with_writer(captured.clone()).without_time().with_ansi(false).finish();
    tracing::subscriber::with_default(subscriber, run);
    let bytes = captured.0.lock().clone();
    String::from_utf8(bytes).unwrap().lines().map(|line| line.trim_start().to_owned()).collect()
}

#[test]
fn lines_of_a_component_say_whose_they_are() {
    let artifact = guest("packed");
    let lines = logged(|| drop(task(&artifact).run(&["print hello there"]).unwrap()));
    assert_eq!(
        lines,
        [
            r#"INFO guest: hello there function="f" task=1 stream="stdout" cut=false"#,
            r#"INFO guest: hello there function="f" task=1 stream="stderr" cut=false"#,
        ]
    );
}

#[test]
fn a_long_line_is_cut() {
    let artifact = guest("packed");
    let long = format!("print {}", "x".repeat(10_000));
    let lines = logged(|| drop(task(&artifact).run(&[&long]).unwrap()));
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains(&"x".repeat(4096)) && !lines[0].contains(&"x".repeat(4097)), "{}", lines[0].len());
    assert!(lines[0].ends_with("cut=true"));
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
    let lines = logged(|| assert_eq!(task(&artifact).run(&["x"]).unwrap(), ["hi\n"]));
    assert_eq!(lines, [r#"INFO guest: hi function="f" task=1 stream="stderr" cut=false"#]);
}
