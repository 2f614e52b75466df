// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is to be done next about one function: from what the register wants and what there is here to a step.
//!
//! ```text
//!             Start                                             End                   ended
//!   Resting ─────────► Loading ──► Starting ──► Running ─────────────► Ending ───────────► Resting
//!      ▲                  │ failed     │          │  Leave                │ hastened
//!      └── Failed ◄───────┴────────────┘          └──► Resting            └─ Drain, DrainBounded, Abort
//! ```
//!
//! It is asked again whenever one of the two has changed, so it never has to look ahead.

use fnstream_core::epoch::FunctionId;
use fnstream_core::spec::{DesiredState, FunctionEntry, FunctionSpec};

/// An entry of the register that is acted upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    /// The function.
    pub(super) id: FunctionId,
    /// The revision of its entry.
    pub(super) revision: u64,
}

impl At {
    pub(super) fn of(entry: &FunctionEntry) -> Self {
        At { id: entry.id, revision: entry.revision }
    }
}

/// What there is of a function here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one for each function, and most of them run")]
pub(super) enum Life {
    /// Nothing runs.
    Resting,
    /// It was to run and could not be started.
    Failed,
    /// Its program is being loaded, to run it as this entry says.
    Loading(At),
    /// It is being given to the engine.
    Starting,
    /// It was given to the engine.
    Running {
        /// Under which id.
        id: FunctionId,
        /// With which description.
        spec: FunctionSpec,
    },
    /// The engine was told to end it and has not yet.
    Ending {
        /// Its id there.
        id: FunctionId,
        /// How it was told.
        how: End,
    },
}

/// How the engine is to end a function; a later one is stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// Its tasks finish what they began, however long that takes.
    Drain,
    /// The same, and those that take too long are ended.
    DrainBounded,
    /// At once.
    Abort,
}

/// Everything that the decision depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    /// The register's entry; none when the function was removed.
    pub(super) wanted: Option<&'a FunctionEntry>,
    /// What there is.
    pub(super) life: &'a Life,
    /// The entry that was acted upon last.
    pub(super) settled: Option<At>,
    /// Somebody keeps it from running, to change it.
    pub(super) held: bool,
    /// Its user wants it started anew, though nothing has changed.
    pub(super) again: bool,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing; things are as they are wanted, or will be when what is under way has ended.
    Rest,
    /// Load the program, then start it.
    Start,
    /// What is being loaded is not wanted any more.
    GiveUp,
    /// Have the engine end it.
    End(FunctionId, End),
    /// Have the engine end it, and know nothing of it any more: nobody waits until it has ended.
    Leave(FunctionId),
    /// Know nothing of it any more.
    Forget,
}

