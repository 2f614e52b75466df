// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The scenarios, for each program and world.

use anyhow::{Context, Result, ensure};
use fnstream_tests::binary::root;

use crate::artifacts;
use crate::scenario::{Scenario, Subject};

fn all(subject: &Subject<'_>) -> Result<()> {
    let mut files: Vec<_> =
        std::fs::read_dir(root().join("tests/sdk/scenarios"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    ensure!(files.len() >= 10, "only {} scenarios", files.len());
    // All that fail are told, not only the first.
    let problems: Vec<_> = files
        .iter()
        .filter_map(|file| Scenario::read(file).and_then(|scenario| scenario.run(subject)).err())
        .map(|problem| format!("{problem:#}"))
        .collect();
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

#[test]
fn go_in_the_packed_world() -> Result<()> {
    let program = artifacts::go_packed();
    assert_eq!(program.kind(), "packed");
    all(&Subject { program, world: "packed" })
}

#[test]
fn go_in_the_per_record_world() -> Result<()> {
    let program = artifacts::go_per_record();
    assert_eq!(program.kind(), "processor");
    all(&Subject { program, world: "per-record" })
}

#[test]
fn rust_in_the_packed_world() -> Result<()> {
    let program = &artifacts::rust_packed();
    assert_eq!(program.kind(), "packed");
    all(&Subject { program, world: "packed" })
}

#[test]
fn python_on_its_engine() -> Result<()> {
    let program = &artifacts::python();
    assert_eq!(program.kind(), "python");
    all(&Subject { program, world: "packed" })
}

#[test]
fn another_toolchain_in_the_per_record_world() -> Result<()> {
    let program = &artifacts::rust_per_record();
    assert_eq!(program.kind(), "processor");
    all(&Subject { program, world: "per-record" })
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
        ("{}", "the step says nothing"),
    ] {
        std::fs::write(&scenario, format!("name: n\nsteps: [{step}]\n")).unwrap();
        let subject = Subject { program: artifacts::go_packed(), world: "packed" };
        let found = Scenario::read(scenario.path()).unwrap().run(&subject).unwrap_err();
        assert!(format!("{found:#}").contains(problem), "{step}: {found:#}");
    }
}
