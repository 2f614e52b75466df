// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a task knows of event time: the watermark of each of its input partitions, and the least of them, which the function
//! is told.
//!
//! ```text
//! timestamps of records ──► less the delay ──┐
//! watermarks that functions have emitted ────┴─ max ──► the partition's ──► min over those that are not idle ──► the function's
//! ```
//!
//! A partition takes part when its input's timestamps are used, or from the first watermark on that a function has emitted to
//! it. One that takes part and has no watermark yet holds the function's back, until it is idle. The function's never goes
//! back. What is known is part of each epoch ([`fnstream_core::epoch::Progress::time`]); only since when a partition is idle
//! is not: it is awaited anew after each opening of the task.

use std::time::Duration;

use bytes::Bytes;
use fnstream_core::batch::Batch;
use fnstream_core::broker::TaskInput;
use fnstream_core::error::{Error, ErrorCode, Result};
use fnstream_core::record::TopicPartition;
use fnstream_core::spec::{FunctionSpec, Watermark, WatermarkStrategy};
use serde::{Deserialize, Serialize};

/// The version of the encoding.
const VERSION: u8 = 1;

/// See the module.
#[derive(Debug)]
pub(super) struct EventTime {
    inputs: Vec<InputTime>,
    /// The last watermark that the function was told.
    told: Option<u64>,
    /// Timers were fired for it, and the function was not told of it yet: nothing may be read in between, and no other one is
    /// looked for, also after a crash.
    begun: Option<Rise>,
    /// Whether those who read what the task writes were told that it is idle.
    told_idle: Option<bool>,
    /// The function's log says that timestamps were too far ahead of the clock.
    said_ahead: bool,
    /// What [`EventTime::rise`] found, until something changes.
    rise: Option<Option<Rise>>,
}

#[derive(Debug)]
struct InputTime {
    group: u32,
    at: TopicPartition,
    rule: Watermark,
    known: Known,
    /// When it last had a record, or the task was opened.
    active: Duration,
    idle: bool,
}

/// What is kept of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Known {
    /// The latest timestamp of its records, where it is used.
    latest: Option<i64>,
    /// The highest watermark that was emitted to it.
    emitted: Option<u64>,
}

/// What is kept of a task.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    told: Option<u64>,
    begun: Option<Rise>,
    inputs: Vec<(TopicPartition, Known)>,
}

/// The function's watermark rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rise {
    /// The input group that held it back until now.
    pub(super) group: u32,
    pub(super) watermark: u64,
}

impl EventTime {
    /// What was known at the last commit, `kept`.
    pub(super) fn open(spec: &FunctionSpec, inputs: &[TaskInput], kept: &Bytes, now: Duration) -> Result<Self> {
        let kept = decode(kept)?;
        let inputs = inputs.iter().map(|TaskInput { group, partition }| InputTime {
            group: *group,
            at: partition.clone(),
            rule: spec.watermarks.get(&partition.topic).copied().unwrap_or_default(),
            known: kept.inputs.iter().find(|(at, _)| at == partition).map(|(_, known)| *known).unwrap_or_default(),
            active: now,
            idle: false,
        });
        Ok(EventTime {
            inputs: inputs.collect(),
            told: kept.told,
            begun: kept.begun,
            told_idle: None,
            said_ahead: false,
            rise: None,
        })
    }

    /// The bytes to keep; none when nothing is known.
    pub(super) fn keep(&self) -> Bytes {
        let known = self.inputs.iter().filter(|input| input.known != Known::default());
        let kept = Kept {
            told: self.told,
            begun: self.begun,
            inputs: known.map(|input| (input.at.clone(), input.known)).collect(),
        };
        if kept == Kept::default() {
            return Bytes::new();
        }
        let encoded = postcard::to_extend(&kept, vec![VERSION]);
        encoded.expect("these types have no value that cannot be encoded").into()
    }

    /// The last watermark that the function was told.
    pub(super) fn told(&self) -> Option<u64> {
        self.told
    }

    /// Records of an input were consumed, when the wall clock showed `unix_ms`; answers how many of them were too far ahead of
    /// it to count.
    pub(super) fn consumed(&mut self, batch: &Batch, now: Duration, unix_ms: i64) -> u64 {
        let Some(input) = self.inputs.iter_mut().find(|input| input.at == *batch.from()) else { return 0 };
        let mut ahead = 0;
        if input.rule.strategy != WatermarkStrategy::None {
            let frame = batch.frame();
            let bound = input.rule.max_ahead.map_or(i64::MAX, |most| unix_ms.saturating_add(millis(most)));
            let times = (0..frame.len()).map(|index| frame.timestamp(index));
            let latest = times.filter(|time| {
                ahead += u64::from(*time > bound);
                *time <= bound
            });
            input.known.latest = input.known.latest.max(latest.max());
        }
        input.active = now;
        input.idle = false;
        self.rise = None;
        ahead
    }

