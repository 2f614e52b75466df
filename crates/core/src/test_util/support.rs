// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Small parts that tests of the seams are made of.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use fnstream_frame::{FrameBuilder, RecordRef};
use parking_lot::{Condvar, Mutex};

use crate::broker::{Assignment, AssignmentListener, RevokeDone};
use crate::committer::{CommitDone, CommitResult};
use crate::delta::{Delta, Write};
use crate::epoch::{OutboxBatch, TaskId};

/// What a listener was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// [`AssignmentListener::assigned`].
    Assigned(Assignment),
    /// [`AssignmentListener::revoked`].
    Revoked(TaskId),
    /// [`AssignmentListener::lost`].
    Lost(TaskId),
}

/// A listener that writes down what it is told and gives a task up when the test says so.
#[derive(Default)]
pub struct RecordingListener {
    told: Mutex<Vec<Told>>,
    changed: Condvar,
    revoking: Mutex<Vec<(TaskId, RevokeDone)>>,
}

impl RecordingListener {
    /// A listener that was told nothing yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Everything so far, in order.
    pub fn told(&self) -> Vec<Told> {
        self.told.lock().clone()
    }

    /// The latest assignment of a task.
    pub fn assignment(&self, task: TaskId) -> Option<Assignment> {
        latest(&self.told.lock(), task)
    }

    /// The latest assignment of a task, which another thread may still be about to tell.
    pub fn wait_for_assignment(&self, task: TaskId, patience: Duration) -> Option<Assignment> {
        let mut told = self.told.lock();
        self.changed.wait_while_for(&mut told, |told| latest(told, task).is_none(), patience);
        latest(&told, task)
    }

    /// Everything so far, when it holds what is awaited, which another thread may still be about to tell; or when patience is
    /// over.
    pub fn wait_for(&self, patience: Duration, awaited: impl Fn(&[Told]) -> bool) -> Vec<Told> {
        let mut told = self.told.lock();
        self.changed.wait_while_for(&mut told, |told| !awaited(told), patience);
        told.clone()
    }

    fn note(&self, told: Told) {
        self.told.lock().push(told);
        self.changed.notify_all();
    }

    /// Says that a task that is being revoked was given up.
    pub fn give_up(&self, task: TaskId) {
        let mut revoking = self.revoking.lock();
        let done: Vec<_> = revoking.extract_if(.., |(revoked, _)| *revoked == task).collect();
        drop(revoking);
        drop(done);
    }
}

impl AssignmentListener for RecordingListener {
    fn assigned(&self, assignment: Assignment) {
        self.note(Told::Assigned(assignment));
    }

    fn revoked(&self, task: TaskId, done: RevokeDone) {
        self.note(Told::Revoked(task));
        self.revoking.lock().push((task, done));
    }

    fn lost(&self, task: TaskId) {
        self.note(Told::Lost(task));
        self.give_up(task);
    }
}

fn latest(told: &[Told], task: TaskId) -> Option<Assignment> {
    told.iter().rev().find_map(|told| match told {
        Told::Assigned(assignment) if assignment.task == task => Some(assignment.clone()),
        _ => None,
    })
}

/// A frame of these values.
pub fn frame(values: &[&[u8]]) -> Bytes {
    let mut builder = FrameBuilder::new();
    for value in values {
        builder.push(RecordRef::new(value));
    }
    builder.to_bytes().into()
}

/// Emitted records of these values.
pub fn outbox(topic: &str, partition: u32, values: &[&[u8]]) -> OutboxBatch {
    OutboxBatch { topic: topic.into(), partition, frame: frame(values), records: values.len() as u32 }
}

/// A delta of these puts.
pub fn puts(pairs: &[(&[u8], &[u8])]) -> Delta {
    let mut delta = Delta::new();
    for (key, value) in pairs {
        delta.write(*key, Write::Put(Bytes::copy_from_slice(value)));
    }
    delta
}

/// What to hand to `commit`, and where its answer comes.
pub fn answer() -> (CommitDone, Receiver<CommitResult>) {
    let (send, receive) = channel();
    let done = move |result| {
        // The test may have stopped listening.
        let _ = send.send(result);
    };
    (Box::new(done), receive)
}
