// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a guest writes to its standard output and error, as lines of the server's log (target `guest`).
//!
//! A guest decides how much it writes, so lines are bounded, and nothing is allocated before the first byte.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Which of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// Cuts bytes into lines and logs them.
#[derive(Debug)]
pub(crate) struct LineLog {
    function: Arc<str>,
    task: u32,
    stream: Stream,
    longest: usize,
    line: Vec<u8>,
    /// The line was logged already, cut; the rest up to its end is dropped.
    cut: bool,
}

impl LineLog {
    pub(crate) fn new(function: Arc<str>, task: u32, stream: Stream, longest: usize) -> Self {
        LineLog { function, task, stream, longest, line: Vec::new(), cut: false }
    }

    /// Takes bytes; logs the lines that they complete.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
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
        let stream = if self.stream == Stream::Stdout { "stdout" } else { "stderr" };
        tracing::info!(target: "guest", function = &*self.function, task = self.task, stream, cut, "{line}");
        self.line.clear();
    }
}

impl Drop for LineLog {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.emit(false);
        }
    }
}

/// The same as a stream of WASI preview 2.
#[derive(Debug, Clone)]
pub(crate) struct LogStream(Arc<Mutex<LineLog>>);

impl LogStream {
    pub(crate) fn new(log: LineLog) -> Self {
        LogStream(Arc::new(Mutex::new(log)))
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

    #[test]
    fn a_long_line_is_cut_once_and_the_next_is_whole() {
        let mut log = LineLog::new("f".into(), 0, Stream::Stdout, 4);
        log.write(b"abcdef");
        assert!(log.cut && log.line.is_empty());
        log.write(b"gh\nxy");
        assert!(!log.cut);
        assert_eq!(log.line, b"xy");
        log.write(b"zw\n");
        assert!(!log.cut && log.line.is_empty());
    }
}
