// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The list of steps is that of the source code.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fnstream_tests::binary;

use super::points::{POINTS, RECOVERY, WRONG};

#[test]
fn every_step_of_the_sources_is_drilled() -> Result<()> {
    let mut found = BTreeSet::new();
    read(&binary::root().join("crates"), &mut found)?;
    // Those of Kafka have drills of their own, on a real broker.
    let kafka: Vec<_> = found.extract_if(.., |name| name.starts_with("kafka.")).collect();
    let drills = std::fs::read_to_string(binary::root().join("crates/kafka/tests/kafka/kills.rs"))?;
    let of_servers = std::fs::read_to_string(binary::root().join("tests/tests/broker_steps.rs"))?;
    for name in &kafka {
        let step = name.strip_prefix("kafka.commit.").unwrap_or(name);
        ensure!(drills.contains(&format!("\"{step}\"")), "no drill of crates/kafka has '{name}'");
        ensure!(of_servers.contains(&format!("\"{name}\"")), "no drill of a server has '{name}'");
    }
    ensure!(!kafka.is_empty(), "the steps of Kafka are not found any more");
    let pulsar: Vec<_> = found.extract_if(.., |name| name.starts_with("pulsar.")).collect();
    for name in &pulsar {
        ensure!(of_servers.contains(&format!("\"{name}\"")), "no drill of a server has '{name}'");
    }
    ensure!(!pulsar.is_empty(), "the steps of Pulsar are not found any more");
    let listed: BTreeSet<String> = POINTS.iter().map(|point| point.name).chain([WRONG]).map(str::to_owned).collect();
    ensure!(found == listed, "the sources have {found:?}, the drills {listed:?}");
    Ok(())
}

#[test]
fn every_step_that_the_store_publishes_is_drilled() {
    let is_drilled = |name: &&str| POINTS.iter().any(|point| point.name == *name);
    let missing: Vec<_> = fnstream_store::FAILPOINTS.iter().chain(RECOVERY).filter(|name| !is_drilled(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_steps_of_a_text_are_found() -> Result<()> {
    let mut found = BTreeSet::new();
    let text = "failpoint!(\"a.b\");\nlet steps = [\"c.d\", \"e.f\"];\nx::failpoint!(steps[0]);\nother(\"g.h\")";
    steps("x.rs", text, &mut found)?;
    assert_eq!(found.iter().collect::<Vec<_>>(), ["a.b", "c.d", "e.f"]);
    assert!(steps("x.rs", "failpoint!(name)", &mut found).is_err());
    Ok(())
}

fn read(folder: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("'{}'", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            read(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("core/src/failpoint.rs")
        {
            steps(&path.to_string_lossy(), &std::fs::read_to_string(&path)?, found)?;
        }
    }
    Ok(())
}

/// The steps of a source: named where they are, or handed over in an array named `steps`.
fn steps(path: &str, text: &str, found: &mut BTreeSet<String>) -> Result<()> {
    for line in text.lines() {
        if let Some((_, after)) = line.split_once("failpoint!(") {
            match after.split('"').nth(1) {
                Some(name) => drop(found.insert(name.to_owned())),
                None => ensure!(after.starts_with("steps["), "{path}: this test cannot read the step of '{line}'"),
            }
        }
        if let Some((_, after)) = line.split_once("let steps = [") {
            found.extend(after.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    Ok(())
}
