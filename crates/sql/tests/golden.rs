// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is said about text that is wrong, to the letter. `tests/golden/*.txt` have the cases:
//!
//! ```text
//! >>> what is wrong
//! the text, of one or more lines
//! <<<
//! what is said about it
//! ```
//!
//! With `UPDATE_GOLDEN=1` the files are written anew instead of being compared; read what changed before it is kept.

#![allow(clippy::unwrap_used, reason = "a test may say plainly what it takes for granted")]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use fnstream_sql::parse;

struct Case {
    title: String,
    sql: String,
    told: String,
}

#[test]
fn each_mistake_is_told_as_written_down() {
    let (mut cases, mut problems) = (0, String::new());
    for path in golden_files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let read = read(&text);
        cases += read.len();
        let told = |case: &Case| match parse(&case.sql) {
            Ok(statements) => panic!("'{}' is no mistake: {statements:?}", case.title),
            Err(errors) => errors.render(&case.sql),
        };
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, write(&read, told)).unwrap();
            continue;
        }
        for case in &read {
            let now = told(case);
            if now != case.told {
                let _ = writeln!(problems, "{}: {}\n{}", path.display(), case.title, difference(&case.told, &now));
            }
        }
    }
    assert!(problems.is_empty(), "\n{problems}\nUPDATE_GOLDEN=1 writes the files anew");
    assert!(cases >= 60, "only {cases} cases: is the folder whole?");
}

#[test]
fn a_difference_is_shown_line_by_line() {
    assert_eq!(difference("a\nb\nc", "a\nx\nc\nd"), "  a\n- b\n+ x\n  c\n+ d\n");
    assert_eq!(read("# note\n>>> t\nx\n\ny\n<<<\nz\n\n>>> u\n<<<\n").len(), 2);
}

fn golden_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// What comes before the first case is a note and kept out.
fn read(text: &str) -> Vec<Case> {
    let cases = text.split(">>> ").skip(1);
    cases
        .map(|case| {
            let (title, rest) = case.split_once('\n').unwrap_or_else(|| panic!("no text: {case}"));
            let (sql, told) = rest.split_once("<<<\n").unwrap_or_else(|| panic!("no '<<<' in '{title}'"));
            let sql = sql.strip_suffix('\n').unwrap_or(sql);
            Case { title: title.to_owned(), sql: sql.to_owned(), told: told.trim_end_matches('\n').to_owned() }
        })
        .collect()
}

fn write(cases: &[Case], told: impl Fn(&Case) -> String) -> String {
    let each: Vec<_> =
        cases.iter().map(|case| format!(">>> {}\n{}\n<<<\n{}\n", case.title, case.sql, told(case))).collect();
    each.join("\n")
}

/// The lines of both, with those marked that only one has.
fn difference(before: &str, after: &str) -> String {
    let (before, after): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let mut shown = String::new();
    for at in 0..before.len().max(after.len()) {
        match (before.get(at), after.get(at)) {
            (Some(was), Some(is)) if was == is => _ = writeln!(shown, "  {was}"),
            (was, is) => {
                was.iter().for_each(|was| _ = writeln!(shown, "- {was}"));
                is.iter().for_each(|is| _ = writeln!(shown, "+ {is}"));
            }
        }
    }
    shown
}
