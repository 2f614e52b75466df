// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Dead letters of a function: those that wait, and what is done with them.
//!
//! A dead letter waits as long as the task that wrote it has not gone past it; the task's place among them is part of its
//! progress. So what is shown here is what is committed, and a replay that dies halfway leaves exactly the rest. Tasks may run
//! in any process of the group: each is given its part of an order.

mod waiting;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::metadata::Metadata;
use fnstream_core::record::Position;
use fnstream_core::spec::{FunctionEntry, check_name};
use fnstream_core::tasks::Tasks;
use fnstream_core::topics::Topics;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::{DeadLetterReport, TriedDeadLetter};

use super::group::Fellows;
use super::group::ask::Action;
use super::ops::{Ops, blocking};
use super::programs::Programs;
use super::shelf::{Archive, Shelf};
use waiting::Waiting;

pub(crate) use waiting::WaitingDeadLetter;

/// How long a replay is waited for before the answer says that it goes on.
const REPLAY_WAIT: Duration = Duration::from_secs(30);

/// What became of an order.
pub(crate) struct DeadLetterOutcome {
    /// What the tasks did.
    pub(crate) report: DeadLetterReport,
    /// How many dead letters wait now.
    pub(crate) waiting: u64,
    /// Whether the order is done; the function goes on with it otherwise.
    pub(crate) finished: bool,
}

/// Dead letters that wait.
pub(crate) struct DeadLetterList {
    /// Their topic.
    pub(crate) topic: String,
    /// How many they are.
    pub(crate) waiting: u64,
    /// The first of them.
    pub(crate) first: Vec<WaitingDeadLetter>,
}

/// See the module.
pub(crate) struct DeadLetters {
    pub(super) ops: Arc<Ops>,
    pub(super) register: Arc<dyn Metadata>,
    pub(super) topics: Arc<dyn Topics>,
    pub(super) tasks: Arc<dyn Tasks>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) programs: Arc<Programs>,
    pub(super) fellows: Arc<Fellows>,
}

impl DeadLetters {
    /// The dead letters of a function that wait, of which at most `max` are given.
    pub(crate) async fn list(self: &Arc<Self>, name: String, max: usize) -> Result<DeadLetterList> {
        self.with(name, move |waiting| {
            let (mut count, mut first) = (0, Vec::new());
            waiting.each(|found| {
                count += 1;
                if first.len() < max {
                    first.push(found.to_owned());
                }
                ControlFlow::Continue(())
            })?;
            Ok(DeadLetterList { topic: waiting.topic().to_string(), waiting: count, first })
        })
        .await
    }

    /// One dead letter that waits.
    pub(crate) async fn show(self: &Arc<Self>, name: String, at: (u32, Position)) -> Result<WaitingDeadLetter> {
        self.with(name.clone(), move |waiting| {
            let mut wanted = None;
            waiting.each(|found| {
                if found.at() == at {
                    wanted = Some(found.to_owned());
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })?;
            wanted.ok_or_else(|| {
                let (partition, position) = at;
                let message = format!("no dead letter of function '{name}' waits at {partition}:{position}");
                Error::new(ErrorCode::DeadLetterNotFound, message)
            })
        })
        .await
    }

    /// Has the function process the oldest `count` of its dead letters again, all that wait now without a count.
    pub(crate) async fn replay(self: &Arc<Self>, name: String, count: Option<u64>) -> Result<DeadLetterOutcome> {
        self.order(name, count, Action::Replay, Some(REPLAY_WAIT)).await
    }

    /// Drops the oldest `count` dead letters, all that wait now without a count.
    pub(crate) async fn discard(self: &Arc<Self>, name: String, count: Option<u64>) -> Result<DeadLetterOutcome> {
        self.order(name, count, Action::Drop, Some(REPLAY_WAIT)).await
    }

    /// Tries another artifact on dead letters; nothing of it is kept.
    pub(crate) async fn try_out(
        self: &Arc<Self>,
        name: String,
        count: Option<u64>,
        archive: Archive,
    ) -> Result<Vec<TriedDeadLetter>> {
        check_name("function", &name)?;
        let shelf = self.shelf.clone();
        // Pinned as long as a process may still have to load it.
        let (pin, artifact) = blocking(move || shelf.obtain(&archive)).await?;
        let _program = self.programs.compile(pin.digest(), artifact).await?;
        Ok(self.order(name, count, Action::Try(pin.digest().to_owned()), None).await?.report.tried)
    }

    async fn order(
        self: &Arc<Self>,
        name: String,
        count: Option<u64>,
        action: Action,
        patience: Option<Duration>,
    ) -> Result<DeadLetterOutcome> {
        self.ops.check_open()?;
        let (entry, until) =
            self.with(name.clone(), move |waiting| Ok((waiting.entry().clone(), waiting.up_to(count)?))).await?;
        let report = match patience {
            _ if until.is_empty() => Some(DeadLetterReport::default()),
            Some(patience) => {
                tokio::time::timeout(patience, self.have_done(&entry, action, until)).await.ok().transpose()?
            }
            None => Some(self.have_done(&entry, action, until).await?),
        };
        let finished = report.is_some();
        let waiting = self.list(name.clone(), 0).await?.waiting;
        if let Some(report) = report.as_ref().filter(|report| report.unfinished_tasks > 0) {
            let DeadLetterReport { replayed, failed_again, dropped, .. } = report;
            return Err(Error::new(
                ErrorCode::FunctionStopped,
                format!(
                    "function '{name}' was stopped, changed or failed meanwhile: {replayed} dead letters were replayed, {failed_again} failed again, {dropped} were dropped, {waiting} wait; order it again for the rest"
                ),
            ));
        }
        Ok(DeadLetterOutcome { report: report.unwrap_or_default(), waiting, finished })
    }

    async fn have_done(
        &self,
        entry: &FunctionEntry,
        action: Action,
        until: BTreeMap<u32, Position>,
    ) -> Result<DeadLetterReport> {
        let done = tokio::select! {
            done = self.fellows.dead_letters(entry.id, action, until) => done?,
            () = self.ops.closing().cancelled() => {
                return Err(Error::new(ErrorCode::ShuttingDown, "the server is shutting down"));
            }
        };
        done.ok_or_else(|| {
            let message = format!("no task of function '{}' runs that has dead letters", entry.spec.name);
            Error::new(ErrorCode::FunctionStopped, message)
        })
    }

    async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        name: String,
        work: impl FnOnce(&Waiting<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        check_name("function", &name)?;
        let service = self.clone();
        blocking(move || {
            let entry = super::entry(&*service.register, &name)?;
            work(&Waiting::of(entry, &*service.topics, &*service.tasks)?)
        })
        .await
    }
}
