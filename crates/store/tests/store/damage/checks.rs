// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a check finds, and what a repair does about it.

use std::fs;

use fnstream_core::ErrorCode;
use fnstream_core::spec::{DesiredState, FunctionSpec};
use fnstream_store::{Area, Durability, check, repair};

use super::{change, cut, database_files, found, killed, newest_log};
use crate::support::*;

#[test]
fn a_check_of_a_good_folder_finds_nothing_and_changes_nothing() {
    let dir = killed(50, Durability::Os);
    let before = fs::read(newest_log(dir.path())).unwrap();
    let report = check(dir.path()).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!((report.partitions[0].end, report.missing_writes), (50, 0));
    assert_eq!(fs::read(newest_log(dir.path())).unwrap(), before);
    assert!(repair(dir.path()).unwrap().is_none());
    let store = open(dir.path());
    assert_eq!(check(dir.path()).unwrap_err().code, ErrorCode::DataDirLocked);
    drop(store);
    assert_eq!(check(&dir.path().join("db")).unwrap_err().code, ErrorCode::DataDirForeign);
}

#[test]
fn a_repair_cuts_the_log_back_and_says_what_that_costs() {
    for damage in [0, 1, 2] {
        let dir = killed(50, Durability::Group);
        let log = newest_log(dir.path());
        match damage {
            0 => change(&log, |bytes| bytes[5000] ^= 4),
            1 => cut(&log, 5000),
            _ => fs::remove_file(&log).unwrap(),
        }
        let report = check(dir.path()).unwrap();
        assert!(report.problems.iter().all(|problem| problem.area == Area::Log) && !report.is_good(), "{report:?}");
        let repaired = repair(dir.path()).unwrap().unwrap();
        assert_eq!(repaired.before.missing_writes, report.missing_writes);
        assert!(repaired.before.missing_writes >= 25, "{report:?}");
        assert!(repaired.after.is_good(), "{:?}", repaired.after);
        assert!(repaired.kept.join("REACH").exists());
        let left = repaired.after.partitions.first().map_or(0, |partition| partition.end);
        assert_eq!(repaired.before.last_write, repaired.after.last_write);
        if damage == 2 {
            continue;
        }
        assert!((1..50).contains(&left), "{left}");
        assert_eq!(found(dir.path()) as u64, left);
    }
}

#[test]
fn a_damaged_block_is_found_by_a_check_and_not_by_a_repair() {
    let dir = killed(50, Durability::Group);
    // An opening writes what the log has to a sorted file.
    open(dir.path());
    let sorted = database_files(dir.path(), ".sst");
    let largest = sorted.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    change(largest, |bytes| bytes[100] ^= 1);
    let report = check(dir.path()).unwrap();
    assert!(report.problems.iter().any(|problem| problem.area == Area::Database), "{report:?}");
    let named = report.problems.iter().any(|problem| problem.message.contains("topic 't' (partitions 0 to 0)"));
    assert!(named, "{report:?}");
    assert_eq!(repair(dir.path()).unwrap_err().code, ErrorCode::DataCorrupt);
}

#[test]
fn a_missing_or_damaged_artifact_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let pin = store.artifacts().put(b"some").unwrap();
    let spec = FunctionSpec { artifact: pin.digest().to_owned(), ..spec("f") };
    store.metadata().create(spec, DesiredState::Running).unwrap();
    let file = dir.path().join("artifacts").join(format!("{}.wasm", pin.digest()));
    drop((pin, store));
    assert!(check(dir.path()).unwrap().is_good());
    fs::write(&file, "other").unwrap();
    let problems = check(dir.path()).unwrap().problems;
    assert!(
        problems[0].area == Area::Artifact && problems[0].message.contains("do not match its digest"),
        "{problems:?}"
    );
    fs::remove_file(&file).unwrap();
    let problems = check(dir.path()).unwrap().problems;
    assert!(problems[0].message.starts_with("function 'f' needs the artifact"), "{problems:?}");
}
