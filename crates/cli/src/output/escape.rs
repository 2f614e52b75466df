// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Text that somebody else wrote, made fit for a terminal.
//!
//! | for | what can steer a terminal | line ends | length |
//! | --- | --- | --- | --- |
//! | [`visible`]: all that people read | shown as `\u{1b}` and the like | stay | whole |
//! | [`field`]: a value in a text | as above, once it is printed | what follows is indented | cut |
//! | [`one_line`]: a value in a line | as above | shown as `\n` | whole |
//! | [`cell`]: a value in a table | as above | shown as `\n` | cut |
//! | [`json`]: JSON | escaped as JSON does it, the value is the same | | whole |
//! | [`bytes()`]: bytes that may be no text | none is left in what is not text | stay in text | whole |

use fnstream_core::units::counted;
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};

/// Characters of a value in a text, and in a table, and lines of a value.
const FIELD: usize = 4_000;
const CELL: usize = 200;
const LINES: usize = 100;

/// Whether values are shown in full length.
static FULL: AtomicBool = AtomicBool::new(false);

/// From now on nothing is cut.
pub(crate) fn show_in_full() {
    FULL.store(true, Ordering::Relaxed);
}

/// Whether a character can steer a terminal, or hide or reorder what it shows. Line ends and tabs are the writer's affair.
fn steers(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => true,
        c => c.is_control(),
    }
}

/// Whether a text is one line without anything that could steer a terminal.
pub(crate) fn is_harmless(text: &str) -> bool {
    !text.chars().any(|c| c == '\n' || steers(c))
}

/// The text with what could steer a terminal made visible.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, steers, |shown, c| shown.extend(c.escape_default()))
}

/// The text in one line, with what could steer a terminal made visible.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n' || steers(c), |shown, c| shown.extend(c.escape_default()))
}

/// The same JSON with what could steer a terminal written as an escape. JSON itself has such characters in its strings only.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    escaped(text, steers, |shown, c| {
        let _ = write!(shown, "\\u{:04x}", c as u32);
    })
}

fn escaped(text: &str, is_meant: impl Fn(char) -> bool, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.chars().any(&is_meant) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_meant(c) {
            true => escape(&mut shown, c),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// A value for a place in a text, not too long. Its further lines are indented, so that none of them looks like one of ours.
pub(crate) fn field(text: &str, indent: usize) -> String {
    indented(&shortened(text.trim_end_matches('\n')), indent)
}

/// The beginning of a value that is too long for a place in a text.
pub(crate) fn shortened(text: &str) -> Cow<'_, str> {
    cut(text, FIELD, LINES)
}

/// A text whose further lines are indented.
pub(crate) fn indented(text: &str, indent: usize) -> String {
    text.replace('\n', &format!("\n{}", " ".repeat(indent)))
}

/// A value for a cell of a table, in one line and not too long.
pub(crate) fn cell(text: &str) -> String {
    one_line(&cut(text, CELL, usize::MAX)).into_owned()
}

/// Bytes as text where they are text, and otherwise as `\x` and their hexadecimal digits. No two of them look alike: a text that
/// begins with `\x` is shown in digits too.
pub(crate) fn bytes(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with(r"\x") => Cow::Borrowed(text),
        _ => Cow::Owned(hex(bytes)),
    }
}

/// `\x` and the hexadecimal digits of bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(2 + 2 * bytes.len());
    shown.push_str(r"\x");
    for byte in bytes {
        let _ = write!(shown, "{byte:02x}");
    }
    shown
}

/// The beginning of a text that is too long, with how much is left out.
fn cut(text: &str, chars: usize, lines: usize) -> Cow<'_, str> {
    if FULL.load(Ordering::Relaxed) {
        return Cow::Borrowed(text);
    }
    let mut left = lines;
    let end = text.char_indices().enumerate().find(|(number, (_, c))| {
        left -= usize::from(*c == '\n');
        *number == chars || left == 0
    });
    match end {
        None => Cow::Borrowed(text),
        Some((_, (at, _))) => {
            Cow::Owned(format!("{} … ({} more: --full)", &text[..at], counted(text.len() - at, "byte")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clears the screen, sets the title, is the one-character form of ESC [, turns the order round, and goes to the line's begin.
    const HOSTILE: &str = "a\u{1b}[2J\u{1b}]0;t\u{7}\u{9b}31m\u{202e}\r\u{7f}\u{0}\u{feff}ä\t";

    #[test]
    fn nothing_that_steers_a_terminal_is_left() {
        assert_eq!(visible(HOSTILE), "a\\u{1b}[2J\\u{1b}]0;t\\u{7}\\u{9b}31m\\u{202e}\\r\\u{7f}\\u{0}\\u{feff}ä\t");
        assert_eq!(one_line("a\nb\u{1b}"), "a\\nb\\u{1b}");
        for shown in [visible(HOSTILE), one_line(HOSTILE), json(HOSTILE), cell(HOSTILE).into()] {
            assert!(!shown.chars().any(steers), "{shown:?}");
        }
        assert!(matches!(visible("plain\n\ttext, 日本 👩‍🚀"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_has_the_same_value() {
        let text = serde_json::to_string(HOSTILE).unwrap();
        assert!(text.contains('\u{9b}'), "{text:?}");
        let shown = json(&text);
        assert!(!shown.chars().any(steers), "{shown:?}");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), HOSTILE);
    }

    #[test]
    fn no_line_of_a_value_looks_like_one_of_ours() {
        assert_eq!(field("broken\nadvice: run this\n", 2), "broken\n  advice: run this");
        assert_eq!(field("", 2), "");
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        assert_eq!(field(&"x".repeat(FIELD), 0), "x".repeat(FIELD));
        assert_eq!(field(&"ä".repeat(FIELD + 7), 0), format!("{} … (14 bytes more: --full)", "ä".repeat(FIELD)));
        assert_eq!(cell(&"\n".repeat(CELL + 1)), format!("{} … (1 byte more: --full)", "\\n".repeat(CELL)));
        let shown = field(&"l\n".repeat(1_000), 1);
        assert_eq!(shown.lines().count(), LINES, "{shown}");
        assert!(shown.ends_with("l … (1800 bytes more: --full)"), "{shown}");
    }

    #[test]
    fn bytes_that_are_no_text_look_like_no_text() {
        let all = [b"/w==".as_slice(), &[0xff], br"\xff", br"\x5c786666", br"\\xff", b"xff", b"", br"\x"];
        let shown: Vec<_> = all.iter().map(|one| bytes(one)).collect();
        assert_eq!(shown, ["/w==", r"\xff", r"\x5c786666", r"\x5c783563373836363636", r"\\xff", "xff", "", r"\x5c78"]);
        let different: std::collections::BTreeSet<_> = shown.iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
