// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Toolchains that are missing or too old, or fail.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fnstream_build::{Options, build};
use fnstream_core::ErrorCode;
use tempfile::TempDir;

/// Held while a script is written, and while processes are started: a process that is started meanwhile has the script open
/// for writing until it runs its own program, and a file that is written to cannot be run ("text file busy").
static ONE: Mutex<()> = Mutex::new(());

/// A folder with a Go module.
fn module() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("go.mod"), "module m\n").unwrap();
    dir
}

fn refused(dir: &Path, tinygo: bool, toolchain: &Path, code: ErrorCode) -> String {
    let toolchain = Some(toolchain.to_owned());
    let options = Options { dir: dir.to_owned(), out: None, tinygo, per_record: false, toolchain };
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let error = build(&options).unwrap_err();
    assert_eq!(error.code, code, "{error}");
    error.message
}

/// A toolchain that does what a script says.
fn script(dir: &Path, body: &str) -> PathBuf {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = dir.join("toolchain");
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_missing_go_says_what_to_install() {
    let dir = module();
    let message = refused(dir.path(), false, Path::new("/nowhere/go"), ErrorCode::BuildToolMissing);
    assert!(message.starts_with("'/nowhere/go' cannot be run: "), "{message}");
    let install = "; install go 1.24 or later from https://go.dev/dl, or set GO to where it is";
    assert!(message.ends_with(install), "{message}");
}

#[test]
fn an_old_go_says_what_to_install() {
    let dir = module();
    let old = script(dir.path(), "echo go version go1.22.3 linux/amd64");
    let message = refused(dir.path(), false, &old, ErrorCode::BuildToolMissing);
    assert!(message.starts_with("go 1.22 is too old; install go 1.24 or later"), "{message}");
}

#[test]
fn a_missing_tinygo_says_what_to_install() {
    let dir = module();
    let message = refused(dir.path(), true, Path::new("/nowhere/tinygo"), ErrorCode::BuildToolMissing);
    assert!(message.starts_with("tinygo was not found; install 0.40 or later"), "{message}");
}

/// It is told of a folder that has the worlds, and what it says is shown.
#[test]
fn tinygo_is_given_the_worlds() {
    let dir = module();
    let body = r#"[ "$1" = version ] && exit 0
while [ "$1" != -wit-package ]; do shift; done
cat "$2/build.wit" >&2; ls "$2/deps" >&2; exit 1"#;
    let message = refused(dir.path(), true, &script(dir.path(), body), ErrorCode::BuildFailed);
    assert!(message.starts_with("tinygo build failed:\n"), "{message}");
    assert!(message.contains("world both-with-wasi {") && message.contains("processor.wit"), "{message}");
}

/// The world has to be named before it is known what the SDK exports.
#[test]
fn tinygo_is_asked_again_for_an_sdk_without_timers() {
    let dir = module();
    let body = r#"[ "$1" = version ] && exit 0
while [ "$1" != -wit-world ]; do shift; done
echo "$2" >> worlds
case "$2" in *both-with-wasi*) echo "error: no export of interface 'functionstream:packed/timer-handler@0.1.0'" >&2; exit 1;; esac
while [ "$1" != -o ]; do shift; done
echo no module > "$2""#;
    refused(dir.path(), true, &script(dir.path(), body), ErrorCode::ArtifactUnsupported);
    let asked = std::fs::read_to_string(dir.path().join("worlds")).unwrap();
    let worlds = ["both-with-wasi", "both-without-timers-with-wasi"];
    assert_eq!(asked, worlds.map(|world| format!("functionstream:build/{world}@0.1.0\n")).concat());
}

#[test]
fn what_a_toolchain_gives_is_checked() {
    let dir = module();
    let body = r#"[ "$1" = version ] && exit 0
while [ "$1" != -o ]; do shift; done
echo no module > "$2""#;
    let message = refused(dir.path(), true, &script(dir.path(), body), ErrorCode::ArtifactUnsupported);
    assert!(message.starts_with("the program is not webassembly: "), "{message}");
}
