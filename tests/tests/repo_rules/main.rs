// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The rules of the repository itself: which crate may know which, whose licences are allowed, and that what the pages
//! say is there is there.
//!
//! Each rule is a function over what was read, and is itself tested on something that breaks it.
#![allow(clippy::unwrap_used)]

mod dependencies;
mod documents;
mod error_pages;
mod files;
mod included;
mod licences;
mod printing;
mod transcript;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What a program prints when it is run in the root; panics when it fails.
fn output_of(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The files of the repository, with the new ones that are not committed yet, as paths relative to the root.
fn tracked_files() -> Vec<String> {
    output_of("git", &["ls-files", "--cached", "--others", "--exclude-standard"])
        .lines()
        .filter(|path| root().join(path).is_file())
        .map(str::to_owned)
        .collect()
}

/// Cargo's own description of the workspace and of everything that it depends on, with all features.
fn cargo_metadata() -> serde_json::Value {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let json = output_of(cargo, &["metadata", "--format-version", "1", "--locked", "--all-features"]);
    serde_json::from_str(&json).unwrap()
}

/// Fails with all problems at once.
fn assert_none(rule: &str, problems: &[String]) {
    assert!(problems.is_empty(), "{rule}:\n  {}", problems.join("\n  "));
}
