// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a job does.
//!
//! A replay and a drop go through each partition by itself, part by part: the letters of a part are found, the tasks are given
//! the order up to its end, and carry it out. How many letters a part has depends on how long the last one took. A trial is one
//! order, since each letter is to see what those before it have written; the tasks take turns with their input by themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fnstream_api::JobKind;
use fnstream_core::artifacts::Pin;
use fnstream_core::record::Position;
use fnstream_core::spec::FunctionEntry;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::DeadLetterReport;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Jobs;
use super::table::UnderWay;
use crate::app::caller;
use crate::app::dead_letters::{Chosen, Extent, Part};
use crate::app::group::ask::Action;

/// How many letters the first part of a partition has.
const FIRST_PART: usize = 16;

/// The most letters of a part.
const MOST_OF_A_PART: usize = 1_024;

/// A part that takes less time is followed by a larger one.
const SHORT: Duration = Duration::from_millis(50);

/// One that takes more by a smaller one: that long the task takes no input.
const LONG: Duration = Duration::from_millis(150);

/// How many partitions of a job are gone through at once.
const ABREAST: usize = 32;

/// The work of a job.
pub(super) enum Work {
    Replay,
    Drop,
    /// To drop these alone.
    DropOnly(Chosen),
    /// The artifact, which stays while the job has it.
    Trial(Pin, Vec<u8>),
}

impl Work {
    pub(super) fn kind(&self) -> JobKind {
        match self {
            Work::Replay => JobKind::Replay,
            Work::Drop | Work::DropOnly(_) => JobKind::Drop,
            Work::Trial(..) => JobKind::Trial,
        }
    }
}

impl Jobs {
    /// Does what a job is for, or as much of it as there is before it is cancelled.
    pub(super) async fn carry_out(
        self: Arc<Self>,
        job: &Arc<UnderWay>,
        extent: Extent,
        count: Option<u64>,
        work: Work,
    ) -> Result<()> {
        let Extent { entry, mut until, .. } = extent;
        if let Some(count) = count {
            until = self.dead_letters.oldest(&entry.spec.name, count).await?;
        }
        match work {
            Work::Replay => self.in_parts(job, entry, all(until, &Action::Replay)).await,
            Work::Drop => self.in_parts(job, entry, all(until, &Action::Drop)).await,
            Work::DropOnly(chosen) => {
                let ways = self.drop_only(&entry.spec.name, chosen, &until).await?;
                self.in_parts(job, entry, ways).await
            }
            Work::Trial(pin, artifact) => {
                let _program = self.programs.compile(pin.digest(), artifact).await?;
                if until.is_empty() {
                    job.keep(DeadLetterReport::default());
                    return Ok(());
                }
                let report = tokio::select! {
                    report = self.have_done(job, &entry, Action::Try(pin.digest().to_owned()), until) => report?,
                    () = job.cancelled().cancelled() => return Ok(()),
                };
                check_finished(&report)?;
                job.keep(report);
                Ok(())
            }
        }
    }

    async fn in_parts(self: &Arc<Self>, job: &Arc<UnderWay>, entry: FunctionEntry, ways: Vec<Way>) -> Result<()> {
        let (room, stop) = (Arc::new(Semaphore::new(ABREAST)), job.cancelled().child_token());
        let mut partitions = JoinSet::new();
        for way in ways {
            let through = Through {
                jobs: self.clone(),
                job: job.clone(),
                entry: entry.clone(),
                way,
                room: room.clone(),
                stop: stop.clone(),
            };
            partitions.spawn(caller::scope(caller::current(), through.all_parts()));
        }
        let mut outcome = Ok(());
        while let Some(done) = partitions.join_next().await {
            let done = done.unwrap_or_else(|e| Err(fnstream_core::error::internal(format!("a part of a job: {e}"))));
            if let Err(error) = done
                && outcome.is_ok()
            {
                outcome = Err(error);
                stop.cancel();
            }
        }
        outcome
    }

