// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The rules, one function for each first word.

use crate::Located;
use crate::complete::Wanted;
use crate::cursor::{Cursor, Parsed};
use crate::error::SqlError;
use crate::nearest::nearest;
use crate::options::{paths, settings};
use crate::pattern::Pattern;
use crate::statement::{OnExisting, Statement};

/// What a statement begins with.
pub(crate) const FIRST: [&str; 9] =
    ["CREATE", "START", "STOP", "RESTART", "DROP", "SHOW", "DESCRIBE", "ROLLBACK", "ALTER"];
/// What other systems call it.
const ELSEWHERE: [(&str, &str); 9] = [
    ("DELETE", "DROP"),
    ("REMOVE", "DROP"),
    ("LIST", "SHOW"),
    ("KILL", "STOP"),
    ("PAUSE", "STOP"),
    ("RESUME", "START"),
    ("RUN", "START"),
    ("UPDATE", "CREATE OR REPLACE"),
    ("REPLACE", "CREATE OR REPLACE"),
];

const CREATE: &str = "CREATE [OR REPLACE] FUNCTION [IF NOT EXISTS] WITH ('function_path'='…', 'config_path'='…')";
const SHOW: &str = "SHOW FUNCTIONS | TOPICS | STATE OF name | DEAD LETTERS OF name";
const SHOW_STATE: &str = "SHOW STATE OF name [LIKE 'prefix'] [LIMIT n]";
const SHOW_DEAD_LETTERS: &str = "SHOW DEAD LETTERS OF name [LIMIT n]";

/// The statement of one piece; `None` if the piece is empty.
pub(crate) fn statement(cursor: &mut Cursor<'_>) -> Parsed<Option<Located<Statement>>> {
    let node = match FIRST.into_iter().find(|first| cursor.accept(first)) {
        Some("CREATE") => create(cursor)?,
        Some("START") => Statement::StartFunction { name: named(cursor, "START FUNCTION name")? },
        Some("STOP") => Statement::StopFunction { name: named(cursor, "STOP FUNCTION name")? },
        Some("RESTART") => Statement::RestartFunction { name: named(cursor, "RESTART FUNCTION name")? },
        Some("DESCRIBE") => Statement::DescribeFunction { name: named(cursor, "DESCRIBE FUNCTION name")? },
        Some("DROP") => drop_function(cursor)?,
        Some("ROLLBACK") => rollback(cursor)?,
        Some("ALTER") => alter(cursor)?,
        Some(_) => show(cursor)?,
        None if cursor.is_at_end() => return Ok(None),
        None => return Err(unknown(cursor)),
    };
    cursor.end()?;
    Ok(cursor.span().map(|span| Located { node, span }))
}

fn unknown(cursor: &Cursor<'_>) -> SqlError {
    let error = cursor.wrong(format!("no statement begins with {}", cursor.found()));
    let word = cursor.peek_word().unwrap_or_default();
    let elsewhere = ELSEWHERE.iter().find(|(other, _)| word.eq_ignore_ascii_case(other));
    match elsewhere.map(|&(_, ours)| ours).or_else(|| nearest(word, FIRST)) {
        Some(meant) => error.hint(format!("did you mean '{meant}'?")),
        None => error.hint(format!("a statement begins with {}", FIRST.join(", "))),
    }
}

/// `FUNCTION name`
fn named(cursor: &mut Cursor<'_>, form: &'static str) -> Parsed<String> {
    cursor.form = Some(form);
    cursor.expect("FUNCTION")?;
    cursor.function()
}

