// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the reconciler knows of each function, and how that changes.
//!
//! Everything here is pure bookkeeping under one lock: what is to be done outside is handed back as [`Act`]s.

mod slot;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use fnstream_core::Error;
use fnstream_core::epoch::FunctionId;
use fnstream_core::peers::{Observed, PeerId};
use fnstream_core::spec::{DesiredState, FunctionEntry};

pub(super) use self::slot::Slot;
use super::plan::{At, End, Facts, Life, Step, next};

/// What is to be done without the lock.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it is made for a change and taken apart at once")]
pub(super) enum Act {
    /// Load a program and start the function; the number says whether that is still wanted when it is loaded, and whether
    /// whoever made it writes into its log that it was started.
    Load(FunctionEntry, u64, bool),
    /// Have the engine end a function.
    End(FunctionId, String, End),
    /// Have the engine end a function that is nobody's any more.
    Leave(FunctionId),
    /// Remove what this process kept of a function.
    Forget(FunctionId, String),
}

/// All functions, by name.
#[derive(Default)]
pub(super) struct Slots {
    all: BTreeMap<String, Slot>,
    /// Functions that are about to be made, by somebody who writes into their logs that they were started. What is looked up
    /// meanwhile may be from before they were there, and have them forgotten: this is not a matter of their slots.
    expected: BTreeSet<String>,
    last_ticket: u64,
    /// Functions that are to run since the process was started and of which it is not known yet whether they do.
    booting: Option<BTreeSet<String>>,
}

/// How many functions fare how.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Those that run.
    pub(super) started: usize,
    /// Those that could not be started.
    pub(super) failed: usize,
    /// Those that a safe start holds back.
    pub(super) held: usize,
}

impl Slots {
    pub(super) fn get(&self, name: &str) -> Option<&Slot> {
        self.all.get(name)
    }

    /// The functions that were seen in the register; what is only expected there is not missing.
    pub(super) fn seen(&self) -> BTreeSet<String> {
        let seen = self.all.iter().filter(|(_, slot)| slot.entry.is_some());
        seen.map(|(name, _)| name.clone()).collect()
    }

    /// Notes what the register says of a function, and finds what is to be done about it.
    pub(super) fn look(&mut self, name: &str, wanted: Option<&FunctionEntry>) -> Vec<Act> {
        let mut acts = Vec::new();
        let slot = match (self.all.get_mut(name), wanted) {
            (Some(slot), _) => slot,
            (None, None) => return acts,
            (None, Some(_)) => self.all.entry(name.to_owned()).or_insert_with(Slot::new),
        };
        if let Some(before) = mem::replace(&mut slot.entry, wanted.cloned()) {
            // Another function of the name, which has a log and numbers of its own; a switched one is as old as it was.
            let other = wanted.is_some_and(|now| now.id != before.id && now.created_ms != before.created_ms);
            if other {
                acts.push(Act::Forget(before.id, name.to_owned()));
            }
            if wanted.is_none() {
                slot.entry = Some(before);
            }
        }
        loop {
            let held = !slot.holds.is_empty();
            let facts = Facts { wanted, life: &slot.life, settled: slot.settled, held, again: slot.again };
            match (next(facts), wanted) {
                (Step::Rest, wanted) => {
                    slot.rest(wanted.filter(|_| !held));
                    break;
                }
                (Step::Start, Some(entry)) => {
                    self.last_ticket += 1;
                    slot.ticket = self.last_ticket;
                    slot.again = false;
                    slot.life = Life::Loading(At::of(entry));
                    acts.push(Act::Load(entry.clone(), slot.ticket, self.expected.contains(name)));
                    break;
                }
                (Step::GiveUp, _) => {
                    slot.ticket = 0;
                    slot.life = Life::Resting;
                }
                (Step::End(id, how), _) => {
                    slot.life = Life::Ending { id, how };
                    acts.push(Act::End(id, name.to_owned(), how));
                    break;
                }
                (Step::Leave(id), _) => {
                    (slot.life, slot.settled, slot.failure) = (Life::Resting, None, None);
                    acts.push(Act::Leave(id));
                }
                (Step::Forget | Step::Start, _) => {
                    if let Some(entry) = slot.entry.take() {
                        acts.push(Act::Forget(entry.id, name.to_owned()));
                    }
                    self.all.remove(name);
                    break;
                }
            }
        }
        self.note_booted(name);
        acts
    }

