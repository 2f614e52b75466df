// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream client` as users run it.

use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

use crate::binary;

/// The command line of a client of one server.
#[derive(Debug, Clone)]
pub struct Cli {
    binary: PathBuf,
    url: String,
    folder: PathBuf,
}

impl Cli {
    /// A client of the server at `url`, run in the folder `folder`.
    pub fn new(url: &str, folder: impl Into<PathBuf>) -> Result<Cli> {
        Ok(Cli { binary: binary::server()?.canonicalize()?, url: url.to_owned(), folder: folder.into() })
    }

    /// The command, not run yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(["client", "-s", &self.url]).args(args).current_dir(&self.folder);
        command
    }

    /// Runs the command to its end.
    pub fn run(&self, args: &[&str]) -> Result<Output> {
        self.command(args).output().with_context(|| format!("cannot run '{}'", self.binary.display()))
    }

    /// What a command prints that succeeds and complains of nothing.
    pub fn prints(&self, args: &[&str]) -> Result<String> {
        printed(self.run(args)?)
    }

    /// What a command complains of that fails, as every failure must: exit code 1, the code, the advice, nothing on
    /// standard output.
    pub fn refuses(&self, args: &[&str], code: &str) -> Result<String> {
        complaint(self.run(args)?, code)
    }
}

/// What a command printed that succeeded and complained of nothing.
pub fn printed(output: Output) -> Result<String> {
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && errors.is_empty(), "{}: {errors}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// What a command complained of that had to fail with that code.
pub fn complaint(output: Output, code: &str) -> Result<String> {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let (out, status) = (String::from_utf8_lossy(&output.stdout), output.status);
    ensure!(status.code() == Some(1), "not exit code 1 but {status}: {errors}");
    ensure!(errors.contains(&format!("error {code}: ")), "not {code}: {errors}");
    ensure!(errors.contains("\nadvice: "), "no advice: {errors}");
    ensure!(out.is_empty(), "a failed command printed {out}");
    Ok(errors)
}
