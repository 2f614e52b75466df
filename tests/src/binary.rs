// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What was built and is now tested. What is missing is a failure that says how to build it, never a reason to skip.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The program as users run it: `FNSTREAM_BIN`, else `bin/function-stream`, else what cargo built last.
pub fn server() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let places = [root().join("bin/function-stream"), target.join("release/function-stream")];
    find("FNSTREAM_BIN", &places).context("build it with 'make build'")
}

/// The program that can be told to die at a named step: `FNSTREAM_FAILPOINTS_BIN`, else
/// `bin/function-stream-failpoints`.
pub fn server_with_failpoints() -> Result<PathBuf> {
    let places = [root().join("bin/function-stream-failpoints")];
    find("FNSTREAM_FAILPOINTS_BIN", &places).context("build it with 'scripts/build-failpoints.sh'")
}

/// An example function by its name, such as `word_count_rust`; from the folder `FNSTREAM_EXAMPLES`, else `bin`.
pub fn example(name: &str) -> Result<PathBuf> {
    let folder = std::env::var_os("FNSTREAM_EXAMPLES").map_or_else(|| root().join("bin"), PathBuf::from);
    let path = folder.join(format!("example_{name}.wasm"));
    if !path.is_file() {
        bail!("'{}' is missing: build it with 'make examples'", path.display());
    }
    Ok(path)
}

/// The folder with the engine of a language, such as `python`: `FNSTREAM_ENGINES`, else `bin/engines`.
pub fn engines(language: &str) -> Result<PathBuf> {
    let folder = std::env::var_os("FNSTREAM_ENGINES").map_or_else(|| root().join("bin/engines"), PathBuf::from);
    let path = folder.join(format!("{language}.wasm"));
    if !path.is_file() {
        bail!("'{}' is missing: build it with 'make engines'", path.display());
    }
    Ok(folder.canonicalize()?)
}

fn find(variable: &str, places: &[PathBuf]) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable).map(PathBuf::from) {
        if path.is_file() {
            return Ok(path);
        }
        bail!("{variable} names '{}', which is not a file", path.display());
    }
    let tried = || places.iter().map(|p| format!("'{}'", p.display())).collect::<Vec<_>>().join(" nor ");
    places
        .iter()
        .find(|path| path.is_file())
        .cloned()
        .with_context(|| format!("there is neither {variable} nor {}", tried()))
}
