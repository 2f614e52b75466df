// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! An input that comes in pieces, cut into lines with their numbers.

/// The longest line that is held here. What a record may have is less.
const MOST_BYTES: usize = 64 << 20;

/// Cuts an input into lines. A line ends with LF or CR LF; the last one needs no end.
#[derive(Default)]
pub(super) struct Lines {
    pending: Vec<u8>,
    /// Where the next line begins.
    at: usize,
    /// No line ends between there and this place.
    searched: usize,
    number: u64,
    /// The beginning of the next line is gone.
    too_long: bool,
}

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Its number, from 1.
    pub(super) number: u64,
    /// None if it is too long.
    pub(super) bytes: Option<&'a [u8]>,
}

impl Lines {
    /// Adds what has come.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.pending.drain(..self.at);
        self.searched -= self.at;
        self.at = 0;
        self.pending.extend_from_slice(chunk);
    }

    /// The next whole line; at the end of the input also what has no end.
    pub(super) fn next(&mut self, is_end: bool) -> Option<Line<'_>> {
        let (end, next) = match self.pending[self.searched..].iter().position(|byte| *byte == b'\n') {
            Some(end) => (self.searched + end, self.searched + end + 1),
            None => {
                let end = self.pending.len();
                self.searched = end;
                if end - self.at > MOST_BYTES {
                    (self.too_long, self.at) = (true, end);
                }
                if !is_end || (self.at == end && !self.too_long) {
                    return None;
                }
                (end, end)
            }
        };
        let line = &self.pending[self.at..end];
        self.number += 1;
        (self.at, self.searched) = (next, next);
        let bytes = (!std::mem::take(&mut self.too_long)).then(|| line.strip_suffix(b"\r").unwrap_or(line));
        Some(Line { number: self.number, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[&[u8]]) -> Vec<(u64, Option<String>)> {
        let (mut lines, mut all) = (Lines::default(), Vec::new());
        for (index, piece) in pieces.iter().chain([&&b""[..]]).enumerate() {
            lines.push(piece);
            while let Some(line) = lines.next(index == pieces.len()) {
                all.push((line.number, line.bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())));
            }
        }
        all
    }

    #[test]
    fn lines_are_the_same_however_the_input_comes() {
        let input = b"a\r\n\nbc\n\r\nlast";
        let expected = ["a", "", "bc", "", "last"].map(|line| Some(line.to_owned()));
        let expected: Vec<_> = (1..).zip(expected).collect();
        for size in 1..input.len() {
            assert_eq!(all(&input.chunks(size).collect::<Vec<_>>()), expected, "{size}");
        }
        assert_eq!(all(&[b"a\n"]), [(1, Some("a".into()))]);
        assert_eq!(all(&[]), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_counted() {
        let long = vec![b'x'; MOST_BYTES / 2 + 1];
        let expected = [(1, Some("a".into())), (2, None), (3, Some("b".into()))];
        assert_eq!(all(&[b"a\n", &long, &long, &long, b"\nb"]), expected);
        assert_eq!(all(&[b"a\n", &long, &long]), expected[..2]);
    }
}
