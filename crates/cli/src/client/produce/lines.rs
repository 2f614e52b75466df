// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! An input that comes in pieces, cut into requests of whole lines.
//!
//! A line is an event, without its end, which is LF or CR LF, or a NUL byte; the last one needs none. A line without a byte is no
//! event and is skipped, unless it is said that it is one. Lines are numbered over the whole input, from 1.

use std::io::{ErrorKind, Read};

use tokio::sync::mpsc::{Receiver, channel};

use super::form::Form;

/// A request has about this size at most, unless one line is longer.
pub(super) const REQUEST_BYTES: usize = 1 << 20;

/// The longest line that is held here. A server takes much less.
const MOST_LINE_BYTES: usize = 1 << 30;

/// What one read asks for, and how many of them wait to be sent.
const CHUNK_BYTES: usize = 256 << 10;
const CHUNKS: usize = 8;

/// Reads an input in a thread of its own, so that what has come is there while more is waited for.
pub(super) fn chunks(mut from: impl Read + Send + 'static) -> Receiver<std::io::Result<Vec<u8>>> {
    let (tell, chunks) = channel(CHUNKS);
    std::thread::spawn(move || {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = match from.read(&mut chunk) {
                Ok(0) => return,
                Ok(count) => {
                    chunk.truncate(count);
                    Ok(chunk)
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_over = read.is_err();
            // Nobody may want it any more.
            if tell.blocking_send(read).is_err() || is_over {
                return;
            }
        }
    });
    chunks
}

/// Lines for one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The lines, with an end between them.
    pub(super) body: Vec<u8>,
    /// The number of the first line.
    pub(super) first: u64,
    /// The number of the last line.
    pub(super) last: u64,
}

/// Cuts an input into requests.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    form: Form,
    pending: Vec<u8>,
    /// No line ends before this place in what is pending.
    searched: usize,
    lines: u64,
    /// How many of the first events are not wanted.
    pass: u64,
    /// How many of them there were.
    pub(super) passed: u64,
    /// How many lines were empty.
    pub(super) skipped: u64,
}

impl Cutter {
    /// A cutter that passes over the first events, so many of them.
    pub(super) fn new(form: Form, pass: u64) -> Self {
        Cutter { form, pass, ..Cutter::default() }
    }

