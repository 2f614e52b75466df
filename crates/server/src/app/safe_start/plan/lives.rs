// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Random sequences of lives: whatever is said of a function that is held back is true of them.

use std::collections::BTreeSet;

use fnstream_core::test_util::rng::Rng;

use super::{DEATHS, Note, Plan, plan, settled};
use crate::config::SafeStart;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It dies before its functions have run for a while.
    Soon,
    /// It dies later.
    Later,
    /// It is asked to end.
    Orderly,
}

/// A sequence of lives, and what happened in them.
#[derive(Default)]
struct Lives {
    note: Note,
    wanted: BTreeSet<String>,
    /// What each start was to start that died soon, since the last one that went well; and whether it was a safe start.
    died: Vec<(BTreeSet<String>, bool)>,
    /// How many safe starts there were.
    safe: usize,
}

impl Lives {
    fn live(&mut self, choice: SafeStart, end: End, let_go: impl Fn(&str) -> bool) {
        let Plan { held, note } = plan(choice, &self.note, &self.wanted);
        if choice == SafeStart::Auto {
            self.check(&held);
        }
        let started = &self.wanted - &held;
        let counted = choice == SafeStart::Auto && !started.is_empty();
        assert_eq!(note.is_some(), counted, "{started:?} {choice:?}");
        let next = note.unwrap_or_else(|| self.note.clone());
        let found = std::mem::replace(&mut self.note, next);
        let safe = !held.is_empty();
        self.safe += usize::from(safe);
        match end {
            End::Soon if counted => self.died.push((started, safe)),
            End::Soon => {}
            // Nothing is noted of a start that was told to hold back everything.
            End::Later if choice == SafeStart::Always => {}
            End::Later => {
                let held: BTreeSet<_> = held.into_iter().filter(|name| !let_go(name)).collect();
                if held.is_empty() {
                    self.died.clear();
                }
                self.note = settled(&found, held);
            }
            End::Orderly => {
                self.note = Note::default();
                self.died.clear();
            }
        }
    }

    /// What the start says that found this note is true.
    fn check(&self, held: &BTreeSet<String>) {
        let Note { deaths, functions, .. } = &self.note;
        let died = self.died.len().checked_sub(*deaths as usize).map(|others| &self.died[others..]);
        let died = died.unwrap_or_else(|| panic!("{deaths} deaths are noted, of {:?}", self.died));
        for name in held {
            let times = died.iter().filter(|(started, _)| started.contains(name)).count();
            let noted = functions.get(name).map(|times| *times as usize);
            assert_eq!(noted, Some(times), "'{name}' {:?} {:?}", self.note, self.died);
            assert!(times > 0, "'{name}' is held back for nothing: {:?}", self.died);
        }
        // The first safe start of a row is sure of those that it holds back.
        if !held.is_empty() && died.iter().all(|(_, safe)| !safe) {
            assert!(died.len() >= DEATHS as usize, "{held:?} are held back after {died:?}");
            assert!(died.iter().all(|(started, _)| held.is_subset(started)), "{held:?} are held back after {died:?}");
        }
    }

    /// Some functions are stopped or deleted, and others made or started.
    fn change(&mut self, rng: &mut Rng) {
        for name in NAMES.map(str::to_owned) {
            match rng.below(8) {
                0 | 1 => _ = self.wanted.remove(&name),
                2 | 3 => _ = self.wanted.insert(name),
                _ => {}
            }
        }
    }
}

#[test]
fn whatever_lives_there_were_what_is_said_of_a_function_is_true() {
    let mut safe = 0;
    for seed in 0..2_000 {
        let (mut rng, mut lives) = (Rng::new(seed), Lives::default());
        let restless = rng.below(100) as u64;
        for _ in 0..20 {
            if rng.chance(restless) {
                lives.change(&mut rng);
            }
            let choice = match rng.below(20) {
                0 => SafeStart::Never,
                1 => SafeStart::Always,
                _ => SafeStart::Auto,
            };
            let end = *rng.pick(&[End::Soon, End::Soon, End::Soon, End::Soon, End::Soon, End::Later, End::Orderly]);
            let patient = rng.number();
            lives.live(choice, end, |name| (patient >> (name.as_bytes()[0] - b'a')) & 1 == 0);
        }
        safe += lives.safe;
    }
    assert!(safe > 1_000, "{safe} safe starts");
}

#[test]
fn whatever_was_before_a_server_whose_functions_end_it_comes_up_without_them() {
    for seed in 0..1_000 {
        let (mut rng, mut lives) = (Rng::new(seed), Lives::default());
        for _ in 0..rng.below(10) {
            lives.change(&mut rng);
            let end = *rng.pick(&[End::Soon, End::Soon, End::Later]);
            lives.live(SafeStart::Auto, end, |_| true);
        }
        lives.change(&mut rng);
        // Three starts of a row, a safe start, and one that holds back everything; the row before may have ended in a safe start.
        for _ in 0..2 * DEATHS {
            lives.live(SafeStart::Auto, End::Soon, |_| false);
        }
        let Plan { held, .. } = plan(SafeStart::Auto, &lives.note, &lives.wanted);
        assert_eq!(held, lives.wanted, "{:?}", lives.note);
    }
}
