// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The process that wants an artifact compiled, and waits for its child.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use fnstream_core::runtime::Limits;
use fnstream_core::{Result, error::internal};

use super::child::ASKED;
use super::end::{End, Given};
use crate::inspect::Kind;
use crate::log::LastWords;
use crate::size;

/// How long a child that has ended may keep its standard error open: nobody else has it.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Has a child compile an artifact of that kind, within so much processor time and so many bytes of memory.
pub(super) fn compile(program: &Path, limit: Duration, memory: usize, kind: Kind, artifact: &[u8]) -> Result<Vec<u8>> {
    let cannot = |e: io::Error| internal(format!("the compiler cannot be run: {e}"));
    let mut command = Command::new(program);
    // This process has the artifact, and for whoever writes it to the child once more.
    let childs = memory.saturating_sub(2 * artifact.len());
    command.arg(ASKED).arg(kind.as_str()).arg(seconds(limit).to_string()).arg(childs.to_string());
    // What the allocator keeps for later would count, and so would the stacks of threads that it has for that.
    command.env("MALLOC_CONF", "background_thread:false,retain:false,dirty_decay_ms:0,muzzy_decay_ms:0");
    command.env("RAYON_NUM_THREADS", size::threads(childs).to_string());
    // Its last words are few, and a backtrace takes memory that it does not have.
    command.env("RUST_BACKTRACE", "0");
    // What it writes is not for this process's standard error, of which each line may have to be JSON.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Reaped(command.spawn().map_err(cannot)?);
    hand_over(child.0.stdin.take(), artifact.to_vec()).map_err(cannot)?;
    let words = hear(child.0.stderr.take()).map_err(cannot)?;
    let answers = collect(child.0.stdout.take()).map_err(cannot)?;
    let given = Given { limit, wall: Limits::wall_time(limit), memory };
    let answer = answers.recv_timeout(given.wall);
    let status = match &answer {
        // It has closed its output, so it is about to end.
        Ok(_) => Some(child.0.wait().map_err(cannot)?),
        Err(_) => None,
    };
    drop(child);
    let words = words.recv_timeout(LAST_WORDS).ok().flatten();
    End { status, answer: answer.unwrap_or_else(|_| Ok(Vec::new())).map_err(cannot)?, words }.told(&given)
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

/// Hears what the child says of itself, in a thread of its own, which ends when the child does. However much that is, little of it
/// is kept.
fn hear(errors: Option<ChildStderr>) -> io::Result<Receiver<Option<String>>> {
    let (sender, words) = mpsc::channel();
    let read = move || {
        let (mut last, mut piece) = (LastWords::default(), [0; 1 << 10]);
        if let Some(mut errors) = errors {
            while let Ok(read @ 1..) = errors.read(&mut piece) {
                last.write(&piece[..read]);
            }
        }
        let _ = sender.send(last.take());
    };
    thread::Builder::new().name("compiler-errors".into()).spawn(read)?;
    Ok(words)
}

/// The kernel counts whole seconds.
fn seconds(limit: Duration) -> u64 {
    limit.as_secs() + u64::from(limit.subsec_nanos() > 0)
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