    /// Adds what has come.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.pending.extend_from_slice(chunk);
    }

    /// Whether there is enough for a request.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= REQUEST_BYTES
    }

    /// The number of a line that is too long to be held, if there is one.
    pub(super) fn too_long(&self) -> Option<u64> {
        (self.searched > MOST_LINE_BYTES).then_some(self.lines + 1)
    }

    /// The next request, if there are whole lines for one. At the end of the input the last line needs no end. An error says
    /// which line is wrong, and why; what came before it has been given.
    pub(super) fn next(&mut self, is_end: bool) -> Result<Option<Request>, String> {
        let mut request = Request { body: Vec::new(), first: 0, last: 0 };
        let (mut at, mut wrong) = (0, None);
        while let Some((line, next)) = self.line(at, is_end) {
            let line = &self.pending[line];
            let is_first = request.body.is_empty();
            if !is_first && request.body.len() + 1 + line.len() > REQUEST_BYTES {
                break;
            }
            let number = self.lines + 1;
            match line {
                [] if !self.form.keep_empty => self.skipped += 1,
                _ if self.passed < self.pass => self.passed += 1,
                line => {
                    let before = request.body.len();
                    if !is_first {
                        request.body.push(b'\n');
                    }
                    if let Err(why) = self.form.add(&mut request.body, line) {
                        request.body.truncate(before);
                        wrong = Some(format!("line {number}: {why}"));
                        self.searched = at;
                        break;
                    }
                    request.first = if is_first { number } else { request.first };
                    request.last = number;
                }
            }
            self.lines = number;
            (at, self.searched) = (next, next);
        }
        self.pending.drain(..at);
        self.searched -= at;
        match wrong {
            Some(why) if request.body.is_empty() => Err(why),
            _ => Ok((!request.body.is_empty()).then_some(request)),
        }
    }

    /// The line that begins there, without its end, and where the next one begins.
    fn line(&mut self, at: usize, is_end: bool) -> Option<(std::ops::Range<usize>, usize)> {
        let from = self.searched.max(at);
        let separator = self.form.end();
        let end = match self.pending[from..].iter().position(|byte| *byte == separator) {
            Some(end) => from + end,
            None => {
                self.searched = self.pending.len();
                if !is_end || at == self.pending.len() {
                    return None;
                }
                self.pending.len()
            }
        };
        let line = &self.pending[at..end];
        let line = if self.form.nul { line.len() } else { line.strip_suffix(b"\r").map_or(line.len(), <[u8]>::len) };
        Some((at..at + line, (end + 1).min(self.pending.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::form::Kind;
    use super::*;

    /// The lines that are sent for pieces of an input, with the numbers of the first and the last of each request.
    fn sent(pieces: &[&[u8]]) -> (Vec<(Vec<String>, u64, u64)>, u64) {
        let (mut cutter, mut requests) = (Cutter::default(), Vec::new());
        let mut take = |cutter: &mut Cutter, is_end| {
            while let Some(Request { body, first, last }) = cutter.next(is_end).unwrap() {
                let lines = body.split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line).into_owned());
                requests.push((lines.collect(), first, last));
            }
        };
        for piece in pieces {
            cutter.push(piece);
            take(&mut cutter, false);
        }
        take(&mut cutter, true);
        let skipped = cutter.skipped;
        (requests, skipped)
    }

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn what_has_come_is_sent_at_once() {
        let (requests, skipped) = sent(&[b"a\nb", b"", b"c\n", b"d"]);
        assert_eq!(requests, [(lines(&["a"]), 1, 1), (lines(&["bc"]), 2, 2), (lines(&["d"]), 3, 3)]);
        assert_eq!(skipped, 0);
    }

    #[test]
    fn empty_lines_are_skipped_and_counted_as_lines() {
        let (requests, skipped) = sent(&[b"\n\r\na\r\n\n", b"\n", b"b\n\n"]);
        assert_eq!(requests, [(lines(&["a"]), 3, 3), (lines(&["b"]), 6, 6)]);
        assert_eq!(skipped, 5);
        assert_eq!(sent(&[b"", b"\n"]), (Vec::new(), 1));
        assert_eq!(sent(&[]), (Vec::new(), 0));
    }

    #[test]
    fn events_that_are_there_are_passed_over_and_counted_as_lines() {
        let mut cutter = Cutter::new(Form::default(), 2);
        cutter.push(b"a\n\nb\nc\nd");
        let request = Request { body: b"c\nd".to_vec(), first: 4, last: 5 };
        assert_eq!((cutter.next(true), cutter.passed, cutter.skipped), (Ok(Some(request)), 2, 1));
        let mut all = Cutter::new(Form::default(), 9);
        all.push(b"a\nb\n");
        assert_eq!((all.next(true), all.passed), (Ok(None), 2));
    }

    #[test]
    fn empty_lines_and_line_ends_may_be_events() {
        let of = |form, input: &[u8]| {
            let mut cutter = Cutter::new(form, 0);
            cutter.push(input);
            let request = cutter.next(true).unwrap().unwrap();
            (String::from_utf8(request.body).unwrap(), request.last, cutter.skipped)
        };
        let keep = Form { keep_empty: true, ..Form::default() };
        assert_eq!(of(keep, b"a\n\r\n"), ("{\"value\":\"a\"}\n{\"value\":\"\"}".into(), 2, 0));
        let nul = Form { nul: true, ..Form::default() };
        assert_eq!(of(nul, b"a\r\n\0\0b"), ("{\"value\":\"a\\r\\n\"}\n{\"value\":\"b\"}".into(), 3, 1));
    }

    #[test]
    fn what_is_before_a_wrong_line_is_given_first() {
        let kind = Kind::Keyed(b"=".to_vec());
        let mut cutter = Cutter::new(Form { kind, ..Form::default() }, 0);
        cutter.push(b"a=1\n\nb2\nc=3");
        let body = br#"{"key":"a","value":"1"}"#.to_vec();
        assert_eq!(cutter.next(true), Ok(Some(Request { body, first: 1, last: 1 })));
        assert_eq!(cutter.next(true), Err("line 3: there is no '=' behind a key".to_owned()));
    }

    #[test]
    fn a_line_end_may_come_in_two_pieces() {
        let (requests, skipped) = sent(&[b"a\r", b"\nb\r"]);
        assert_eq!((requests, skipped), (vec![(lines(&["a"]), 1, 1), (lines(&["b"]), 2, 2)], 0));
    }

    #[test]
    fn a_long_line_goes_alone() {
        let (short, long) = ("s".repeat(900_000), "l".repeat(3 * REQUEST_BYTES));
        let input = format!("{short}\n{long}\na\nb\n");
        let (requests, _) = sent(&[input.as_bytes()]);
        assert_eq!(requests, [(vec![short], 1, 1), (vec![long], 2, 2), (lines(&["a", "b"]), 3, 4)]);
    }

    #[test]
    fn requests_keep_their_size_however_the_input_comes() {
        let input: String = (0..100_000).map(|number| format!("{}\n", "x".repeat(number % 40))).collect();
        let all: Vec<_> = input.lines().filter(|line| !line.is_empty()).collect();
        for piece in [1_000, 777_777, input.len()] {
            let (mut cutter, mut got, mut most) = (Cutter::default(), Vec::new(), 0);
            for chunk in input.as_bytes().chunks(piece) {
                cutter.push(chunk);
                while let Some(request) = cutter.next(false).unwrap() {
                    most = most.max(request.body.len());
                    got.extend(String::from_utf8(request.body).unwrap().split('\n').map(str::to_owned));
                }
            }
            assert_eq!(got, all, "{piece}");
            assert_eq!((cutter.lines, cutter.skipped), (100_000, 2_500));
            assert!(most <= REQUEST_BYTES, "{most}");
        }
    }
}
