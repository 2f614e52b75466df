// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a page shows of a file is the file's text. `<!-- from: PATH -->` before a block of code names the file; the block has all of
//! it but the licence header and, in Rust, the tests at its end.
//!
//! `UPDATE_INCLUDED=1 cargo test -p fnstream-tests --test repo_rules included` writes the blocks anew.

use std::ops::Range;

use super::{assert_none, root, tracked_files};

const MARK: &str = "<!-- from: ";

/// A block of a page, and what it is to have.
struct Included {
    path: String,
    /// Where its text is in the page.
    at: Range<usize>,
}

/// The blocks of a page that name a file.
fn included(page: &str) -> Vec<Included> {
    page.match_indices(MARK)
        .filter(|(at, _)| *at == 0 || page[..*at].ends_with('\n'))
        .map(|(at, _)| {
            let (path, _) = page[at + MARK.len()..].split_once(" -->\n```").expect("a block of code follows the mark");
            let head = at + MARK.len() + path.len() + " -->\n".len();
            let begin = head + page[head..].find('\n').expect("the block begins") + 1;
            let end = begin - 1 + page[begin - 1..].find("\n```").expect("the block ends") + 1;
            Included { path: path.to_owned(), at: begin..end }
        })
        .collect()
}

/// What is shown of a file.
fn shown(file: &str) -> String {
    let is_header = |line: &&str| line.contains("Copyright 2024") || line.contains("SPDX-License-Identifier");
    let lines: Vec<_> = file.lines().skip_while(|line| is_header(line) || line.is_empty()).collect();
    let tests = lines.iter().position(|line| *line == "#[cfg(test)]").unwrap_or(lines.len());
    format!("{}\n", lines[..tests].join("\n").trim_end())
}

#[test]
fn what_a_page_shows_of_a_file_is_what_it_has() {
    let update = std::env::var_os("UPDATE_INCLUDED").is_some();
    let mut blocks = 0;
    let mut wrong = Vec::new();
    for path in tracked_files().into_iter().filter(|path| path.ends_with(".md")) {
        let mut page = std::fs::read_to_string(root().join(&path)).unwrap();
        // From the last to the first, so that places stay.
        for block in included(&page).into_iter().rev() {
            blocks += 1;
            let file = std::fs::read_to_string(root().join(&block.path));
            let text = shown(&file.unwrap_or_else(|error| panic!("{path} shows '{}': {error}", block.path)));
            if page[block.at.clone()] != text {
                wrong.push(format!("{path}: {}", block.path));
                page.replace_range(block.at, &text);
            }
        }
        if update {
            std::fs::write(root().join(&path), page).unwrap();
        }
    }
    assert!(blocks >= 16, "only {blocks} blocks name a file: four examples in four languages should");
    if !update {
        assert_none("not what the file has; UPDATE_INCLUDED=1 writes it anew", &wrong);
    }
}

#[test]
fn a_block_that_differs_is_found() {
    let page = "a\n<!-- from: x.rs -->\n```rust\nlet a = 1;\n```\n<!-- from: y -->\n```\n```\n";
    let found: Vec<_> = included(page).into_iter().map(|block| (block.path, &page[block.at])).collect();
    assert_eq!(found, [("x.rs".to_owned(), "let a = 1;\n"), ("y".to_owned(), "")]);
    let file = "// Copyright 2024 A\n// SPDX-License-Identifier: B\n\n//! C\nd();\n\n#[cfg(test)]\nmod tests {}\n";
    assert_eq!(shown(file), "//! C\nd();\n");
}
