// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The SDK's own tests, by ordinary CPython: states, the test kit, the scenarios in it, and the client.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use fnstream_tests::binary::root;
use fnstream_tests::python::python_for;

#[test]
fn the_tests_of_the_sdk_pass() -> Result<()> {
    let Some(python) = python_for("sdks/python/tests/requirements.txt")? else { return Ok(()) };
    let tests = Command::new(python)
        .args(["-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .current_dir(root().join("sdks/python"))
        .output()
        .context("cannot run pytest")?;
    ensure!(
        tests.status.success(),
        "{}{}",
        String::from_utf8_lossy(&tests.stdout),
        String::from_utf8_lossy(&tests.stderr)
    );
    Ok(())
}