    /// Whether this is the first call.
    pub(super) fn first_ahead(&mut self) -> bool {
        !std::mem::replace(&mut self.said_ahead, true)
    }

    /// A function has emitted a watermark to a partition.
    pub(super) fn emitted(&mut self, from: &TopicPartition, watermark: u64, now: Duration) {
        if let Some(input) = self.inputs.iter_mut().find(|input| input.at == *from) {
            input.known.emitted = input.known.emitted.max(Some(watermark));
            input.active = now;
            input.idle = false;
            self.rise = None;
        }
    }

    /// There is nothing to read at that time: what has been quiet for long enough is idle.
    pub(super) fn drained(&mut self, now: Duration) {
        for input in &mut self.inputs {
            if !input.idle && input.idle_at().is_some_and(|at| now >= at) {
                input.idle = true;
                self.rise = None;
            }
        }
    }

    /// Whether all partitions that take part are idle: then the task has nothing to say of event time.
    pub(super) fn is_idle(&self) -> bool {
        let mut taking_part = self.inputs.iter().filter(|input| input.takes_part()).peekable();
        taking_part.peek().is_some() && taking_part.all(|input| input.idle)
    }

    /// Whether that is to be told although there is nothing else to commit.
    pub(super) fn idle_is_news(&self) -> bool {
        self.told_idle != Some(true) && self.is_idle()
    }

    /// An epoch ends: whether the task is idle, and whether that is to be told in it.
    pub(super) fn tell_idle(&mut self) -> (bool, bool) {
        let idle = self.is_idle();
        let takes_part = self.inputs.iter().any(InputTime::takes_part);
        let news = takes_part && self.told_idle != Some(idle);
        if takes_part {
            self.told_idle = Some(idle);
        }
        (idle, news)
    }

    /// When the next partition will be idle, if it stays quiet.
    pub(super) fn next_idle(&self) -> Option<Duration> {
        self.inputs.iter().filter(|input| !input.idle).filter_map(InputTime::idle_at).min()
    }

    /// Whether the function's watermark is higher than it was told.
    pub(super) fn rise(&mut self) -> Option<Rise> {
        if self.begun.is_some() {
            return self.begun;
        }
        if self.rise.is_none() {
            self.rise = Some(self.find_rise());
        }
        self.rise.flatten()
    }

    fn find_rise(&self) -> Option<Rise> {
        let taking_part = || self.inputs.iter().filter(|input| input.takes_part());
        let active = taking_part().filter(|input| !input.idle).min_by_key(|input| input.watermark());
        // When all of them are idle nothing is held back any more, and each may count for more than it has seen.
        let (group, watermark) = match active {
            Some(input) => (input.group, input.watermark()?),
            None => taking_part()
                .filter_map(|input| Some((input.group, input.watermark_at_rest()?)))
                .max_by_key(|(_, watermark)| *watermark)?,
        };
        let rises = self.told.is_none_or(|told| watermark > told);
        rises.then_some(Rise { group, watermark })
    }

    /// Whether timers were fired for a watermark that the function was not told yet.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Timers are fired for it.
    pub(super) fn begin(&mut self, rise: Rise) {
        self.begun = Some(rise);
    }

    /// The function was told.
    pub(super) fn tell(&mut self, rise: Rise) {
        self.told = Some(rise.watermark);
        self.begun = None;
        self.rise = None;
    }
}

impl InputTime {
    fn takes_part(&self) -> bool {
        self.rule.strategy != WatermarkStrategy::None || self.known.emitted.is_some()
    }

    fn idle_at(&self) -> Option<Duration> {
        self.takes_part().then_some(self.rule.idle_timeout?).map(|timeout| self.active + timeout)
    }

    /// The watermark when all partitions are idle.
    fn watermark_at_rest(&self) -> Option<u64> {
        let advance = self.rule.idle_advance.map_or(0, |advance| u64::try_from(millis(advance)).unwrap_or(0));
        self.watermark().map(|watermark| watermark.saturating_add(advance))
    }

    fn watermark(&self) -> Option<u64> {
        let delay = match self.rule.strategy {
            WatermarkStrategy::None => None,
            WatermarkStrategy::Monotonic => Some(Duration::ZERO),
            WatermarkStrategy::Bounded { delay } => Some(delay),
        };
        // There is no watermark before the Unix epoch.
        let of_records = delay.and_then(|delay| u64::try_from(self.known.latest?.saturating_sub(millis(delay))).ok());
        of_records.max(self.known.emitted)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn decode(kept: &Bytes) -> Result<Kept> {
    let corrupt = |why: String| Error::new(ErrorCode::DataCorrupt, format!("what a task knows of event time {why}"));
    match kept.split_first() {
        None => Ok(Kept::default()),
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|e| corrupt(format!("cannot be read: {e}"))),
        Some((version, _)) => Err(corrupt(format!("has version {version}, which this build does not know"))),
    }
}

#[cfg(test)]
mod tests;
