// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! For those who type: whether a text is complete, and what could come next.

use std::fmt;

use crate::cursor::Cursor;
use crate::grammar;
use crate::lex::{Kind, Lexed, joins, lex};
use crate::options::{CONFIG_PATH, FUNCTION_PATH};

/// All keywords, in order of the alphabet.
pub const KEYWORDS: [&str; 30] = [
    "ALTER",
    "CREATE",
    "DEAD",
    "DESCRIBE",
    "DROP",
    "EXISTS",
    "FUNCTION",
    "FUNCTIONS",
    "IF",
    "LETTERS",
    "LIKE",
    "LIMIT",
    "NOT",
    "OF",
    "OR",
    "REPLACE",
    "RESTART",
    "REVISION",
    "ROLLBACK",
    "SET",
    "SHOW",
    "START",
    "STATE",
    "STOP",
    "TO",
    "TOPIC",
    "TOPICS",
    "WITH",
    FUNCTION_PATH,
    CONFIG_PATH,
];

/// What would be right at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A keyword.
    Keyword(&'static str),
    /// Punctuation.
    Symbol(&'static str),
    /// A function's name.
    Function,
    /// A topic's name.
    Topic,
    /// The name of a setting of a topic: one of [`crate::TOPIC_SETTINGS`].
    Setting,
    /// The value of a setting.
    Value,
    /// A pattern for names of functions, in quotes.
    FunctionPattern,
    /// A pattern for names of topics, in quotes.
    TopicPattern,
    /// How a key of the state begins, in quotes.
    KeyPrefix,
    /// The name of an option.
    Option,
    /// The path of a file, in quotes.
    Path,
    /// The number of a revision.
    Revision,
    /// The most rows to show.
    Limit,
    /// Nothing more.
    End,
}

impl Wanted {
    /// Whether it is a text in quotes.
    pub fn is_text(&self) -> bool {
        matches!(self, Wanted::FunctionPattern | Wanted::TopicPattern | Wanted::KeyPrefix | Wanted::Path)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Keyword(keyword) => f.write_str(keyword),
            Wanted::Symbol(symbol) => write!(f, "'{symbol}'"),
            Wanted::Function => f.write_str("a function's name"),
            Wanted::Topic => f.write_str("a topic's name"),
            Wanted::Setting => f.write_str("a setting"),
            Wanted::Value => f.write_str("a value"),
            Wanted::FunctionPattern | Wanted::TopicPattern => f.write_str("a pattern in quotes"),
            Wanted::KeyPrefix => f.write_str("the beginning of a key in quotes"),
            Wanted::Option => f.write_str("an option"),
            Wanted::Path => f.write_str("a path in quotes"),
            Wanted::Revision => f.write_str("the number of a revision"),
            Wanted::Limit => f.write_str("a number of rows"),
            Wanted::End => f.write_str("the end of the statement"),
        }
    }
}

/// What could come next in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// Where the word or quoted text begins that is being typed; the end of the text if none is.
    pub start: usize,
    /// The quote that it was opened with, if it was: then `start` is behind it.
    pub quote: Option<char>,
    /// What could stand there.
    pub wanted: Vec<Wanted>,
}

/// Whether nothing waits to be finished: what is there ends with a `;` that is in no quotes and no comment. A text of
/// blanks and comments is complete.
pub fn is_complete(sql: &str) -> bool {
    let Lexed { lexemes, unterminated } = lex(sql);
    unterminated.is_none() && lexemes.last().is_none_or(|last| last.kind == Kind::Semicolon)
}

/// What could come next after `before`, which is all that stands before the place where somebody types.
pub fn completion(before: &str) -> Completion {
    let Lexed { mut lexemes, unterminated } = lex(before);
    let (mut start, mut quote) = (before.len(), None);
    match (&unterminated, lexemes.last()) {
        (Some(open), _) => {
            quote = before[open.start..].chars().next().filter(|c| matches!(c, '\'' | '"' | '`'));
            match quote {
                Some(_) => start = open.start + 1,
                // In a comment, nothing is wanted.
                None => return Completion { start, quote, wanted: Vec::new() },
            }
        }
        (None, Some(last)) if last.kind == Kind::Word && last.span.end == before.len() => {
            start = last.span.start;
            lexemes.pop();
        }
        _ => {}
    }
    // In a comment up to the end of the line neither. A comment is no piece, so what ends the text is none.
    let after = lexemes.last().map_or(0, |last| last.span.end);
    if quote.is_none()
        && before[after..].lines().next_back().is_some_and(|line| line.contains("--"))
        && !before.ends_with('\n')
    {
        return Completion { start, quote, wanted: Vec::new() };
    }
    // Behind a dash that begins nothing yet, and right behind a closed quote, no word begins.
    if start == before.len() && quote.is_none() && before.ends_with(|c: char| joins(c) || matches!(c, '\'' | '"' | '`'))
    {
        return Completion { start, quote, wanted: Vec::new() };
    }
    let from = lexemes.iter().rposition(|lexeme| lexeme.kind == Kind::Semicolon).map_or(0, |at| at + 1);
    let mut cursor = Cursor::new(before, &lexemes[from..]);
    // Whether it is right so far shows in what it wants.
    let _ = grammar::statement(&mut cursor);
    let wanted = if cursor.is_at_end() { cursor.into_wanted() } else { Vec::new() };
    Completion { start, quote, wanted }
}
