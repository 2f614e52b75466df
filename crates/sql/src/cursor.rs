// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Walks over the pieces of one statement and remembers everything that would have been right where it stands, so that
//! a mistake can name all of it and a prompt can offer it.

use std::ops::Range;

use fnstream_core::spec::check_name;
use fnstream_core::topic::Topic;
use fnstream_core::{Error, ErrorCode};

use crate::complete::Wanted;
use crate::error::SqlError;
use crate::lex::{Kind, Lexeme};
use crate::nearest::nearest;
use crate::pattern::Pattern;
use crate::render::clip;

pub(crate) type Parsed<T> = Result<T, SqlError>;

pub(crate) struct Cursor<'a> {
    sql: &'a str,
    /// Of one statement, without its `;`.
    lexemes: &'a [Lexeme],
    at: usize,
    /// What would be right at this place.
    wanted: Vec<Wanted>,
    /// The form of the statement, once its first words say which it is.
    pub form: Option<&'static str>,
}

impl<'a> Cursor<'a> {
    /// `piece` may end with its `;`.
    pub(crate) fn new(sql: &'a str, piece: &'a [Lexeme]) -> Self {
        let lexemes = match piece {
            [rest @ .., last] if last.kind == Kind::Semicolon => rest,
            _ => piece,
        };
        Cursor { sql, lexemes, at: 0, wanted: Vec::new(), form: None }
    }

