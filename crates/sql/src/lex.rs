// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Cuts a text into the pieces that the grammar is made of, each with its place.
//!
//! The cutting is sqlparser's; here its tokens get places in bytes, comments and blanks go away, and tokens that touch
//! each other become one word where a name may hold what joins them: `word-count.v2` is one piece, not five. So words
//! are always the text as it stands, and a name such as `1e5` or `0x1f` is no number.

use std::ops::Range;

use fnstream_core::ErrorCode;
use sqlparser::dialect::Dialect;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::error::SqlError;

/// A piece of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lexeme {
    pub kind: Kind,
    pub span: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword, a bare name or a number: letters, digits, `_`, `-` and `.`.
    Word,
    /// In the quotes of the first field; the second is without them.
    Quoted(char, String),
    /// The end of a statement.
    Semicolon,
    /// Anything else, of which the grammar knows `(`, `)`, `,` and `=`.
    Symbol,
}

/// A text cut up to its end, or up to something that has none.
pub(crate) struct Lexed {
    pub lexemes: Vec<Lexeme>,
    pub unterminated: Option<Unterminated>,
}

/// A quote or comment that is opened and not closed.
pub(crate) struct Unterminated {
    pub start: usize,
    /// What closes it.
    pub close: &'static str,
}

impl Unterminated {
    pub(crate) fn error(&self, sql: &str) -> SqlError {
        let (what, end) = match self.close {
            "*/" => ("comment is", self.start + 2),
            "'" | "\"" => ("text is", sql.len()),
            _ => ("name is", sql.len()),
        };
        let message = format!("the {what} not closed");
        let error = SqlError::new(ErrorCode::InvalidSql, message, self.start..end, sql);
        match self.close {
            "*/" => error.hint("comments may hold comments: each '/*' needs its '*/'"),
            close => error.hint(format!("close it by {close}; within it the quote is written twice")),
        }
    }
}

/// Cuts `sql` in one pass.
pub(crate) fn lex(sql: &str) -> Lexed {
    let mut lexemes = Vec::new();
    let mut from = 0;
    loop {
        let (tokens, failed) = tokens(&sql[from..]);
        let mut end = from;
        for (token, span) in tokens {
            let span = from + span.start..from + span.end;
            end = span.end;
            push(&mut lexemes, sql, token, span);
        }
        if !failed {
            return Lexed { lexemes, unterminated: None };
        }
        // The tokenizer refuses a dot before an underscore, which a name may hold. It is a dot like any other.
        if sql[end..].starts_with('.') {
            push(&mut lexemes, sql, Token::Period, end..end + 1);
            from = end + 1;
            continue;
        }
        let rest = &sql[end..];
        let close = match rest {
            _ if rest.starts_with("/*") => "*/",
            _ => match rest.find(['\'', '"', '`']).map(|at| rest.as_bytes()[at]) {
                Some(b'"') => "\"",
                Some(b'`') => "`",
                _ => "'",
            },
        };
        return Lexed { lexemes, unterminated: Some(Unterminated { start: end, close }) };
    }
}

/// The tokens up to the end or to what the tokenizer refuses.
fn tokens(text: &str) -> (impl Iterator<Item = (Token, Range<usize>)>, bool) {
    let mut found: Vec<TokenWithSpan> = Vec::new();
    let failed = Tokenizer::new(&Words, text).tokenize_with_location_into_buf(&mut found).is_err();
    let mut place = Place { rest: text, offset: 0, at: Location::new(1, 1) };
    let located = found.into_iter().map(move |token| {
        let start = place.offset;
        (token.token, start..place.advance_to(token.span.end))
    });
    (located, failed)
}

fn push(lexemes: &mut Vec<Lexeme>, sql: &str, token: Token, span: Range<usize>) {
    // A byte order mark is what some editors begin a file with.
    let blank = matches!(token, Token::Whitespace(_)) || (span.start == 0 && token == Token::Char('\u{feff}'));
    if blank {
        return;
    }
    let kind = match token {
        Token::SemiColon => Kind::Semicolon,
        Token::SingleQuotedString(text) => Kind::Quoted('\'', text),
        Token::Word(word) if word.quote_style.is_some() => {
            Kind::Quoted(word.quote_style.unwrap_or_default(), word.value)
        }
        _ if sql[span.clone()].chars().all(joins) => Kind::Word,
        _ => Kind::Symbol,
    };
    match lexemes.last_mut() {
        Some(last) if kind == Kind::Word && last.kind == Kind::Word && last.span.end == span.start => {
            last.span.end = span.end;
        }
        _ => lexemes.push(Lexeme { kind, span }),
    }
}

/// What a word is made of. Names hold only ASCII, but `café` is to be refused as a whole.
pub(crate) fn joins(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// From the tokenizer's places, in lines and characters, to bytes.
struct Place<'a> {
    rest: &'a str,
    offset: usize,
    at: Location,
}

impl Place<'_> {
    fn advance_to(&mut self, to: Location) -> usize {
        let mut chars = self.rest.char_indices();
        let mut passed = 0;
        while self.at < to {
            let Some((at, c)) = chars.next() else { break };
            passed = at + c.len_utf8();
            match c {
                '\n' => self.at = Location::new(self.at.line + 1, 1),
                _ => self.at.column += 1,
            }
        }
        self.rest = &self.rest[passed..];
        self.offset += passed;
        self.offset
    }
}

/// The words of our SQL. What is not said here is the tokenizer's default: three kinds of quotes, in which the quote is
/// doubled and a backslash means nothing.
#[derive(Debug)]
struct Words;

impl Dialect for Words {
    fn is_identifier_start(&self, c: char) -> bool {
        c.is_alphabetic() || c == '_'
    }

    fn is_identifier_part(&self, c: char) -> bool {
        c.is_alphanumeric() || c == '_'
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    /// A `$` opens no quote.
    fn supports_dollar_placeholder(&self) -> bool {
        true
    }
}
