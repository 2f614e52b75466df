// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How a function fares in one process, and in all of them together.

use fnstream_api::{ErrorBody, FunctionStatus, PartitionDescription, TaskDescription, TaskError, TaskStatus};
use fnstream_core::ErrorCode;
use fnstream_core::tasks::Standing;
use fnstream_core::topics::Topics;
use fnstream_engine::{FunctionMeter, FunctionState, PartitionStatus, TaskState};
use serde::{Deserialize, Serialize};

use super::coming_up::ComingUp;
use super::look::Look;

/// How a function fares in one process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::app) struct Part {
    /// The state of the tasks there, taken together.
    pub(in crate::app) status: FunctionStatus,
    /// The kind of its artifact.
    pub(in crate::app) kind: String,
    /// The tasks that run there, by index.
    pub(in crate::app) tasks: Vec<TaskDescription>,
    /// Why it does not fare as it should, in the words of whoever has to do something about it.
    pub(in crate::app) reason: Option<String>,
    /// What was counted there.
    pub(in crate::app) counters: Counters,
    /// How far its tasks there are with coming up; none when it has none there.
    #[serde(default)]
    pub(in crate::app) coming_up: Option<ComingUp>,
}

/// What was counted of a function in one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::app) struct Counters {
    pub(in crate::app) failed: u64,
    pub(in crate::app) dead_lettered: u64,
    pub(in crate::app) skipped: u64,
    pub(in crate::app) ahead: u64,
    pub(in crate::app) restarts: u64,
}

impl Counters {
    pub(in crate::app) fn of(meter: &FunctionMeter) -> Self {
        Counters {
            failed: meter.records_failed.get(),
            dead_lettered: meter.records_dead_lettered.get(),
            skipped: meter.records_skipped.get(),
            ahead: meter.records_ahead.get(),
            restarts: meter.restarts.get(),
        }
    }

    fn add(&mut self, other: Counters) {
        self.failed += other.failed;
        self.dead_lettered += other.dead_lettered;
        self.skipped += other.skipped;
        self.ahead += other.ahead;
        self.restarts += other.restarts;
    }
}

impl Part {
    /// What the engine says of a function; looks the topics' ends up. Blocks.
    pub(super) fn of(
        status: &fnstream_engine::FunctionStatus,
        counters: Counters,
        topics: &dyn Topics,
        look: &Look,
    ) -> Self {
        let word = function_status(status.state);
        Part {
            status: word,
            kind: status.kind.to_owned(),
            tasks: status.tasks.iter().map(|of| task(of, topics, look)).collect(),
            reason: reason(word, &status.tasks),
            coming_up: ComingUp::of(&status.tasks),
            counters,
        }
    }

    /// The function as a whole, from its parts in all processes where it runs; none when it runs nowhere.
    pub(in crate::app) fn merged(parts: impl IntoIterator<Item = Part>) -> Option<Part> {
        parts.into_iter().reduce(|mut whole, part| {
            if weight(&part) > weight(&whole) {
                (whole.status, whole.reason) = (part.status, part.reason);
            }
            // While a task moves, its old owner may still name it; the one who has committed more is the new one.
            for task in part.tasks {
                match whole.tasks.iter_mut().find(|known| known.index == task.index) {
                    Some(known) if known.epoch >= task.epoch => {}
                    Some(known) => *known = task,
                    None => whole.tasks.push(task),
                }
            }
            whole.tasks.sort_by_key(|task| task.index);
            whole.counters.add(part.counters);
            whole
        })
    }

    /// Reports whether it tells of each of its tasks what it has committed.
    pub(in crate::app) fn is_placed(&self) -> bool {
        self.tasks.iter().all(|task| task.epoch > 0)
    }