    pub(crate) fn peek(&self) -> Option<&'a Lexeme> {
        self.lexemes.get(self.at)
    }

    /// The text of the piece, if it is a word.
    pub(crate) fn peek_word(&self) -> Option<&'a str> {
        self.peek().filter(|lexeme| lexeme.kind == Kind::Word).map(|lexeme| self.text(lexeme))
    }

    /// From the first piece to the one before.
    pub(crate) fn span(&self) -> Option<Range<usize>> {
        let (first, last) = (self.lexemes.first()?, self.lexemes.get(self.at.checked_sub(1)?)?);
        Some(first.span.start..last.span.end)
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.lexemes.len()
    }

    /// What would be right here.
    pub(crate) fn into_wanted(self) -> Vec<Wanted> {
        self.wanted
    }

    /// Takes the keyword if it is here.
    pub(crate) fn accept(&mut self, keyword: &'static str) -> bool {
        let found = self.peek_word().is_some_and(|word| word.eq_ignore_ascii_case(keyword));
        self.take_if(found, Wanted::Keyword(keyword))
    }

    /// Takes the keyword, or fails.
    pub(crate) fn expect(&mut self, keyword: &'static str) -> Parsed<()> {
        if self.accept(keyword) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(crate) fn accept_symbol(&mut self, symbol: &'static str) -> bool {
        let found = self.peek().is_some_and(|lexeme| self.text(lexeme) == symbol);
        self.take_if(found, Wanted::Symbol(symbol))
    }

    pub(crate) fn expect_symbol(&mut self, symbol: &'static str) -> Parsed<()> {
        if self.accept_symbol(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// A function's name, bare or in any quotes.
    pub(crate) fn function(&mut self) -> Parsed<String> {
        self.name(Wanted::Function, |name| check_name("function", name))
    }

    /// A topic in its text form, bare or in any quotes.
    pub(crate) fn topic(&mut self) -> Parsed<String> {
        self.name(Wanted::Topic, |name| name.parse::<Topic>()?.check("topic"))
    }

    fn name(&mut self, wanted: Wanted, check: fn(&str) -> Result<(), Error>) -> Parsed<String> {
        let (name, span) = match self.peek() {
            Some(Lexeme { kind: Kind::Word, span }) => (self.sql[span.clone()].to_owned(), span),
            Some(Lexeme { kind: Kind::Quoted(_, text), span }) => (text.clone(), span),
            _ => return Err(self.wants(wanted)),
        };
        let checked = check(&name);
        self.take();
        match checked {
            Ok(()) => Ok(name),
            Err(error) => {
                let error = SqlError::new(error.code, clip_long(&error.message), span.clone(), self.sql);
                let advice = ErrorCode::InvalidName.advice();
                Err(error.hint(advice))
            }
        }
    }

    /// A text in single or double quotes, and its place.
    pub(crate) fn quoted(&mut self, wanted: Wanted) -> Parsed<(String, Range<usize>)> {
        match self.peek() {
            Some(Lexeme { kind: Kind::Quoted('\'' | '"', text), span }) => {
                self.take();
                Ok((text.clone(), span.clone()))
            }
            _ => Err(self.wants(wanted)),
        }
    }

    /// The value of a setting: a text in quotes, or a word.
    pub(crate) fn value(&mut self) -> Parsed<String> {
        let value = match self.peek() {
            Some(Lexeme { kind: Kind::Word, span }) => self.sql[span.clone()].to_owned(),
            Some(Lexeme { kind: Kind::Quoted('\'' | '"', text), .. }) => text.clone(),
            _ => return Err(self.wants(Wanted::Value)),
        };
        self.take();
        Ok(value)
    }

    /// A pattern; `make` says of which kind.
    pub(crate) fn pattern(&mut self, wanted: Wanted, make: fn(&str) -> Option<Pattern>) -> Parsed<Pattern> {
        let (text, span) = self.quoted(wanted)?;
        let no_pattern = || {
            let message = r"the pattern ends with '\', which takes the meaning off the character after it";
            let error = SqlError::new(ErrorCode::InvalidSql, message, span, self.sql);
            error.hint(r"a backslash itself is '\\'")
        };
        make(&text).ok_or_else(no_pattern)
    }

    /// A whole number of at least `least`.
    pub(crate) fn number(&mut self, wanted: Wanted, least: u64) -> Parsed<u64> {
        let Some(word) = self.peek_word().filter(|word| word.bytes().all(|b| b.is_ascii_digit())) else {
            return Err(self.wants(wanted));
        };
        match word.parse::<u64>() {
            Ok(number) if number >= least => {
                self.take();
                Ok(number)
            }
            Ok(_) => Err(self.wrong(format!("{wanted} is {least} or more"))),
            Err(_) => Err(self.wrong(format!("{wanted} is at most {}", u64::MAX))),
        }
    }

    /// Fails unless the statement ends here.
    pub(crate) fn end(&mut self) -> Parsed<()> {
        if self.is_at_end() { Ok(()) } else { Err(self.wants(Wanted::End)) }
    }

    /// The piece as it stands in the text.
    pub(crate) fn text(&self, lexeme: &Lexeme) -> &'a str {
        &self.sql[lexeme.span.clone()]
    }

    /// Whether the piece after this one is the keyword.
    pub(crate) fn is_followed_by(&self, keyword: &str) -> bool {
        self.lexemes.get(self.at + 1).is_some_and(|next| self.text(next).eq_ignore_ascii_case(keyword))
    }

    /// What is here is not `wanted`, nor anything else that would be right.
    pub(crate) fn wants(&mut self, wanted: Wanted) -> SqlError {
        self.wanted.push(wanted);
        self.unexpected()
    }

    /// What is here is of the right kind and wrong all the same.
    pub(crate) fn wrong(&self, message: String) -> SqlError {
        self.wrong_at(message, self.here())
    }

    /// Something is wrong at another place.
    pub(crate) fn wrong_at(&self, message: String, span: Range<usize>) -> SqlError {
        SqlError::new(ErrorCode::InvalidSql, message, span, self.sql)
    }

    /// What is here is none of what would be right.
    pub(crate) fn unexpected(&self) -> SqlError {
        let wanted: Vec<_> = self.wanted.iter().map(Wanted::to_string).collect();
        let wanted = match wanted.as_slice() {
            [] => "nothing".to_owned(),
            [one] => one.clone(),
            [all @ .., last] => format!("{} or {last}", all.join(", ")),
        };
        let error = self.wrong(format!("expected {wanted}, found {}", self.found()));
        match self.meant() {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    /// What the piece is, for a message.
    pub(crate) fn found(&self) -> String {
        let Some(lexeme) = self.peek() else { return "the end of the statement".to_owned() };
        let text = self.text(lexeme);
        match lexeme.kind {
            Kind::Quoted(..) => format!("the text {}", clip(text)),
            _ => format!("'{}'", clip(text)),
        }
    }

    /// The best hint for a piece that is wrong.
    fn meant(&self) -> Option<String> {
        let form = self.form.map(|form| format!("the statement is: {form}"));
        let Some(lexeme) = self.peek() else { return form };
        let text = self.text(lexeme);
        let keywords = self.wanted.iter().filter_map(|wanted| match wanted {
            Wanted::Keyword(keyword) => Some(*keyword),
            _ => None,
        });
        if let Some(meant) = nearest(text, keywords) {
            return Some(format!("did you mean '{meant}'?"));
        }
        let lone = text.chars().next().filter(|_| text.chars().count() == 1);
        if lone.is_some_and(|c| matches!(c, '‘' | '’' | '“' | '”' | '´')) {
            return Some("quotes are straight: ' or \"".to_owned());
        }
        if self.wanted.iter().any(Wanted::is_text)
            && let Some(text) = self.unquoted()
        {
            return Some(format!("write it in quotes: '{text}'"));
        }
        let begins = |first: &&str| text.eq_ignore_ascii_case(first);
        if self.wanted.contains(&Wanted::End) && crate::grammar::FIRST.iter().any(begins) {
            return Some("a ';' stands between two statements".to_owned());
        }
        form
    }

    /// What somebody forgot to put in quotes: everything from here to the next blank or punctuation.
    fn unquoted(&self) -> Option<&'a str> {
        let ends = |lexeme: &Lexeme| {
            matches!(lexeme.kind, Kind::Quoted(..)) || matches!(self.text(lexeme), "(" | ")" | "," | "=")
        };
        let rest = &self.lexemes[self.at..];
        let joined = rest
            .iter()
            .enumerate()
            .take_while(|&(i, lexeme)| !ends(lexeme) && (i == 0 || rest[i - 1].span.end == lexeme.span.start));
        let text = &self.sql[self.peek()?.span.start..joined.last()?.1.span.end];
        // Only what can be shown as it is can be advised.
        (clip(text) == text && !text.contains(['\'', '"'])).then_some(text)
    }

    fn here(&self) -> Range<usize> {
        let after = self.at.checked_sub(1).and_then(|before| self.lexemes.get(before));
        match (self.peek(), after) {
            (Some(lexeme), _) => lexeme.span.clone(),
            (None, Some(last)) => last.span.end..last.span.end,
            (None, None) => 0..0,
        }
    }

    fn take_if(&mut self, found: bool, wanted: Wanted) -> bool {
        if found {
            self.take();
        } else {
            self.wanted.push(wanted);
        }
        found
    }

    pub(crate) fn take(&mut self) {
        self.at += 1;
        self.wanted.clear();
    }
}

/// A message that may hold a whole name.
fn clip_long(message: &str) -> String {
    match message.char_indices().nth(200) {
        None => message.to_owned(),
        Some((at, _)) => format!("{}…", &message[..at]),
    }
}
