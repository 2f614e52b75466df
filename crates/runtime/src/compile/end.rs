// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the end of a child means.
//!
//! ```text
//! status 0                                             the code
//! status 1                                             the artifact is wrong
//! SIGXCPU; still there at the end of its time          it takes too long
//! any of those below that tells of memory; SIGABRT     it takes more memory than it was given
//! SIGKILL                                              somebody else ended it: the system, for want of memory
//! another status or signal                             a fault of ours, or of the compiler
//! ```
//!
//! Who runs out of memory seldom gets to say so: the allocator writes a line and aborts, a thread that cannot be started is a panic,
//! a mapping that is refused is an error like any other. So what the child wrote is looked at. It is told in the error in any
//! case, since nothing else says what happened.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use fnstream_core::{Error, ErrorCode, Result, error::internal};
use rustix::process::Signal;

use super::child::REFUSED;
use super::refused;
use crate::fault::readable;

/// In the words of who could not have memory: of the allocator, of the system (`ENOMEM`, `EAGAIN` for a thread), of the compiler.
const OF_MEMORY: [&str; 4] = ["memory allocation of ", "os error 12)", "os error 11)", "out of memory"];

/// In the words of who aborted for another reason.
const OF_OTHERS: [&str; 2] = ["panicked at", "has overflowed its stack"];

/// What a child was given.
pub(super) struct Given {
    /// Processor time.
    pub(super) limit: Duration,
    /// Time by the clock.
    pub(super) wall: Duration,
    /// Bytes, for this process's share in it too.
    pub(super) memory: usize,
}

/// How it ended.
pub(super) struct End {
    /// `None` if it had to be ended.
    pub(super) status: Option<ExitStatus>,
    /// What it wrote to its standard output.
    pub(super) answer: Vec<u8>,
    /// The last of what it wrote to its standard error.
    pub(super) words: Option<String>,
}

impl End {
    /// The code, or why there is none. What was said beside it is logged.
    pub(super) fn told(self, given: &Given) -> Result<Vec<u8>> {
        let words = self.words.as_deref().and_then(readable).map(|words| in_one_line(&words));
        let Some(status) = self.status else {
            let (wall, limit) = (given.wall, given.limit);
            let reached = format!("{wall:?} by the clock, the most with a limit of {limit:?} of processor time");
            return Err(with(too_slow(&reached), words));
        };
        let is_signal = |signal: Signal| status.signal() == Some(signal.as_raw());
        if status.success() {
            if let Some(words) = words {
                tracing::warn!(words, "the compiler has done its work, and complained");
            }
            return Ok(self.answer);
        }
        let is_refusal = status.code() == Some(REFUSED.into());
        let answer = String::from_utf8_lossy(if is_refusal { &self.answer } else { &[] });
        let tells = |these: &[&str]| {
            let said = |text: &str| these.iter().any(|this| text.contains(this));
            said(&answer) || words.as_deref().is_some_and(said)
        };
        let is_short = tells(&OF_MEMORY) || (is_signal(Signal::ABORT) && !tells(&OF_OTHERS));
        let error = if given.memory < usize::MAX && is_short && !is_signal(Signal::KILL) {
            let memory = given.memory;
            let message =
                format!("compiling the artifact takes more than the {memory} bytes of memory that it was given");
            Error::new(ErrorCode::CompileMemory, message)
        } else if is_refusal {
            refused(&answer)
        } else if is_signal(Signal::XCPU) {
            too_slow(&format!("its limit of {:?} of processor time", given.limit))
        } else if is_signal(Signal::KILL) {
            let message = format!("the system ended the compiler, most likely for want of memory: {status}");
            Error::new(ErrorCode::MemoryShort, message)
        } else {
            internal(format!("the compiler died of the artifact: {status}"))
        };
        Err(with(error, words))
    }
}

fn too_slow(reached: &str) -> Error {
    Error::new(ErrorCode::CompileTimeout, format!("compiling the artifact was ended at {reached}"))
}

fn with(error: Error, words: Option<String>) -> Error {
    match words {
        Some(words) => Error { message: format!("{}; it last wrote: {words}", error.message), ..error },
        None => error,
    }
}

