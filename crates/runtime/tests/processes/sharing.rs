// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Processes that share a folder of compiled code which is far too small for what they run, and are killed at any moment.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};

use fnstream_core::runtime::Runtime;
use fnstream_runtime::{RuntimeOptions, WasmRuntime};
use sha2::{Digest, Sha256};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[(
    "killed_processes_leave_a_folder_that_is_whole_and_within_its_bound",
    killed_processes_leave_a_folder_that_is_whole_and_within_its_bound,
)];

/// The first argument of a process that loads artifacts until it is killed.
pub(crate) const CHURN: &str = "churn";

/// Artifacts in all.
const ARTIFACTS: u32 = 12;

/// Those that each process uses at once.
const IN_USE: usize = 3;

/// Two of the artifacts fit, so something is removed nearly each time that something is added.
const BOUND: u64 = 40 << 10;

/// Deaths of each of the two processes that run at once.
const DEATHS: usize = 25;

fn artifact(number: u32) -> Vec<u8> {
    let text = format!(r#"(module (func (export "process") (drop (i32.const {number}))))"#);
    wat::parse_str(text).unwrap()
}

fn runtime(dir: &Path) -> WasmRuntime {
    WasmRuntime::new(Some(dir.into()), RuntimeOptions { cache_bytes: BOUND, ..RuntimeOptions::default() }).unwrap()
}

/// Whether the code of an artifact is in the folder.
fn is_kept(dir: &Path, artifact: &[u8]) -> bool {
    let digest = hex(&Sha256::digest(artifact));
    let mut files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    files.any(|name| name.starts_with(&digest) && name.ends_with(".cwasm"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Loads one artifact after the other, says so, and sees that what it uses stays.
#[expect(clippy::print_stderr, reason = "the process that started this one reads it")]
pub(crate) fn churn(dir: &Path) -> ExitCode {
    let runtime = runtime(dir);
    let mut in_use = VecDeque::new();
    for number in (0..).map(|step| step * 7 % ARTIFACTS) {
        let artifact = artifact(number);
        in_use.push_back((artifact.clone(), runtime.load(&artifact).unwrap()));
        if let Some((lost, _)) = in_use.iter().find(|(artifact, _)| !is_kept(dir, artifact)) {
            eprintln!("code in use was removed: {}", hex(&Sha256::digest(lost)));
            return ExitCode::FAILURE;
        }
        if in_use.len() > IN_USE {
            in_use.pop_front();
        }
        println!("{number}");
        std::io::stdout().flush().unwrap();
    }
    ExitCode::SUCCESS
}

/// A process that churns, and the lines that it writes.
fn start(dir: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let mut child = command.arg(CHURN).arg(dir).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    (child, lines)
}

/// Kills a process after so many lines, wherever it is then.
fn kill_after(lines: usize, (mut child, output): (Child, BufReader<ChildStdout>)) {
    let seen = output.lines().take(lines).count();
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.signal(), seen), (Some(9), lines), "it ended by itself: {status}");
}

fn killed_processes_leave_a_folder_that_is_whole_and_within_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let deaths = |of: usize| {
        for death in 0..DEATHS {
            kill_after(1 + (death * 5 + of * 3) % 11, start(dir));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| deaths(0));
        scope.spawn(|| deaths(1));
    });
    let left = fs::read_dir(dir).unwrap().count();
    drop(runtime(dir));
    let mut bytes = 0;
    let mut by_stem = BTreeMap::<String, Vec<String>>::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name == "KEY" {
            continue;
        }
        let (stem, extension) = name.split_once('.').unwrap();
        bytes += entry.metadata().unwrap().len();
        by_stem.entry(stem.to_owned()).or_default().push(extension.to_owned());
    }
    println!("{} deaths left {left} files, of which {} artifacts of {bytes} bytes are kept", 2 * DEATHS, by_stem.len());
    assert!(bytes <= BOUND, "{bytes} bytes");
    for (stem, mut extensions) in by_stem {
        extensions.sort();
        assert_eq!(extensions, ["cwasm", "sum"], "{stem}");
        let code = fs::read(dir.join(format!("{stem}.cwasm"))).unwrap();
        let sum = fs::read_to_string(dir.join(format!("{stem}.sum"))).unwrap();
        assert!(sum.starts_with(&format!("stdio {} ", hex(&Sha256::digest(&code)))), "{stem}: {sum}");
    }
    let runtime = runtime(dir);
    for number in 0..ARTIFACTS {
        runtime.load(&artifact(number)).unwrap();
    }
}
