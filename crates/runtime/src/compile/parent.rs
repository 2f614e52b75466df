// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The process that wants an artifact compiled, and waits for its child.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use fnstream_core::runtime::Limits;
use fnstream_core::{Error, ErrorCode, Result, error::internal};
use rustix::process::Signal;

use super::child::{ASKED, REFUSED};
use super::refused;
use crate::inspect::Kind;

/// Has a child compile an artifact of that kind, within so much processor time and so many bytes of memory.
pub(super) fn compile(program: &Path, limit: Duration, memory: usize, kind: Kind, artifact: &[u8]) -> Result<Vec<u8>> {
    let cannot = |e: io::Error| internal(format!("the compiler cannot be run: {e}"));
    let mut command = Command::new(program);
    // This process has the artifact, and for whoever writes it to the child once more.
    let childs = memory.saturating_sub(2 * artifact.len());
    command.arg(ASKED).arg(kind.as_str()).arg(seconds(limit).to_string()).arg(childs.to_string());
    // What the allocator keeps for later would count, and so would the stacks of threads that it has for that.
    command.env("MALLOC_CONF", "background_thread:false,retain:false,dirty_decay_ms:0,muzzy_decay_ms:0");
    let mut child = Reaped(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(cannot)?);
    hand_over(child.0.stdin.take(), artifact.to_vec()).map_err(cannot)?;
    let answers = collect(child.0.stdout.take()).map_err(cannot)?;
    let wall = Limits::wall_time(limit);
    let Ok(answer) = answers.recv_timeout(wall) else {
        return Err(too_slow(format!("{wall:?} by the clock, the most with a limit of {limit:?} of processor time")));
    };
    // It has closed its output, so it is about to end.
    let status = child.0.wait().map_err(cannot)?;
    let answer = answer.map_err(cannot)?;
    if status.success() {
        Ok(answer)
    } else if status.code() == Some(REFUSED.into()) {
        Err(refused(&String::from_utf8_lossy(&answer)))
    } else if status.signal() == Some(Signal::XCPU.as_raw()) {
        Err(too_slow(format!("its limit of {limit:?} of processor time")))
    } else if memory < usize::MAX && status.signal() == Some(Signal::ABORT.as_raw()) {
        let message = format!("compiling the artifact takes more than the {memory} bytes of memory that it was given");
        Err(Error::new(ErrorCode::CompileMemory, message))
    } else {
        Err(died(status))
    }
}

/// A child that does not outlive who waits for it.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes the artifact from a thread of its own, which ends when the child does: a child that does not read must not hold up
/// who waits for it.
fn hand_over(input: Option<ChildStdin>, artifact: Vec<u8>) -> io::Result<()> {
    // Where the child died of what it was given, its status says more than a broken pipe.
    let write = move || drop(input.map(|mut input| input.write_all(&artifact)));
    thread::Builder::new().name("compiler-input".into()).spawn(write).map(drop)
}

/// Reads the answer in a thread of its own, which ends when the child does.
fn collect(output: Option<ChildStdout>) -> io::Result<Receiver<io::Result<Vec<u8>>>> {
    let (sender, answers) = mpsc::channel();
    let read = move || {
        let mut answer = Vec::new();
        let read = output.map_or(Ok(0), |mut output| output.read_to_end(&mut answer));
        // Nobody waits for it when it comes too late.
        let _ = sender.send(read.map(|_| answer));
    };
    thread::Builder::new().name("compiler-output".into()).spawn(read)?;
    Ok(answers)
}

/// The kernel counts whole seconds.
fn seconds(limit: Duration) -> u64 {
    limit.as_secs() + u64::from(limit.subsec_nanos() > 0)
}

fn too_slow(reached: String) -> Error {
    Error::new(ErrorCode::CompileTimeout, format!("compiling the artifact was ended at {reached}"))
}

fn died(status: ExitStatus) -> Error {
    internal(format!("the compiler died of the artifact, or for lack of memory: {status}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_shorter_than_asked_for() {
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_secs(2)), 2);
        assert_eq!(seconds(Duration::from_millis(2_001)), 3);
    }
}
