// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Runs of functions as children.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

/// What a run has written when it has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// An example that `examples/build.sh` makes; from `FNSTREAM_EXAMPLES` where that is set.
pub(crate) fn example(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = std::env::var_os("FNSTREAM_EXAMPLES").map_or_else(|| root.join("bin"), PathBuf::from);
    let path = folder.join(format!("example_{name}.wasm"));
    assert!(path.is_file(), "no {}: run examples/build.sh", path.display());
    path.display().to_string()
}

/// A stdio module, written to a folder.
pub(crate) fn module(folder: &Path, text: &str) -> String {
    let path = folder.join("module.wasm");
    std::fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
    path.display().to_string()
}

/// The program with these arguments; compiled code is shared by all tests.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_function-stream"));
    command.args(arguments).env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("caches"));
    command
}

/// Runs a function over an input to its end.
pub(crate) fn run(arguments: &[&str], input: impl AsRef<[u8]>) -> Ended {
    let mut running = Running::start(arguments);
    let (mut stdin, input) = (running.input.take().unwrap(), input.as_ref().to_vec());
    let writing = std::thread::spawn(move || {
        // It may end before it has read everything.
        let _ = stdin.write_all(&input);
    });
    let ended = running.ended();
    writing.join().unwrap();
    ended
}

/// The same, of which something is expected.
pub(crate) fn must(arguments: &[&str], input: impl AsRef<[u8]>) -> String {
    let ended = run(arguments, input);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    ended.out
}

/// A run that goes on while the test does; it is killed when it is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) input: Option<ChildStdin>,
    pub(crate) output: Option<BufReader<ChildStdout>>,
    complaints: Option<JoinHandle<String>>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::of(command(&["run"]).args(arguments))
    }

    pub(crate) fn of(command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let mut err = child.stderr.take().unwrap();
        let complaints = std::thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).unwrap();
            text
        });
        let output = child.stdout.take().map(BufReader::new);
        Running { input: child.stdin.take(), output, complaints: Some(complaints), child }
    }

    pub(crate) fn types(&mut self, text: &str) {
        self.input.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// The next line of the output; nothing at its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.as_mut().unwrap().read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// What it writes until it has ended by itself.
    pub(crate) fn ended(mut self) -> Ended {
        let mut out = Vec::new();
        if let Some(output) = &mut self.output {
            output.read_to_end(&mut out).unwrap();
        }
        let status: ExitStatus = self.child.wait().unwrap();
        let err = self.complaints.take().unwrap().join().unwrap();
        Ended { code: status.code(), out: String::from_utf8(out).unwrap(), err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
