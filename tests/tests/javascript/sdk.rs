// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The SDK's own tests, by Node.js: states, types, the test kit, and the scenarios in it; and its package.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use fnstream_tests::binary::root;

/// What `scripts/node-env.sh` ends with where there is no Node.js.
const NO_NODE: i32 = 3;

/// Makes the SDK's own folder ready for its tests; false on a machine without Node.js, where only continuous integration may not be.
#[allow(clippy::print_stderr, reason = "a test that is passed over says so")]
fn is_ready() -> Result<bool> {
    let made = Command::new(root().join("scripts/node-env.sh"))
        .arg("sdks/javascript")
        .output()
        .context("cannot run the script")?;
    let said = String::from_utf8_lossy(&made.stderr);
    match made.status.code() {
        Some(0) => Ok(true),
        Some(NO_NODE) if std::env::var_os("CI").is_none() => {
            eprintln!("PASSED OVER, since {}", said.trim());
            Ok(false)
        }
        _ => bail!("the packages of the tests cannot be had:\n{said}"),
    }
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> Result<Output> {
    let done = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    ensure!(
        done.status.success(),
        "{program} {arguments:?}:\n{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(done)
}

#[test]
fn the_tests_of_the_sdk_pass() -> Result<()> {
    if !is_ready()? {
        return Ok(());
    }
    run("npm", &["test", "--silent"], &root().join("sdks/javascript")).map(drop)
}

/// A project that has the package installed, and nothing of this repository.
#[test]
fn the_package_is_all_that_a_project_needs() -> Result<()> {
    if !is_ready()? {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let place = folder.path().display().to_string();
    let packed = run("npm", &["pack", "--silent", "--pack-destination", &place], &root().join("sdks/javascript"))?;
    let package = format!("./{}", String::from_utf8(packed.stdout)?.trim());
    std::fs::write(folder.path().join("package.json"), r#"{"name":"mine","type":"module"}"#)?;
    run("npm", &["install", "--silent", "--offline", "--no-audit", &package], folder.path())?;
    std::fs::write(
        folder.path().join("app.js"),
        "import { Output } from 'functionstream';\nexport default (record) => new Output(`${record.text}!`, { key: 'k' });\n",
    )?;
    std::fs::write(
        folder.path().join("app.test.js"),
        "import assert from 'node:assert/strict';\nimport { test } from 'node:test';\nimport { Harness } from 'functionstream/testing';\n\
         import shout from './app.js';\ntest('shouts', async () => {\n  const harness = await Harness.start(shout);\n  \
         await harness.send('loud');\n  assert.deepEqual(harness.texts(), ['loud!']);\n});\n",
    )?;
    run("node", &["--test"], folder.path()).map(drop)
}
