// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Damage to the data folder: what is forgiven, and what is refused.

mod checks;
mod random;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use fnstream_core::record::Position;
use fnstream_core::spec::{DesiredState, FunctionSpec};
use fnstream_core::topic::{Topic, TopicRef};
use fnstream_core::{Error, ErrorCode};
use fnstream_store::{Area, Durability, Store, StoreOptions, check, pretend_power_loss};

use crate::support::*;

/// A folder as `kill -9` leaves it, with so many records of a few hundred bytes.
fn killed(records: u32, durability: Durability) -> tempfile::TempDir {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(dir.path(), StoreOptions { durability, ..options() }).unwrap();
    store.ensure_topic("t", 1).unwrap();
    for number in 0..records {
        append(&store, "t", Some(0), &frame([vec![number as u8; 200]])).unwrap();
    }
    copy_folder(dir.path(), copy.path());
    copy
}

/// The files of the database with that ending, in order.
fn database_files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("db")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.to_str().unwrap().ends_with(ending)).collect();
    found.sort();
    found
}

fn newest_log(dir: &Path) -> PathBuf {
    database_files(dir, ".log").pop().unwrap()
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, bytes: u64) {
    File::options().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

fn refused(dir: &Path) -> Error {
    let error = Store::open(dir, options()).unwrap_err();
    assert_eq!(error.code, ErrorCode::DataCorrupt, "{error}");
    error
}

fn found(dir: &Path) -> usize {
    read_all(&open(dir), &at("t", 0), ALL).len()
}

#[test]
fn after_a_kill_everything_is_there() {
    let dir = killed(50, Durability::Os);
    assert_eq!(found(dir.path()), 50);
    assert_eq!(found(dir.path()), 50);
}

#[test]
fn one_flipped_bit_in_the_middle_of_the_log_is_refused() {
    let dir = killed(50, Durability::Group);
    let log = newest_log(dir.path());
    change(&log, |bytes| bytes[5000] ^= 4);
    for _ in 0..2 {
        let message = refused(dir.path()).message;
        assert!(message.contains(log.to_str().unwrap()) && message.contains("is damaged at byte 4"), "{message}");
    }
    change(&log, |bytes| bytes[5000] ^= 4);
    assert_eq!(found(dir.path()), 50, "a refusal changes nothing");
}

#[test]
fn a_log_that_was_cut_anywhere_is_refused() {
    for durability in [Durability::Group, Durability::Os] {
        for bytes in [0, 5000, 10_000] {
            let dir = killed(50, durability);
            cut(&newest_log(dir.path()), bytes);
            refused(dir.path());
            refused(dir.path());
        }
    }
}

#[test]
fn a_log_that_was_cut_between_two_writes_is_refused() {
    let (dir, longer) = (killed(50, Durability::Group), killed(51, Durability::Group));
    // The same up to the last write.
    let bytes = fs::metadata(newest_log(dir.path())).unwrap().len();
    cut(&newest_log(longer.path()), bytes);
    let message = refused(longer.path()).message;
    assert!(message.contains("the last write to the database is missing"), "{message}");
    refused(longer.path());
}

#[test]
fn a_log_that_is_missing_is_refused() {
    let dir = killed(50, Durability::Group);
    fs::remove_file(newest_log(dir.path())).unwrap();
    refused(dir.path());
    refused(dir.path());
}

#[test]
fn a_last_write_that_was_interrupted_is_forgiven() {
    let dir = killed(50, Durability::Group);
    let log = newest_log(dir.path());
    let whole = fs::read(&log).unwrap();
    // The beginning of one more, of which nobody was told that it is there.
    change(&log, |bytes| bytes.extend_from_slice(&whole[whole.len() - 100..][..60]));
    change(&log, |bytes| bytes[whole.len()..][4..7].copy_from_slice(&[200, 0, 1]));
    assert_eq!(found(dir.path()), 50);
    assert_eq!(found(dir.path()), 50);
}

#[test]
fn a_last_write_that_is_incomplete_beside_a_damaged_note_is_refused() {
    let dir = killed(5, Durability::Group);
    let log = newest_log(dir.path());
    cut(&log, fs::metadata(&log).unwrap().len() - 1);
    fs::write(dir.path().join("REACH"), "not a note").unwrap();
    refused(dir.path());
    // Without any note it may be an older version's, whose last write was interrupted.
    fs::remove_file(dir.path().join("REACH")).unwrap();
    assert_eq!(found(dir.path()), 4);
}

#[test]
fn a_loss_of_power_takes_what_was_not_synced_and_nothing_else() {
    let damages: [fn(&mut Vec<u8>); 3] =
        [|log| log[10_000..10_400].fill(0), |log| log[10_000..].fill(0), |log| log.truncate(10_000)];
    for damage in damages {
        let unsynced = killed(50, Durability::Os);
        change(&newest_log(unsynced.path()), damage);
        pretend_power_loss(unsynced.path()).unwrap();
        let left = found(unsynced.path());
        assert!((20..50).contains(&left), "{left}");
        assert_eq!(found(unsynced.path()), left);

        let synced = killed(50, Durability::Group);
        change(&newest_log(synced.path()), damage);
        pretend_power_loss(synced.path()).unwrap();
        refused(synced.path());
    }
}

#[test]
fn a_missing_database_beside_what_was_written_is_refused() {
    let dir = killed(1, Durability::Group);
    fs::remove_dir_all(dir.path().join("db")).unwrap();
    assert!(refused(dir.path()).message.contains("is missing"));
    // A folder of a version that noted nothing.
    fs::create_dir(dir.path().join("db")).unwrap();
    fs::remove_file(dir.path().join("REACH")).unwrap();
    let artifact = dir.path().join("artifacts").join(format!("{}.wasm", "0".repeat(64)));
    fs::create_dir_all(artifact.parent().unwrap()).unwrap();
    fs::write(&artifact, "").unwrap();
    assert!(refused(dir.path()).message.contains(artifact.to_str().unwrap()));
    fs::remove_file(&artifact).unwrap();
    open(dir.path());
}

#[test]
fn a_database_without_its_beginning_is_refused() {
    let dir = killed(1, Durability::Group);
    fs::remove_file(dir.path().join("db/CURRENT")).unwrap();
    refused(dir.path());
    fs::remove_file(dir.path().join("REACH")).unwrap();
    refused(dir.path());
}

#[test]
fn a_list_of_files_that_was_cut_is_refused() {
    let dir = killed(1, Durability::Group);
    let manifest = fs::read_dir(dir.path().join("db")).unwrap().map(|entry| entry.unwrap().path());
    let manifest = manifest.filter(|path| path.to_str().unwrap().contains("MANIFEST")).max().unwrap();
    let whole = fs::read(&manifest).unwrap();
    for bytes in [whole.len() - 1, whole.len() / 2, 0] {
        change(&manifest, |now| *now = whole[..bytes].to_vec());
        refused(dir.path());
    }
    for byte in (0..whole.len()).step_by(7) {
        change(&manifest, |now| {
            now.clone_from(&whole);
            now[byte] ^= 1;
        });
        refused(dir.path());
    }
    fs::write(&manifest, whole).unwrap();
    assert_eq!(found(dir.path()), 1);
}

#[test]
fn a_folder_without_a_note_is_taken_as_it_is() {
    let dir = killed(5, Durability::Group);
    for note in [None, Some("not a note")] {
        fs::remove_file(dir.path().join("REACH")).unwrap();
        if let Some(note) = note {
            fs::write(dir.path().join("REACH"), note).unwrap();
        }
        assert_eq!(found(dir.path()), 5);
        assert_eq!(fs::metadata(dir.path().join("REACH")).unwrap().len(), 138);
    }
}

#[test]
fn an_older_log_that_is_missing_or_cut_is_refused() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // So small that the log goes on in a new file, while the older one still has what is in no sorted file.
    let small = StoreOptions { write_buffer_bytes: 4 << 20, ..options() };
    let store = Store::open(dir.path(), small).unwrap();
    store.ensure_topic("t", 1).unwrap();
    for number in 0..30_u8 {
        append(&store, "t", Some(0), &frame([vec![number; 100_000]])).unwrap();
    }
    copy_folder(dir.path(), copy.path());
    let logs = database_files(copy.path(), ".log");
    assert!(logs.len() > 1, "{logs:?}");
    let whole = fs::read(&logs[0]).unwrap();
    cut(&logs[0], whole.len() as u64 / 2);
    refused(copy.path());
    fs::remove_file(&logs[0]).unwrap();
    refused(copy.path());
    assert_eq!(check(copy.path()).unwrap().problems[0].area, Area::Database);
    fs::write(&logs[0], whole).unwrap();
    assert_eq!(found(copy.path()), 30);
}

