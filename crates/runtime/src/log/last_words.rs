// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a guest has written last in a call, or a process that compiles: why it dies is mostly there, and nowhere else.
//!
//! The end is kept. But languages that tell how they came to die begin with the reason, and a long stack comes behind it: from a
//! line on that begins like that, the beginning is kept. Either is bounded, and cut at a line where that can be.

/// The most that is kept, in bytes.
const MOST: usize = 1 << 10;

/// The beginnings of lines with which Go and Rust tell why they end a program.
const REASONS: [&[u8]; 3] = [b"fatal error: ", b"panic: ", b"thread '"];

/// The longest of them.
const LONGEST: usize = 13;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct LastWords {
    kept: Vec<u8>,
    /// The first bytes of the present line.
    beginning: Vec<u8>,
    /// What is kept begins with a reason.
    reason: bool,
    /// Something was left out at the end that is to be kept.
    cut: bool,
}

impl LastWords {
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let known = self.beginning.len();
            if known < LONGEST {
                self.beginning.extend_from_slice(&piece[..piece.len().min(LONGEST - known)]);
                let is_reason = |line: &[u8]| REASONS.iter().any(|reason| line.starts_with(reason));
                if is_reason(&self.beginning) && !is_reason(&self.beginning[..known]) {
                    self.kept.clear();
                    self.kept.extend_from_slice(&self.beginning[..known]);
                    (self.reason, self.cut) = (true, false);
                }
            }
            self.keep(piece);
            if piece.ends_with(b"\n") {
                self.beginning.clear();
            }
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        if self.reason {
            let room = MOST - self.kept.len();
            self.cut |= piece.len() > room;
            self.kept.extend_from_slice(&piece[..piece.len().min(room)]);
            return;
        }
        self.kept.extend_from_slice(&piece[piece.len().saturating_sub(2 * MOST)..]);
        if self.kept.len() > 2 * MOST {
            self.kept.drain(..self.kept.len() - MOST - 1);
        }
    }

    /// Answers them, if there are any, and forgets them.
    pub(crate) fn take(&mut self) -> Option<String> {
        let LastWords { kept, reason, cut, .. } = std::mem::take(self);
        let text = String::from_utf8_lossy(match (reason, kept.len().checked_sub(MOST)) {
            // The last line is not whole; unless it is the only one.
            (true, _) if cut => kept.iter().rposition(|&byte| byte == b'\n').map_or(&kept[..], |end| &kept[..end]),
            (true, _) | (false, None) => &kept,
            (false, Some(from)) => {
                let next = kept[from..].iter().position(|&byte| byte == b'\n').map(|end| from + end + 1);
                &kept
                    [next.filter(|next| kept[*next..].iter().any(|byte| !byte.is_ascii_whitespace())).unwrap_or(from)..]
            }
        });
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Forgets them.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.beginning.clear();
        (self.reason, self.cut) = (false, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of these writes, each of which may be a part of a line.
    fn last(pieces: &[&str]) -> Option<String> {
        let mut words = LastWords::default();
        pieces.iter().for_each(|piece| words.write(piece.as_bytes()));
        assert!(words.kept.len() <= 2 * MOST + 1);
        words.take()
    }

    #[test]
    fn the_last_lines_are_kept_whole() {
        assert_eq!(last(&[]), None);
        assert_eq!(last(&["\n", " \n"]), None);
        assert_eq!(last(&["a\n", "b", "c\n"]).as_deref(), Some("a\nbc"));
        let lines: Vec<_> = (0..1_000).map(|number| format!("line {number:05}\n")).collect();
        let kept = last(&[&lines.concat()]).unwrap();
        assert!(kept.len() <= MOST && kept.len() > MOST - 12, "{} bytes", kept.len());
        assert!(kept.starts_with("line 00") && kept.ends_with("line 00999"));
        // In small pieces it is the same.
        assert_eq!(last(&lines.iter().map(String::as_str).collect::<Vec<_>>()).unwrap(), kept);
        let long = last(&["short\n", &"x".repeat(10_000), "end"]).unwrap();
        assert!(long.len() == MOST && long.ends_with("xend"));
        assert_eq!(last(&["short\n", &"y".repeat(10_000), "\n"]).unwrap().len(), MOST - 1);
    }

    #[test]
    fn a_reason_is_kept_with_what_follows_it() {
        let stack = "goroutine 1 [chan receive]:\n".repeat(1_000);
        for reason in
            ["fatal error: all goroutines are asleep - deadlock!", "panic: in goroutine", "thread 'main' panicked"]
        {
            let told = format!("before\n{reason}\n\n{stack}");
            let kept = last(&[&told]).unwrap();
            assert!(kept.starts_with(reason) && kept.ends_with("receive]:") && kept.len() <= MOST, "{kept}");
            let bytes: Vec<_> = told.chars().map(String::from).collect();
            assert_eq!(last(&bytes.iter().map(String::as_str).collect::<Vec<_>>()).unwrap(), kept);
        }
        assert_eq!(last(&["panic: a\npanic: b", "\nc"]).as_deref(), Some("panic: b\nc"));
        assert_eq!(last(&["no panic: a\nb"]).as_deref(), Some("no panic: a\nb"), "only at the beginning of a line");
        let long = last(&["panic: ", &"x".repeat(5_000)]).unwrap();
        assert!(long.starts_with("panic: xx") && long.len() == MOST);
    }
}
