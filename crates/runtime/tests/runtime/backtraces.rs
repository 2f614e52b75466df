// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Where a guest failed: names of functions always, places in the source where the artifact has line tables.

use std::fmt::Write;

use crate::support::{filter, filter_with_lines, task};

fn backtrace(artifact: &[u8], record: &str) -> String {
    task(artifact).fail(&[record]).backtrace.unwrap()
}

#[test]
fn an_artifact_with_line_tables_shows_the_place_in_its_source() {
    let source = include_str!("../guests/files/src/lib.rs");
    let line = source.lines().position(|line| line.contains("\"trap\" =>")).unwrap() + 1;
    let with_lines = backtrace(&filter_with_lines(), "trap");
    assert!(with_lines.contains(&format!("files/src/lib.rs:{line}:")), "{with_lines}");

    let without = backtrace(&filter(), "trap");
    assert!(without.contains("obey") && !without.contains("lib.rs"), "{without}");
}

#[test]
fn deep_recursion_shows_the_innermost_calls() {
    let artifact = wat::parse_str(r#"(module (func $deep (export "process") (call $deep)))"#).unwrap();
    let text = backtrace(&artifact, "x");
    assert_eq!(text.matches("!deep").count(), 64, "{text}");
    assert!(text.ends_with("(deeper calls are not shown)"), "{text}");
}

#[test]
fn long_names_are_cut() {
    let mut text = String::from("(module");
    for i in 0..40 {
        let next = if i == 39 { "unreachable".to_owned() } else { format!("(call ${})", i + 1) };
        let export = if i == 0 { "(export \"process\")" } else { "" };
        write!(text, "(func ${i} (@name \"{}\") {export} {next})", "n".repeat(2_000)).unwrap();
    }
    text.push(')');
    let text = backtrace(&wat::parse_str(text).unwrap(), "x");
    assert!(text.len() < 17_000 && text.ends_with(" … (cut)"), "{} bytes", text.len());
}
