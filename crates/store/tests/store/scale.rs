// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Twenty million records: memory, and the time of a start. Takes a minute and some gigabytes of disk, so it is run by
//! hand: `cargo test --release -p fnstream-store -- --ignored --nocapture twenty_million`.

use std::sync::mpsc::channel;
use std::time::Instant;

use fnstream_core::broker::PollLimit;
use fnstream_core::record::Position;
use fnstream_frame::{FrameBuilder, RecordRef};
use fnstream_store::{Durability, Store, StoreOptions};

use crate::support::*;

const RECORDS: u64 = 20_000_000;
const PARTITIONS: u32 = 4;
const PER_APPEND: u64 = 1000;

/// Resident memory of this process in MiB, now or at most.
fn memory(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn fill(store: &Store) {
    let mut noise = 1_u64;
    let (tell, told) = channel();
    let mut under_way = 0;
    for append in 0..RECORDS / PER_APPEND {
        let mut builder = FrameBuilder::new();
        for _ in 0..PER_APPEND {
            let mut value = [b'x'; 100];
            for piece in value.chunks_exact_mut(16) {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                piece[..8].copy_from_slice(&(noise >> 8).to_le_bytes());
            }
            builder.push(RecordRef::new(&value));
        }
        let tell = tell.clone();
        let partition = Some((append % u64::from(PARTITIONS)) as u32);
        store.append("t", partition, builder.to_bytes(), Box::new(move |done| tell.send(done.is_ok()).unwrap()));
        under_way += 1;
        if under_way == 16 {
            assert!(told.recv().unwrap());
            under_way -= 1;
        }
    }
    for _ in 0..under_way {
        assert!(told.recv().unwrap());
    }
}

#[test]
#[ignore = "takes a minute and some gigabytes of disk"]
fn twenty_million_records_start_at_once_in_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    for durability in [Durability::Group, Durability::Os] {
        let folder = dir.path().join(format!("{durability:?}"));
        let defaults = || StoreOptions { durability, ..StoreOptions::default() };
        let store = Store::open(&folder, defaults()).unwrap();
        store.ensure_topic("t", PARTITIONS).unwrap();
        let start = Instant::now();
        fill(&store);
        let seconds = start.elapsed().as_secs_f64();
        println!("{durability:?}: {:.0} records/s appended, {} MiB at most", RECORDS as f64 / seconds, memory("VmHWM"));
        println!("one synced write: {:?}", store.measure_synced_write().unwrap());
        // As after `kill -9`: nothing is flushed before the start.
        let later = dir.path().join(format!("{durability:?}-later"));
        copy_folder(&folder, &later);
        drop(store);

        let start = Instant::now();
        let store = Store::open(&later, defaults()).unwrap();
        let limit = PollLimit { records: 1024, bytes: 1 << 20 };
        store.read(&at("t", 3), Position(u128::from(RECORDS / 8)), limit).unwrap().unwrap();
        let first_read = start.elapsed();
        println!("first read after a crash: {first_read:?}");
        assert!(first_read.as_secs_f64() < 1.0);

        let start = Instant::now();
        let mut read = 0;
        for partition in 0..PARTITIONS {
            let mut next = Position::START;
            while let Some(batch) = store.read(&at("t", partition), next, limit).unwrap() {
                read += batch.len() as u64;
                next = batch.end().unwrap();
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        println!("{:.0} records/s read, {} MiB now", RECORDS as f64 / seconds, memory("VmRSS"));
        assert_eq!(read, RECORDS);
        assert!(memory("VmHWM") < 300, "{} MiB", memory("VmHWM"));
    }
}
