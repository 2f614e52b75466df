// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One random damage to any file of a folder with known content: what the store answers is right, or it is an error, and
//! what `check` calls good is good. `FNSTREAM_DAMAGE_SEEDS=500` runs more of them.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use fnstream_core::Result;
use fnstream_core::epoch::FunctionId;
use fnstream_core::spec::{DesiredState, FunctionSpec};
use fnstream_core::state::Marker;
use fnstream_store::{Durability, Store, StoreOptions, check};

use crate::support::*;

const SEEDS: u64 = 24;
const PARTITIONS: u32 = 2;

/// A small generator of numbers (xorshift), so that a seed is a damage for ever.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        (0..8).for_each(|_| _ = random.next());
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 11) as usize % end.max(1)
    }
}

/// Everything that can be asked for, by what it is. Each answer is there or an error.
fn everything(store: &Store, known: &[String]) -> BTreeMap<String, Result<String>> {
    let mut found = BTreeMap::new();
    for topic in ["in", "out"] {
        for partition in 0..PARTITIONS {
            let answer = store.topic(topic).and_then(|info| {
                let (mut next, mut all) = (info.partitions[partition as usize].earliest, String::new());
                while let Some(batch) = store.read(&at(topic, partition), next, ALL)? {
                    batch.iter().for_each(|(place, record)| all += &format!("{place:?}{:?}", record.bytes()));
                    next = batch.end().unwrap();
                }
                Ok(format!("{all} to {:?}", info.partitions[partition as usize].end))
            });
            found.insert(format!("{topic}/{partition}"), answer);
        }
    }
    for function in 1..=2 {
        let standing = store.progress(FunctionId(function)).map(|standing| format!("{standing:?}"));
        found.insert(format!("progress {function}"), standing);
        let mut state = String::new();
        let peeked = store.peek(task(function, 0), b"", &mut |key, value| {
            state += &format!("{key:?}{value:?}");
            ControlFlow::Continue(())
        });
        found.insert(format!("state {function}"), peeked.map(|()| state));
    }
    found.insert("functions".into(), store.metadata().list().map(|all| format!("{all:?}")));
    for digest in known {
        let artifact = store.artifacts().get(digest).map(|bytes| format!("{bytes:?}"));
        found.insert(format!("artifact {digest}"), artifact);
    }
    found
}

/// Fills a folder with some of everything; a part of it is in sorted files, the rest in the log.
fn fill(store: &Store) -> Vec<String> {
    let mut random = Random::new(0);
    let mut digests = Vec::new();
    for topic in ["in", "out"] {
        store.ensure_topic(topic, PARTITIONS).unwrap();
    }
    for number in 1..=2 {
        let pin = store.artifacts().put(&[number; 5000]).unwrap();
        let spec = FunctionSpec { artifact: pin.digest().to_owned(), ..spec(&format!("f{number}")) };
        store.metadata().create(spec, DesiredState::Running).unwrap();
        digests.push(pin.digest().to_owned());
    }
    for round in 0..60_u64 {
        let values: Vec<Vec<u8>> =
            (0..5).map(|_| (0..2500).flat_map(|_| random.next().to_le_bytes()).collect()).collect();
        append(store, "in", Some(round as u32 % PARTITIONS), &frame(&values)).unwrap();
    }
    for function in 1..=2 {
        let owner = task(function, 0);
        let (acquired, _) = acquire(store, owner, None);
        for number in 1..=10 {
            let delta = put(&format!("k{number}"), &format!("v{function}"));
            let out = vec![outbox("out", 0, &frame([format!("{function} {number}")]))];
            commit(&*store.committer(), epoch(owner, acquired.generation, number, delta, out)).unwrap();
        }
        let marker = Marker { epoch: fnstream_core::epoch::Epoch(1), ..Marker::default() };
        store.state_stores().open(owner).unwrap().apply(&put("k1", &format!("v{function}")), &marker).unwrap();
    }
    digests
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files_below(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found.sort();
    found
}

/// Does one damage; answers what it was.
fn damage(folder: &Path, random: &mut Random) -> String {
    let files = files_below(folder);
    // Half of the damages go where most can be lost unseen: the logs, and the list of the files.
    let is_log =
        |path: &&PathBuf| path.to_str().is_some_and(|path| path.ends_with(".log") || path.contains("MANIFEST"));
    let among: Vec<_> =
        if random.below(2) == 0 { files.iter().filter(is_log).collect() } else { files.iter().collect() };
    let path = among[random.below(among.len())];
    let mut bytes = fs::read(path).unwrap();
    let (from, length) = (random.below(bytes.len()), 1 + random.below(4096));
    let what = match random.below(5) {
        0 if !bytes.is_empty() => {
            bytes[from] ^= 1 << random.below(8);
            "flip"
        }
        1 => {
            bytes.truncate(from);
            "cut"
        }
        2 => {
            let end = bytes.len().min(from + length);
            bytes[from.min(end)..end].fill(0);
            "zero"
        }
        3 => {
            let other = &files[random.below(files.len())];
            let others = std::mem::replace(&mut bytes, fs::read(other).unwrap());
            fs::write(other, others).unwrap();
            "swap"
        }
        _ => "delete",
    };
    match what {
        "delete" => fs::remove_file(path).unwrap(),
        _ => fs::write(path, bytes).unwrap(),
    }
    format!("{what} {} at {from}, {length} bytes", path.strip_prefix(folder).unwrap().display())
}

#[test]
fn no_damage_makes_the_store_answer_less_in_silence() {
    let seeds = std::env::var("FNSTREAM_DAMAGE_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let (live, killed, closed) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = StoreOptions { durability: Durability::Os, write_buffer_bytes: 4 << 20, ..options() };
    let store = Store::open(live.path(), options.clone()).unwrap();
    let digests = fill(&store);
    let expected = everything(&store, &digests);
    copy_folder(live.path(), killed.path());
    store.close().unwrap();
    drop(store);
    copy_folder(live.path(), closed.path());
    assert_eq!(check(killed.path()).unwrap().problems, []);
    assert_eq!(check(closed.path()).unwrap().problems, []);

    let (mut refused, mut failed, mut right) = (0, 0, 0);
    for seed in 0..seeds {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(if seed % 2 == 0 { killed.path() } else { closed.path() }, copy.path());
        let what = format!("seed {seed}: {}", damage(copy.path(), &mut Random::new(seed + 1)));
        let checked = check(copy.path());
        let good = checked.as_ref().is_ok_and(|report| report.is_good());
        let Ok(store) = Store::open(copy.path(), options.clone()) else {
            assert!(!good, "{what}: the store does not open, and the check finds nothing");
            refused += 1;
            continue;
        };
        let answers = everything(&store, &digests);
        let wrong: Vec<_> = answers
            .iter()
            .filter(|(name, answer)| answer.is_ok() && answer.as_ref().ok() != expected[*name].as_ref().ok())
            .collect();
        assert!(
            wrong.is_empty(),
            "{what}: wrong answers for {:?}",
            wrong.iter().map(|(name, _)| name).collect::<Vec<_>>()
        );
        if answers.values().all(Result::is_ok) {
            right += 1;
        } else {
            failed += 1;
            assert!(!good, "{what}: the store answers with errors, and the check finds nothing");
        }
    }
    eprintln!("{seeds} damages: {refused} refused at the start, {failed} answered with errors, {right} did not matter");
}
