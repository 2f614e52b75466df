// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The SQL of the control plane: text to statements, and mistakes to places in the text.
//!
//! Owns the grammar and what is said about text that does not follow it. It must not know how a statement is carried
//! out: it reads no files, asks no server and knows no function but by name.
//!
//! Nothing here panics or takes long, whatever the text: it is bounded by [`MAX_BYTES`], read in one pass, and at most
//! [`MAX_ERRORS`] of its mistakes are told.
//!
//! # Reading order
//!
//! [`statement`] is what can be said; [`pattern`] is what `LIKE` means. `lex` cuts the text, `cursor` walks over the
//! pieces and remembers what would have been right, `grammar` and `options` are the rules. [`error`] and `render` tell
//! mistakes, with `nearest` for what was probably meant; [`complete`] is for those who type.
//!
//! ```
//! use fnstream_sql::{Statement, parse};
//!
//! let statements = parse("stop function word-count; show functions").unwrap();
//! assert_eq!(statements[0].node, Statement::StopFunction { name: "word-count".into() });
//! assert_eq!(statements[1].node.to_string(), "SHOW FUNCTIONS");
//!
//! let errors = parse("stop functon word-count").unwrap_err();
//! assert_eq!(errors.first().hint.as_deref(), Some("did you mean 'FUNCTION'?"));
//! ```

pub mod complete;
mod cursor;
pub mod error;
mod grammar;
mod lex;
mod nearest;
mod options;
pub mod pattern;
mod render;
pub mod statement;

use std::ops::Range;

use fnstream_core::ErrorCode;

pub use complete::{Completion, KEYWORDS, Wanted, completion, is_complete};
pub use error::{SqlError, SqlErrors};
pub use options::TOPIC_SETTINGS;
pub use pattern::Pattern;
pub use statement::{OnExisting, Statement};

use crate::cursor::Cursor;
use crate::lex::{Kind, Lexed, lex};

/// The longest text that is looked at. Statements are short; a longer text is a file taken by mistake.
pub const MAX_BYTES: usize = 1 << 20;
/// The most mistakes that are told of one text.
pub const MAX_ERRORS: usize = 100;

/// Something, and the bytes of the text that say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// What is said.
    pub node: T,
    /// Where: on character boundaries, without the `;` and without what surrounds it.
    pub span: Range<usize>,
}

impl<T> Located<T> {
    /// The part of the text that says it; `sql` is the text that was parsed.
    pub fn text<'a>(&self, sql: &'a str) -> &'a str {
        sql.get(self.span.clone()).unwrap_or_default()
    }
}

/// All statements of a text, in order, or everything that is wrong with it. Empty statements are nothing.
pub fn parse(sql: &str) -> Result<Vec<Located<Statement>>, SqlErrors> {
    let (mut statements, mut errors) = (Vec::new(), Vec::new());
    for one in parse_each(sql) {
        match one {
            Ok(statement) => statements.push(statement),
            Err(error) => errors.push(error),
        }
    }
    match SqlErrors::new(errors) {
        None => Ok(statements),
        Some(errors) => Err(errors),
    }
}

/// Each statement of a text by itself, in order: for those who go on after a mistake. A mistake ends at the next `;`, and
/// a quote or comment without an end at the end of the text.
pub fn parse_each(sql: &str) -> Vec<Result<Located<Statement>, SqlError>> {
    if sql.len() > MAX_BYTES {
        let message = format!("the text has {} bytes, more than {MAX_BYTES}", sql.len());
        return vec![
            Err(SqlError::new(ErrorCode::InvalidSql, message, 0..0, sql).hint("send the statements in parts")),
        ];
    }
    let Lexed { lexemes, unterminated } = lex(sql);
    let mut found = Vec::new();
    let mut errors = 0;
    let pieces = lexemes.split_inclusive(|lexeme| lexeme.kind == Kind::Semicolon);
    for piece in pieces {
        // What is never closed belongs to the last piece, and is what is wrong with it.
        let last = piece.last().is_none_or(|lexeme| lexeme.kind != Kind::Semicolon);
        if last && unterminated.is_some() {
            break;
        }
        match grammar::statement(&mut Cursor::new(sql, piece)) {
            Ok(Some(statement)) => found.push(Ok(statement)),
            Ok(None) => {}
            Err(error) => {
                found.push(Err(error));
                errors += 1;
            }
        }
        if errors == MAX_ERRORS {
            return found;
        }
    }
    found.extend(unterminated.map(|what| Err(what.error(sql))));
    found
}
