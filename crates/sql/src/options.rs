// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The options of `WITH` and of `SET`: `('name'='value', …)`, the names with or without quotes, each at most once.

use std::ops::Range;

use crate::complete::Wanted;
use crate::cursor::{Cursor, Parsed};
use crate::lex::Kind;
use crate::nearest::nearest;

pub(crate) const FUNCTION_PATH: &str = "function_path";
pub(crate) const CONFIG_PATH: &str = "config_path";
const NAMES: [&str; 2] = [FUNCTION_PATH, CONFIG_PATH];

/// What a topic can be set.
pub const TOPIC_SETTINGS: [&str; 5] =
    ["partitions", "retention", "retention_bytes", "retention_by", "accept_moved_keys"];

/// Settings of a topic, at least one, with their values as they are written.
pub(crate) fn settings(cursor: &mut Cursor<'_>) -> Parsed<Vec<(&'static str, String)>> {
    cursor.expect_symbol("(")?;
    let mut settings: Vec<(&'static str, String)> = Vec::new();
    loop {
        let which = option(cursor, (&TOPIC_SETTINGS, Wanted::Setting), |which| {
            settings.iter().any(|(given, _)| *given == TOPIC_SETTINGS[which])
        })?;
        cursor.expect_symbol("=")?;
        settings.push((TOPIC_SETTINGS[which], cursor.value()?));
        if !cursor.accept_symbol(",") {
            break;
        }
    }
    cursor.expect_symbol(")")?;
    Ok(settings)
}

/// The values of both options.
pub(crate) fn paths(cursor: &mut Cursor<'_>) -> Parsed<(String, String)> {
    cursor.expect_symbol("(")?;
    let mut values: [Option<String>; 2] = [None, None];
    while !is_closed(cursor) {
        let which = option(cursor, (&NAMES, Wanted::Option), |which| values[which].is_some())?;
        cursor.expect_symbol("=")?;
        let (value, span) = cursor.quoted(Wanted::Path)?;
        if value.is_empty() {
            return Err(cursor.wrong_at(format!("option '{}' is empty", NAMES[which]), span));
        }
        values[which] = Some(value);
        if !cursor.accept_symbol(",") {
            break;
        }
    }
    match values {
        [Some(function), Some(config)] => {
            cursor.expect_symbol(")")?;
            Ok((function, config))
        }
        values => {
            // First what is wrong with what is there, then what is not.
            if !is_closed(cursor) {
                cursor.expect_symbol(")")?;
            }
            let missing: Vec<_> = NAMES.iter().zip(&values).filter(|(_, value)| value.is_none()).collect();
            let missing: Vec<_> = missing.iter().map(|(name, _)| format!("'{name}'")).collect();
            let message = match missing.as_slice() {
                [one] => format!("option {one} is missing"),
                all => format!("options {} are missing", all.join(" and ")),
            };
            Err(cursor.wrong(message).hint("both 'function_path' and 'config_path' are needed"))
        }
    }
}

fn is_closed(cursor: &Cursor<'_>) -> bool {
    cursor.peek().is_some_and(|lexeme| cursor.text(lexeme) == ")")
}

/// Takes an option's name and says which it is.
fn option(
    cursor: &mut Cursor<'_>,
    (names, wanted): (&[&'static str], Wanted),
    is_given: impl Fn(usize) -> bool,
) -> Parsed<usize> {
    let (name, span): (String, Range<usize>) = match cursor.peek() {
        Some(lexeme) if lexeme.kind == Kind::Word => (cursor.text(lexeme).to_owned(), lexeme.span.clone()),
        Some(lexeme) => match &lexeme.kind {
            Kind::Quoted(_, text) => (text.clone(), lexeme.span.clone()),
            _ => return Err(cursor.wants(wanted)),
        },
        None => return Err(cursor.wants(wanted)),
    };
    match names.iter().position(|known| *known == name) {
        Some(which) if is_given(which) => Err(cursor.wrong_at(format!("option '{name}' is given twice"), span)),
        Some(which) => {
            cursor.take();
            Ok(which)
        }
        None => {
            let error = cursor.wrong_at(format!("unknown option '{}'", crate::render::clip(&name)), span);
            Err(match nearest(&name, names.iter().copied()) {
                Some(meant) => error.hint(format!("did you mean '{meant}'?")),
                None => error.hint(format!("the options are {}", all(names))),
            })
        }
    }
}

/// Some names in a sentence.
fn all(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("'{name}'")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}
