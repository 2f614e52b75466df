// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is told of mistakes in Go: of programs that use the SDK wrongly, and of a panic.

use std::collections::BTreeMap;

use fnstream_build::{Options, build};
use fnstream_tests::binary::root;

use crate::artifacts;
use crate::task::Task;

/// What init fails with, for a program whose `init` is this.
fn reason(body: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let sdk = root().join("go-sdk").canonicalize().unwrap();
    let name = "github.com/functionstream/function-stream/go-sdk";
    let go_mod = format!("module m\n\ngo 1.24\n\nrequire {name} v0.0.0\n\nreplace {name} => {}\n", sdk.display());
    std::fs::write(folder.path().join("go.mod"), go_mod).unwrap();
    let program = format!("package main\n\nimport fssdk \"{name}\"\n\nfunc init() {{ {body} }}\n\nfunc main() {{}}\n");
    std::fs::write(folder.path().join("main.go"), program).unwrap();
    let out = Some(folder.path().join("program.wasm"));
    let built =
        build(&Options { dir: folder.path().to_owned(), out, tinygo: false, per_record: false, toolchain: None })
            .unwrap();
    let started = Task::start(&artifacts::load(&built.artifact.bytes), &BTreeMap::new(), 1);
    started.err().expect("init fails").error.message
}

#[test]
fn run_without_a_driver_is_told() {
    assert_eq!(reason("fssdk.Run(nil)"), "run was called with nil instead of a driver (runtime_invalid_driver)");
}

#[test]
fn run_called_twice_is_told() {
    let twice = "fssdk.Run(&fssdk.BaseDriver{}); fssdk.Run(&fssdk.BaseDriver{})";
    assert_eq!(reason(twice), "run was called twice; a program is one function (runtime_invalid_driver)");
}

#[test]
fn a_panic_is_told_with_its_stack() {
    let mut task = Task::start(artifacts::go_packed(), &BTreeMap::new(), 1).unwrap();
    let failures = task.send(0, &["field".to_owned(), "panic too bad".to_owned()]).unwrap();
    let [(1, failed)] = &failures[..] else { panic!("{failures:?}") };
    let told = &failed.error.message;
    assert!(told.starts_with("panic: too bad\n\ngoroutine ") && told.contains("conformance.go:"), "{told}");
}

#[test]
fn what_go_says_when_it_ends_a_program_is_told() {
    for (command, code, said) in [
        ("fatal for a reason", "FS-1405", "for a reason"),
        ("deadlock", "FS-14", "fatal error: all goroutines are asleep - deadlock!"),
        ("panic-beside too bad", "FS-14", "panic: too bad"),
    ] {
        let mut task = Task::start(artifacts::go_packed(), &BTreeMap::new(), 1).unwrap();
        let failures = task.send(0, &["field".to_owned(), command.to_owned()]).unwrap();
        let [(1, failed)] = &failures[..] else { panic!("{failures:?}") };
        let told = failed.error.to_string();
        assert!(told.contains("; it last wrote: ") && told.contains(said) && told.contains(code), "{command}: {told}");
        assert!(failed.error.message.len() < 1_200, "{command}: {} bytes", failed.error.message.len());
    }
}

#[test]
fn calls_after_close_are_refused() {
    let mut task = Task::start(artifacts::go_packed(), &BTreeMap::new(), 1).unwrap();
    task.stop().unwrap();
    let refused = task.instance.custom(b"ping").unwrap_err().error.message;
    assert_eq!(refused, "the function was closed (runtime_closed)");
}
