// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream check`: what it prints, and with which exit code.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;

use fnstream_core::topic::Topic;
use fnstream_core::topics::Retention;
use fnstream_frame::{FrameBuilder, RecordRef};
use fnstream_store::{Store, StoreOptions};

/// A folder with ten events in its log.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let (topics, orders) = (store.topics(), Topic::own("orders"));
    topics.create(&orders, 1, Retention::default()).unwrap();
    for number in 0..10 {
        let mut frame = FrameBuilder::new();
        frame.push(RecordRef::new(&[number; 100]));
        let (tell, told) = channel();
        topics.append(&orders, None, frame.to_bytes().into(), Box::new(move |done| tell.send(done).unwrap()));
        told.recv().unwrap().unwrap();
    }
    store.close().unwrap();
    dir
}

fn log(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir.join("db")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "log")).max().unwrap()
}

/// Flips a bit of the sixth event or so.
fn damage(dir: &Path) {
    let mut bytes = fs::read(log(dir)).unwrap();
    bytes[1000] ^= 1;
    fs::write(log(dir), bytes).unwrap();
}

fn check(dir: &Path, flags: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_function-stream"));
    command.args(["check", "--data-dir"]).arg(dir).args(flags);
    for name in ["FUNCTION_STREAM_CONF", "FUNCTION_STREAM_HOME"] {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_whole_folder_is_well() {
    let dir = folder();
    let (code, told, _) = check(dir.path(), &[]);
    assert_eq!((code, told.as_str()), (Some(0), "all is well: partitions 1, records 10, tasks 0, artifacts 0\n"));
    let (code, told, _) = check(dir.path(), &["--repair", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &told["partitions"][0]["end"]), (Some(0), &10.into()));
}

#[test]
fn a_damaged_log_is_told_and_repaired_with_its_cost() {
    let dir = folder();
    damage(dir.path());
    let (code, told, _) = check(dir.path(), &[]);
    assert_eq!(code, Some(1), "{told}");
    let place = format!("log: the write-ahead log '{}' is damaged at byte ", log(dir.path()).display());
    assert!(told.starts_with(&place), "{told}");
    assert!(told.contains("'function-stream check --repair'"), "{told}");
    let (code, told, _) = check(dir.path(), &["--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &told["problems"][0]["area"]), (Some(1), &"log".into()));
    let end = &told["partitions"][0]["end"];
    assert!((1..10).contains(&end.as_u64().unwrap()), "{told}");

    let (code, told, _) = check(dir.path(), &["--repair"]);
    assert_eq!(code, Some(0), "{told}");
    for line in
        ["repaired: ", "lost: the last ", &format!("  topic 'orders', partition 0: position {end}"), "all is well"]
    {
        assert!(told.lines().any(|found| found.starts_with(line)), "{line}: {told}");
    }
    assert_eq!(check(dir.path(), &[]).0, Some(0));
}

#[test]
fn what_is_no_data_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, told) = check(dir.path(), &["--repair"]);
    assert!(code == Some(1) && told.starts_with("error FS-1504: "), "{told}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_repair_that_loses_everything_wants_to_be_told() {
    let dir = folder();
    let log = log(dir.path());
    let zeros = vec![0; fs::read(&log).unwrap().len()];
    fs::write(&log, &zeros).unwrap();
    for (flags, code) in [(&[][..], 1), (&["--repair"], 3)] {
        let (exit, told, _) = check(dir.path(), flags);
        assert_eq!(exit, Some(code), "{told}");
        let place = format!("log: the write-ahead log '{}' cannot be read from byte 0 on: the last ", log.display());
        assert!(told.starts_with(&place), "{told}");
        assert!(told.contains("warning: a repair loses everything: no topic and no function is left"), "{told}");
        assert_eq!(told.contains("nothing was changed: 'function-stream check --repair --accept-loss'"), code == 3);
    }
    let (exit, told, _) = check(dir.path(), &["--repair", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((exit, &told["needs"]), (Some(3), &"--accept-loss".into()));
    assert!(fs::read(&log).unwrap() == zeros && !dir.path().join("damaged-1").exists(), "something was changed");
    assert_eq!(check(dir.path(), &["--accept-loss"]).0, Some(2));

    let (exit, told, _) = check(dir.path(), &["--repair", "--accept-loss"]);
    assert_eq!(exit, Some(0), "{told}");
    assert!(told.contains("  no topic and no function is left"), "{told}");
    assert_eq!(fs::read(dir.path().join("damaged-1").join(log.file_name().unwrap())).unwrap(), zeros);
}

#[test]
fn a_folder_that_is_not_there_and_one_without_its_mark_are_told_apart() {
    let dir = folder();
    let (exit, _, told) = check(&dir.path().join("nowhere"), &[]);
    assert!(exit == Some(1) && told.starts_with("error FS-1512: there is no folder '"), "{told}");
    let mark = dir.path().join("FORMAT");
    let right = fs::read(&mark).unwrap();
    fs::write(&mark, "x").unwrap();
    let (exit, told, _) = check(dir.path(), &[]);
    let line = format!("mark: the mark of the data folder, '{}', is damaged\n", mark.display());
    assert!(exit == Some(1) && told.starts_with(&line) && told.contains("marks the folder again"), "{told}");
    let (exit, told, _) = check(dir.path(), &["--repair"]);
    assert!(exit == Some(0) && told.starts_with("repaired: the mark"), "{told}");
    assert_eq!(fs::read(&mark).unwrap(), right);
}

#[test]
fn what_a_repair_does_not_mend_is_advised_about_as_it_is() {
    let dir = folder();
    let Some(manifest) = fs::read_dir(dir.path().join("db"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("MANIFEST")))
    else {
        panic!("a database has a list of its files");
    };
    fs::remove_file(manifest).unwrap();
    let advice = "this cannot be repaired; restore the folder from a backup with 'function-stream restore --replace'";
    let (code, told, _) = check(dir.path(), &[]);
    assert!(code == Some(1) && told.ends_with(&format!("advice: {advice} (FS-1506)\n")), "{told}");
    let (code, _, told) = check(dir.path(), &["--repair"]);
    assert!(code == Some(1) && told.starts_with("error FS-1506: the data folder cannot be repaired: "), "{told}");
    assert!(told.ends_with(&format!("\nadvice: {advice}\n")), "{told}");
}
