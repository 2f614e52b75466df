// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Answers the questions of other processes, on behalf of those for whom they ask.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::epoch::{FunctionId, TaskId};
use fnstream_core::error::internal;
use fnstream_core::peers::{Answered, Desk, Question};
use fnstream_core::tasks::Tasks;
use fnstream_core::{Error, ErrorCode, Result};
use tokio::runtime::Handle;

use super::ask::{Ask, Payload, Report, decode, encode};
use super::local::Local;
use super::look::Look;
use super::part::Part;
use super::seen::seen;
use crate::app::caller;
use crate::app::logs::LocalLogs;
use crate::app::ops::blocking;
use crate::app::reconcile::Reconciler;

/// See the module. It keeps nothing alive: a process that has closed answers nothing.
pub(in crate::app) struct PeerDesk {
    pub(in crate::app) runtime: Handle,
    pub(in crate::app) local: Weak<Local>,
    pub(in crate::app) logs: Weak<LocalLogs>,
    pub(in crate::app) reconciler: Weak<Reconciler>,
    /// What this process sees by itself.
    pub(in crate::app) tasks: Arc<dyn Tasks>,
}

impl Desk for PeerDesk {
    fn ask(&self, question: Question, done: Answered) {
        let parts = (self.local.upgrade(), self.logs.upgrade(), self.reconciler.upgrade());
        let (Some(local), Some(logs), Some(reconciler)) = parts else {
            return done(Err(Error::new(ErrorCode::PeerUnavailable, "the process has closed")));
        };
        let Question { caller, body } = question;
        let tasks = self.tasks.clone();
        self.runtime.spawn(async move {
            let answer = async { answer(local, logs, reconciler, tasks, decode(&body)?).await };
            done(caller::scope(caller, answer).await);
        });
    }
}

async fn answer(
    local: Arc<Local>,
    logs: Arc<LocalLogs>,
    reconciler: Arc<Reconciler>,
    tasks: Arc<dyn Tasks>,
    ask: Ask,
) -> Result<Bytes> {
    match ask {
        Ask::Peek { function, task, start } => {
            let runs = local.engine.tasks(function).contains(&task);
            let look = move || runs.then(|| seen(&*tasks, TaskId::new(function, task), &start.0)).transpose();
            encode(&blocking(look).await?)
        }
        Ask::Status(functions) => {
            let parts = blocking(move || {
                let look = Look::default();
                let part = |(id, name): (FunctionId, String)| local.part(id, &name, &look).map(|part| (id, part));
                Ok(functions.into_iter().filter_map(part).collect::<BTreeMap<_, Part>>())
            });
            encode(&parts.await?)
        }
        Ask::Custom { function, task, payload } => encode(&local.custom(function, task, payload.0).await?.map(Payload)),
        Ask::Exec { function, class_name, modules } => {
            let modules: Vec<_> = modules.into_iter().map(|(name, bytes)| (name, bytes.0)).collect();
            encode(&local.exec(function, &class_name, &modules).await?)
        }
        Ask::DeadLetters { function, action, until } => {
            let report = match local.dead_letters(function, &action, &until).await? {
                Some((_, report)) => {
                    Some(report.await.map_err(|_| internal("the engine forgot an order about dead letters"))?)
                }
                None => None,
            };
            encode(&report.map(Report::from))
        }
        Ask::Logs { name, reading, wait_ms } => {
            encode(&logs.read(&name, reading, wait_ms.map(Duration::from_millis)).await?)
        }
        Ask::Hold { name, by } => encode(&reconciler.hold_for(&name, &by).await?),
        Ask::Release { name, by } => encode(&reconciler.release(&name, &by)),
        Ask::Again(name) => encode(&reconciler.again(&name)),
    }
}
