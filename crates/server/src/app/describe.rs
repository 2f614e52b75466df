// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Descriptions: what is registered, with what the engine says of it.

use fnstream_api::{
    ErrorBody, FunctionDescription, FunctionStatus, OnError, PartitionDescription, TaskDescription, TaskError,
    TaskStatus, Watermark,
};
use fnstream_core::spec::{DesiredState, FunctionEntry};
use fnstream_core::topic::TopicRef;
use fnstream_engine::{FunctionState, PartitionStatus, TaskState};

use super::{App, spec as form};

impl App {
    pub(super) fn describe_entry(&self, entry: &FunctionEntry) -> FunctionDescription {
        let status = self.engine.status(entry.id);
        let error = self.failures.lock().get(&entry.id).map(ErrorBody::from);
        let word = match (&status, entry.desired) {
            _ if error.is_some() => FunctionStatus::Failed,
            (Some(status), _) => function_status(status.state),
            (None, DesiredState::Running) => FunctionStatus::Starting,
            (None, DesiredState::Stopped) => FunctionStatus::Stopped,
        };
        let spec = &entry.spec;
        let groups = spec.inputs.iter().map(|group| group.iter().map(TopicRef::to_string).collect());
        FunctionDescription {
            name: spec.name.clone(),
            revision: entry.revision,
            desired: match entry.desired {
                DesiredState::Running => "running".to_owned(),
                DesiredState::Stopped => "stopped".to_owned(),
            },
            status: word,
            kind: status.as_ref().map(|status| status.kind.to_owned()),
            archive: format!("sha256:{}", spec.artifact),
            inputs: spec.inputs.iter().flatten().map(TopicRef::to_string).collect(),
            groups: if spec.inputs.iter().all(|group| group.len() == 1) { Vec::new() } else { groups.collect() },
            selector: spec.selector.into(),
            watermarks: spec.watermarks.iter().map(|(topic, of)| (topic.to_string(), Watermark::from(of))).collect(),
            outputs: spec.outputs.iter().map(TopicRef::to_string).collect(),
            replicas: spec.replicas,
            config: spec.config.clone(),
            limits: (&spec.limits).into(),
            on_error: OnError::told(&spec.on_error, spec.dead_letter_topic().as_ref()),
            env: spec.env.clone(),
            files: spec.files.iter().map(form::told).collect(),
            created_ms: entry.created_ms,
            error,
            tasks: status.map(|status| status.tasks.iter().map(|of| self.task(of)).collect()).unwrap_or_default(),
        }
    }

    fn task(&self, task: &fnstream_engine::TaskStatus) -> TaskDescription {
        TaskDescription {
            index: task.index,
            status: task_status(task.state),
            epoch: task.epoch.0,
            records_in: task.records_in,
            records_out: task.records_out,
            restarts: task.restarts,
            memory_bytes: task.memory_bytes as u64,
            watermark_ms: task.watermark,
            partitions: task.partitions.iter().map(|of| self.partition(of)).collect(),
            last_error: task.last_error.as_ref().map(|error| TaskError {
                code: error.code.as_str().to_owned(),
                message: error.message.clone(),
                backtrace: error.backtrace.clone(),
                at_ms: error.at_ms,
            }),
        }
    }

    pub(super) fn partition(&self, status: &PartitionStatus) -> PartitionDescription {
        // The log's own end, not the one that the task saw when it last looked: a task that is stuck does not look.
        let topic = status.partition.topic.own_name().and_then(|name| self.store.topic(name)).ok();
        let now = topic.and_then(|topic| Some(topic.partitions.get(status.partition.partition as usize)?.end));
        let end = now.unwrap_or(status.end).max(status.position);
        PartitionDescription {
            topic: status.partition.topic.to_string(),
            partition: status.partition.partition,
            position: status.position.to_string(),
            end: end.to_string(),
            // The embedded log counts records without gaps, so here the difference is their number.
            lag: u64::try_from(end.0 - status.position.0).unwrap_or(u64::MAX),
        }
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

pub(super) fn task_status(state: TaskState) -> TaskStatus {
    match state {
        TaskState::Opening => TaskStatus::Opening,
        TaskState::Running => TaskStatus::Running,
        TaskState::BackingOff => TaskStatus::BackingOff,
        TaskState::Draining => TaskStatus::Draining,
        TaskState::Failed => TaskStatus::Failed,
        TaskState::Ended => TaskStatus::Ended,
    }
}
