// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What tasks have committed, wherever their home is.

use std::sync::Arc;

use fnstream_core::Result;
use fnstream_core::epoch::{FunctionId, TaskId};
use fnstream_core::state::Visit;
use fnstream_core::tasks::{Standing, Tasks};

use super::{Clusters, home};

/// Asks the home of each function.
pub(super) struct TasksOfAll(pub(super) Arc<Clusters>);

impl TasksOfAll {
    fn at(&self, function: FunctionId) -> Result<Arc<dyn Tasks>> {
        let TasksOfAll(clusters) = self;
        match clusters.abroad(function)? {
            Some(entry) if !home(&entry.spec)?.is_own() => {
                Ok(clusters.foreign.for_function(&home(&entry.spec)?, &entry)?.tasks)
            }
            _ => Ok(clusters.own.tasks.clone()),
        }
    }
}

impl Tasks for TasksOfAll {
    fn fence(&self, function: FunctionId) -> Result<Standing> {
        self.at(function)?.fence(function)
    }

    fn progress(&self, function: FunctionId) -> Result<Standing> {
        self.at(function)?.progress(function)
    }

    fn peek(&self, task: TaskId, start: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        self.at(task.function)?.peek(task, start, visit)
    }
}
