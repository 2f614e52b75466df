// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What `LIKE` means, everywhere: `%` stands for any number of characters, `_` for one, `\` takes the meaning off the
//! character after it, and all others stand for themselves, in their case.

use std::fmt;

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Char(char),
}

impl Pattern {
    /// A pattern for whole texts; `None` if it ends within an escape.
    pub fn new(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            parts.push(match c {
                // Two in a row say no more than one.
                '%' if parts.last() == Some(&Part::Any) => continue,
                '%' => Part::Any,
                '_' => Part::One,
                '\\' => Part::Char(chars.next()?),
                c => Part::Char(c),
            });
        }
        Some(Pattern { text: text.to_owned(), parts })
    }

    /// A pattern for how texts begin: `user:` and `user:%` are the same.
    pub fn prefix(text: &str) -> Option<Self> {
        let mut pattern = Pattern::new(text)?;
        if pattern.parts.last() != Some(&Part::Any) {
            pattern.parts.push(Part::Any);
        }
        Some(pattern)
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What every text that matches begins with: where a scan in order may start.
    pub fn literal_prefix(&self) -> String {
        let literal = |part: &Part| match part {
            Part::Char(c) => Some(*c),
            _ => None,
        };
        self.parts.iter().map_while(literal).collect()
    }

    /// Whether the text is as the pattern says.
    pub fn matches(&self, text: &str) -> bool {
        // Greedy with one way back, to the last `%`: an earlier one need never take more. So no pattern is slow beyond
        // its length times the text's.
        let (mut part, mut at) = (0, 0);
        let mut back: Option<(usize, usize)> = None;
        loop {
            let next = text[at..].chars().next();
            match (self.parts.get(part), next) {
                (Some(Part::Any), _) => {
                    back = Some((part, at));
                    part += 1;
                }
                (Some(Part::One), Some(c)) => (part, at) = (part + 1, at + c.len_utf8()),
                (Some(Part::Char(want)), Some(c)) if *want == c => (part, at) = (part + 1, at + c.len_utf8()),
                (None, None) => return true,
                _ => {
                    let Some((any, from)) = back else { return false };
                    let Some(c) = text[from..].chars().next() else { return false };
                    back = Some((any, from + c.len_utf8()));
                    (part, at) = (any + 1, from + c.len_utf8());
                }
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_what_it_says_and_nothing_else() {
        let table = [
            ("", vec![""], vec!["a"]),
            ("abc", vec!["abc"], vec!["ABC", "ab", "abcd"]),
            ("a%", vec!["a", "ab", "a%"], vec!["", "ba"]),
            ("%", vec!["", "a", "é日"], vec![]),
            ("%%a%%", vec!["a", "bab"], vec!["b"]),
            ("a_c", vec!["abc", "a日c"], vec!["ac", "abbc"]),
            ("%ab%ab", vec!["abab", "xababyab"], vec!["ab", "abba"]),
            ("%aab", vec!["aaab", "aab"], vec!["aaba"]),
            (r"100\%", vec!["100%"], vec!["1000", r"100\%"]),
            (r"a\_b\\", vec![r"a_b\"], vec![r"axb\"]),
            ("_", vec!["é"], vec!["", "ab"]),
        ];
        for (pattern, yes, no) in table {
            let compiled = Pattern::new(pattern).unwrap();
            yes.iter().for_each(|text| assert!(compiled.matches(text), "'{text}' LIKE '{pattern}'"));
            no.iter().for_each(|text| assert!(!compiled.matches(text), "'{text}' NOT LIKE '{pattern}'"));
        }
    }

    #[test]
    fn a_prefix_needs_no_percent_sign() {
        for text in ["user:", "user:%"] {
            let pattern = Pattern::prefix(text).unwrap();
            assert!(pattern.matches("user:1") && pattern.matches("user:") && !pattern.matches("a user:1"));
            assert_eq!(pattern.literal_prefix(), "user:");
        }
    }

    #[test]
    fn a_scan_may_start_at_what_comes_before_the_first_wildcard() {
        let prefix = |text: &str| Pattern::new(text).unwrap().literal_prefix();
        assert_eq!((prefix("a%b"), prefix("_b"), prefix(r"50\%_")), ("a".into(), "".into(), "50%".into()));
    }

    #[test]
    fn an_escape_of_nothing_is_no_pattern() {
        assert_eq!(Pattern::new(r"abc\"), None);
    }

    #[test]
    fn a_hostile_pattern_is_not_slow() {
        let pattern = Pattern::new(&"%a".repeat(2_000)).unwrap();
        assert!(!pattern.matches(&"a".repeat(1_999)));
        assert!(pattern.matches(&"a".repeat(2_000)));
    }
}
