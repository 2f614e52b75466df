// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Dead letters of a function: those that wait, and what is done with them.
//!
//! A letter waits as long as the task that wrote it has not gone past it; the task's place in its letters is part of its
//! progress. So what is shown here is what is committed, and a replay that dies halfway leaves exactly the rest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::batch::Batch;
use fnstream_core::broker::PollLimit;
use fnstream_core::dead_letter::DeadLetter;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::{FunctionEntry, check_name};
use fnstream_core::topic::Topic;
use fnstream_core::{Error, ErrorCode, Result, error::internal};
use fnstream_engine::{LetterAction, LetterReport, TriedLetter};

use super::App;
use super::artifacts::Archive;

/// How much of the letters is read at once.
const READ: PollLimit = PollLimit { records: 1024, bytes: 1 << 20 };

/// How long a replay is waited for before the answer says that it goes on.
const REPLAY_WAIT: Duration = Duration::from_secs(30);

/// A letter that waits, as it is stored.
pub struct WaitingLetter {
    /// One record.
    pub batch: Batch,
    /// Its index in the batch.
    pub index: usize,
    /// What it says of itself.
    pub letter: DeadLetter,
}

/// What became of an order.
pub struct LetterOutcome {
    /// What the tasks did.
    pub report: LetterReport,
    /// How many letters wait now.
    pub waiting: u64,
    /// Whether the order is done; the function goes on with it otherwise.
    pub finished: bool,
}

/// The letters of one function: its topic, and how far each task has gone.
struct Shelf {
    entry: FunctionEntry,
    topic: Topic,
    partitions: u32,
    /// By task.
    places: Vec<Position>,
}

impl App {
    /// The topic of a function's dead letters, how many wait, and the first of them.
    pub async fn dead_letters(self: &Arc<Self>, name: String, max: usize) -> Result<(String, u64, Vec<WaitingLetter>)> {
        self.on_shelf(name, move |app, shelf| {
            let (mut waiting, mut first) = (0, Vec::new());
            app.each_letter(&shelf, |batch, index, letter| {
                waiting += 1;
                if first.len() < max {
                    first.push(WaitingLetter { batch: batch.clone(), index, letter });
                }
            })?;
            Ok((shelf.topic.to_string(), waiting, first))
        })
        .await
    }

    /// One dead letter that waits.
    pub async fn dead_letter(self: &Arc<Self>, name: String, at: (u32, Position)) -> Result<WaitingLetter> {
        self.on_shelf(name, move |app, shelf| {
            let mut found = None;
            app.each_letter(&shelf, |batch, index, letter| {
                if (batch.from().partition, batch.position(index)) == at {
                    found = Some(WaitingLetter { batch: batch.clone(), index, letter });
                }
            })?;
            found.ok_or_else(|| {
                let (partition, position) = at;
                let name = &shelf.entry.spec.name;
                Error::new(
                    ErrorCode::DeadLetterNotFound,
                    format!("no dead letter of function '{name}' waits at {partition}:{position}"),
                )
            })
        })
        .await
    }

    /// Has the function process the oldest `count` of its letters again, all that wait now without a count.
    pub async fn replay_letters(self: &Arc<Self>, name: String, count: Option<u64>) -> Result<LetterOutcome> {
        self.order_letters(name, count, LetterAction::Replay, Some(REPLAY_WAIT)).await
    }

    /// Drops the oldest `count` letters, all that wait now without a count.
    pub async fn drop_letters(self: &Arc<Self>, name: String, count: Option<u64>) -> Result<LetterOutcome> {
        self.order_letters(name, count, LetterAction::Drop, Some(REPLAY_WAIT)).await
    }

    /// Tries another artifact on letters; nothing of it is kept.
    pub async fn try_letters(
        self: &Arc<Self>,
        name: String,
        count: Option<u64>,
        archive: Archive,
    ) -> Result<Vec<TriedLetter>> {
        check_name("function", &name)?;
        let (_pin, artifact) = self.blocking(move |app| app.obtain(&archive)).await?;
        let program = self.compile(artifact).await?;
        Ok(self.order_letters(name, count, LetterAction::Try(program), None).await?.report.tried)
    }

