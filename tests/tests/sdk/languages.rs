// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! State that a function in one language wrote is read by one in another that takes its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, ensure};
use fnstream_core::runtime::Program;

use crate::artifacts;
use crate::task::Task;

/// What one writes, in each kind of state, alone and by key.
const WRITES: &[&str] = &[
    "put a 1\ncput p k 2\nmerge p k 3",
    "state value - set text\nstate value k set of k",
    "state list - add-all a b\nstate list k add \nstate numbers - add-all 300 -1\nstate numbers k add 7",
    "state map - put 7 seven\nstate map - put -1 minus\nstate map k put 0 ",
    "state queue - add 5\nstate queue - add -3\nstate queue k add 1",
    "state mean - add 1\nstate mean - add 2\nstate mean k add -4",
    "state greatest - add 3\nstate greatest - add 9\nstate greatest k add 2",
];

/// What the other does with it, and is to find.
const READS: &[(&str, &[&str])] = &[
    ("get a\ncget p k", &["a=1", "k=23"]),
    ("state value - get\nstate value k get", &["value=text", "value=of k"]),
    ("state list - add c\nstate list - get\nstate list k add d\nstate list k get", &["list a b c", "list  d"]),
    ("state numbers - add 2\nstate numbers - get\nstate numbers k get", &["numbers 300 -1 2", "numbers 7"]),
    ("state map - all\nstate map - get 7\nstate map k all", &["map -1=minus 7=seven", "map=seven", "map 0="]),
    ("state queue - poll\nstate queue - all\nstate queue k peek", &["queue=-3", "queue 5", "queue=1"]),
    ("state mean - add 3\nstate mean - merge k\nstate mean - get", &["mean=2/4"]),
    ("state greatest - add 4\nstate greatest - get\nstate greatest k get", &["greatest=9", "greatest=2"]),
];

fn takes_over(writer: &Arc<dyn Program>, reader: &Arc<dyn Program>) -> Result<()> {
    let mut task = Task::start(writer, &BTreeMap::new(), 1)?;
    let writes: Vec<_> = WRITES.iter().map(|&commands| commands.to_owned()).collect();
    ensure!(task.send(0, &writes)?.is_empty());
    task.checkpoint()?;
    task.replace(reader)?;
    let reads: Vec<_> = READS.iter().map(|&(commands, _)| commands.to_owned()).collect();
    ensure!(task.send(0, &reads)?.is_empty());
    let found: Vec<_> = task.outside.lock().values().into_iter().flatten().collect();
    let wanted: Vec<_> = READS.iter().flat_map(|(_, wanted)| wanted.iter().map(|&text| text.to_owned())).collect();
    ensure!(found == wanted, "found {found:?}, not {wanted:?}");
    Ok(())
}

#[test]
fn each_language_goes_on_with_the_state_of_the_other() -> Result<()> {
    let (rust, javascript) = (artifacts::rust_packed(), artifacts::javascript());
    for (writer, reader) in [
        (artifacts::go_packed(), &rust),
        (&rust, artifacts::go_packed()),
        (artifacts::go_per_record(), &rust),
        (&rust, artifacts::go_per_record()),
        (&javascript, &rust),
        (artifacts::go_packed(), &javascript),
    ] {
        takes_over(writer, reader)?;
    }
    Ok(())
}
