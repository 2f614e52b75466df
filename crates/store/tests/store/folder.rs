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
fn a_folder_that_is_moved_away_is_missed_at_once_and_used_again_when_it_is_back() {
    let place = tempfile::tempdir().unwrap();
    let (here, away) = (place.path().join("here"), place.path().join("away"));
    for part in ["", "db"] {
        let store = open(&here);
        store.ensure_topic("t", 1).unwrap();
        let (from, to) = (here.join(part), away.join(part));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(&from, &to).unwrap();
        // Nothing was written since.
        let error = store.upkeep().probe().unwrap_err();
        let gone = format!("gone from its place '{}'", here.join(part).display());
        let gone = gone.trim_end_matches("/'");
        assert!(error.code == ErrorCode::StoreRecovering && error.message.contains(gone), "{error}");
        assert!(store.upkeep().health().is_recovering, "{part}");
        let refused = append(&store, "t", Some(0), &frame(["a"])).unwrap_err();
        assert_eq!(refused.code, ErrorCode::StoreRecovering, "{part}");
        // Something else in its place is not it.
        fs::create_dir(&from).unwrap();
        let error = store.upkeep().probe().unwrap_err();
        assert!(error.message.contains("something else is in the place"), "{error}");
        assert_eq!(fs::read_dir(&from).unwrap().count(), 0, "{part}: something was made there");
        fs::remove_dir(&from).unwrap();
        fs::rename(&to, &from).unwrap();
        while store.upkeep().health().is_recovering {
            std::thread::yield_now();
        }
        append(&store, "t", Some(0), &frame(["a"])).unwrap();
    }
    let store = open(&here);
    assert_eq!(read_all(&store, &at("t", 0), ALL).len(), 2);
    // Without its artifacts it takes no new ones, and all else.
    fs::rename(here.join("artifacts"), away.join("artifacts")).unwrap();
    for error in [store.upkeep().probe().unwrap_err(), store.artifacts().put(b"abc").unwrap_err()] {
        assert!(error.code == ErrorCode::StoreRecovering && error.message.contains("/here/artifacts'"), "{error}");
    }
    append(&store, "t", Some(0), &frame(["a"])).unwrap();
    fs::rename(away.join("artifacts"), here.join("artifacts")).unwrap();
    store.artifacts().put(b"abc").unwrap();
    store.upkeep().probe().unwrap();
}

#[test]
fn a_folder_of_a_newer_version_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path());
    let format = dir.path().join("FORMAT");
    assert_eq!(fs::read_to_string(&format).unwrap(), "function-stream data folder\nformat 2\n");
    fs::write(&format, "function-stream data folder\nformat 3\n").unwrap();
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