    async fn order_letters(
        self: &Arc<Self>,
        name: String,
        count: Option<u64>,
        action: LetterAction,
        patience: Option<Duration>,
    ) -> Result<LetterOutcome> {
        self.check_open()?;
        let (send, receive) = tokio::sync::oneshot::channel();
        let ordered = self
            .on_shelf(name.clone(), move |app, shelf| {
                let until = app.up_to(&shelf, count)?;
                if until.is_empty() {
                    return Ok(false);
                }
                // A caller that went away is told nothing.
                let done = Box::new(move |report| drop(send.send(report)));
                app.engine.dead_letters(shelf.entry.id, &action, &until, done)?;
                Ok(true)
            })
            .await?;
        let answer = async {
            tokio::select! {
                done = receive => done.map_err(|_| internal("the engine forgot an order about dead letters")),
                () = self.closing.cancelled() => Err(Error::new(ErrorCode::ShuttingDown, "the server is shutting down")),
            }
        };
        let report = match patience {
            _ if !ordered => Some(LetterReport::default()),
            Some(patience) => tokio::time::timeout(patience, answer).await.ok().transpose()?,
            None => Some(answer.await?),
        };
        let finished = report.is_some();
        let waiting = self.dead_letters(name.clone(), 0).await?.1;
        if let Some(report) = report.as_ref().filter(|report| report.unfinished_tasks > 0) {
            let LetterReport { replayed, failed_again, dropped, .. } = report;
            return Err(Error::new(
                ErrorCode::FunctionStopped,
                format!(
                    "function '{name}' was stopped, changed or failed meanwhile: {replayed} letters were replayed, \
                     {failed_again} failed again, {dropped} were dropped, {waiting} wait; order it again for the rest"
                ),
            ));
        }
        Ok(LetterOutcome { report: report.unwrap_or_default(), waiting, finished })
    }

    /// Where each partition of letters ends for the oldest `count`; empty when there are none.
    fn up_to(&self, shelf: &Shelf, count: Option<u64>) -> Result<BTreeMap<u32, Position>> {
        let (mut until, mut left) = (BTreeMap::new(), count.unwrap_or(u64::MAX));
        self.each_letter(shelf, |batch, index, _| {
            if left > 0 {
                left -= 1;
                until.insert(batch.from().partition, batch.position(index).next());
            }
        })?;
        Ok(until)
    }

    async fn on_shelf<T: Send + 'static>(
        self: &Arc<Self>,
        name: String,
        work: impl FnOnce(&Arc<App>, Shelf) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        check_name("function", &name)?;
        self.blocking(move |app| work(app, app.shelf(&name)?)).await
    }

    fn shelf(&self, name: &str) -> Result<Shelf> {
        let entry = self.entry(name)?;
        let topic = entry.spec.dead_letter_topic().ok_or_else(|| {
            Error::new(
                ErrorCode::NoDeadLetters,
                format!("function '{name}' keeps no dead letters: its policy is another"),
            )
        })?;
        let partitions = self.store.topic(topic.own_name()?)?.partitions.len() as u32;
        let mut tasks = 0;
        for input in entry.spec.inputs.iter().flatten() {
            tasks = tasks.max(self.store.topic(input.topic.own_name()?)?.partitions.len() as u32);
        }
        let progress = self.store.progress(entry.id)?;
        let place = |index| {
            let at = TopicPartition::new(topic.clone(), index % partitions);
            let place = progress.get(&index).and_then(|progress| progress.positions.get(&at).copied());
            // A task that was never opened has no letters: whatever is there is of a former function of the name.
            place.unwrap_or(Position(u128::MAX))
        };
        let places = (0..tasks).map(place).collect();
        Ok(Shelf { entry, topic, partitions, places })
    }

    /// Visits the letters that wait, partition by partition in order.
    fn each_letter(&self, shelf: &Shelf, mut visit: impl FnMut(&Batch, usize, DeadLetter)) -> Result<()> {
        for partition in 0..shelf.partitions {
            let at = TopicPartition::new(shelf.topic.clone(), partition);
            let of_partition =
                shelf.places.iter().enumerate().filter(|(task, _)| *task as u32 % shelf.partitions == partition);
            let Some(first) = of_partition.map(|(_, place)| *place).min() else { continue };
            let info = self.store.topic(shelf.topic.own_name()?)?;
            let Some(marks) = info.partitions.get(partition as usize) else { continue };
            let mut from = first.max(marks.earliest);
            while from < marks.end
                && let Some(batch) = self.store.read(&at, from, READ)?
            {
                for (index, (position, record)) in batch.iter().enumerate() {
                    let letter = DeadLetter::read(record.headers).filter(|letter| shelf.waits(letter, position));
                    if let Some(letter) = letter {
                        visit(&batch, index, letter);
                    }
                }
                from = batch.end().unwrap_or(marks.end);
            }
        }
        Ok(())
    }
}

impl Shelf {
    /// Whether a letter is this function's and its task has not gone past it.
    fn waits(&self, letter: &DeadLetter, position: Position) -> bool {
        letter.function == self.entry.spec.name
            && self.places.get(letter.source.partition as usize).is_some_and(|place| position >= *place)
    }
}
