// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The options of `WITH`: `('name'='value', …)`, the names with or without quotes, each exactly once.

use std::ops::Range;

use crate::complete::Wanted;
use crate::cursor::{Cursor, Parsed};
use crate::lex::Kind;
use crate::nearest::nearest;

pub(crate) const FUNCTION_PATH: &str = "function_path";
pub(crate) const CONFIG_PATH: &str = "config_path";
const NAMES: [&str; 2] = [FUNCTION_PATH, CONFIG_PATH];

/// The values of both options.
pub(crate) fn paths(cursor: &mut Cursor<'_>) -> Parsed<(String, String)> {
    cursor.expect_symbol("(")?;
    let mut values: [Option<String>; 2] = [None, None];
    while !is_closed(cursor) {
        let which = option(cursor, &values)?;
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
fn option(cursor: &mut Cursor<'_>, values: &[Option<String>; 2]) -> Parsed<usize> {
    let (name, span): (String, Range<usize>) = match cursor.peek() {
        Some(lexeme) if lexeme.kind == Kind::Word => (cursor.text(lexeme).to_owned(), lexeme.span.clone()),
        Some(lexeme) => match &lexeme.kind {
            Kind::Quoted(_, text) => (text.clone(), lexeme.span.clone()),
            _ => return Err(cursor.wants(Wanted::Option)),
        },
        None => return Err(cursor.wants(Wanted::Option)),
    };
    match NAMES.iter().position(|known| *known == name) {
        Some(which) if values[which].is_some() => Err(cursor.wrong_at(format!("option '{name}' is given twice"), span)),
        Some(which) => {
            cursor.take();
            Ok(which)
        }
        None => {
            let error = cursor.wrong_at(format!("unknown option '{}'", crate::render::clip(&name)), span);
            Err(match nearest(&name, NAMES) {
                Some(meant) => error.hint(format!("did you mean '{meant}'?")),
                None => error.hint("the options are 'function_path' and 'config_path'"),
            })
        }
    }
}
