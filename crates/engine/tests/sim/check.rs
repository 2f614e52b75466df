// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What must hold when a run is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;

use fnstream_core::dead_letter::DeadLetter;
use fnstream_frame::Headers;

use crate::functions::{TALLY, WINDOW, WINDOW_MS, is_early, is_oversize, is_poison, number};
use crate::world::{DEAD_LETTERS, World};

pub(crate) fn check(world: &World) {
    world.broker.assert_no_violations();
    check_lives(world);
    let relayed = by_key(world, "mid", number);
    let dead_letters = check_dead_letters(world);
    for (key, ids) in &world.produced {
        let mut sorted = relayed.get(key).cloned().unwrap_or_default();
        let in_order = |ids: &[u64]| ids.iter().copied().filter(|id| !dead_letters.contains(id)).collect::<Vec<_>>();
        assert_eq!(in_order(&sorted), in_order(ids), "what was never a dead letter is in order, key {key:?}");
        sorted.sort_unstable();
        assert_eq!(sorted, *ids, "what was relayed is what was produced, key {key:?}");
    }

    let tallied = by_key(world, "out", |value| String::from_utf8_lossy(value).into_owned());
    assert_eq!(tallied.len(), world.produced.len());
    for (key, ids) in &relayed {
        let lines: Vec<Vec<u64>> =
            tallied[key].iter().map(|line| line.split(' ').map(|n| number(n.as_bytes())).collect()).collect();
        let expected: Vec<Vec<u64>> = ids
            .iter()
            .zip(1..)
            // The log has one mark per record since its last deletion, at every fifth one.
            .map(|(id, count)| vec![*id, count, count % 5])
            .collect();
        let seen: Vec<Vec<u64>> = lines.iter().map(|line| line[..3].to_vec()).collect();
        assert_eq!(seen, expected, "the tally of {:?}", String::from_utf8_lossy(key));
        assert!(lines.windows(2).all(|pair| pair[0][3] <= pair[1][3]), "keys vanish from a scan: {lines:?}");
    }
    check_state(world);
    check_windows(world, &tallied);
}

/// No instance was called after it was closed, and whoever asked one something has an answer.
fn check_lives(world: &World) {
    let lives = &world.chain.lives;
    assert_eq!(*lives.violations.lock(), [""; 0], "calls after the end of an instance's life");
    for (number, process) in &world.processes {
        assert_eq!(process.waiting.load(Relaxed), 0, "requests to process {number} are not answered");
    }
}

/// Each id is in one window, in the right one, or was late, or its window is still open; each window was emitted once. Each
/// key has had its tick.
fn check_windows(world: &World, tallied: &BTreeMap<Vec<u8>, Vec<String>>) {
    let mut open: BTreeMap<Vec<u8>, Vec<(i64, Vec<u64>)>> = BTreeMap::new();
    for task in world.broker.tasks(WINDOW) {
        for (name, ids) in world.broker.state(task) {
            if let Some(name) = name.strip_prefix(b"window/") {
                let slash = name.iter().position(|b| *b == b'/').unwrap();
                let end = number(&name[slash + 1..]) as i64;
                open.entry(name[..slash].to_vec()).or_default().push((end, numbers(&ids)));
            }
        }
    }
    let emitted = by_key(world, "windows", |value| String::from_utf8_lossy(value).into_owned());
    assert_eq!(emitted.len(), tallied.len());
    for (key, lines) in &emitted {
        let ticks = lines.iter().filter(|line| *line == "tick").count();
        assert_eq!(ticks, 1, "a timer of processing time fires once");
        // That of event time waits where no watermark came.
        let echoes = lines.iter().filter(|line| *line == "echo").count();
        assert!((1..=2).contains(&echoes), "{echoes} echoes of one tick");
        let mut ids: Vec<u64> = Vec::new();
        let mut ends = BTreeSet::new();
        let closed = lines.iter().filter_map(|line| line.strip_prefix("window ")).map(|line| {
            let mut all = numbers(line.as_bytes());
            let end = all.remove(0) as i64;
            (end, all)
        });
        for (end, window) in closed.chain(open.remove(key).unwrap_or_default()) {
            assert!(ends.insert(end), "window {end} of {key:?} was emitted twice");
            for id in &window {
                assert!((end - WINDOW_MS..end).contains(&world.times[id]), "{id} is in the window that ends at {end}");
            }
            ids.extend(window);
        }
        ids.extend(lines.iter().filter_map(|line| line.strip_prefix("late ")).map(|id| number(id.as_bytes())));
        ids.sort_unstable();
        assert_eq!(ids, world.produced[key], "each id is in one window or late, key {key:?}");
    }
    assert!(open.is_empty());
}

fn numbers(bytes: &[u8]) -> Vec<u64> {
    bytes.split(|b| *b == b' ').filter(|word| !word.is_empty()).map(number).collect()
}

/// The records that were dead letters, each of which says rightly what it is.
fn check_dead_letters(world: &World) -> BTreeSet<u64> {
    let mut all = BTreeSet::new();
    for partition in 0..world.partitions(DEAD_LETTERS) {
        for record in world.broker.read(DEAD_LETTERS, partition) {
            let dead_letter = DeadLetter::read(Headers::parse(&record.headers).unwrap()).expect("a letter");
            let original =
                world.originals.get(&(dead_letter.source.clone(), dead_letter.position)).expect("its record");
            assert_eq!((Some(&original.key), Some(&original.value)), (record.key.as_ref(), record.value.as_ref()));
            let id = number(record.bytes());
            assert_eq!(dead_letter.function, "relay");
            match dead_letter.code.as_str() {
                "FS-1402" => {
                    assert!(is_poison(id) && dead_letter.message.contains("poison"), "record {id}: {dead_letter:?}")
                }
                "FS-1606" => {
                    assert!(world.chain.oversize && is_oversize(id), "record {id} is not too large: {dead_letter:?}")
                }
                code => assert_eq!(code, "FS-1401", "{dead_letter:?}"),
            }
            // Each time that a letter is given up again its attempts go on counting.
            // What is refused for good is not tried again. What is given up among others may be tried once more, if the epoch is
            // not committed.
            let attempts = dead_letter.attempts;
            let is_right = attempts.is_multiple_of(3) || (is_early(id) && attempts > 3);
            assert!(is_right || (world.chain.oversize && is_oversize(id)), "{attempts} attempts of {id}");
            all.insert(id);
        }
    }
    all
}

/// The committed state is what the outputs imply.
fn check_state(world: &World) {
    let mut counts = BTreeMap::new();
    for task in world.broker.tasks(TALLY) {
        for (key, value) in world.broker.state(task) {
            if let Some(key) = key.strip_prefix(b"count/") {
                assert!(counts.insert(key.to_vec(), number(&value)).is_none(), "a key has state in two tasks");
            }
        }
    }
    let expected: BTreeMap<_, _> = world.produced.iter().map(|(key, ids)| (key.clone(), ids.len() as u64)).collect();
    assert_eq!(counts, expected, "the state is not what the outputs imply");
}

fn by_key<T>(world: &World, topic: &str, read: impl Fn(&[u8]) -> T) -> BTreeMap<Vec<u8>, Vec<T>> {
    let mut all: BTreeMap<Vec<u8>, Vec<T>> = BTreeMap::new();
    for partition in 0..world.partitions(topic) {
        let records = world.broker.read(topic, partition);
        for record in records {
            let key = record.key.as_ref().map(|k| k.to_vec()).unwrap_or_default();
            all.entry(key).or_default().push(read(record.bytes()));
        }
    }
    all
}
