// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What this process answers about its own part of a function.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::epoch::FunctionId;
use fnstream_core::error::internal;
use fnstream_core::record::Position;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::{DeadLetterAction, DeadLetterReport, DeadLettersOrdered, Engine, FunctionState, Request};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::ask::Action;
use super::coming_up::ComingUp;
use super::look::Look;
use super::part::{Counters, Part};
use crate::app::programs::Programs;
use crate::clusters::Clusters;

/// How long a task has to answer a request of a user. One that it has not begun by then it does not begin any more.
pub(in crate::app) const REQUEST_WAIT: Duration = Duration::from_secs(30);

/// The engine of this process, and what its answers need.
pub(in crate::app) struct Local {
    pub(in crate::app) engine: Engine,
    pub(in crate::app) clusters: Arc<Clusters>,
    pub(in crate::app) programs: Arc<Programs>,
    /// Counts the tasks that have come up, failed or ended.
    changed: watch::Sender<u64>,
}

/// What a process says of an order about dead letters: nothing when none of its tasks has any, or what came of it, later.
pub(in crate::app) type Ordered = Option<(DeadLettersOrdered, oneshot::Receiver<DeadLetterReport>)>;

impl Local {
    /// Follows the tasks of an engine.
    pub(in crate::app) fn new(engine: Engine, clusters: Arc<Clusters>, programs: Arc<Programs>) -> Arc<Self> {
        let local = Arc::new(Local { engine, clusters, programs, changed: watch::Sender::new(0) });
        let note = Arc::downgrade(&local);
        local.engine.watch(Waker::new(move || {
            if let Some(local) = note.upgrade() {
                local.changed.send_modify(|changes| *changes = changes.wrapping_add(1));
            }
        }));
        local
    }

    /// Changes when a task has come up, has failed or has ended.
    pub(in crate::app) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// How far a function's tasks are with coming up that run here. Blocks.
    pub(in crate::app) fn coming_up(&self, function: FunctionId) -> Option<ComingUp> {
        let status = self.engine.status(function)?;
        // Without tasks it runs only if there is nothing to read.
        let is_up = status.tasks.is_empty() && status.state == FunctionState::Running;
        if is_up { Some(ComingUp::Up) } else { ComingUp::of(&status.tasks) }
    }

    /// How a function fares here. Blocks.
    pub(in crate::app) fn part(&self, function: FunctionId, name: &str, look: &Look) -> Option<Part> {
        let status = self.engine.status(function)?;
        let meter = self.engine.meters().get(name).unwrap_or_default();
        // A function that runs here is known.
        let topics = self.clusters.topics_of_id(function).ok()?;
        Some(Part::of(&status, Counters::of(&meter), &*topics, look))
    }

    /// Asks the instance of a task; `None` when the task does not run here.
    pub(super) async fn custom(&self, function: FunctionId, task: u32, payload: Vec<u8>) -> Result<Option<Vec<u8>>> {
        if !self.engine.tasks(function).contains(&task) {
            return Ok(None);
        }
        let answer = self.ask(function, task, Request::Custom(payload));
        answered(task, answer, Instant::now() + REQUEST_WAIT).await.map(Some)
    }

    /// Hands modules to the instances of all tasks that run here; answers how many.
    pub(super) async fn exec(
        &self,
        function: FunctionId,
        class_name: &str,
        modules: &[(String, Vec<u8>)],
    ) -> Result<u32> {
        let tasks = self.engine.tasks(function);
        let request = Request::Exec { class_name: class_name.to_owned(), modules: modules.to_vec() };
        // All at once: they are waited for together.
        let asked: Vec<_> = tasks.iter().map(|task| (*task, self.ask(function, *task, request.clone()))).collect();
        let until = Instant::now() + REQUEST_WAIT;
        for (task, answer) in asked {
            answered(task, answer, until).await?;
        }
        Ok(tasks.len() as u32)
    }

    fn ask(&self, function: FunctionId, task: u32, request: Request) -> oneshot::Receiver<Result<Vec<u8>>> {
        let (send, receive) = oneshot::channel();
        // A caller that went away is told nothing.
        self.engine.request(function, task, request, REQUEST_WAIT, Box::new(move |answer| drop(send.send(answer))));
        receive
    }

    /// Has the tasks that run here do something with dead letters.
    pub(super) async fn dead_letters(
        &self,
        function: FunctionId,
        action: &Action,
        until: &BTreeMap<u32, Position>,
    ) -> Result<Ordered> {
        if self.engine.tasks(function).is_empty() {
            return Ok(None);
        }
        let action = match action {
            Action::Replay => DeadLetterAction::Replay,
            Action::Drop => DeadLetterAction::Drop,
            Action::DropOnly(chosen) => DeadLetterAction::DropOnly(Arc::new(chosen.clone())),
            Action::Try(digest) => DeadLetterAction::Try(self.programs.load(digest).await?),
        };
        let (send, receive) = oneshot::channel();
        let (engine, until) = (self.engine.clone(), until.clone());
        let ordered = crate::app::ops::blocking(move || {
            // A caller that went away is told nothing.
            engine.dead_letters(function, &action, &until, Box::new(move |report| drop(send.send(report))))
        });
        match ordered.await {
            Ok(ordered) => Ok(Some((ordered, receive))),
            // Its tasks have none of them: others may.
            Err(error) if error.code == ErrorCode::FunctionStopped => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The answer of a task, if it comes until then.
async fn answered(task: u32, answer: oneshot::Receiver<Result<Vec<u8>>>, until: Instant) -> Result<Vec<u8>> {
    match tokio::time::timeout_at(until, answer).await {
        Ok(answer) => answer.map_err(|_| internal("the engine forgot a request"))?,
        Err(_) => {
            let message = format!("task {task} of the function did not answer within {REQUEST_WAIT:?}");
            Err(Error::new(ErrorCode::FunctionBusy, message))
        }
    }
}
