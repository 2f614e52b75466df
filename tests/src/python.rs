// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Python, for clients that have nothing of ours.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::binary::root;

/// What `scripts/python-env.sh` ends with where there is no Python.
const NO_PYTHON: i32 = 3;

/// The interpreter of the tests' environment; none on a machine without Python, where only continuous integration may not be.
#[allow(clippy::print_stderr, reason = "a test that is passed over says so")]
pub fn python() -> Result<Option<String>> {
    let made = Command::new(root().join("scripts/python-env.sh")).output().context("cannot run the script")?;
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