fn in_one_line(words: &str) -> String {
    let says = |line: &&str| !line.is_empty() && !line.starts_with("note: run with `RUST_BACKTRACE");
    words.split('\n').map(str::trim).filter(says).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GIVEN: Given = Given { limit: Duration::from_secs(1), wall: Duration::from_secs(9), memory: 1000 };
    const SHORT: &str = "compiling the artifact takes more than the 1000 bytes of memory that it was given";

    /// How the end of a child is told that left with that status, as `wait` gives it, and wrote these.
    fn told(raw: i32, answer: &str, words: &str) -> (ErrorCode, String) {
        let words = (!words.is_empty()).then(|| words.to_owned());
        let end = End { status: Some(ExitStatus::from_raw(raw)), answer: answer.into(), words };
        let error = end.told(&GIVEN).unwrap_err();
        (error.code, error.message)
    }

    fn exit(status: i32) -> i32 {
        status << 8
    }

    #[test]
    fn want_of_memory_is_known_by_how_it_is_told() {
        let (abort, panic) = (Signal::ABORT.as_raw(), exit(101));
        assert_eq!(told(abort, "", ""), (ErrorCode::CompileMemory, SHORT.to_owned()));
        for (raw, words) in [
            (abort, "memory allocation of 65536 bytes failed"),
            (abort, "thread 'x' panicked at a.rs:1:2:; no; memory allocation of 5 bytes failed"),
            (panic, "thread 'main' panicked at pool.rs:1:2:; IOError(Resource temporarily unavailable (os error 11))"),
        ] {
            assert_eq!(told(raw, "", words), (ErrorCode::CompileMemory, format!("{SHORT}; it last wrote: {words}")));
        }
        let refusal = "failed to make memory executable: Cannot allocate memory (os error 12)";
        assert_eq!(told(exit(1), refusal, ""), (ErrorCode::CompileMemory, SHORT.to_owned()));
    }

    #[test]
    fn other_ends_are_told_with_the_last_words_in_one_line() {
        for (raw, answer, words, code, message) in [
            (
                exit(1),
                "it is wrong",
                "a note\n",
                ErrorCode::ArtifactInvalid,
                "the artifact cannot be compiled: it is wrong; it last wrote: a note",
            ),
            (
                exit(101),
                "half",
                "thread 'main' panicked at a.rs:1:2:\nno\u{1b}way\n",
                ErrorCode::Internal,
                "the compiler died of the artifact: exit status: 101; it last wrote: thread 'main' panicked at a.rs:1:2:; noway",
            ),
            (
                Signal::ABORT.as_raw(),
                "",
                "thread 'main' has overflowed its stack\nfatal runtime error: stack overflow, aborting",
                ErrorCode::Internal,
                "the compiler died of the artifact: signal: 6 (SIGABRT); it last wrote: thread 'main' has overflowed its \
                 stack; fatal runtime error: stack overflow, aborting",
            ),
            (
                Signal::SEGV.as_raw(),
                "",
                "",
                ErrorCode::Internal,
                "the compiler died of the artifact: signal: 11 (SIGSEGV)",
            ),
            (
                Signal::KILL.as_raw(),
                "",
                "",
                ErrorCode::MemoryShort,
                "the system ended the compiler, most likely for want of memory: signal: 9 (SIGKILL)",
            ),
            (
                Signal::XCPU.as_raw(),
                "",
                "slow",
                ErrorCode::CompileTimeout,
                "compiling the artifact was ended at its limit of 1s of processor time; it last wrote: slow",
            ),
        ] {
            assert_eq!(told(raw, answer, words), (code, message.to_owned()));
        }
        let done =
            End { status: Some(ExitStatus::from_raw(0)), answer: b"code".to_vec(), words: Some("a note".into()) };
        assert_eq!(done.told(&GIVEN).unwrap(), b"code");
    }

    #[test]
    fn without_a_bound_of_memory_nothing_is_blamed_on_it() {
        let end = End { status: Some(ExitStatus::from_raw(Signal::ABORT.as_raw())), answer: Vec::new(), words: None };
        let error = end.told(&Given { memory: usize::MAX, ..GIVEN }).unwrap_err();
        assert_eq!(error.code, ErrorCode::Internal);
    }
}
