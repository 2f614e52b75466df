// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How far the tasks of a function are with coming up: a task is up when it has started an instance.

use fnstream_core::error::Fault;
use fnstream_core::units::counted;
use fnstream_engine::{TaskState, TaskStatus};
use serde::{Deserialize, Serialize};

/// See the module. Of several, the later one says more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::app) enum ComingUp {
    /// Every task is up.
    Up,
    /// A task is not up yet.
    NotYet {
        /// What it waits for is outside of the function, or takes its time: another description would wait for it just the same.
        outside: bool,
        /// That, in words.
        waits_for: String,
    },
    /// A task cannot go on by itself; why, in words.
    Failed(String),
}

impl ComingUp {
    /// Of no task anything is known yet.
    pub(in crate::app) fn without_tasks() -> Self {
        ComingUp::NotYet { waits_for: "no task has been assigned yet".to_owned(), outside: true }
    }

    /// Of the tasks of one process; none when it has none of them.
    pub(in crate::app) fn of(tasks: &[TaskStatus]) -> Option<Self> {
        tasks.iter().map(of_task).max()
    }
}

fn of_task(task: &TaskStatus) -> ComingUp {
    let index = task.index;
    let failure = || match &task.last_error {
        Some(error) => format!("task {index}: {} ({})", error.message, error.code),
        None => format!("task {index} does not say why"),
    };
    match (task.state, &task.trouble) {
        (TaskState::Failed, _) => ComingUp::Failed(failure()),
        _ if task.started => ComingUp::Up,
        (_, Some(error)) => {
            let waits_for = format!("task {index} waits: {} ({})", error.message, error.code);
            ComingUp::NotYet { waits_for, outside: true }
        }
        (TaskState::Restoring, _) => {
            let read = counted(task.restored.unwrap_or_default(), "change");
            let waits_for = format!("task {index} rebuilds its state, {read} read so far");
            ComingUp::NotYet { waits_for, outside: true }
        }
        (TaskState::BackingOff, _) => {
            let outside = task.last_error.as_ref().is_some_and(|error| error.code.fault() != Fault::User);
            ComingUp::NotYet { waits_for: format!("{}; it is tried again", failure()), outside }
        }
        _ => ComingUp::NotYet { waits_for: format!("task {index} starts its instance"), outside: false },
    }
}

#[cfg(test)]
mod tests {
    use fnstream_core::epoch::Epoch;
    use fnstream_core::{Error, ErrorCode};
    use fnstream_engine::TaskError;

    use super::*;

    fn task(index: u32, state: TaskState, started: bool) -> TaskStatus {
        TaskStatus {
            index,
            state,
            started,
            epoch: Epoch::default(),
            partitions: Vec::new(),
            records_in: 0,
            records_out: 0,
            restarts: 0,
            memory_bytes: 0,
            watermark: None,
            last_error: None,
            refused: None,
            trouble: None,
            circling: None,
            restored: None,
        }
    }

    fn failed(code: ErrorCode) -> Option<TaskError> {
        Some(TaskError { code, message: "no luck".into(), backtrace: None, at_ms: 1 })
    }

    #[test]
    fn a_function_is_up_when_each_of_its_tasks_has_started() {
        let up = [task(0, TaskState::Running, true), task(1, TaskState::BackingOff, true)];
        assert_eq!(ComingUp::of(&up), Some(ComingUp::Up), "a task that retries a record is up");
        assert_eq!(ComingUp::of(&[]), None);
        let [first, second] = up;
        let not = ComingUp::of(&[first, task(2, TaskState::Opening, false), second]);
        let expected = ComingUp::NotYet { waits_for: "task 2 starts its instance".into(), outside: false };
        assert_eq!(not, Some(expected));
    }

    #[test]
    fn one_task_that_failed_says_it_all() {
        let bad = TaskStatus { last_error: failed(ErrorCode::GuestError), ..task(1, TaskState::Failed, false) };
        let tasks = [task(0, TaskState::Running, true), bad, task(2, TaskState::Opening, false)];
        assert_eq!(ComingUp::of(&tasks), Some(ComingUp::Failed("task 1: no luck (FS-1401)".into())));
    }

    #[test]
    fn what_another_description_would_wait_for_too_is_outside() {
        let outside = |task: TaskStatus| match of_task(&task) {
            ComingUp::NotYet { outside, .. } => outside,
            other => panic!("{other:?}"),
        };
        let trouble = Some(Error::new(ErrorCode::GuestMemoryShort, "none left"));
        assert!(outside(TaskStatus { trouble, ..task(0, TaskState::BackingOff, false) }));
        assert!(outside(task(0, TaskState::Restoring, false)));
        let backing_off = |code| TaskStatus { last_error: failed(code), ..task(0, TaskState::BackingOff, false) };
        assert!(outside(backing_off(ErrorCode::Storage)));
        assert!(!outside(backing_off(ErrorCode::GuestTimeout)), "its own slow start");
    }
}
