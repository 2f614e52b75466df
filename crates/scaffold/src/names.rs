// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Names of projects: those that every tool of a project's language takes.

/// The longest name.
const MOST_BYTES: usize = 64;

/// Names that the tools of some language keep for themselves, or that hide what a function imports.
const RESERVED: &[&str] = &[
    // Rust
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
    // Go
    "cmd",
    "go",
    "internal",
    "main",
    "vendor",
    // Python and JavaScript
    "functionstream",
    "function-stream",
    "fs_api",
    "node_modules",
    // Folders of a project
    "build",
    "deps",
    "examples",
    "incremental",
    "target",
    // The SDKs
    "fnstream-sdk",
    "fnstream-frame",
    "fnstream_sdk",
    "fnstream_frame",
];

/// What is wrong with a name; goes on from "the name 'x' ".
pub(crate) fn problem(name: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if name.is_empty() {
        Some("is empty".to_owned())
    } else if name.contains(['/', '\\']) || name.starts_with('.') {
        Some("is a path: go to the folder first".to_owned())
    } else if name.len() > MOST_BYTES {
        Some(format!("has {} bytes, more than {MOST_BYTES}", name.len()))
    } else if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(fits) {
        Some("is not of lowercase letters, digits, '-' and '_' that begin with a letter".to_owned())
    } else if RESERVED.contains(&name) {
        Some("is reserved".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_some_tool_does_not_take_are_refused() {
        for good in ["a", "word-count", "clicks_2"] {
            assert_eq!(problem(good), None, "{good}");
        }
        for (bad, why) in [
            ("", "empty"),
            ("../a", "path"),
            ("a/b", "path"),
            ("/a", "path"),
            ("..", "path"),
            (".a", "path"),
            ("a\\b", "path"),
            ("-a", "lowercase"),
            ("1a", "lowercase"),
            ("Word", "lowercase"),
            ("zähler", "lowercase"),
            ("a b", "lowercase"),
            ("a\nb", "lowercase"),
            ("fn", "reserved"),
            ("functionstream", "reserved"),
            (&"a".repeat(65), "65 bytes"),
        ] {
            assert!(problem(bad).is_some_and(|told| told.contains(why)), "{bad}: {:?}", problem(bad));
        }
    }
}