/// What to do next about a function.
pub(super) fn next(facts: Facts<'_>) -> Step {
    let Facts { wanted, life, settled, held, again } = facts;
    let runs = wanted.filter(|entry| entry.desired == DesiredState::Running && !held);
    match (life, wanted) {
        // Who holds it is about to register it.
        (Life::Resting | Life::Failed, None) => {
            if held {
                Step::Rest
            } else {
                Step::Forget
            }
        }
        (Life::Resting | Life::Failed, Some(entry)) => {
            let tried = *life == Life::Failed && settled == Some(At::of(entry));
            if runs.is_some() && (again || !tried) { Step::Start } else { Step::Rest }
        }
        (Life::Loading(at), _) => match runs {
            Some(entry) if *at == At::of(entry) => Step::Rest,
            _ => Step::GiveUp,
        },
        // It takes a moment, and what comes of it is looked at then.
        (Life::Starting, _) => Step::Rest,
        // What is not the register's any more cannot commit: a removal and a switch have fenced it.
        (Life::Running { id, .. } | Life::Ending { id, .. }, None) => Step::Leave(*id),
        (Life::Running { id, .. } | Life::Ending { id, .. }, Some(entry)) if entry.id != *id => Step::Leave(*id),
        (Life::Running { id, spec }, Some(entry)) => match runs {
            Some(_) if again => Step::End(*id, End::Abort),
            Some(_) if entry.spec == *spec => Step::Rest,
            None if !held => Step::End(*id, End::Drain),
            _ => Step::End(*id, End::DrainBounded),
        },
        (Life::Ending { id, how }, Some(_)) => {
            let wanted = match runs {
                // Whoever stopped it and wants it to run again does not wait until it has finished.
                Some(_) if again || *how == End::Drain => End::Abort,
                Some(_) => *how,
                None if held => End::DrainBounded,
                None => End::Drain,
            };
            if wanted > *how { Step::End(*id, wanted) } else { Step::Rest }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: FunctionId = FunctionId(3);

    fn entry(revision: u64, desired: DesiredState, replicas: u32) -> FunctionEntry {
        let spec = FunctionSpec { name: "f".into(), replicas, ..FunctionSpec::default() };
        FunctionEntry { id: ID, revision, desired, created_ms: 0, spec }
    }

    fn running(revision: u64) -> FunctionEntry {
        entry(revision, DesiredState::Running, 1)
    }

    fn stopped(revision: u64) -> FunctionEntry {
        entry(revision, DesiredState::Stopped, 1)
    }

    fn life_of(entry: &FunctionEntry) -> Life {
        Life::Running { id: entry.id, spec: entry.spec.clone() }
    }

    fn ask(wanted: Option<&FunctionEntry>, life: &Life) -> Step {
        next(Facts { wanted, life, settled: None, held: false, again: false })
    }

    #[test]
    fn what_is_wanted_is_started_and_what_is_not_is_ended() {
        assert_eq!(ask(Some(&running(1)), &Life::Resting), Step::Start);
        assert_eq!(ask(Some(&stopped(1)), &Life::Resting), Step::Rest);
        assert_eq!(ask(None, &Life::Resting), Step::Forget);
        let life = life_of(&running(1));
        assert_eq!(ask(Some(&running(1)), &life), Step::Rest);
        assert_eq!(ask(Some(&running(7)), &life), Step::Rest, "only its desired state went to and fro");
        assert_eq!(ask(Some(&stopped(2)), &life), Step::End(ID, End::Drain));
        assert_eq!(ask(Some(&entry(2, DesiredState::Running, 2)), &life), Step::End(ID, End::DrainBounded));
        assert_eq!(ask(None, &life), Step::Leave(ID));
    }

    #[test]
    fn another_id_is_another_function() {
        let other = FunctionEntry { id: FunctionId(9), ..running(4) };
        for life in [life_of(&running(1)), Life::Ending { id: ID, how: End::Drain }] {
            assert_eq!(ask(Some(&other), &life), Step::Leave(ID));
        }
        let failed = Facts {
            wanted: Some(&other),
            life: &Life::Failed,
            settled: Some(At { id: ID, revision: 4 }),
            held: false,
            again: false,
        };
        assert_eq!(next(failed), Step::Start);
    }

    #[test]
    fn what_failed_is_tried_again_when_it_changes_or_when_its_user_says_so() {
        let (first, second) = (running(1), running(2));
        let facts = |wanted, again| {
            let settled = Some(At { id: ID, revision: 1 });
            next(Facts { wanted: Some(wanted), life: &Life::Failed, settled, held: false, again })
        };
        assert_eq!(facts(&first, false), Step::Rest);
        assert_eq!(facts(&first, true), Step::Start);
        assert_eq!(facts(&second, false), Step::Start);
        assert_eq!(facts(&stopped(1), true), Step::Rest);
        let again = Facts { wanted: Some(&first), life: &life_of(&first), settled: None, held: false, again: true };
        assert_eq!(next(again), Step::End(ID, End::Abort), "one that runs is begun anew");
    }

    #[test]
    fn what_is_held_does_not_run() {
        let entry = running(1);
        let held = |life: &Life| next(Facts { wanted: Some(&entry), life, settled: None, held: true, again: true });
        assert_eq!(held(&Life::Resting), Step::Rest);
        assert_eq!(held(&Life::Failed), Step::Rest);
        assert_eq!(held(&Life::Loading(At::of(&entry))), Step::GiveUp);
        assert_eq!(held(&life_of(&entry)), Step::End(ID, End::DrainBounded));
        assert_eq!(held(&Life::Ending { id: ID, how: End::Drain }), Step::End(ID, End::DrainBounded));
        assert_eq!(held(&Life::Ending { id: ID, how: End::Abort }), Step::Rest);
    }

    #[test]
    fn what_is_loaded_for_nothing_is_given_up() {
        let loading = Life::Loading(At { id: ID, revision: 1 });
        assert_eq!(ask(Some(&running(1)), &loading), Step::Rest);
        for wanted in [Some(running(2)), Some(stopped(2)), None] {
            assert_eq!(ask(wanted.as_ref(), &loading), Step::GiveUp, "{wanted:?}");
        }
    }

    #[test]
    fn an_end_is_only_ever_hastened() {
        let ending = |how| Life::Ending { id: ID, how };
        assert_eq!(ask(Some(&stopped(2)), &ending(End::Drain)), Step::Rest);
        assert_eq!(ask(Some(&running(3)), &ending(End::Drain)), Step::End(ID, End::Abort));
        assert_eq!(ask(Some(&running(3)), &ending(End::Abort)), Step::Rest);
        assert_eq!(ask(Some(&stopped(4)), &ending(End::Abort)), Step::Rest);
        let replaced = entry(2, DesiredState::Running, 2);
        assert_eq!(ask(Some(&replaced), &ending(End::DrainBounded)), Step::Rest, "it finishes before it is replaced");
        assert_eq!(ask(None, &Life::Starting), Step::Rest);
    }
}
