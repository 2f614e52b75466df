// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The binary without arguments: a server if the environment names a file for one, the help otherwise.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_function-stream");

fn bare(conf: Option<&OsStr>) -> Command {
    let mut command = Command::new(BINARY);
    for name in ["FUNCTION_STREAM_CONF", "FUNCTION_STREAM_HOME", "LISTEN_ADDR", "GRPC_LISTEN_ADDR", "RUST_LOG"] {
        command.env_remove(name);
    }
    if let Some(conf) = conf {
        command.env("FUNCTION_STREAM_CONF", conf);
    }
    command
}

fn client(url: &str, args: &[&str]) -> Output {
    Command::new(BINARY).args(["client", "-s", url]).args(args).output().unwrap()
}

/// Ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn with_a_file_named_in_the_environment_it_serves_with_the_settings_of_that_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("kept-here");
    let text = format!(
        "rest: {{listen: '127.0.0.1:0'}}\nservice: {{host: 127.0.0.1, port: 0}}\nstate_storage: {{base_dir: '{}', durability: os}}\n",
        data.display()
    );
    std::fs::write(folder.path().join("config.yaml"), text).unwrap();
    // The folder of a file stands for the file.
    let mut process =
        Server(bare(Some(folder.path().as_os_str())).current_dir(&folder).stderr(Stdio::piped()).spawn().unwrap());
    let mut log = BufReader::new(process.0.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the server ended before it listened");
    }
    let address = line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
    let url = format!("http://{address}");
    let produced = client(&url, &["produce", "-n", "t", "-c", "hello"]);
    assert_eq!(std::str::from_utf8(&produced.stdout).unwrap(), "Event produced\n");
    let consumed = client(&url, &["consume", "-n", "t", "-t", "60s"]);
    assert_eq!(std::str::from_utf8(&consumed.stdout).unwrap(), "\"hello\"\n");
    assert!(data.is_dir(), "the setting of the file was not heeded");
}

#[test]
fn without_a_file_it_prints_its_help() {
    let plain = bare(None).output().unwrap();
    let help = std::str::from_utf8(&plain.stderr).unwrap();
    assert!(help.contains("Usage:") && help.contains("FUNCTION_STREAM_CONF"), "{help}");
    assert_eq!(plain.status.code(), Some(2));
    let empty = bare(Some(OsStr::new(""))).output().unwrap();
    assert_eq!((empty.status.code(), &empty.stderr), (Some(2), &plain.stderr), "a variable without text is not set");
}

#[test]
fn a_relative_file_is_looked_for_under_the_home_first() {
    let (home, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(here.path().join("x.yaml"), "here: 1\n").unwrap();
    let told = || {
        let mut command = bare(Some(OsStr::new("x.yaml")));
        let output = command.env("FUNCTION_STREAM_HOME", home.path()).current_dir(&here).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(told().contains("'here'"), "{}", told());
    std::fs::write(home.path().join("x.yaml"), "home: 1\n").unwrap();
    assert!(told().contains("'home'"), "{}", told());
}

#[test]
fn a_file_that_cannot_be_used_is_an_error_with_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let (bad, missing) = (folder.path().join("bad.yaml"), folder.path().join("missing.yaml"));
    std::fs::write(&bad, "rest: {listne: ':1'}\n").unwrap();
    for (path, expected) in [(bad, "did you mean 'listen'?"), (missing, "missing.yaml")] {
        let output = bare(Some(path.as_os_str())).current_dir(&folder).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("FS-1703") && told.contains(expected), "{told}");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing was made");
}

#[test]
fn other_arguments_are_taken_as_they_are() {
    let output = bare(Some(OsStr::new("nowhere.yaml"))).arg("--version").output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"function-stream "), "{output:?}");
}
