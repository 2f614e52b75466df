// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is said of a safe start: no more than the note knows.

use super::note::Note;

/// Why there is a safe start.
pub(super) fn died(note: &Note) -> String {
    match note.deaths {
        0 => "the server died soon after earlier starts".to_owned(),
        1 => "the server died soon after 1 start".to_owned(),
        deaths => format!("the server died soon after {deaths} starts"),
    }
}

/// Why a function is held back.
pub(super) fn reason(note: &Note, name: &str) -> String {
    let died = died(note);
    match note.functions.get(name) {
        None => died,
        Some(times) if *times == note.deaths => format!("{died}, each of which was to start it"),
        Some(1) => format!("{died}, 1 of which was to start it"),
        Some(times) => format!("{died}, {times} of which were to start it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_how_often_the_function_was_to_start() {
        let functions = [("a".to_owned(), 4), ("b".to_owned(), 3), ("c".to_owned(), 1)].into();
        let note = Note { deaths: 4, functions, ..Note::default() };
        let died = "the server died soon after 4 starts";
        assert_eq!(reason(&note, "a"), format!("{died}, each of which was to start it"));
        assert_eq!(reason(&note, "b"), format!("{died}, 3 of which were to start it"));
        assert_eq!(reason(&note, "c"), format!("{died}, 1 of which was to start it"));
        assert_eq!(reason(&note, "d"), died);
        assert_eq!(reason(&Note::default(), "a"), "the server died soon after earlier starts");
    }
}
