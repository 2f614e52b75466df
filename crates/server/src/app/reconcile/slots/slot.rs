// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the reconciler knows of one function.

use std::collections::BTreeMap;

use fnstream_core::epoch::FunctionId;
use fnstream_core::peers::PeerId;
use fnstream_core::spec::{DesiredState, FunctionEntry};
use fnstream_core::{Error, ErrorCode};

use super::super::plan::{At, Life};

/// One function.
pub(in super::super) struct Slot {
    /// The entry of the register that was seen last.
    pub(super) entry: Option<FunctionEntry>,
    pub(in super::super) life: Life,
    /// The entry that was acted upon last: the function is as it says, or could not be brought there.
    pub(in super::super) settled: Option<At>,
    pub(in super::super) failure: Option<Error>,
    /// Who keeps it from running, and how often.
    pub(super) holds: BTreeMap<PeerId, usize>,
    pub(super) again: bool,
    /// Which loading is the latest.
    pub(super) ticket: u64,
    /// How often one after the other it could not be started.
    pub(super) failures: u32,
}

impl Slot {
    pub(super) fn new() -> Self {
        Slot {
            entry: None,
            life: Life::Resting,
            settled: None,
            failure: None,
            holds: BTreeMap::new(),
            again: false,
            ticket: 0,
            failures: 0,
        }
    }

    /// Whether this entry of the register, or a later one of the function, was acted upon.
    pub(in super::super) fn has_settled(&self, at: At) -> bool {
        self.settled.is_some_and(|settled| settled.id == at.id && settled.revision >= at.revision)
    }

    /// Whether it runs as that entry says, or could not be started; and nobody has asked for it to be started anew since.
    pub(in super::super) fn has_been_tried(&self, at: At) -> bool {
        let tried = matches!(self.life, Life::Running { .. } | Life::Failed);
        tried && self.holds.is_empty() && !self.again && self.has_settled(at)
    }

    /// Whether another function has its name, or it was changed further than to that revision.
    pub(in super::super) fn is_past(&self, at: At) -> bool {
        // Before it is looked at again it may still be what it was: ids ascend, also where a rollback gives another.
        self.entry.as_ref().is_some_and(|entry| (entry.id, entry.revision) > (at.id, at.revision))
    }

    /// Whether it is the function of that id.
    pub(in super::super) fn is_of(&self, id: FunctionId) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.id == id)
    }

    /// Whether nothing of it runs here, nor is about to.
    pub(in super::super) fn rests(&self) -> bool {
        matches!(self.life, Life::Resting | Life::Failed)
    }

    /// Whether a safe start holds it back, and nobody has let it go.
    pub(super) fn is_held_back(&self) -> bool {
        self.failure.as_ref().is_some_and(|error| error.code == ErrorCode::HeldBack)
    }

    /// Things are as this entry wants them, if that can be said already.
    pub(super) fn rest(&mut self, entry: Option<&FunctionEntry>) {
        let Some(entry) = entry else { return };
        match self.life {
            Life::Running { .. } => self.settled = Some(At::of(entry)),
            Life::Resting | Life::Failed if entry.desired == DesiredState::Stopped => {
                (self.life, self.failure, self.settled) = (Life::Resting, None, Some(At::of(entry)));
                // Who stops a function that was to be started anew has changed their mind.
                self.again = false;
            }
            _ => {}
        }
    }
}
