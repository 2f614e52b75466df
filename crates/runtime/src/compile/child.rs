// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The process that compiles one artifact, and is then gone.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::compile;
use crate::inspect::Kind;
use crate::options::RuntimeOptions;
use crate::runtime::engine;

/// The first argument of a program that is to compile.
pub(super) const ASKED: &str = "compile-artifact";

/// The exit status after an artifact that cannot be compiled.
pub(super) const REFUSED: u8 = 1;

/// The exit status of a child that was started wrongly.
const MISUSED: u8 = 2;

/// Compiles an artifact if this process was started for it, as [`Compiling::Child`](crate::Compiling::Child) does. A program
/// that may be named there calls it first thing in its `main`, and ends with the answer if there is one.
///
/// ```
/// // Nobody asked for it.
/// assert_eq!(fnstream_runtime::compile_if_asked(), None);
/// ```
pub fn compile_if_asked() -> Option<ExitCode> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let (asked, arguments) = arguments.split_first()?;
    if asked != ASKED {
        return None;
    }
    let Some((kind, seconds, memory)) = read(arguments) else { return Some(MISUSED.into()) };
    limit(seconds, memory);
    Some(match answer(kind) {
        Ok(code) => print(&code, ExitCode::SUCCESS),
        Err(message) => print(message.as_bytes(), REFUSED.into()),
    })
}

/// The arguments after the first: what kind of artifact, how many seconds, and how many bytes.
fn read(arguments: &[OsString]) -> Option<(Kind, u64, u64)> {
    let [kind, seconds, memory] = arguments else { return None };
    Some((Kind::parse(kind.to_str()?)?, seconds.to_str()?.parse().ok()?, memory.to_str()?.parse().ok()?))
}

/// Has the kernel end this process with `SIGXCPU` when it has used so much time, give it no more than so much memory, and end it
/// before any other when memory is short. Who asked ends it by the clock too, so it goes on where the kernel refuses.
fn limit(seconds: u64, memory: u64) {
    let most = getrlimit(Resource::Cpu).maximum;
    let current = Some(most.map_or(seconds, |most| most.min(seconds)));
    let _ = setrlimit(Resource::Cpu, Rlimit { current, maximum: most });
    // What it writes to: not the code of this program, which other processes have in memory too.
    let most = getrlimit(Resource::Data).maximum;
    let current = Some(most.map_or(memory, |most| most.min(memory)));
    let _ = setrlimit(Resource::Data, Rlimit { current, maximum: most });
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    {
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    }
}

fn answer(kind: Kind) -> Result<Vec<u8>, String> {
    let mut artifact = Vec::new();
    io::stdin().lock().read_to_end(&mut artifact).map_err(|e| format!("it cannot be read: {e}"))?;
    let engine = engine(&RuntimeOptions::default()).map_err(|e| format!("{e:#}"))?;
    compile(&engine, kind, &artifact)
}

fn print(bytes: &[u8], done: ExitCode) -> ExitCode {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Ok(()) => done,
        // Whoever asked is gone.
        Err(_) => MISUSED.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_strictly() {
        let read = |arguments: &[&str]| read(&arguments.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(read(&["packed", "300", "5"]), Some((Kind::Packed, 300, 5)));
        for wrong in [&["packed", "1"][..], &["packed", "-1", "1"], &["other", "1", "1"], &["packed", "1", "2", "3"]] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