    /// Tasks that are not taken over yet do not know their past: they stand where they have committed. Blocks.
    pub(in crate::app) fn place(&mut self, standing: &Standing, topics: &dyn Topics, look: &Look) {
        for task in self.tasks.iter_mut().filter(|task| task.epoch == 0) {
            let Some(progress) = standing.get(&task.index) else { continue };
            (task.epoch, task.records_in) = (progress.epoch.0, progress.records_in);
            task.records_out = progress.records_out;
            for (at, position) in &progress.positions {
                let (name, number) = (at.topic.to_string(), at.partition);
                let mut shown = task.partitions.iter_mut();
                if let Some(shown) = shown.find(|shown| shown.topic == name && shown.partition == number) {
                    let status = PartitionStatus { partition: at.clone(), position: *position, end: None };
                    *shown = partition(&status, topics, look);
                }
            }
        }
    }
}

/// Which of two parts says how the whole fares: the one that somebody has to do something about; one without tasks says nothing.
fn weight(part: &Part) -> (bool, u8) {
    let weight = match part.status {
        FunctionStatus::Failed => 5,
        FunctionStatus::BackingOff => 4,
        FunctionStatus::Stopping => 3,
        FunctionStatus::Running => 2,
        FunctionStatus::Starting => 1,
        FunctionStatus::Stopped => 0,
    };
    (!part.tasks.is_empty(), weight)
}

fn task(task: &fnstream_engine::TaskStatus, topics: &dyn Topics, look: &Look) -> TaskDescription {
    TaskDescription {
        index: task.index,
        status: task_status(task.state),
        epoch: task.epoch.0,
        records_in: task.records_in,
        records_out: task.records_out,
        restarts: task.restarts,
        memory_bytes: task.memory_bytes as u64,
        watermark_ms: task.watermark,
        trouble: task.trouble.as_ref().map(ErrorBody::from),
        restored: task.restored,
        partitions: task.partitions.iter().map(|of| partition(of, topics, look)).collect(),
        last_error: task.last_error.as_ref().map(|error| TaskError {
            code: error.code.as_str().to_owned(),
            message: error.message.clone(),
            backtrace: error.backtrace.clone(),
            at_ms: error.at_ms,
        }),
    }
}

fn partition(status: &PartitionStatus, topics: &dyn Topics, look: &Look) -> PartitionDescription {
    let PartitionStatus { partition, position, end } = status;
    // The log's own end, not the one that the task saw when it last looked: a task that is stuck does not look.
    let ahead = look.ahead(topics, partition, *position);
    let now = ahead.map(|ahead| ahead.end);
    PartitionDescription {
        topic: partition.topic.to_string(),
        partition: partition.partition,
        position: position.to_string(),
        end: now.or(*end).map(|end| end.max(*position).to_string()),
        lag: ahead.and_then(|ahead| ahead.lag),
    }
}

fn function_status(state: FunctionState) -> FunctionStatus {
    match state {
        FunctionState::Starting => FunctionStatus::Starting,
        FunctionState::Running => FunctionStatus::Running,
        FunctionState::BackingOff => FunctionStatus::BackingOff,
        FunctionState::Stopping => FunctionStatus::Stopping,
        FunctionState::Failed => FunctionStatus::Failed,
    }
}

fn task_status(state: TaskState) -> TaskStatus {
    match state {
        TaskState::Opening => TaskStatus::Opening,
        TaskState::Restoring => TaskStatus::Restoring,
        TaskState::Running => TaskStatus::Running,
        TaskState::BackingOff => TaskStatus::BackingOff,
        TaskState::Draining => TaskStatus::Draining,
        TaskState::Failed => TaskStatus::Failed,
        TaskState::Ended => TaskStatus::Ended,
    }
}

