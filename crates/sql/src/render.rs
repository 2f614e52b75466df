// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How a mistake is shown:
//!
//! ```text
//! error FS-1007 at 1:8: expected FUNCTION, found 'FUNCTON'
//!   |
//! 1 | CREATE FUNCTON WITH (
//!   |        ^^^^^^^
//! hint: did you mean 'FUNCTION'?
//! ```
//!
//! The mark stands under its place also behind tabs and characters of two columns or none. Characters that could steer
//! a terminal are shown as `?`, and of a long line only the surroundings.

use std::fmt::Write;

use crate::error::SqlError;

/// The columns of a line that are shown before the mark, and after it.
const BEFORE: usize = 60;
const AFTER: usize = 40;
/// What a tab is shown as.
const TAB: &str = "    ";

pub(crate) fn error(error: &SqlError, sql: &str) -> String {
    let SqlError { code, message, hint, span, line, column } = error;
    let (start, end) = (boundary(sql, span.start), boundary(sql, span.end));
    let text = &sql[sql[..start].rfind('\n').map_or(0, |at| at + 1)..];
    let text = text.split('\n').next().unwrap_or_default();
    let text = text.strip_suffix('\r').unwrap_or(text);
    // A span of several lines is marked in its first.
    let at = (start - offset_in(sql, text)).min(text.len());
    let marked = (end.max(start) - start).min(text.len() - at);
    let (before, place, after) = (&text[..at], &text[at..at + marked], &text[at + marked..]);

    let before = last_columns(before, BEFORE);
    let place = first_columns(place, BEFORE + AFTER);
    let after = first_columns(after, AFTER);
    let margin = " ".repeat(line.to_string().len());
    let (indent, mark) = (" ".repeat(columns(&before)), "^".repeat(columns(&place).max(1)));
    let mut shown = format!("error {code} at {line}:{column}: {message}\n");
    let _ = write!(shown, "{margin} |\n{line} | {before}{place}{after}\n{margin} | {indent}{mark}");
    if let Some(hint) = hint {
        let _ = write!(shown, "\nhint: {hint}");
    }
    shown
}

/// Line and character of a byte, both from 1.
pub(crate) fn position(sql: &str, offset: usize) -> (usize, usize) {
    let before = &sql[..boundary(sql, offset)];
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line..].chars().count() + 1)
}

/// A piece of the text for a message: short, in one line and without what could steer a terminal.
pub(crate) fn clip(text: &str) -> String {
    first_columns(text.split(['\n', '\r']).next().unwrap_or_default(), AFTER)
}

/// The nearest character boundary at or before a byte.
fn boundary(sql: &str, offset: usize) -> usize {
    (0..=offset.min(sql.len())).rev().find(|&at| sql.is_char_boundary(at)).unwrap_or(0)
}

/// Where `part`, a slice of `whole`, begins in it.
fn offset_in(whole: &str, part: &str) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

fn first_columns(text: &str, most: usize) -> String {
    let mut shown = String::new();
    let mut taken = 0;
    for c in text.chars() {
        let visible = visible(c);
        taken += columns(&visible);
        if taken > most {
            shown.push('…');
            break;
        }
        shown.push_str(&visible);
    }
    shown
}

fn last_columns(text: &str, most: usize) -> String {
    let mut taken = 0;
    let kept = text.char_indices().rev().take_while(|&(_, c)| {
        taken += columns(&visible(c));
        taken <= most
    });
    let from = kept.last().map_or(text.len(), |(at, _)| at);
    let cut = if from == 0 { "" } else { "…" };
    let kept: String = text[from..].chars().map(visible).collect();
    format!("{cut}{kept}")
}

fn visible(c: char) -> String {
    match c {
        '\t' => TAB.to_owned(),
        // Besides control characters those that turn the direction of writing.
        c if c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
        {
            "?".to_owned()
        }
        c => c.to_string(),
    }
}

fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// The columns that a terminal gives a character: two for the scripts of East Asia and pictures, none for what is put
/// onto the character before.
fn width(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f | 0x200b..=0x200d | 0x20d0..=0x20ff | 0xfe00..=0xfe0f | 0xfeff => 0,
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff => 2,
        0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1f64f | 0x1f680..=0x1f6ff => 2,
        0x1f900..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}
