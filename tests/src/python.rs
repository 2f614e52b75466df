// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Python, for clients that have nothing of ours.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::binary::root;

/// What `scripts/python-env.sh` ends with where there is no Python.
const NO_PYTHON: i32 = 3;

/// The interpreter of the tests' environment; none on a machine without Python, where only continuous integration may not be.
pub fn python() -> Result<Option<String>> {
    python_with(&[])
}

/// The same of an environment of its own, by its file of requirements below the root of the repository.
pub fn python_for(requirements: &str) -> Result<Option<String>> {
    python_with(&[requirements])
}

#[allow(clippy::print_stderr, reason = "a test that is passed over says so")]
fn python_with(arguments: &[&str]) -> Result<Option<String>> {
    let script = root().join("scripts/python-env.sh");
    let made = Command::new(script).args(arguments).output().context("cannot run the script")?;
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    match made.status.code() {
        Some(0) => Ok(Some(String::from_utf8(made.stdout)?.trim().to_owned())),
        Some(NO_PYTHON) if std::env::var_os("CI").is_none() => {
            eprintln!("PASSED OVER, since {}", said.trim());
            Ok(None)
        }
        _ => bail!("the python environment could not be made:\n{said}"),
    }
}
