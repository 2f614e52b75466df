// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The parts in which jobs go through dead letters.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use fnstream_core::record::Position;
use fnstream_core::spec::FunctionEntry;
use fnstream_core::{Error, ErrorCode, Result};

use super::waiting::{Budget, START};
use super::{DeadLetters, not_found};

/// What a job is about.
pub(in crate::app) struct Extent {
    /// The function.
    pub(in crate::app) entry: FunctionEntry,
    /// Where the first letters may wait, by partition: only for looking back at what was done.
    pub(in crate::app) from: BTreeMap<u32, Position>,
    /// Where each partition of the letters that wait ends.
    pub(in crate::app) until: BTreeMap<u32, Position>,
    /// How many records that are, if the log knows it.
    pub(in crate::app) records: Option<u64>,
}

/// Letters, by partition.
pub(crate) type Chosen = BTreeMap<u32, BTreeSet<Position>>;

/// A part of the letters of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) struct Part {
    /// Where it ends.
    pub(in crate::app) end: Position,
    /// How many letters it has.
    pub(in crate::app) letters: usize,
}

impl DeadLetters {
    /// All letters of a function that wait now.
    pub(in crate::app) async fn extent(self: &Arc<Self>, name: String) -> Result<Extent> {
        self.with(name, |waiting| {
            let (until, from, records) = (waiting.ends()?, waiting.firsts()?, waiting.records()?);
            Ok(Extent { entry: waiting.entry().clone(), from, until, records })
        })
        .await
    }

    /// Where each partition of the oldest `count` letters ends that wait now.
    pub(in crate::app) async fn oldest(self: &Arc<Self>, name: &str, count: u64) -> Result<BTreeMap<u32, Position>> {
        let (mut until, mut left, mut from) = (BTreeMap::new(), count, Some(START));
        while let Some(place) = from.filter(|_| left > 0) {
            let visited = self.with(name.to_owned(), move |waiting| {
                let next = waiting.visit(place, &mut Budget::new(), |found| {
                    let (partition, position) = found.at();
                    until.insert(partition, position.next());
                    left -= 1;
                    if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })?;
                Ok((until, left, next))
            });
            (until, left, from) = visited.await?;
        }
        Ok(until)
    }

    /// The next part of a partition from `from` on, of at most so many letters, and before `until`; nothing when no letter waits
    /// there any more. Refused when the function is not any more as it was.
    pub(in crate::app) async fn part(
        self: &Arc<Self>,
        entry: &FunctionEntry,
        partition: u32,
        (from, until): (Position, Position),
        most: usize,
    ) -> Result<Option<Part>> {
        let (id, revision) = (entry.id, entry.revision);
        self.with(entry.spec.name.clone(), move |waiting| {
            if (waiting.entry().id, waiting.entry().revision) != (id, revision) {
                return Err(changed(&waiting.entry().spec.name));
            }
            let mut part = Part { end: from, letters: 0 };
            let next = waiting.visit((partition, from), &mut Budget::new(), |found| {
                let (at, position) = found.at();
                if at != partition || position >= until {
                    return ControlFlow::Break(());
                }
                part = Part { end: position.next(), letters: part.letters + 1 };
                if part.letters < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            Ok(match (part.letters, next) {
                // There were only letters of others; it goes on behind them.
                (0, Some((at, position))) if at == partition && position < until => {
                    Some(Part { end: position, letters: 0 })
                }
                (0, _) => None,
                _ => Some(part),
            })
        })
        .await
    }

    /// Refused when one of these letters does not wait.
    pub(in crate::app) async fn check(self: &Arc<Self>, name: &str, chosen: Chosen) -> Result<()> {
        let function = name.to_owned();
        self.with(name.to_owned(), move |waiting| {
            for (partition, positions) in &chosen {
                for position in positions {
                    if waiting.at((*partition, *position))?.is_none() {
                        return Err(not_found(&function, (*partition, *position)));
                    }
                }
            }
            Ok(())
        })
        .await
    }

    /// The end of these letters of a partition, if they are the oldest that wait there.
    pub(in crate::app) async fn oldest_are(
        self: &Arc<Self>,
        name: &str,
        partition: u32,
        chosen: BTreeSet<Position>,
    ) -> Result<Option<Position>> {
        let Some(end) = chosen.last().map(|last| last.next()) else { return Ok(None) };
        let (mut chosen, mut alone, mut from) = (chosen, true, Some((partition, Position::START)));
        while let Some(place) = from.filter(|place| alone && place.0 == partition && place.1 < end) {
            let visited = self.with(name.to_owned(), move |waiting| {
                let next = waiting.visit(place, &mut Budget::new(), |found| {
                    let (at, position) = found.at();
                    if at != partition || position >= end {
                        return ControlFlow::Break(());
                    }
                    alone = chosen.contains(&position);
                    if alone { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })?;
                Ok((chosen, alone, next))
            });
            (chosen, alone, from) = visited.await?;
        }
        Ok(Some(end).filter(|_| alone))
    }

    /// How many records of a job's extent its tasks have gone past, if the log knows it.
    pub(in crate::app) async fn passed(
        self: &Arc<Self>,
        name: String,
        from: BTreeMap<u32, Position>,
    ) -> Result<Option<u64>> {
        self.with(name, move |waiting| waiting.passed(&from)).await
    }
}

fn changed(name: &str) -> Error {
    Error::new(ErrorCode::FunctionStopped, format!("function '{name}' was changed"))
}