    /// A program was loaded: whether the function is still to be started. It is being started from now on.
    pub(super) fn loaded(&mut self, name: &str, ticket: u64) -> bool {
        let slot = self.all.get_mut(name).filter(|slot| slot.ticket == ticket && matches!(slot.life, Life::Loading(_)));
        slot.map(|slot| slot.life = Life::Starting).is_some()
    }

    /// A function was given to the engine.
    pub(super) fn started(&mut self, entry: &FunctionEntry) {
        self.settle(entry, Life::Running { id: entry.id, spec: entry.spec.clone() }, None);
        if let Some(slot) = self.all.get_mut(&entry.spec.name) {
            slot.failures = 0;
        }
    }

    /// A function could not be started; answers how often that was so one after the other.
    pub(super) fn failed(&mut self, entry: &FunctionEntry, error: Error) -> u32 {
        self.settle(entry, Life::Failed, Some(error));
        self.all.get_mut(&entry.spec.name).map_or(1, |slot| {
            slot.failures = slot.failures.saturating_add(1);
            slot.failures
        })
    }

    /// A function that could not be started is to be tried again, unless something has become of it since.
    pub(super) fn retry(&mut self, entry: &FunctionEntry) {
        let slot = self.all.get_mut(&entry.spec.name);
        if let Some(slot) = slot.filter(|slot| slot.life == Life::Failed && slot.settled == Some(At::of(entry))) {
            slot.again = true;
        }
    }

    /// The register had changed when a function was to be started.
    pub(super) fn outdated(&mut self, name: &str) {
        if let Some(slot) = self.all.get_mut(name) {
            slot.life = Life::Resting;
        }
    }

    fn settle(&mut self, entry: &FunctionEntry, life: Life, failure: Option<Error>) {
        if let Some(slot) = self.all.get_mut(&entry.spec.name) {
            (slot.life, slot.failure, slot.settled) = (life, failure, Some(At::of(entry)));
        }
        self.note_booted(&entry.spec.name);
    }

    /// The engine has ended a function.
    pub(super) fn ended(&mut self, name: &str, id: FunctionId) {
        let slot = self.all.get_mut(name);
        if let Some(slot) = slot.filter(|slot| matches!(slot.life, Life::Ending { id: ending, .. } if ending == id)) {
            slot.life = Life::Resting;
        }
    }

    /// Whether a function is still being ended with a bound; if so, it is ended at once from now on.
    pub(super) fn hasten(&mut self, name: &str, id: FunctionId) -> bool {
        match self.all.get_mut(name).map(|slot| &mut slot.life) {
            Some(Life::Ending { id: ending, how }) if *ending == id && *how == End::DrainBounded => {
                *how = End::Abort;
                true
            }
            _ => false,
        }
    }

    /// Whether a function is still being ended; if so, nobody waits for that any more.
    pub(super) fn abandon(&mut self, name: &str) -> Option<FunctionId> {
        let slot = self.all.get_mut(name)?;
        let Life::Ending { id, .. } = slot.life else { return None };
        slot.life = Life::Resting;
        Some(id)
    }

    /// Its user wants a function started anew.
    pub(super) fn again(&mut self, name: &str) {
        if let Some(slot) = self.all.get_mut(name) {
            slot.again = true;
        }
    }

    /// A process keeps a function from running.
    pub(super) fn hold(&mut self, name: &str, by: &PeerId) {
        let slot = self.all.entry(name.to_owned()).or_insert_with(Slot::new);
        *slot.holds.entry(by.clone()).or_default() += 1;
    }

    /// It does so no more.
    pub(super) fn release(&mut self, name: &str, by: &PeerId) {
        let Some(slot) = self.all.get_mut(name) else { return };
        if let Some(count) = slot.holds.get_mut(by) {
            *count -= 1;
            if *count == 0 {
                slot.holds.remove(by);
            }
        }
    }

    /// The function is about to be made, by somebody who writes into its log that it was started.
    pub(super) fn expect(&mut self, name: &str) {
        self.expected.insert(name.to_owned());
    }

    /// It is made, or could not be.
    pub(super) fn expect_no_more(&mut self, name: &str) {
        self.expected.remove(name);
    }

    /// Releases what processes held that are gone; answers the functions.
    pub(super) fn release_all_but(&mut self, living: &BTreeSet<PeerId>) -> Vec<String> {
        let mut freed = Vec::new();
        for (name, slot) in &mut self.all {
            let before = slot.holds.len();
            slot.holds.retain(|peer, _| living.contains(peer));
            if slot.holds.len() < before {
                freed.push(name.clone());
            }
        }
        freed
    }

