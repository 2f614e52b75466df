// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is wrong with a text, and where.

use std::fmt;
use std::ops::Range;

use fnstream_core::{Error, ErrorCode};

use crate::render;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// [`ErrorCode::InvalidSql`], or [`ErrorCode::InvalidName`] for a name of a form that no function can have.
    pub code: ErrorCode,
    /// What is wrong.
    pub message: String,
    /// What was probably meant, or what would be right.
    pub hint: Option<String>,
    /// The bytes that are wrong, on character boundaries; empty where something is missing.
    pub span: Range<usize>,
    /// The line of the span's start, from 1.
    pub line: usize,
    /// The character in that line, from 1.
    pub column: usize,
}

impl SqlError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>, span: Range<usize>, sql: &str) -> Self {
        let (line, column) = render::position(sql, span.start);
        SqlError { code, message: message.into(), hint: None, span, line, column }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The mistake with the line that it is in and a mark under the place; several lines without a line end after the
    /// last. `sql` is the text that was parsed.
    pub fn render(&self, sql: &str) -> String {
        render::error(self, sql)
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for SqlError {}

impl From<SqlError> for Error {
    fn from(error: SqlError) -> Self {
        Error::new(error.code, error.to_string())
    }
}

/// The mistakes of a text, in order: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlErrors(Vec<SqlError>);

impl SqlErrors {
    pub(crate) fn new(errors: Vec<SqlError>) -> Option<Self> {
        (!errors.is_empty()).then_some(SqlErrors(errors))
    }

    /// The first of them.
    pub fn first(&self) -> &SqlError {
        &self.0[0]
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, SqlError> {
        self.0.iter()
    }

    /// All of them as [`SqlError::render`] shows them, a blank line between two.
    pub fn render(&self, sql: &str) -> String {
        let each: Vec<_> = self.0.iter().map(|error| error.render(sql)).collect();
        each.join("\n\n")
    }
}

impl fmt::Display for SqlErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(i, error)| {
            f.write_str(if i == 0 { "" } else { "\n" })?;
            error.fmt(f)
        })
    }
}

impl std::error::Error for SqlErrors {}

impl From<SqlErrors> for Error {
    fn from(errors: SqlErrors) -> Self {
        Error::new(errors.first().code, errors.to_string())
    }
}
