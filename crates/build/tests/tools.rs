// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Toolchains that are missing or too old. One test, since the variables that name them belong to the process.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fnstream_build::{Options, build};
use fnstream_core::ErrorCode;

#[test]
fn missing_and_old_toolchains_say_what_to_install() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("go.mod"), "module m\n").unwrap();
    let old = dir.path().join("go1.22");
    script(&old, "echo go version go1.22.3 linux/amd64");

    set("GO", Path::new("/nowhere/go"));
    let message = refused(dir.path(), false);
    assert!(message.starts_with("'/nowhere/go' cannot be run: "), "{message}");
    assert!(
        message.ends_with("; install go 1.24 or later from https://go.dev/dl, or set GO to where it is"),
        "{message}"
    );

    set("GO", &old);
    let message = refused(dir.path(), false);
    assert!(message.starts_with("go 1.22 is too old; install go 1.24 or later"), "{message}");

    set("TINYGO", Path::new("/nowhere/tinygo"));
    let message = refused(dir.path(), true);
    assert!(message.starts_with("tinygo was not found; install 0.40 or later"), "{message}");

    // TinyGo finds the worlds in the folder that it is told of; a component that is none is found out.
    let tinygo = dir.path().join("tinygo");
    script(
        &tinygo,
        "[ \"$1\" = version ] && exit 0; while [ \"$1\" != -wit-package ]; do shift; done; cat \"$2/build.wit\" >&2; exit 1",
    );
    set("TINYGO", &tinygo);
    let failed =
        build(&Options { dir: dir.path().to_owned(), out: None, tinygo: true, per_record: false }).unwrap_err();
    assert_eq!(failed.code, ErrorCode::BuildFailed);
    assert!(failed.message.contains("world both-with-wasi {"), "{failed}");
}

fn refused(dir: &Path, tinygo: bool) -> String {
    let error = build(&Options { dir: dir.to_owned(), out: None, tinygo, per_record: false }).unwrap_err();
    assert_eq!(error.code, ErrorCode::BuildToolMissing, "{error}");
    error.message
}

fn script(path: &Path, body: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[allow(unsafe_code, reason = "this process has no other thread that reads its variables")]
fn set(name: &str, value: &Path) {
    // SAFETY: the one test of this process sets them, and nothing reads them meanwhile.
    unsafe { std::env::set_var(name, value) }
}
