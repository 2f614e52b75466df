// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Artifacts.

use std::collections::HashSet;
use std::fs;

use fnstream_core::ErrorCode;
use fnstream_core::spec::{DesiredState, FunctionSpec};

use crate::support::*;

/// SHA-256 of `abc`, from the standard.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn an_artifact_is_found_by_its_digest_also_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.artifacts().put(b"abc").unwrap().digest(), ABC);
    assert_eq!(store.artifacts().put(b"abc").unwrap().digest(), ABC);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.artifacts().get(ABC).unwrap(), b"abc");
    assert_eq!(store.artifacts().list().unwrap(), [ABC]);
    let missing = "0".repeat(64);
    assert_eq!(store.artifacts().get(&missing).unwrap_err().code, ErrorCode::ArtifactNotFound);
}

#[test]
fn a_damaged_artifact_is_never_handed_out_and_is_healed_by_its_upload() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.artifacts().put(b"abc").unwrap();
    let path = dir.path().join("artifacts").join(format!("{ABC}.wasm"));
    for damaged in [&b"ab"[..], b"", b"abd"] {
        fs::write(&path, damaged).unwrap();
        assert_eq!(store.artifacts().get(ABC).unwrap_err().code, ErrorCode::ArtifactCorrupt);
    }
    store.artifacts().put(b"abc").unwrap();
    assert_eq!(store.artifacts().get(ABC).unwrap(), b"abc");
}

#[test]
fn damage_to_an_artifact_is_known_until_it_is_whole_again_or_swept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let pin = store.artifacts().put(b"abc").unwrap();
    let entry =
        store.metadata().create(FunctionSpec { artifact: ABC.into(), ..spec("f") }, DesiredState::Running).unwrap();
    let path = dir.path().join("artifacts").join(format!("{ABC}.wasm"));
    let known = || store.upkeep().damage_to(&entry);
    // Nobody asks for it: whoever reads everything finds it.
    store.scrub();
    assert!(known().is_none());
    fs::write(&path, b"abd").unwrap();
    store.scrub();
    let found = known().unwrap();
    assert!(found.code == ErrorCode::ArtifactCorrupt && found.message.contains(path.to_str().unwrap()), "{found}");
    // Somebody puts the right file back.
    fs::write(&path, b"abc").unwrap();
    store.artifacts().sweep(&mut || Ok(HashSet::from([ABC.to_owned()]))).unwrap();
    assert!(known().is_none());
    fs::remove_file(&path).unwrap();
    assert_eq!(store.artifacts().get(ABC).unwrap_err().code, ErrorCode::ArtifactNotFound);
    assert!(known().is_none(), "whoever asks for what was never there is no witness");
    store.artifacts().sweep(&mut || Ok(HashSet::from([ABC.to_owned()]))).unwrap();
    assert!(known().unwrap().message.contains("is missing"));
    store.artifacts().put(b"abc").unwrap();
    assert!(known().is_none());
    fs::remove_file(&path).unwrap();
    let error = store.artifacts().get_needed(ABC).unwrap_err();
    assert!(error.code == ErrorCode::ArtifactCorrupt && known().is_some(), "{error}");
    drop(pin);
    store.artifacts().sweep(&mut || Ok(HashSet::new())).unwrap();
    assert!(known().is_none());
}

#[test]
fn a_digest_is_never_a_path() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fs::write(dir.path().join("secret.wasm"), "x").unwrap();
    for bad in ["../secret", "", "abc", &"A".repeat(64), &format!("../{}", "0".repeat(61)), &"é".repeat(32)] {
        assert_eq!(store.artifacts().get(bad).unwrap_err().code, ErrorCode::InvalidRequest, "{bad}");
    }
}

#[test]
fn sweeping_removes_what_nobody_needs_and_opening_what_crashes_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let other = store.artifacts().put(b"other").unwrap().digest().to_owned();
    store.artifacts().put(b"abc").unwrap();
    assert_eq!(store.artifacts().sweep(&mut || Ok(HashSet::from([ABC.to_owned()]))).unwrap(), 1);
    assert_eq!(store.artifacts().list().unwrap(), [ABC]);
    drop(store);
    let left = dir.path().join("artifacts").join(format!("{other}.0.tmp"));
    fs::write(&left, "oth").unwrap();
    open(dir.path());
    assert!(!left.exists());
}
