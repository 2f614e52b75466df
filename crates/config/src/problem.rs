// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Findings about a file: errors that it is refused for, and notes that it is not.

use std::fmt;

use fnstream_core::{Error, ErrorCode};

/// A place in a text: both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Place {
    /// The beginning of a text.
    pub const START: Place = Place { line: 1, column: 1 };
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The weight of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// It can, but something in it does nothing.
    Note,
}

/// One thing that is to be said about a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The weight of a finding.
    pub severity: Severity,
    /// Its place in the text, if it has one.
    pub place: Option<Place>,
    /// Its origin when that is not the text: an environment variable or a flag.
    pub origin: Option<String>,
    /// The finding itself: lowercase, no final period.
    pub message: String,
    /// Advice for mending it.
    pub hint: Option<String>,
}

impl Problem {
    pub(crate) fn error(place: Place, message: impl Into<String>) -> Self {
        Problem { severity: Severity::Error, place: Some(place), origin: None, message: message.into(), hint: None }
    }

    pub(crate) fn note(place: Place, message: impl Into<String>) -> Self {
        Problem { severity: Severity::Note, ..Problem::error(place, message) }
    }

    pub(crate) fn nowhere(self) -> Self {
        Problem { place: None, ..self }
    }

    pub(crate) fn of(self, origin: impl Into<String>) -> Self {
        Problem { place: None, origin: Some(origin.into()), ..self }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Problem { hint: Some(hint.into()), ..self }
    }

    /// The line for it, with the name of the text that it is in.
    pub fn line(&self, source: &str) -> String {
        if let Some(origin) = &self.origin {
            return format!("{origin}: {self}");
        }
        let place = self.place.map(|place| format!(":{place}")).unwrap_or_default();
        let begin =
            if source.is_empty() { place.trim_start_matches(':').to_owned() } else { format!("{source}{place}") };
        let begin = if begin.is_empty() { begin } else { begin + ": " };
        format!("{begin}{self}")
    }
}

impl fmt::Display for Problem {
    /// Without the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.severity == Severity::Note {
            f.write_str("note: ")?;
        }
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// All that is wrong with a text, in its order: at least one error, and the notes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The code of the error that they make together.
    pub code: ErrorCode,
    /// The name of the text, such as the path of its file; empty when it has none.
    pub source: String,
    /// Each of them.
    pub list: Vec<Problem>,
}

impl Problems {
    pub(crate) fn new(code: ErrorCode, mut list: Vec<Problem>) -> Self {
        in_order(&mut list);
        Problems { code, source: String::new(), list }
    }

    /// The same, of a text of that name.
    pub fn named(self, source: impl Into<String>) -> Self {
        Problems { source: source.into(), ..self }
    }

    /// Those that the text is refused for.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter().filter(|problem| problem.severity == Severity::Error)
    }
}

/// By place; what has none comes last, and of one place what was found first comes first.
pub(crate) fn in_order(list: &mut [Problem]) {
    list.sort_by_key(|problem| problem.place.unwrap_or(Place { line: u32::MAX, column: u32::MAX }));
}

impl fmt::Display for Problems {
    /// A line for each: `file:line:column: message; hint`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{}", problem.line(&self.source))?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problems> for Error {
    /// All errors in one message; the notes would only hide them.
    fn from(problems: Problems) -> Self {
        let lines: Vec<_> = problems.errors().map(|problem| problem.line(&problems.source)).collect();
        Error::new(problems.code, lines.join("\n"))
    }
}
