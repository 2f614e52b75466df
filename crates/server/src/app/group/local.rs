// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What this process answers about its own part of a function.

use std::collections::BTreeMap;
use std::sync::Arc;

use fnstream_core::epoch::FunctionId;
use fnstream_core::error::internal;
use fnstream_core::record::Position;
use fnstream_core::topics::Topics;
use fnstream_core::{ErrorCode, Result};
use fnstream_engine::{DeadLetterAction, DeadLetterReport, DeadLettersOrdered, Engine, Request};

use super::ask::Action;
use super::part::{Counters, Part};
use crate::app::programs::Programs;

/// The engine of this process, and what its answers need.
pub(in crate::app) struct Local {
    pub(in crate::app) engine: Engine,
    pub(in crate::app) topics: Arc<dyn Topics>,
    pub(in crate::app) programs: Arc<Programs>,
}

/// What a process says of an order about dead letters: nothing when none of its tasks has any, or what came of it, later.
pub(in crate::app) type Ordered = Option<(DeadLettersOrdered, tokio::sync::oneshot::Receiver<DeadLetterReport>)>;

impl Local {
    /// How a function fares here. Blocks.
    pub(in crate::app) fn part(&self, function: FunctionId, name: &str) -> Option<Part> {
        let status = self.engine.status(function)?;
        let meter = self.engine.meters().get(name).unwrap_or_default();
        Some(Part::of(&status, Counters::of(&meter), &self.topics))
    }

    /// Asks the instance of a task; `None` when the task does not run here.
    pub(super) async fn custom(&self, function: FunctionId, task: u32, payload: Vec<u8>) -> Result<Option<Vec<u8>>> {
        if !self.engine.tasks(function).contains(&task) {
            return Ok(None);
        }
        self.request(function, task, Request::Custom(payload)).await.map(Some)
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
        for task in &tasks {
            self.request(function, *task, request.clone()).await?;
        }
        Ok(tasks.len() as u32)
    }

    async fn request(&self, function: FunctionId, task: u32, request: Request) -> Result<Vec<u8>> {
        let (send, receive) = tokio::sync::oneshot::channel();
        // A caller that went away is told nothing.
        self.engine.request(function, task, request, Box::new(move |answer| drop(send.send(answer))));
        receive.await.map_err(|_| internal("the engine forgot a request"))?
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
            Action::Try(digest) => DeadLetterAction::Try(self.programs.load(digest).await?),
        };
        let (send, receive) = tokio::sync::oneshot::channel();
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
