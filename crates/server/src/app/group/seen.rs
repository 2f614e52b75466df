// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What tasks have committed, also where their state is on the disk of the process that runs them.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock, Weak};

use fnstream_core::epoch::{FunctionId, TaskId};
use fnstream_core::state::Visit;
use fnstream_core::tasks::{Standing, Tasks};
use fnstream_core::{ErrorCode, Result};
use tokio::runtime::Handle;

use super::Fellows;
use super::ask::{Ask, Payload};

/// So many keys, and about so many bytes, travel at once.
const KEYS: usize = 1_000;
const BYTES: usize = 1 << 20;

/// Keys and values, and whether these are all.
pub(in crate::app) type Seen = (Vec<(Payload, Payload)>, bool);

/// Asks the process that runs a task for what cannot be seen from here.
pub(in crate::app) struct SeenByAll {
    tasks: Arc<dyn Tasks>,
    runtime: Handle,
    fellows: OnceLock<Weak<Fellows>>,
}

impl SeenByAll {
    /// Sees what `tasks` see, until it knows the others.
    pub(in crate::app) fn new(tasks: Arc<dyn Tasks>, runtime: Handle) -> Arc<Self> {
        Arc::new(SeenByAll { tasks, runtime, fellows: OnceLock::new() })
    }

    pub(in crate::app) fn with(&self, fellows: &Arc<Fellows>) {
        drop(self.fellows.set(Arc::downgrade(fellows)));
    }

    /// The next keys of a task's state from one on, from whoever runs it. Blocks.
    fn ask(&self, task: TaskId, start: &[u8]) -> Result<Option<Seen>> {
        let Some(fellows) = self.fellows.get().and_then(Weak::upgrade) else { return Ok(None) };
        let ask = Ask::Peek { function: task.function, task: task.index, start: Payload(start.to_vec()) };
        let answers = self.runtime.block_on(fellows.ask_others::<Option<Seen>>(ask, None))?;
        Ok(answers.into_iter().find_map(|(_, answer)| answer.ok().flatten()))
    }
}

impl Tasks for SeenByAll {
    fn fence(&self, function: FunctionId) -> Result<Standing> {
        self.tasks.fence(function)
    }

    fn progress(&self, function: FunctionId) -> Result<Standing> {
        self.tasks.progress(function)
    }

    fn peek(&self, task: TaskId, start: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        let mut is_begun = false;
        let error = match self.tasks.peek(task, start, &mut |key, value| {
            is_begun = true;
            visit(key, value)
        }) {
            Err(error) if error.code == ErrorCode::Unavailable && !is_begun => error,
            other => return other,
        };
        let mut from = start.to_vec();
        loop {
            let Some((pairs, is_all)) = self.ask(task, &from)? else { return Err(error) };
            for (key, value) in &pairs {
                if visit(&key.0, &value.0).is_break() {
                    return Ok(());
                }
            }
            match pairs.last() {
                Some((last, _)) if !is_all => from = [&last.0[..], &[0]].concat(),
                _ => return Ok(()),
            }
        }
    }
}

/// The next keys of a task's state, as this process sees them. Blocks.
pub(super) fn seen(tasks: &dyn Tasks, task: TaskId, start: &[u8]) -> Result<Seen> {
    let (mut pairs, mut bytes, mut is_all) = (Vec::new(), 0, true);
    tasks.peek(task, start, &mut |key, value| {
        bytes += key.len() + value.len();
        pairs.push((Payload(key.to_vec()), Payload(value.to_vec())));
        is_all = pairs.len() < KEYS && bytes < BYTES;
        if is_all { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok((pairs, is_all))
}
