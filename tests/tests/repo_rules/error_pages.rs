// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Each error code has a page that says what happened, why, and what to do, and no page is about nothing.

use std::collections::BTreeSet;

use fnstream_core::ErrorCode;

use super::{assert_none, root};

/// What a reader in trouble looks for, in this order.
const SECTIONS: [&str; 3] = ["## What happened", "## Why", "## What to do"];

#[test]
fn every_error_code_has_a_page() {
    let problems: Vec<_> = ErrorCode::ALL
        .iter()
        .filter_map(|&code| {
            let path = format!("docs/errors/{code}.md");
            match std::fs::read_to_string(root().join(&path)) {
                Ok(page) => problem_of(&page, code).map(|problem| format!("{path} {problem}")),
                Err(_) => Some(format!("{path} is missing")),
            }
        })
        .collect();
    assert_none("pages of error codes", &problems);
}

#[test]
fn every_error_page_has_a_code() {
    let codes: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| format!("{code}.md")).collect();
    let orphans: Vec<_> = std::fs::read_dir(root().join("docs/errors"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md" && !codes.contains(name))
        .collect();
    assert_none("pages of no error code", &orphans);
}

#[test]
fn the_index_lists_every_code_once_with_its_summary() {
    let index = std::fs::read_to_string(root().join("docs/errors/README.md")).unwrap();
    let problems: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|code| format!("| [{code}]({code}.md) | {} | {} |", code.http_status(), code.summary()))
        .filter(|row| index.matches(row.as_str()).count() != 1)
        .collect();
    assert_none("rows that docs/errors/README.md lacks", &problems);
}

#[test]
fn commands_of_pages_name_functions_by_the_flag() {
    let problems: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|code| format!("docs/errors/{code}.md"))
        .filter(|path| std::fs::read_to_string(root().join(path)).is_ok_and(|page| names_without_flag(&page)))
        .collect();
    assert_none("pages with commands that are refused", &problems);
    assert!(names_without_flag("`function-stream client stop NAME`") && names_without_flag("client dlq replay NAME."));
    assert!(!names_without_flag("`client stop -n NAME`, `client dlq job ID`"));
}

/// Whether a command gives its name as a word of its own.
fn names_without_flag(page: &str) -> bool {
    page.split("client ").skip(1).any(|command| {
        let mut words = command.split(|c: char| c.is_whitespace() || c == '`');
        let verbs = words.by_ref().take(2).take_while(|word| word.chars().all(|c| c.is_ascii_lowercase())).count();
        let first = command.split_whitespace().nth(verbs).unwrap_or_default();
        verbs > 0 && first.starts_with("NAME")
    })
}

#[test]
fn a_page_that_lacks_something_is_found() {
    let code = ErrorCode::NotFound;
    let good = format!("# {code}: {}\n\n## What happened\na\n## Why\nb\n## What to do\nc\n", code.summary());
    assert_eq!(problem_of(&good, code), None);
    assert!(problem_of(&good, ErrorCode::EmptyBody).is_some());
    assert!(problem_of(&good.replace("## Why\n", ""), code).is_some());
    assert!(problem_of(&good.replace("b\n", ""), code).is_some());
}

/// What a page lacks, if anything.
fn problem_of(page: &str, code: ErrorCode) -> Option<String> {
    let title = format!("# {code}: {}", code.summary());
    if page.lines().next() != Some(&title) {
        return Some(format!("does not begin with '{title}'"));
    }
    let mut rest = page;
    for section in SECTIONS {
        let Some((_, after)) = rest.split_once(&format!("{section}\n")) else {
            return Some(format!("lacks '{section}', or has it in another place"));
        };
        if after.split("## ").next().is_none_or(|text| text.trim().is_empty()) {
            return Some(format!("says nothing under '{section}'"));
        }
        rest = after;
    }
    None
}