    /// What drops these letters alone. A task has one place in its letters: where others wait before the last of these, all that
    /// are behind them have to move as well, so that they keep their order.
    async fn drop_only(&self, name: &str, chosen: Chosen, ends: &BTreeMap<u32, Position>) -> Result<Vec<Way>> {
        let mut ways = Vec::new();
        for (partition, positions) in chosen {
            // Nothing waits there any more.
            let Some(end) = ends.get(&partition) else { continue };
            let (until, action) = match self.dead_letters.oldest_are(name, partition, positions.clone()).await? {
                Some(until) => (until, Action::Drop),
                None => (*end, Action::DropOnly(positions)),
            };
            ways.push(Way { partition, until, action });
        }
        Ok(ways)
    }

    /// Has the tasks carry an order out, and tells what came of it.
    async fn have_done(
        &self,
        job: &UnderWay,
        entry: &FunctionEntry,
        action: Action,
        until: BTreeMap<u32, Position>,
    ) -> Result<DeadLetterReport> {
        let ordered = |order| job.ordered(order);
        let done = tokio::select! {
            done = self.fellows.dead_letters(entry.id, action, until, &ordered) => done?,
            () = self.ops.closing().cancelled() => {
                return Err(Error::new(ErrorCode::ShuttingDown, "the server is shutting down"));
            }
        };
        done.ok_or_else(|| Error::new(ErrorCode::FunctionStopped, "no task of it runs that has dead letters"))
    }
}

/// What is to be done with the letters of a partition.
struct Way {
    partition: u32,
    until: Position,
    action: Action,
}

/// The same with all of them.
fn all(until: BTreeMap<u32, Position>, action: &Action) -> Vec<Way> {
    until.into_iter().map(|(partition, until)| Way { partition, until, action: action.clone() }).collect()
}

/// The way through the letters of a partition.
struct Through {
    jobs: Arc<Jobs>,
    job: Arc<UnderWay>,
    entry: FunctionEntry,
    way: Way,
    room: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Through {
    async fn all_parts(self) -> Result<()> {
        let Way { partition, until, ref action } = self.way;
        let (mut from, mut most) = (Position::START, FIRST_PART);
        while !self.stop.is_cancelled() {
            let _room = self.room.acquire().await.map_err(|e| fnstream_core::error::internal(e.to_string()))?;
            let found = self.jobs.dead_letters.part(&self.entry, partition, (from, until), most).await?;
            let Some(Part { end, letters }) = found else { break };
            if letters > 0 {
                let begun = self.jobs.clock.now();
                let order = BTreeMap::from([(partition, end)]);
                let report = self.jobs.have_done(&self.job, &self.entry, action.clone(), order).await?;
                self.job.add(&report);
                check_finished(&report)?;
                most = next_part(most, self.jobs.clock.now().saturating_sub(begun));
            }
            from = end;
        }
        Ok(())
    }
}

fn check_finished(report: &DeadLetterReport) -> Result<()> {
    match report.unfinished_tasks {
        0 => Ok(()),
        tasks => Err(Error::new(ErrorCode::FunctionStopped, format!("{tasks} of its tasks ended before that"))),
    }
}

/// How many letters a part has after one of so many took so long.
fn next_part(letters: usize, took: Duration) -> usize {
    match took {
        took if took < SHORT => (letters * 2).min(MOST_OF_A_PART),
        took if took > LONG => (letters / 2).max(1),
        _ => letters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_while_they_are_short_and_shrink_to_one_letter() {
        let ms = Duration::from_millis;
        let mut letters = FIRST_PART;
        for _ in 0..20 {
            letters = next_part(letters, ms(1));
        }
        assert_eq!(letters, MOST_OF_A_PART);
        assert_eq!(next_part(100, ms(100)), 100);
        for _ in 0..20 {
            letters = next_part(letters, ms(700));
        }
        assert_eq!(letters, 1);
    }
}
