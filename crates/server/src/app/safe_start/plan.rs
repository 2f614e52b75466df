// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Which functions a start holds back, and what it leaves for the next one: pure decisions.
//!
//! A row of deaths begins after the last start that went well, or with the functions that are there when those to blame are
//! gone. Each death counts for the functions that its start has started, so what is said of a function is true of it: one that
//! was held back when a safe start died was not started then.

#[cfg(test)]
mod lives;

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
        SafeStart::Auto => &note.hold & wanted,
    };
    let started = wanted - &held;
    if started.is_empty() {
        return Plan { held, note: None };
    }
    let suspects: BTreeSet<_> = started.iter().filter(|name| ran_each_time(note, name)).cloned().collect();
    // The first; or what was to blame is gone.
    let anew = held.is_empty() && (!note.hold.is_empty() || suspects.is_empty());
    let mut next = if anew { Note::default() } else { note.clone() };
    next.deaths = next.deaths.saturating_add(1);
    for name in started {
        let times = next.functions.entry(name).or_default();
        *times = times.saturating_add(1);
    }
    next.hold = match next.deaths {
        // It dies all the same: then it is not those that are held back, or not they alone.
        _ if !held.is_empty() => wanted.clone(),
        DEATHS.. => suspects,
        _ => BTreeSet::new(),
    };
    Plan { held, note: Some(next) }
}

fn ran_each_time(note: &Note, name: &str) -> bool {
    note.functions.get(name).is_some_and(|times| *times == note.deaths)
}

/// What is noted when the process that found `note` has lived on with its functions, while these are held back.
pub(super) fn settled(found: &Note, held: BTreeSet<String>) -> Note {
    if held.is_empty() { Note::default() } else { Note { hold: held, ..found.clone() } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &str) -> BTreeSet<String> {
        names.split_whitespace().map(str::to_owned).collect()
    }

    /// What starts with these functions hold back, each of which dies at once, and the last note.
    fn deaths(lives: &[&str]) -> (Vec<BTreeSet<String>>, Note) {
        let mut note = Note::default();
        let mut held = Vec::new();
        for life in lives {
            let plan = plan(SafeStart::Auto, &note, &names(life));
            note = plan.note.unwrap_or(note);
            held.push(plan.held);
        }
        (held, note)
    }

    #[test]
    fn after_three_deaths_what_ran_in_each_is_held_back() {
        let none = BTreeSet::new();
        assert_eq!(deaths(&["a b"; 4]).0, [none.clone(), none.clone(), none.clone(), names("a b")]);
        let (held, _) = deaths(&["a b c", "a b", "b d", "b d e"]);
        assert_eq!(held.last(), Some(&names("b")), "the others did not run each time");
        // What was to blame is gone.
        assert_eq!(deaths(&["a", "a", "b", "b", "b"]).0, vec![none.clone(); 5]);
        assert_eq!(deaths(&["a", "a", "a", "b", "b"]).0, vec![none; 5]);
    }

    #[test]
    fn a_safe_start_that_dies_too_holds_back_everything_and_counts_what_it_started() {
        let (held, note) = deaths(&["a b", "a b", "a b", "a b c", "a b c"]);
        assert_eq!(held[3..], [names("a b"), names("a b c")]);
        let times = [("a".to_owned(), 3), ("b".to_owned(), 3), ("c".to_owned(), 1)].into();
        assert_eq!((note.deaths, note.functions), (4, times));
    }

    #[test]
    fn a_start_that_starts_nothing_is_not_counted() {
        let none = BTreeSet::new();
        assert_eq!(deaths(&["", "", "", "a"]).0, vec![none.clone(); 4]);
        let (_, note) = deaths(&["a"; 3]);
        assert_eq!(plan(SafeStart::Auto, &note, &names("")), Plan { held: none, note: None });
        assert_eq!(plan(SafeStart::Auto, &note, &names("a")), Plan { held: names("a"), note: None });
    }

    #[test]
    fn what_is_chosen_holds_and_counts_nothing() {
        let (_, note) = deaths(&["a"; 3]);
        assert_eq!(plan(SafeStart::Never, &note, &names("a b")), Plan { held: BTreeSet::new(), note: None });
        let held = names("a b");
        assert_eq!(plan(SafeStart::Always, &Note::default(), &names("a b")), Plan { held, note: None });
    }

    #[test]
    fn what_stays_held_back_is_held_back_by_the_next_start_too() {
        let (_, note) = deaths(&["a b"; 3]);
        let next = |note: &Note| plan(SafeStart::Auto, note, &names("a b c")).held;
        assert_eq!(next(&settled(&note, names("a"))), names("a"));
        assert_eq!(next(&settled(&note, BTreeSet::new())), BTreeSet::new());
    }
}