fn create(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.form = Some(CREATE);
    let replace = cursor.accept("OR");
    if replace {
        cursor.expect("REPLACE")?;
    }
    cursor.expect("FUNCTION")?;
    let before = cursor.peek().map(|lexeme| lexeme.span.clone());
    let keep = cursor.accept("IF");
    if keep {
        cursor.expect("NOT")?;
        cursor.expect("EXISTS")?;
    }
    let on_existing = match (replace, keep) {
        (true, true) => {
            let end = cursor.span().map_or(0, |span| span.end);
            let span = before.map_or(end, |before| before.start)..end;
            return Err(cursor.wrong_at("OR REPLACE and IF NOT EXISTS exclude each other".to_owned(), span));
        }
        (true, false) => OnExisting::Replace,
        (false, true) => OnExisting::Keep,
        (false, false) => OnExisting::Fail,
    };
    if !cursor.accept("WITH") {
        let error = cursor.unexpected();
        // Where other systems have the name.
        let is_name = error.hint.as_deref().is_none_or(|hint| !hint.starts_with("did you mean"));
        return Err(match cursor.peek() {
            Some(_) if is_name && cursor.is_followed_by("WITH") => {
                error.hint("the function's name is in its config file: CREATE FUNCTION WITH (…)")
            }
            _ => error,
        });
    }
    let (function_path, config_path) = paths(cursor)?;
    Ok(Statement::CreateFunction { on_existing, function_path, config_path })
}

fn drop_function(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.form = Some("DROP FUNCTION [IF EXISTS] name");
    cursor.expect("FUNCTION")?;
    let if_exists = cursor.accept("IF");
    if if_exists {
        cursor.expect("EXISTS")?;
    }
    Ok(Statement::DropFunction { name: cursor.function()?, if_exists })
}

fn alter(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.form = Some("ALTER TOPIC name SET ('retention'='7d', …)");
    if !cursor.accept("TOPIC") {
        let error = cursor.unexpected();
        let is_function = cursor.peek_word().is_some_and(|word| word.eq_ignore_ascii_case("FUNCTION"));
        return Err(if is_function {
            error.hint("a function is changed by CREATE OR REPLACE FUNCTION")
        } else {
            error
        });
    }
    let name = cursor.topic()?;
    cursor.expect("SET")?;
    Ok(Statement::AlterTopic { name, settings: settings(cursor)? })
}

fn rollback(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let name = named(cursor, "ROLLBACK FUNCTION name TO REVISION n")?;
    cursor.expect("TO")?;
    cursor.expect("REVISION")?;
    Ok(Statement::RollbackFunction { name, revision: cursor.number(Wanted::Revision, 1)? })
}

fn show(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.form = Some(SHOW);
    if cursor.accept("FUNCTIONS") {
        cursor.form = Some("SHOW FUNCTIONS [LIKE 'pattern']");
        return Ok(Statement::ShowFunctions { like: like(cursor, Wanted::FunctionPattern, Pattern::new)? });
    }
    if cursor.accept("TOPICS") {
        cursor.form = Some("SHOW TOPICS [LIKE 'pattern']");
        return Ok(Statement::ShowTopics { like: like(cursor, Wanted::TopicPattern, Pattern::new)? });
    }
    if cursor.accept("STATE") {
        cursor.form = Some(SHOW_STATE);
        let name = owner(cursor)?;
        let like = like(cursor, Wanted::KeyPrefix, Pattern::prefix)?;
        return Ok(Statement::ShowState { name, like, limit: limit(cursor)? });
    }
    cursor.expect("DEAD")?;
    cursor.form = Some(SHOW_DEAD_LETTERS);
    cursor.expect("LETTERS")?;
    Ok(Statement::ShowDeadLetters { name: owner(cursor)?, limit: limit(cursor)? })
}

/// `OF name`
fn owner(cursor: &mut Cursor<'_>) -> Parsed<String> {
    cursor.expect("OF")?;
    cursor.function()
}

fn like(cursor: &mut Cursor<'_>, wanted: Wanted, make: fn(&str) -> Option<Pattern>) -> Parsed<Option<Pattern>> {
    match cursor.accept("LIKE") {
        true => cursor.pattern(wanted, make).map(Some),
        false => Ok(None),
    }
}

fn limit(cursor: &mut Cursor<'_>) -> Parsed<Option<u64>> {
    match cursor.accept("LIMIT") {
        true => cursor.number(Wanted::Limit, 0).map(Some),
        false => Ok(None),
    }
}