/// Why a function does not run, in the words of whoever has to do something about it.
fn reason(status: FunctionStatus, tasks: &[fnstream_engine::TaskStatus]) -> Option<String> {
    let failure = |state: TaskState, what: &str| {
        let task = tasks.iter().find(|task| task.state == state)?;
        let error = task.last_error.as_ref()?;
        // It would fail again at the same place.
        let what = if error.code == ErrorCode::PositionDropped { "cannot go on from its place" } else { what };
        Some(format!("task {} {what}: {} ({})", task.index, error.message, error.code))
    };
    match status {
        FunctionStatus::Stopped => None,
        FunctionStatus::BackingOff => failure(TaskState::BackingOff, "failed and will be tried again"),
        FunctionStatus::Failed => failure(
            TaskState::Failed,
            "failed and waits until it is updated, moved on with 'client seek', or started again",
        ),
        FunctionStatus::Running | FunctionStatus::Starting | FunctionStatus::Stopping => {
            tasks.iter().find_map(|task| {
                let (error, what) = match (&task.refused, &task.trouble, &task.circling) {
                    (Some(error), ..) => (error, "cannot commit and tries again"),
                    (None, Some(error), _) => (error, "is waiting for the broker"),
                    (None, None, Some(error)) => (error, "is kept busy by its timers"),
                    (None, None, None) => return None,
                };
                Some(format!("task {} {what}: {} ({})", task.index, error.message, error.code))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use fnstream_core::epoch::{Epoch, Progress};
    use fnstream_core::record::{Position, Positions, TopicPartition};
    use fnstream_core::test_util::mem_broker::MemBroker;

    use super::*;

    fn part(status: FunctionStatus, tasks: &[(u32, u64)]) -> Part {
        let described = |&(index, epoch): &(u32, u64)| TaskDescription {
            index,
            status: TaskStatus::Running,
            epoch,
            records_in: 0,
            records_out: 0,
            restarts: 0,
            memory_bytes: 0,
            watermark_ms: None,
            trouble: None,
            restored: None,
            partitions: Vec::new(),
            last_error: None,
        };
        let counters = Counters { failed: 2, ..Counters::default() };
        let reason = Some(status.as_str().to_owned());
        Part {
            status,
            kind: "k".into(),
            tasks: tasks.iter().map(described).collect(),
            reason,
            counters,
            coming_up: None,
        }
    }

    #[test]
    fn a_function_is_all_of_its_parts_and_fares_as_the_worst_of_them() {
        let here = part(FunctionStatus::Running, &[(1, 4)]);
        let there = part(FunctionStatus::BackingOff, &[(0, 3), (1, 9)]);
        let idle = part(FunctionStatus::Failed, &[]);
        let whole = Part::merged([here, idle, there]).expect("three parts");
        assert_eq!(
            (whole.status, whole.reason.as_deref()),
            (FunctionStatus::BackingOff, Some(FunctionStatus::BackingOff.as_str()))
        );
        let tasks: Vec<_> = whole.tasks.iter().map(|task| (task.index, task.epoch)).collect();
        assert_eq!(tasks, [(0, 3), (1, 9)], "the newer owner of a task counts");
        assert_eq!(whole.counters.failed, 6);
        assert!(Part::merged([]).is_none());
    }

    #[test]
    fn a_task_that_is_not_taken_over_yet_stands_where_it_has_committed() {
        let (broker, look) = (MemBroker::new(), Look::default());
        let mut part = part(FunctionStatus::Starting, &[(0, 0), (1, 4), (2, 0)]);
        let at = |number| TopicPartition::new("in", number);
        for task in &mut part.tasks {
            let unread = PartitionStatus { partition: at(task.index), position: Position::START, end: None };
            task.partitions.push(partition(&unread, &broker, &look));
        }
        assert!(!part.is_placed());
        let progress = |number: u32| Progress {
            epoch: Epoch(9),
            positions: Positions::from([(at(number), Position(70)), (TopicPartition::new("f.dlq", 0), Position(3))]),
            records_in: 7,
            records_out: 8,
            ..Progress::default()
        };
        part.place(&[(0, progress(0)), (1, progress(1))].into(), &broker, &look);
        let told = part.tasks.iter().map(|task| {
            (task.epoch, task.records_in, task.records_out, task.partitions[0].position.as_str(), task.partitions.len())
        });
        let told: Vec<_> = told.collect();
        assert_eq!(told, [(9, 7, 8, "70", 1), (4, 0, 0, "0", 1), (0, 0, 0, "0", 1)]);
    }
}
