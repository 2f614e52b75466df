// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The tests that a language's own tool runs.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use fnstream_build::Compiled;
use fnstream_runtime::Language;

use crate::failure::{Failure, Result};
use crate::project::{Code, Project};

/// What became of the tests.
pub(super) enum Ran {
    Passed,
    /// By that command, which has said why.
    Failed(String),
    Not(String),
}

/// Runs them; what the tool says goes where this process's words go.
pub(super) fn run(project: &Project) -> Result<Ran> {
    match &project.code {
        Code::Compiled(Compiled::Go) => tool(project, "go", &["test", "./..."], &[]),
        Code::Compiled(Compiled::Rust) => tool(project, "cargo", &["test"], &[]),
        Code::Source(Language::Python, _) => python(project),
        Code::Source(Language::JavaScript, _) => {
            if !has_tests(&project.dir, &|name| name.contains(".test.")) {
                return Ok(Ran::Not("there is no file NAME.test.js".to_owned()));
            }
            tool(project, "node", &["--test"], &[])
        }
    }
}

fn python(project: &Project) -> Result<Ran> {
    if !has_tests(&project.dir, &|name| name.starts_with("test") && name.ends_with(".py")) {
        return Ok(Ran::Not("there is no file test*.py".to_owned()));
    }
    let path: Vec<_> = ["src", ".function-stream/python"].iter().map(|folder| project.dir.join(folder)).collect();
    let joined = std::env::join_paths(path.into_iter().chain(std::env::var_os("PYTHONPATH").map(Into::into)));
    let path = joined.map_err(|e| Failure::Plain(e.to_string()))?;
    // Both names are usual; the first that is there is taken.
    for python in ["python3", "python"] {
        let has = |arguments: &[&str]| {
            let tried = Command::new(python).args(arguments).stdin(Stdio::null()).output();
            tried.is_ok_and(|tried| tried.status.success())
        };
        if has(&["-c", "import pytest"]) {
            return tool(project, python, &["-m", "pytest", "-q"], &[("PYTHONPATH", path)]);
        }
        if has(&["-c", ""]) {
            return tool(project, python, &["-m", "unittest"], &[("PYTHONPATH", path)]);
        }
    }
    Ok(Ran::Not("'python3' was not found".to_owned()))
}

fn tool(project: &Project, name: &str, arguments: &[&str], variables: &[(&str, OsString)]) -> Result<Ran> {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(&project.dir).stdin(Stdio::null());
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    match command.status() {
        Ok(status) if status.success() => Ok(Ran::Passed),
        Ok(_) => Ok(Ran::Failed([&[name], arguments].concat().join(" "))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Ran::Not(format!("'{name}' was not found"))),
        Err(error) => Err(Failure::Plain(format!("'{name}' cannot be run: {error}"))),
    }
}

/// Reports whether a file of the folder, or of one of its own folders, is one with tests.
fn has_tests(folder: &Path, is_one: &dyn Fn(&str) -> bool) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.filter_map(|entry| entry.ok()).any(|entry| {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { return false };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                !name.starts_with('.') && !matches!(name, "node_modules" | "venv") && has_tests(&entry.path(), is_one)
            }
            Ok(_) => is_one(name),
            Err(_) => false,
        }
    })
}
