// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A language with a garbage collector under load: it collects often, it throws much away, and all of its states are compared
//! with a model.

use std::collections::BTreeMap;

use crate::artifacts;
use crate::task::{Task, batch};

/// 100,000 operations on all states and keyed states, in epochs, with instances that die. The program keeps a model of them,
/// which is part of its state, and fails where they differ.
#[test]
fn all_states_agree_with_a_model_under_pressure() {
    let config = BTreeMap::from([("gogc".to_owned(), "5".to_owned())]);
    let mut task = Task::start(artifacts::go_model(), &config, 1).unwrap();
    for round in 0..100_u32 {
        let values: Vec<_> = (0..10).map(|i| format!("{} 100", round * 10 + i)).collect();
        let failures = task.send(0, &values).unwrap();
        assert!(failures.is_empty(), "round {round}: {failures:?}");
        match round % 5 {
            0 | 3 => task.checkpoint().unwrap(),
            2 => task.restart().unwrap(),
            _ => {}
        }
    }
    let emitted = task.outside.lock().emitted.clone();
    assert_eq!(emitted.last().unwrap().text(), "100000 operations");
}

/// A thousand bytes for each of a million records: what the function throws away is given back, and no call of the host for
/// memory ends the component.
#[test]
fn a_gibibyte_of_garbage_leaves_the_memory_steady() {
    let mut task = Task::start(artifacts::go_packed(), &BTreeMap::new(), 1).unwrap();
    let records = batch(0, &vec!["garbage 1074"; 1_000]);
    let mut after_warming_up = 0;
    for round in 0..1_000 {
        task.instance.process(&records).unwrap();
        if round == 200 {
            after_warming_up = task.instance.memory_bytes();
        }
    }
    let memory = task.instance.memory_bytes();
    assert!(memory <= after_warming_up + (4 << 20), "{after_warming_up} bytes grew to {memory}");
    assert!(memory < 64 << 20, "{memory} bytes");
}

/// Values of many sizes back and forth while the collector runs all the time.
#[test]
fn large_values_survive_a_collector_that_always_runs() {
    for program in [artifacts::go_packed(), artifacts::go_per_record()] {
        let config = BTreeMap::from([("gogc".to_owned(), "1".to_owned())]);
        let mut task = Task::start(program, &config, 1).unwrap();
        for round in 0..60_usize {
            let size = (round * 7_919) % 300_000;
            let key = round % 7;
            let commands =
                format!("large {key} {size}\ngarbage {}\nsize {key}\nemit 0 {}", round * 10_000, "e".repeat(size));
            let failures = task.send(0, &[commands, format!("size {key}")]).unwrap();
            assert!(failures.is_empty(), "round {round}: {failures:?}");
            let emitted = std::mem::take(&mut task.outside.lock().emitted);
            let told = format!("size {size}");
            let lengths: Vec<_> = emitted.iter().map(|emitted| emitted.text().len()).collect();
            assert_eq!(lengths, [told.len(), size, told.len()], "round {round}");
            assert!(emitted[0].text() == told && emitted[2].text() == told, "round {round}");
            if round % 10 == 9 {
                task.checkpoint().unwrap();
            }
        }
    }
}
