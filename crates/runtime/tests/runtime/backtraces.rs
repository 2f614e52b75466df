// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Where a guest failed: names of functions always, places in the source where the artifact has line tables.

use std::fmt::Write;
use std::fs;

use fnstream_core::runtime::Runtime;
use fnstream_runtime::{RuntimeOptions, WasmRuntime};

use crate::support::{component_with_lines, filter, filter_with_lines, spec, start, task};

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
fn a_component_with_line_tables_shows_the_place_in_its_source() {
    let source = include_str!("../guests/packed/src/lib.rs");
    let line = source.lines().position(|line| line.contains("\"trap\" =>")).unwrap() + 1;
    let text = backtrace(&component_with_lines(), "trap");
    assert!(text.contains(&format!("packed/src/lib.rs:{line}:")), "{text}");
}

#[test]
fn tables_are_read_once_and_from_the_folder_of_compiled_code() {
    let dir = tempfile::tempdir().unwrap();
    let artifact = filter_with_lines();
    let runtime = || WasmRuntime::new(Some(dir.path().into()), RuntimeOptions::default()).unwrap();
    let trap = |runtime: &WasmRuntime| {
        let program = runtime.load(&artifact).unwrap();
        start(&program, &spec()).fail(&["trap"]).backtrace.unwrap()
    };
    let expected = backtrace(&artifact, "trap");
    assert!(expected.contains("files/src/lib.rs:"), "{expected}");
    let first = runtime();
    assert_eq!(trap(&first), expected);
    let kept: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let kept = kept.into_iter().find(|path| path.extension().is_some_and(|has| has == "wasm")).unwrap();
    assert_eq!(fs::read(&kept).unwrap(), artifact);
    // Another runtime finds both code and tables.
    assert_eq!(trap(&runtime()), expected);
    // Damaged tables are not believed; what has been read before is.
    fs::write(&kept, "damaged").unwrap();
    assert_eq!(trap(&first), expected);
    let names_only = trap(&runtime());
    assert!(names_only.contains("obey") && !names_only.contains("lib.rs"), "{names_only}");
}

#[test]
fn tables_that_make_no_sense_cost_nothing_but_the_places() {
    let custom = |name: &str, bytes: &[u8]| {
        let mut section = vec![name.len() as u8];
        section.extend_from_slice(name.as_bytes());
        section.extend_from_slice(bytes);
        let len = section.len() as u8;
        [&[0, len][..], &section].concat()
    };
    let trap = wat::parse_str(r#"(module (func $f (export "process") unreachable))"#).unwrap();
    for info in [&[0; 60][..], &[255; 60], &[24, 0, 0, 0, 4, 0, 1, 2, 3, 4, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]] {
        let sections = [custom(".debug_info", info), custom(".debug_line", info), custom(".debug_abbrev", info)];
        let text = backtrace(&[trap.clone(), sections.concat()].concat(), "x");
        assert!(text.contains("!f"), "{text}");
    }
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
