// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What must hold when a run is over.

use std::collections::BTreeMap;

use crate::functions::{TALLY, number};
use crate::world::World;

pub fn check(world: &World) {
    world.broker.assert_no_violations();
    let relayed = by_key(world, "mid", number);
    assert_eq!(relayed, world.produced, "what was relayed is not what was produced, each key in order");

    let tallied = by_key(world, "out", |value| String::from_utf8_lossy(value).into_owned());
    assert_eq!(tallied.len(), world.produced.len());
    for (key, ids) in &world.produced {
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
            all.entry(key).or_default().push(read(&record.value));
        }
    }
    all
}
