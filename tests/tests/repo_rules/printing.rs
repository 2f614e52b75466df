// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the program shows goes through one module, which makes what steers a terminal visible. No other file prints or
//! makes tables by itself.

use super::{assert_none, root, tracked_files};

const PROGRAM: &str = "crates/cli/src/";

/// The module itself; and the server's log, which has a writer of its own.
const MAY: &[&str] = &["crates/cli/src/output.rs", "crates/cli/src/output/", "crates/cli/src/logging.rs"];

/// What reaches a terminal without that module.
const WAYS: &[&str] = &[
    "println!",
    "print!",
    "dbg!",
    "stdout(",
    "stderr(",
    "::stdout",
    "::stderr",
    "stdout}",
    "stderr}",
    "comfy_table",
    "/dev/tty",
];

#[test]
fn only_the_output_module_prints() {
    let files: Vec<_> = tracked_files().into_iter().filter(|path| path.starts_with(PROGRAM)).collect();
    assert!(files.len() > 40, "only {} files: is this the whole program?", files.len());
    let mut problems = Vec::new();
    for path in files.iter().filter(|path| !MAY.iter().any(|may| path.starts_with(may))) {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        problems.extend(raw(&text).into_iter().map(|(line, way)| format!("{path}:{line} uses {way}")));
    }
    assert_none("output that does not go through crates/cli/src/output.rs", &problems);
}

#[test]
fn each_way_round_is_found() {
    for bad in [
        "    println!(\"{name}\");",
        "eprint!(\"x\");",
        "let out = std::io::stdout().lock();",
        "use std::io::{self, stderr};",
        "let mut table = comfy_table::Table::new();",
    ] {
        assert_eq!(raw(bad).len(), 1, "{bad}");
    }
    for good in [
        "// println!(\"a\")",
        "if std::io::stderr().is_terminal() {",
        "let out = Exact::stdout();",
        "speaker: \"stderr\".into(), text: \"task 3 stderr | a\".into()",
        "output::line(text)?;",
        "command.stdout(Stdio::piped()).stderr(Stdio::piped());",
    ] {
        assert!(raw(good).is_empty(), "{good}");
    }
}

/// The lines of a source that name a way to the terminal, with the way. What another process writes into a pipe is no such way.
fn raw(source: &str) -> Vec<(usize, &'static str)> {
    let allowed = |line: &str| {
        let ways = ["stderr().is_terminal()", "stdout().is_terminal()", "Exact::stdout()"];
        let pipes = ["stdout(Stdio::piped())", "stderr(Stdio::piped())"];
        ways.iter().chain(&pipes).fold(line.to_owned(), |line, allowed| line.replace(allowed, ""))
    };
    let lines = source.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    lines.filter_map(|(at, line)| Some((at + 1, *WAYS.iter().find(|way| allowed(line).contains(*way))?))).collect()
}
