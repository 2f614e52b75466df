// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Writing to the terminal. A reader that went away (`… | head -1`) is no panic.

use std::io::Write;

use crate::failure::{Failure, Result};

/// Writes a line to standard output at once.
pub(crate) fn line(text: impl AsRef<[u8]>) -> Result {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_ref())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Writes a part of a line to standard output.
pub(crate) fn part(text: &str) -> Result {
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}

/// Shows on the terminal how far something is, in place of what was shown before; nothing with an empty text.
pub(crate) fn progress(text: &str) {
    let _ = write!(std::io::stderr().lock(), "\r\x1b[K{text}");
}

/// Writes a value as JSON for programs, indented for people.
pub(crate) fn json(value: &impl serde::Serialize) -> Result {
    line(serde_json::to_vec_pretty(value).map_err(|e| Failure::Plain(e.to_string()))?)
}

/// Writes lines to standard error; when even that fails there is nobody left to tell.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
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
        let text = text.map_err(|e| Failure::Plain(e.to_string()))?;
        let mut out = std::io::stdout().lock();
        write!(out, "{}{}", if self.rows == 0 { "[" } else { "," }, self.line(&text, 1))?;
        self.rows += 1;
        Ok(out.flush()?)
    }

    /// Ends the array and the line.
    pub(crate) fn end(self) -> Result {
        line(self.closing())
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
