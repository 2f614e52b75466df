// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A topic gets more partitions: what that means for the functions that use it.
//!
//! A function learns the partitions of its topics when it starts, so those that run are restarted: each of its tasks goes on where
//! it has committed, with the state that it has, and new tasks begin at the beginning of the new partitions. The state of a
//! key stays with the task of the partition that the key had. So growing is refused as long as a reader keeps state.

use std::ops::ControlFlow;

use fnstream_core::epoch::{FunctionId, TaskId};
use fnstream_core::spec::{DesiredState, FunctionSpec};
use fnstream_core::tasks::Tasks;
use fnstream_core::topic::Topic;
use fnstream_core::{ErrorCode, Result};

use super::Records;
use super::topics::Users;
use crate::app::topic_maker::TopicMaker;

/// The functions that a topic's growth concerns.
#[derive(Debug, Default)]
pub(in crate::app) struct Growth {
    /// Those that run and read or write it.
    pub(in crate::app) running: Vec<String>,
    /// Those that read it and keep state.
    pub(in crate::app) stateful: Vec<String>,
    /// Those that read it and perhaps join it with their other inputs.
    joining: Vec<FunctionSpec>,
}

impl Growth {
    /// Blocks.
    pub(super) fn of(records: &Records, topic: &Topic) -> Result<Self> {
        let users = Users::of(std::slice::from_ref(topic), &*records.register)?;
        let mut growth = Growth::default();
        for name in users.readers(topic) {
            let Some(entry) = records.register.get(name)? else { continue };
            if keeps_state(&*records.tasks, entry.id)? {
                growth.stateful.push(name.clone());
            }
            if !entry.spec.no_join {
                growth.joining.push(entry.spec);
            }
        }
        for name in users.readers(topic).iter().chain(users.writers(topic)) {
            let runs = records.register.get(name)?.is_some_and(|entry| entry.desired == DesiredState::Running);
            if runs && !growth.running.contains(name) {
                growth.running.push(name.clone());
            }
        }
        Ok(growth)
    }

    /// What is to be said when the topic has grown: a function that joins its inputs needs the same number of partitions of all of
    /// them. Blocks.
    pub(in crate::app) fn notes(&self, topics: &TopicMaker) -> Vec<String> {
        let unequal = |spec: &FunctionSpec| match topics.check_join(spec) {
            Err(error) if error.code == ErrorCode::UnequalInputs => {
                Some(format!("function '{}': {}", spec.name, error.message))
            }
            _ => None,
        };
        self.joining.iter().filter_map(unequal).collect()
    }
}

/// Whether any task of a function has committed state, timers included.
fn keeps_state(tasks: &dyn Tasks, function: FunctionId) -> Result<bool> {
    let mut keeps = false;
    for index in tasks.progress(function)?.into_keys() {
        tasks.peek(TaskId::new(function, index), &[], &mut |_, _| {
            keeps = true;
            ControlFlow::Break(())
        })?;
    }
    Ok(keeps)
}
