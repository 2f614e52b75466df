// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Writing to the terminal, for the whole program: no other file names standard output or standard error to write to them.
//!
//! Much of what is shown was written by somebody else: events, errors of guests, settings, names, answers of a server. So each way
//! out has its rule, and there is none without:
//!
//! | way | for | what can steer a terminal |
//! | --- | --- | --- |
//! | [`line()`], [`complain`], [`progress`] | people | is made visible |
//! | [`json`], [`json_line`], [`Rows`] | programs | is written as JSON's own escapes: the value is the same |
//! | [`exact`], [`Exact`] | programs, byte by byte | stays in a file or a pipe; is made visible on a terminal |
//!
//! Values within a text go through [`Listing`], [`Fields`] or [`escape`] besides, which cut what is too long and keep line ends from
//! forging a line of ours. A reader that went away (`… | head -1`) is no panic.

pub(crate) mod busy;
pub(crate) mod escape;
mod table;

use std::io::{IsTerminal, Write};

use crate::failure::{Failure, Result};

pub(crate) use self::table::{Fields, Listing};

/// Writes a line, or several, to standard output at once.
pub(crate) fn line(text: impl AsRef<str>) -> Result {
    let mut out = std::io::stdout().lock();
    out.write_all(escape::visible(text.as_ref()).as_bytes())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Shows on the terminal how far something is, in place of what was shown before; nothing with an empty text.
pub(crate) fn progress(text: &str) {
    let _ = write!(std::io::stderr().lock(), "\r\x1b[K{}", escape::one_line(text));
}

/// Writes lines to standard error; when even that fails there is nobody left to tell.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", escape::visible(text));
}

/// Writes a value as JSON for programs, indented for people.
pub(crate) fn json(value: &impl serde::Serialize) -> Result {
    json_text(&serde_json::to_string_pretty(value).map_err(odd)?, "\n")
}

/// Writes a value as JSON in one line.
pub(crate) fn json_line(value: &impl serde::Serialize) -> Result {
    json_text(&serde_json::to_string(value).map_err(odd)?, "\n")
}

/// Writes what is JSON already, or a part of it, and what ends it.
pub(crate) fn json_text(text: &str, end: &str) -> Result {
    let mut out = std::io::stdout().lock();
    out.write_all(escape::json(text).as_bytes())?;
    out.write_all(end.as_bytes())?;
    Ok(out.flush()?)
}

fn odd(error: serde_json::Error) -> Failure {
    Failure::Plain(error.to_string())
}

/// Writes bytes and a line end to standard output, by the rule of [`Exact`].
pub(crate) fn exact(bytes: &[u8]) -> Result {
    let mut out = Exact::stdout();
    out.write_all(bytes)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Standard output for what a program reads byte by byte. On a terminal somebody looks: what could steer it is made visible, and
/// bytes that are no text are shown as U+FFFD.
pub(crate) struct Exact {
    out: std::io::Stdout,
    watched: bool,
}

impl Exact {
    /// Standard output.
    pub(crate) fn stdout() -> Self {
        let out = std::io::stdout();
        Exact { watched: out.is_terminal(), out }
    }
}

impl Write for Exact {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self.watched {
            true => self.out.write_all(escape::visible(&String::from_utf8_lossy(bytes)).as_bytes()),
            false => self.out.write_all(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// A JSON array whose elements are written as they come, in the form that it has as a whole: indented for people, or compact.
pub(crate) struct Rows {
    indent: Option<usize>,
    rows: usize,
}

impl Rows {
    /// An array on one line.
    pub(crate) fn compact() -> Self {
        Rows { indent: None, rows: 0 }
    }

    /// An array whose elements have a line each, so many steps deep.
    pub(crate) fn indented(indent: usize) -> Self {
        Rows { indent: Some(indent), rows: 0 }
    }

    /// Writes an element.
    pub(crate) fn push(&mut self, value: &impl serde::Serialize) -> Result {
        let text = match self.indent {
            None => serde_json::to_string(value),
            Some(_) => serde_json::to_string_pretty(value),
        };
        let text = text.map_err(odd)?;
        let begin = if self.rows == 0 { "[" } else { "," };
        self.rows += 1;
        json_text(&format!("{begin}{}", self.line(&text, 1)), "")
    }

    /// Ends the array and the line.
    pub(crate) fn end(self) -> Result {
        json_text(&self.closing(), "\n")
    }

    /// What ends the array.
    pub(crate) fn closing(&self) -> String {
        match self.rows {
            0 => "[]".to_owned(),
            _ => format!("{}]", self.line("", 0)),
        }
    }

    fn line(&self, text: &str, deeper: usize) -> String {
        match self.indent {
            None => text.to_owned(),
            Some(indent) => {
                let begin = format!("\n{}", "  ".repeat(indent + deeper));
                format!("{begin}{}", text.replace('\n', &begin))
            }
        }
    }
}
