// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The program in a folder, as somebody types it there.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_function-stream");

/// What a command has written when it has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The folder with the engines: `FNSTREAM_ENGINES`, or `bin/engines`.
pub(crate) fn engines() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin/engines");
    std::env::var_os("FNSTREAM_ENGINES").map_or(built, PathBuf::from)
}

/// The program in a folder. Compiled code is shared by all tests, and the engines are those of the repository.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).current_dir(folder);
    command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("caches"));
    command.env("FUNCTION_STREAM_WASM_ENGINES_DIR", engines());
    for name in ["FUNCTION_STREAM_CONF", "FUNCTION_STREAM_URL", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Ended {
    ended(&mut command(folder, arguments))
}

pub(crate) fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The same, of which something is expected.
pub(crate) fn must(folder: &Path, arguments: &[&str]) -> String {
    let ended = run(folder, arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    ended.out
}

/// Waits until a file has those words.
pub(crate) fn wait_for(file: &Path, words: &str) {
    let mut tail = Command::new("tail");
    tail.args(["-n", "+1", "-s", "0.1", "-F"]).arg(file).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut tail = tail.spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(words)));
    tail.kill().unwrap();
    tail.wait().unwrap();
}