#[test]
fn damage_that_is_met_while_running_is_told_to_whoever_asks_for_readiness() {
    let dir = killed(300, Durability::Group);
    open(dir.path());
    let store = open(dir.path());
    store.upkeep().probe().unwrap();
    let sorted = database_files(dir.path(), ".sst");
    let largest = sorted.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    change(largest, |bytes| bytes[100] ^= 1);
    let met = store.read(&at("t", 0), Position::START, ALL).unwrap_err();
    assert_eq!(met.code, ErrorCode::DataCorrupt);
    assert_eq!(store.upkeep().probe().unwrap_err().message, met.message);
}

#[test]
fn a_scrub_finds_a_damaged_block_and_says_which_functions_it_concerns() {
    let dir = killed(50, Durability::Group);
    // An opening writes what the log has to a sorted file.
    let store = open(dir.path());
    store.ensure_topic("other", 1).unwrap();
    // Some blocks that an opening does not read, and that do not compress.
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for _ in 0..50 {
        append(&store, "t", Some(0), &frame([(0..5000).map(|_| random()).collect::<Vec<u8>>()])).unwrap();
    }
    let create = |name: &str, input: &str| {
        let spec = FunctionSpec { inputs: vec![vec![TopicRef::from(Topic::own(input))]], ..spec(name) };
        store.metadata().create(spec, DesiredState::Running).unwrap()
    };
    let (reads_it, reads_other) = (create("f", "t"), create("g", "other"));
    store.scrub();
    let well = store.upkeep().health();
    assert!(well.damages == 0 && well.scrubbed_bytes > 10_000, "{well:?}");
    assert!(store.upkeep().probe().is_ok() && store.upkeep().damage_to(&reads_it).is_none());
    drop(store);

    drop(open(dir.path()));
    let sorted = database_files(dir.path(), ".sst");
    let largest = sorted.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    change(largest, |bytes| bytes[100] ^= 1);
    let store = open(dir.path());
    store.scrub();
    store.scrub();
    assert_eq!(store.upkeep().health().damages, 1, "found twice, told once");
    let told = store.upkeep().probe().unwrap_err();
    assert_eq!(told.code, ErrorCode::DataCorrupt);
    assert!(told.message.contains(largest.file_name().unwrap().to_str().unwrap()), "{told}");
    assert_eq!(store.upkeep().damage_to(&reads_it).map(|e| e.message), Some(told.message));
    assert!(store.upkeep().damage_to(&reads_other).is_none());
}
