// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Which functions a start holds back, and what it leaves for the next one: pure decisions.

use std::collections::BTreeSet;

use super::note::Note;
use crate::config::SafeStart;

/// So many deaths in a row are not chance.
pub(super) const DEATHS: u32 = 3;

/// What a start does.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The functions that it does not start.
    pub(super) held: BTreeSet<String>,
    /// What it notes before it starts the others; nothing if its death would not count.
    pub(super) note: Option<Note>,
}

/// The plan of a start that found `note`, and has these functions to start.
pub(super) fn plan(choice: SafeStart, note: &Note, wanted: &BTreeSet<String>) -> Plan {
    let held = match choice {
        SafeStart::Never => return Plan { held: BTreeSet::new(), note: None },
        SafeStart::Always => return Plan { held: wanted.clone(), note: None },
        SafeStart::Auto if note.deaths >= DEATHS => &note.functions & wanted,
        SafeStart::Auto => BTreeSet::new(),
    };
    if wanted.is_empty() {
        return Plan { held, note: None };
    }
    let suspects = &note.functions & wanted;
    let note = if !held.is_empty() {
        // It dies all the same: then it is not those that are held back, or not they alone.
        Note { deaths: note.deaths.saturating_add(1), functions: wanted.clone() }
    } else if note.deaths == 0 || note.deaths >= DEATHS || suspects.is_empty() {
        // The first; or what was to blame is gone.
        Note { deaths: 1, functions: wanted.clone() }
    } else {
        Note { deaths: note.deaths + 1, functions: suspects }
    };
    Plan { held, note: Some(note) }
}

/// What is noted when the process has lived on with its functions, while these are held back.
pub(super) fn settled(held: BTreeSet<String>) -> Note {
    Note { deaths: if held.is_empty() { 0 } else { DEATHS }, functions: held }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &str) -> BTreeSet<String> {
        names.split_whitespace().map(str::to_owned).collect()
    }

    /// What starts with these functions hold back, each of which dies at once.
    fn deaths(lives: &[&str]) -> Vec<BTreeSet<String>> {
        let mut note = Note::default();
        let mut held = Vec::new();
        for life in lives {
            let plan = plan(SafeStart::Auto, &note, &names(life));
            note = plan.note.unwrap_or(note);
            held.push(plan.held);
        }
        held
    }

    #[test]
    fn after_three_deaths_what_ran_in_each_is_held_back() {
        let none = BTreeSet::new();
        assert_eq!(deaths(&["a b"; 4]), [none.clone(), none.clone(), none.clone(), names("a b")]);
        let held = deaths(&["a b c", "a b", "b d", "b d e"]);
        assert_eq!(held.last(), Some(&names("b")), "the others did not run each time");
        // What was to blame is gone.
        assert_eq!(deaths(&["a", "a", "b", "b", "b"]), vec![none.clone(); 5]);
        assert_eq!(deaths(&["a", "a", "a", "b", "b"]), vec![none; 5]);
    }

    #[test]
    fn a_safe_start_that_dies_too_holds_back_everything() {
        let held = deaths(&["a b", "a b", "a b", "a b c", "a b c"]);
        assert_eq!(held[3..], [names("a b"), names("a b c")]);
    }

    #[test]
    fn a_start_without_functions_is_not_counted() {
        let none = BTreeSet::new();
        assert_eq!(deaths(&["", "", "", "a"]), vec![none.clone(); 4]);
        let note = Note { deaths: 2, functions: names("a") };
        assert_eq!(plan(SafeStart::Auto, &note, &none), Plan { held: none, note: None });
    }

    #[test]
    fn what_is_chosen_holds_and_counts_nothing() {
        let note = Note { deaths: 9, functions: names("a") };
        let all = names("a b");
        assert_eq!(plan(SafeStart::Never, &note, &all), Plan { held: BTreeSet::new(), note: None });
        assert_eq!(plan(SafeStart::Always, &Note::default(), &all), Plan { held: all, note: None });
    }

    #[test]
    fn what_stays_held_back_is_held_back_by_the_next_start_too() {
        let next = |note: &Note| plan(SafeStart::Auto, note, &names("a b c")).held;
        assert_eq!(next(&settled(names("a"))), names("a"));
        assert_eq!(next(&settled(BTreeSet::new())), BTreeSet::new());
    }
}
