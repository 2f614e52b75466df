// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The scenarios, for each program and world.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use fnstream_core::runtime::Program;
use fnstream_tests::binary::root;
use serde::Deserialize;

use crate::artifacts;
use crate::scenario::{Scenario, Subject};

/// The list of programs, of which the table of what each can do is made (`docs/parity.md`).
#[derive(Deserialize)]
struct Programs {
    programs: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    world: String,
    /// With the reason.
    #[serde(default)]
    lacks: BTreeMap<String, String>,
}

fn listed() -> Result<Vec<Listed>> {
    let programs: Programs = serde_json::from_slice(&std::fs::read(root().join("tests/sdk/programs.json"))?)?;
    Ok(programs.programs)
}

/// Those that the tests below run.
const RUN: &[(&str, &str)] = &[
    ("Go SDK", "packed"),
    ("Rust SDK", "packed"),
    ("Python SDK", "packed"),
    ("JavaScript SDK", "packed"),
    ("Go SDK", "per-record"),
    ("wit-bindgen", "per-record"),
];

/// Runs all scenarios with a listed program.
fn all(name: &str, world: &'static str, kind: &str, program: &Arc<dyn Program>) -> Result<()> {
    ensure!(RUN.contains(&(name, world)), "'{name}' is not among those that are run");
    ensure!(program.kind() == kind, "'{name}' is a component of the kind {}", program.kind());
    let listed = listed()?.into_iter().find(|listed| listed.name == name && listed.world == world);
    let lacks: Vec<_> = listed.context("the program is not listed")?.lacks.into_keys().collect();
    let subject = Subject { program, world, lacks: &lacks };
    let mut files: Vec<_> =
        std::fs::read_dir(root().join("tests/sdk/scenarios"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    ensure!(files.len() >= 10, "only {} scenarios", files.len());
    // All that fail are told, not only the first.
    let problems: Vec<_> = files
        .iter()
        .filter_map(|file| Scenario::read(file).and_then(|scenario| scenario.run(&subject)).err())
        .map(|problem| format!("{problem:#}"))
        .collect();
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

#[test]
fn every_listed_program_is_run() -> Result<()> {
    let listed = listed()?;
    let listed: Vec<_> = listed.iter().map(|listed| (&listed.name[..], &listed.world[..])).collect();
    ensure!(listed == RUN, "listed are {listed:?}, run are {RUN:?}");
    Ok(())
}

#[test]
fn go_in_the_packed_world() -> Result<()> {
    all("Go SDK", "packed", "packed", artifacts::go_packed())
}

#[test]
fn go_in_the_per_record_world() -> Result<()> {
    all("Go SDK", "per-record", "processor", artifacts::go_per_record())
}

#[test]
fn rust_in_the_packed_world() -> Result<()> {
    all("Rust SDK", "packed", "packed", &artifacts::rust_packed())
}

#[test]
fn python_on_its_engine() -> Result<()> {
    all("Python SDK", "packed", "python", &artifacts::python())
}

#[test]
fn javascript_on_its_engine() -> Result<()> {
    all("JavaScript SDK", "packed", "javascript", &artifacts::javascript())
}

#[test]
fn another_toolchain_in_the_per_record_world() -> Result<()> {
    all("wit-bindgen", "per-record", "processor", &artifacts::rust_per_record())
}

#[test]
fn a_scenario_that_is_not_kept_is_found() {
    let scenario = tempfile::NamedTempFile::new().context("no file").unwrap();
    for (step, problem) in [
        (r#"{send: ["emit 0 a"], fails: {0: x}}"#, "records [] failed"),
        (r#"{send: ["fail x"]}"#, "records [0] failed"),
        (r#"{send: ["fail x"], fails: {0: y}}"#, "does not contain 'y'"),
        (r#"{emitted: [a]}"#, "emitted [], not"),
        (r#"{send: ["emit-null 0"]}, {emitted: [""]}"#, "emitted [None], not [Some(\"\")]"),
        (r#"{watermark: 5, fails: {a: x}}"#, "None failed, not Some"),
        (r#"{send: ["timer event 10 a", "put on:a fail x"]}, {watermark: 10}"#, "failed, not None"),
        (r#"{send: ["timer event 10 a", "put on:a fail x"]}, {watermark: 10, fails: {b: x}}"#, "failed, not Some"),
        (r#"{send: ["timer event 10 a", "put on:a fail x"]}, {watermark: 10, fails: {a: y}}"#, "does not contain 'y'"),
        (
            r#"{send: ["timer processing 10 a"]}, {time: 10}, {emitted: []}"#,
            "emitted [Some(\"fired processing 10 a\")], not",
        ),
        (r#"{heartbeat: false}"#, "the heartbeat answers true"),
        (r#"{custom: a, answers: b}"#, "answered 'custom a'"),
        (
            r#"{send: [{value: "record", key: k, time: 5}]}, {emitted: [{value: "record key=k time=5", time: 6}]}"#,
            "time: 5 }], not [Whole",
        ),
        ("{}", "the step says nothing"),
    ] {
        std::fs::write(&scenario, format!("name: n\nsteps: [{step}]\n")).unwrap();
        let subject = Subject { program: artifacts::go_packed(), world: "packed", lacks: &[] };
        let found = Scenario::read(scenario.path()).unwrap().run(&subject).unwrap_err();
        assert!(format!("{found:#}").contains(problem), "{step}: {found:#}");
    }
}
