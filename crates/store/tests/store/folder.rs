// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The data folder: locked, foreign, newer, left over.

use std::fs;

use fnstream_core::ErrorCode;
use fnstream_store::Store;

use crate::support::*;

fn refused(dir: &std::path::Path) -> ErrorCode {
    Store::open(dir, options()).unwrap_err().code
}

#[test]
fn a_folder_has_one_user_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(refused(dir.path()), ErrorCode::DataDirLocked);
    let clone = store.clone();
    drop(store);
    assert_eq!(refused(dir.path()), ErrorCode::DataDirLocked);
    drop(clone);
    open(dir.path());
}

#[test]
fn a_folder_of_somebody_else_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "…").unwrap();
    assert_eq!(refused(dir.path()), ErrorCode::DataDirForeign);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("FORMAT"), "%PDF-1.7").unwrap();
    assert_eq!(refused(dir.path()), ErrorCode::DataDirForeign);
}

#[test]
fn a_folder_of_a_newer_version_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path());
    let format = dir.path().join("FORMAT");
    assert_eq!(fs::read_to_string(&format).unwrap(), "function-stream data folder\nformat 1\n");
    fs::write(&format, "function-stream data folder\nformat 2\n").unwrap();
    assert_eq!(refused(dir.path()), ErrorCode::DataDirNewer);
}

#[test]
fn missing_folders_are_made_and_a_half_made_one_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b");
    open(&deep);
    let half = dir.path().join("half");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("LOCK"), "").unwrap();
    fs::write(half.join("FORMAT.tmp"), "function-st").unwrap();
    open(&half);
    open(&half);
}
