// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Turns what a guest writes to its standard output and error into lines of its function's log.
//!
//! A guest decides how much it writes, so lines are bounded, and nothing is allocated before the first byte. A line that
//! was cut ends with [`CUT`]. How fast lines may come is the business of the [`FunctionLog`]. A line that is open at the end of a
//! call is logged then: what a later call writes is not about the same records. The last words of a call are told to those who have
//! to say why it failed ([`last_words`]).

mod last_words;

use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use fnstream_core::epoch::FunctionId;
use fnstream_core::function_log::{FunctionLog, LogLine, Speaker};
use fnstream_core::runtime::InstanceSpec;
use parking_lot::Mutex;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

pub(crate) use self::last_words::LastWords;
use crate::sandbox::Machine;

/// The end of a line that was cut.
pub(crate) const CUT: &str = " … (line cut)";

/// Cuts bytes into lines and logs them.
pub(crate) struct LineLog {
    log: Arc<dyn FunctionLog>,
    function: FunctionId,
    name: Arc<str>,
    task: u32,
    speaker: Speaker,
    longest: usize,
    line: Vec<u8>,
    /// The line was logged already, cut; the rest up to its end is dropped.
    cut: bool,
    /// What was written last in this call.
    last: LastWords,
}

impl LineLog {
    /// One of the two streams of an instance.
    pub(crate) fn new(machine: &Machine, spec: &InstanceSpec, speaker: Speaker) -> Self {
        LineLog {
            log: Arc::clone(&machine.log),
            function: spec.id,
            name: spec.function.as_str().into(),
            task: spec.task_index,
            speaker,
            longest: machine.options.log_line,
            line: Vec::new(),
            cut: false,
            last: LastWords::default(),
        }
    }

    /// A call begins: the last words of the one before are not its own.
    pub(crate) fn begin(&mut self) {
        self.end();
        self.last.clear();
    }

    /// A call ends, and with it the line that is open.
    pub(crate) fn end(&mut self) {
        if !self.line.is_empty() {
            self.emit(false);
        }
        self.cut = false;
    }

    /// What was written last in this call.
    pub(crate) fn last_words(&mut self) -> Option<String> {
        self.last.take()
    }

    /// Takes bytes; logs the lines that they complete.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.last.write(bytes);
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            if !self.cut {
                let room = self.longest - self.line.len();
                self.line.extend_from_slice(&text[..text.len().min(room)]);
                if text.len() > room {
                    self.emit(true);
                    self.cut = true;
                }
            }
            if ends {
                if !self.cut {
                    self.emit(false);
                }
                self.cut = false;
            }
        }
    }

    fn emit(&mut self, cut: bool) {
        let line = String::from_utf8_lossy(&self.line);
        let line = line.trim_end_matches('\r');
        let marked = if cut { format!("{line}{CUT}").into() } else { Cow::Borrowed(line) };
        let (name, task) = (&*self.name, Some(self.task));
        self.log.write(LogLine { function: self.function, name, task, speaker: self.speaker, text: &marked });
        self.line.clear();
    }
}

impl Drop for LineLog {
    fn drop(&mut self) {
        self.end();
    }
}

/// The same as a stream of WASI preview 2.
#[derive(Clone)]
pub(crate) struct LogStream(Arc<Mutex<LineLog>>);

impl LogStream {
    pub(crate) fn new(log: LineLog) -> Self {
        LogStream(Arc::new(Mutex::new(log)))
    }

    /// See [`LineLog::begin`].
    pub(crate) fn begin(&self) {
        self.0.lock().begin();
    }

    /// See [`LineLog::end`].
    pub(crate) fn end(&self) {
        self.0.lock().end();
    }

    /// See [`LineLog::last_words`].
    pub(crate) fn last_words(&self) -> Option<String> {
        self.0.lock().last_words()
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.lock().write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl tokio::io::AsyncWrite for LogStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl FunctionLog for Lines {
        fn write(&self, line: LogLine<'_>) {
            self.0.lock().push(line.text.to_owned());
        }
    }

    /// A log whose lines have four bytes at most.
    fn short(lines: &Arc<Lines>) -> LineLog {
        LineLog {
            log: lines.clone(),
            function: FunctionId(1),
            name: "f".into(),
            task: 0,
            speaker: Speaker::Stdout,
            longest: 4,
            line: Vec::new(),
            cut: false,
            last: LastWords::default(),
        }
    }

    #[test]
    fn a_long_line_is_cut_once_and_the_next_is_whole() {
        let lines = Arc::new(Lines::default());
        let mut log = short(&lines);
        log.write(b"abc");
        log.write(b"def");
        log.write(b"gh\nxy");
        assert!(log.line.capacity() < 64, "what is dropped is not kept");
        log.write(b"z\r\n\nunended");
        drop(log);
        assert_eq!(*lines.0.lock(), ["abcd … (line cut)", "xyz", "", "unen … (line cut)"]);
    }

    #[test]
    fn a_line_that_is_open_when_a_call_ends_is_not_glued_to_the_next() {
        let lines = Arc::new(Lines::default());
        let mut log = short(&lines);
        for text in ["a", "b\nc", "longer", "d\n", ""] {
            log.begin();
            log.write(text.as_bytes());
            log.end();
        }
        assert_eq!(*lines.0.lock(), ["a", "b", "c", "long … (line cut)", "d"]);
        log.begin();
        log.write(b"why");
        assert_eq!(log.last_words().as_deref(), Some("why"));
        log.begin();
        assert_eq!(log.last_words(), None, "they are of that call");
    }
}
