// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A disk that is really full. Needs a small file system of its own, so it is run by hand:
//! `mount -t tmpfs -o size=48m tmpfs /mnt/small && FNSTREAM_SMALL_DISK=/mnt/small cargo test … -- --ignored`.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fnstream_core::ErrorCode;
use fnstream_core::record::Position;

use crate::support::*;

#[test]
#[ignore = "needs a small file system, see the top of this file"]
fn a_really_full_disk_is_survived() {
    let disk = PathBuf::from(std::env::var_os("FNSTREAM_SMALL_DISK").expect("FNSTREAM_SMALL_DISK is not set"));
    let data = disk.join("data");
    let store = open(&data);
    store.ensure_topic("t", 1).unwrap();
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![1; 24 << 20]).unwrap();
    let block: Vec<u8> = (0..1_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut answered = 0_u128;
    let error = loop {
        match append(&store, "t", Some(0), &frame([&block])) {
            Ok(placed) => {
                assert_eq!(placed, [(0, Position(answered), 1)]);
                answered += 1;
            }
            Err(e) => break e,
        }
    };
    assert_eq!(error.code, ErrorCode::StorageFull, "{error}");
    assert_eq!(read_all(&store, &at("t", 0), ALL).len() as u128, answered);
    let copy = tempfile::tempdir().unwrap();
    let later = copy.path().join("data");
    copy_folder(&data, &later);
    let after_crash = open(&later);
    let found = read_all(&after_crash, &at("t", 0), ALL).len() as u128;
    assert!(found == answered || found == answered + 1, "{found} records after a crash, {answered} were answered");
    drop(after_crash);

    fs::remove_file(&ballast).unwrap();
    let start = Instant::now();
    // The database goes on by itself within some seconds; until then it says why it does not.
    let placed = loop {
        match append(&store, "t", Some(0), &frame(["after"])) {
            Ok(placed) => break placed,
            Err(e) => {
                assert_eq!(e.code, ErrorCode::StorageFull, "{e}");
                assert!(start.elapsed() < Duration::from_secs(60), "{e} after {:?}", start.elapsed());
            }
        }
    };
    eprintln!("went on after {:?}", start.elapsed());
    assert_eq!(placed, [(0, Position(answered), 1)]);
    drop(store);
    let store = open(&data);
    let all = read_all(&store, &at("t", 0), ALL);
    assert_eq!(all.len() as u128, answered + 1);
    assert_eq!(all[answered as usize].1, b"after");
}