    /// How far each function was followed.
    pub(super) fn observed(&self) -> BTreeMap<FunctionId, Observed> {
        let observed = |slot: &Slot| {
            let at = slot.settled?;
            let failure = slot.failure.as_ref().map(|error| Observed::failed(at.revision, error));
            let running = matches!(slot.life, Life::Running { .. } | Life::Starting | Life::Loading(_));
            Some((at.id, failure.unwrap_or(Observed { revision: at.revision, running, failure: None })))
        };
        self.all.values().filter_map(observed).collect()
    }

    /// These are the functions that are to run since the process was started. Some are not to be started, for these reasons:
    /// they are as if they had been tried.
    pub(super) fn boot(&mut self, entries: &[FunctionEntry], held: &BTreeMap<String, Error>) {
        let reasons = entries.iter().filter_map(|entry| Some((entry, held.get(&entry.spec.name)?)));
        for (entry, reason) in reasons {
            let slot = self.all.entry(entry.spec.name.clone()).or_insert_with(Slot::new);
            slot.entry = Some(entry.clone());
            (slot.life, slot.failure, slot.settled) = (Life::Failed, Some(reason.clone()), Some(At::of(entry)));
        }
        let wanted = entries.iter().filter(|entry| entry.desired == DesiredState::Running);
        self.booting = Some(wanted.map(|entry| entry.spec.name.clone()).collect());
    }

    /// The functions that were not started since, of those that were not to be.
    pub(super) fn held_back(&self) -> BTreeSet<String> {
        self.all.iter().filter(|(_, slot)| slot.is_held_back()).map(|(name, _)| name.clone()).collect()
    }

    /// Whether it is known of all of them how they fare.
    pub(super) fn has_booted(&self) -> bool {
        self.booting.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// How they fare.
    pub(super) fn count(&self) -> Count {
        let mut count = Count::default();
        for slot in self.all.values() {
            match slot.life {
                Life::Running { .. } => count.started += 1,
                Life::Failed if slot.is_held_back() => count.held += 1,
                Life::Failed => count.failed += 1,
                _ => {}
            }
        }
        count
    }

    fn note_booted(&mut self, name: &str) {
        let under_way = |slot: &Slot| matches!(slot.life, Life::Loading(_) | Life::Starting);
        if let Some(booting) = self.booting.as_mut().filter(|_| !self.all.get(name).is_some_and(under_way)) {
            booting.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use fnstream_core::ErrorCode;
    use fnstream_core::spec::FunctionSpec;

    use super::*;

    fn entry(name: &str) -> FunctionEntry {
        let spec = FunctionSpec { name: name.into(), ..FunctionSpec::default() };
        FunctionEntry { id: FunctionId(1), revision: 1, desired: DesiredState::Running, created_ms: 1, spec }
    }

    #[test]
    fn what_was_looked_up_before_a_function_was_made_does_not_have_its_start_told_twice() {
        let entry = entry("f");
        let (mut slots, me) = (Slots::default(), PeerId("me".into()));
        slots.hold("f", &me);
        slots.expect("f");
        assert_eq!(slots.look("f", None), [], "who holds it is about to register it");
        slots.release("f", &me);
        assert_eq!(slots.look("f", None), []);
        assert_eq!(slots.look("f", Some(&entry)), [Act::Load(entry.clone(), 1, true)]);
        // Another one of the name, or a later start, is told.
        slots.expect_no_more("f");
        slots.outdated("f");
        assert_eq!(slots.look("f", Some(&entry)), [Act::Load(entry, 2, false)]);
    }

    #[test]
    fn those_that_are_held_back_did_not_fail() {
        let mut slots = Slots::default();
        let held = Error::new(ErrorCode::HeldBack, "it is held back");
        slots.boot(&[entry("a"), entry("b"), entry("c")], &[("a".to_owned(), held)].into());
        for name in ["a", "b", "c"] {
            slots.look(name, Some(&entry(name)));
        }
        slots.started(&entry("b"));
        slots.failed(&entry("c"), Error::new(ErrorCode::ArtifactInvalid, "it is none"));
        assert_eq!(slots.count(), Count { started: 1, failed: 1, held: 1 });
        assert_eq!(slots.held_back(), ["a".to_owned()].into());
    }
}
