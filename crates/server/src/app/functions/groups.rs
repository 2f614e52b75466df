// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Groups of consumers that functions share.
//!
//! A function goes on at its group's offset where that is not where it stood, since somebody else has moved it then. Two that move one
//! offset would send each other back and forth, so of two functions that run only one may read a topic in a group. Partitions that are
//! named are another matter: what several functions read there is each one's own.

use fnstream_core::spec::{DesiredState, FunctionSpec};
use fnstream_core::topic::{GROUP_ID, TopicRef};
use fnstream_core::{Error, ErrorCode, Result};

use super::Functions;

impl Functions {
    /// Makes a change of the register after which a function of that description runs; refused if another one that runs moves the same
    /// offsets. Blocks.
    pub(super) fn alone_in_groups<T>(&self, spec: &FunctionSpec, change: impl FnOnce() -> Result<T>) -> Result<T> {
        if !names_group(spec) {
            return change();
        }
        // Nobody else comes in between.
        let _changing = self.groups.lock();
        self.check_groups(spec)?;
        change()
    }

    /// The same refusal, before anything is made. Blocks.
    pub(super) fn check_groups(&self, spec: &FunctionSpec) -> Result<()> {
        if !names_group(spec) {
            return Ok(());
        }
        let all = self.register.list()?;
        let others = all.iter().filter(|entry| entry.desired == DesiredState::Running && entry.spec.name != spec.name);
        for other in others {
            let shared = inputs(spec).find_map(|input| {
                let group = input.options.get(GROUP_ID)?;
                inputs(&other.spec).find(|theirs| shares(input, theirs)).map(|_| (&input.topic, group))
            });
            if let Some((topic, group)) = shared {
                let message = format!(
                    "function '{}' reads topic '{topic}' in the group '{group}', too: each would take the group's offsets from the \
                     other",
                    other.spec.name
                );
                return Err(Error::new(ErrorCode::GroupShared, message));
            }
        }
        Ok(())
    }
}

fn inputs(spec: &FunctionSpec) -> impl Iterator<Item = &TopicRef> {
    spec.inputs.iter().flatten()
}

fn names_group(spec: &FunctionSpec) -> bool {
    inputs(spec).any(|input| input.options.contains_key(GROUP_ID))
}

/// Whether two functions that read these would move one offset, which one of them follows.
fn shares(one: &TopicRef, other: &TopicRef) -> bool {
    let follows = one.partition().is_none() || other.partition().is_none();
    follows && one.topic == other.topic && one.options.get(GROUP_ID) == other.options.get(GROUP_ID)
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_those_share_who_move_one_offset_and_do_not_both_name_their_partition() {
        let shares = |one: &str, other: &str| super::shares(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(shares("a@k?group_id=g", "a@k?group_id=g"));
        assert!(shares("a@k?group_id=g", "a@k?group_id=g&partition=1"));
        assert!(shares("a@k?group_id=g&partition=1", "a@k?group_id=g"));
        assert!(!shares("a@k?group_id=g&partition=1", "a@k?group_id=g&partition=1"));
        assert!(!shares("a@k?group_id=g", "a@k?group_id=h"));
        assert!(!shares("a@k?group_id=g", "b@k?group_id=g"));
        assert!(!shares("a@k?group_id=g", "a@l?group_id=g"));
        assert!(!shares("a@k?group_id=g", "a@k"));
    }
}
