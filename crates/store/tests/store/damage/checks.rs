// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a check finds, and what a repair does about it.

use std::fs;
use std::path::Path;

use fnstream_core::ErrorCode;
use fnstream_core::spec::{DesiredState, FunctionSpec};
use fnstream_store::{Area, Durability, Repair, Store, check, repair};

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
    assert!(matches!(repair(dir.path(), true).unwrap(), Repair::Unneeded(report) if report.is_good()));
    let store = open(dir.path());
    assert_eq!(check(dir.path()).unwrap_err().code, ErrorCode::DataDirLocked);
    drop(store);
    for (path, code, text) in [
        (dir.path().join("db"), ErrorCode::DataDirForeign, "is not a data folder"),
        (dir.path().join("LOCK"), ErrorCode::DataDirForeign, "LOCK' is not a folder"),
        (dir.path().join("nowhere"), ErrorCode::DataDirMissing, "there is no folder"),
    ] {
        let error = check(&path).unwrap_err();
        assert!(error.code == code && error.message.contains(text), "{error}");
    }
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
        if damage == 2 {
            // Everything was in the log that is gone.
            let Repair::Unaccepted(before) = repair(dir.path(), false).unwrap() else { panic!("it was done") };
            assert!(before.is_empty() && !dir.path().join("damaged-1").exists(), "{before:?}");
            assert_eq!(check(dir.path()).unwrap().problems, report.problems);
        }
        let Repair::Done(repaired) = repair(dir.path(), damage == 2).unwrap() else { panic!("damage {damage}") };
        assert_eq!(repaired.before.missing_writes, report.missing_writes);
        assert!(repaired.before.missing_writes >= 25, "{report:?}");
        assert!(repaired.after.is_good(), "{:?}", repaired.after);
        assert!(repaired.kept.unwrap().join("REACH").exists());
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
    assert_eq!(repair(dir.path(), true).unwrap_err().code, ErrorCode::DataCorrupt);
}

/// A folder with a function whose registration is the last write, and its artifact.
fn with_function() -> (tempfile::TempDir, String) {
    let (live, killed) = (killed(20, Durability::Group), tempfile::tempdir().unwrap());
    let store = open(live.path());
    let pin = store.artifacts().put(b"some").unwrap();
    let digest = pin.digest().to_owned();
    store.metadata().create(FunctionSpec { artifact: digest.clone(), ..spec("f") }, DesiredState::Running).unwrap();
    copy_folder(live.path(), killed.path());
    (killed, digest)
}

#[test]
fn a_repair_that_loses_a_function_wants_to_be_told_and_keeps_its_artifact() {
    let (dir, digest) = with_function();
    let log = newest_log(dir.path());
    let len = fs::metadata(&log).unwrap().len();
    cut(&log, len - 10);
    let report = check(dir.path()).unwrap();
    assert!(report.loses_much() && !report.is_empty(), "{report:?}");
    assert_eq!((&report.functions[..], &report.unused_artifacts[..]), (&[][..], std::slice::from_ref(&digest)));
    let artifact = dir.path().join("artifacts").join(format!("{digest}.wasm"));
    assert!(matches!(repair(dir.path(), false).unwrap(), Repair::Unaccepted(_)) && artifact.exists());
    let Repair::Done(repaired) = repair(dir.path(), true).unwrap() else { panic!("it was not done") };
    assert!(repaired.after.is_good() && repaired.after.artifacts == 0, "{:?}", repaired.after);
    assert_eq!(fs::read(repaired.kept.unwrap().join(format!("{digest}.wasm"))).unwrap(), b"some");
    assert_eq!(found(dir.path()), 20);
}

#[test]
fn what_is_zeroed_or_has_lost_its_mark_is_told_by_its_file() {
    let zero = |bytes: &mut [u8]| bytes.fill(0);
    type Damage<'a> = (&'a str, &'a dyn Fn(&Path), &'a [&'a str]);
    let damages: [Damage<'_>; 6] = [
        (
            "mark",
            &|dir| change(&dir.join("FORMAT"), |bytes| bytes[3] ^= 1),
            &["mark of the data folder", "FORMAT', is damaged"],
        ),
        (
            "mark",
            &|dir| fs::remove_file(dir.join("FORMAT")).unwrap(),
            &["mark of the data folder", "FORMAT', is missing"],
        ),
        (
            "log",
            &|dir| change(&newest_log(dir), |bytes| zero(bytes)),
            &[".log' cannot be read from byte 0 on", "writes to the"],
        ),
        ("database", &|dir| change(&dir.join("db/CURRENT"), |bytes| zero(bytes)), &["db/CURRENT'", "is damaged"]),
        (
            "database",
            &|dir| fs::write(dir.join("db/CURRENT"), "MANIFEST-099999\n").unwrap(),
            &["MANIFEST-099999'", "cannot be read"],
        ),
        ("database", &|dir| fs::remove_file(dir.join("db/CURRENT")).unwrap(), &["db/CURRENT' is missing"]),
    ];
    for (area, damage, words) in damages {
        let dir = killed(20, Durability::Group);
        damage(dir.path());
        let report = check(dir.path()).unwrap();
        let [problem] = &report.problems[..] else { panic!("{report:?}") };
        assert!(words.iter().all(|word| problem.message.contains(word)), "{problem:?}");
        assert_eq!(serde_json::to_value(problem.area).unwrap(), area);
        // A start says it too, and changes nothing.
        let error = Store::open(dir.path(), options()).unwrap_err();
        assert_eq!(error.code, ErrorCode::DataCorrupt, "{error}");
        if area == "mark" {
            assert!(error.message.contains(words[1]), "{error}");
            let Repair::Done(repaired) = repair(dir.path(), false).unwrap() else { panic!("{area}") };
            assert!(repaired.after.is_good() && repaired.kept.is_none(), "{repaired:?}");
            assert_eq!(found(dir.path()), 20);
        }
    }
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
