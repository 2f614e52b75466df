// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Dead letters of a function: those that wait, and what is done with them.
//!
//! A dead letter waits as long as the task that wrote it has not gone past it; the task's place among them is part of its
//! progress. So what is shown here is what is committed, and a replay that dies halfway leaves exactly the rest. What is done with
//! them is the work of [jobs](super::jobs).

mod parts;
mod waiting;

use std::ops::ControlFlow;
use std::sync::Arc;

use fnstream_core::metadata::Metadata;
use fnstream_core::record::Position;
use fnstream_core::spec::check_name;
use fnstream_core::tasks::Tasks;
use fnstream_core::{Error, ErrorCode, Result};

use super::ops::blocking;
use super::pages::{List, MOST_BYTES, Wanted, stray};
use crate::clusters::Clusters;
use waiting::{Budget, START, Waiting};

pub(crate) use parts::Chosen;
pub(super) use parts::{Extent, Part};
pub(crate) use waiting::{Count, WaitingDeadLetter};

/// Some dead letters that wait.
pub(crate) struct DeadLetterPage {
    /// Their topic.
    pub(crate) topic: String,
    /// How many wait, on the first page.
    pub(crate) count: Option<Count>,
    /// Those of the page.
    pub(crate) rows: Vec<WaitingDeadLetter>,
    /// How many records of the topic retention has dropped since the page before, or while this one was read, if the log knows it.
    pub(crate) dropped: u64,
    /// The cursor of the next page.
    pub(crate) next: Option<String>,
}

/// See the module.
pub(crate) struct DeadLetters {
    pub(super) register: Arc<dyn Metadata>,
    pub(super) clusters: Arc<Clusters>,
    pub(super) tasks: Arc<dyn Tasks>,
}

impl DeadLetters {
    /// Some of the dead letters of a function that wait, the oldest first.
    ///
    /// One that waits all the while is on exactly one page. One that fails again is another one, at the end.
    pub(crate) async fn list(self: &Arc<Self>, name: String, wanted: Wanted) -> Result<DeadLetterPage> {
        let from = wanted.after.as_deref().map_or(Ok(START), place)?;
        let is_first = wanted.after.is_none();
        self.with(name, move |waiting| {
            let (mut rows, mut bytes, mut broken) = (Vec::new(), 0, None);
            let mut budget = Budget::new();
            let next = match wanted.rows() {
                0 => None,
                most => waiting.visit(from, &mut budget, |found| {
                    bytes += found.bytes();
                    match found.to_owned() {
                        Ok(row) => rows.push(row),
                        Err(error) => broken = Some(error),
                    }
                    let go_on = rows.len() < most && bytes < MOST_BYTES && broken.is_none();
                    if go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })?,
            };
            if let Some(error) = broken {
                return Err(error);
            }
            let next = next.map(|(partition, position)| {
                List::DeadLetters.cursor(&[&partition.to_be_bytes()[..], &position.0.to_be_bytes()].concat())
            });
            let count = is_first.then(|| waiting.count()).transpose()?;
            Ok(DeadLetterPage { topic: waiting.topic().to_string(), count, rows, dropped: budget.dropped, next })
        })
        .await
    }

    /// How many dead letters of a function wait.
    pub(super) async fn count(self: &Arc<Self>, name: String) -> Result<Count> {
        self.with(name, |waiting| waiting.count()).await
    }

    /// One dead letter that waits.
    pub(crate) async fn show(self: &Arc<Self>, name: String, at: (u32, Position)) -> Result<WaitingDeadLetter> {
        self.with(name.clone(), move |waiting| waiting.at(at)?.ok_or_else(|| not_found(&name, at))).await
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
            let topics = service.clusters.topics_of(&entry.spec);
            work(&Waiting::of(entry, &*topics, &*service.tasks)?)
        })
        .await
    }
}

fn not_found(name: &str, (partition, position): (u32, Position)) -> Error {
    let message = format!("no dead letter of function '{name}' waits at {partition}:{position}");
    Error::new(ErrorCode::DeadLetterNotFound, message)
}

/// The place of a cursor.
fn place(cursor: &str) -> Result<(u32, Position)> {
    let bytes = List::DeadLetters.place(cursor)?;
    let (partition, position) = bytes.split_first_chunk::<4>().ok_or_else(stray)?;
    let position = position.try_into().map_err(|_| stray())?;
    Ok((u32::from_be_bytes(*partition), Position(u128::from_be_bytes(position))))
}
