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
        // When all of them are idle nothing is held back any more.
        let holding = active.or_else(|| taking_part().max_by_key(|input| input.watermark()))?;
        let watermark = holding.watermark()?;
        let rises = self.told.is_none_or(|told| watermark > told);
        rises.then_some(Rise { group: holding.group, watermark })
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
mod tests {
    use fnstream_core::batch::BatchPositions;
    use fnstream_core::record::Position;
    use fnstream_core::topic::Topic;
    use fnstream_frame::{FrameBuilder, RecordRef};

    use super::*;

    const START: Duration = Duration::from_secs(100);

    fn partition(topic: &str) -> TopicPartition {
        TopicPartition::new(topic, 0)
    }

    fn batch(topic: &str, times: &[i64]) -> Batch {
        let mut frame = FrameBuilder::new();
        times.iter().for_each(|time| frame.push(RecordRef::new(b"x").at(*time)));
        Batch::new(partition(topic), BatchPositions::Contiguous(Position(0)), frame.to_bytes().into()).unwrap()
    }

    fn bounded(delay_ms: u64, idle_ms: Option<u64>) -> Watermark {
        Watermark {
            strategy: WatermarkStrategy::Bounded { delay: Duration::from_millis(delay_ms) },
            idle_timeout: idle_ms.map(Duration::from_millis),
            max_ahead: None,
        }
    }

    /// Inputs `a` and `b`, each a group, with these rules.
    fn opened(rules: [Watermark; 2], kept: &Bytes) -> EventTime {
        let names = ["a", "b"];
        let watermarks = names.iter().zip(rules).map(|(name, rule)| (Topic::own(*name), rule)).collect();
        let spec = FunctionSpec { watermarks, ..FunctionSpec::default() };
        let inputs = (0..).zip(names).map(|(group, name)| TaskInput { group, partition: partition(name) });
        EventTime::open(&spec, &inputs.collect::<Vec<_>>(), kept, START).unwrap()
    }

    /// None of these rules looks at the clock.
    fn consume(time: &mut EventTime, batch: &Batch, now: Duration) {
        assert_eq!(time.consumed(batch, now, 0), 0);
    }

    fn told(time: &mut EventTime) -> Option<(u32, u64)> {
        let rise = time.rise()?;
        time.tell(rise);
        Some((rise.group, rise.watermark))
    }

    #[test]
    fn the_function_is_told_the_least_and_never_less() {
        let mut time = opened([bounded(10, None), bounded(0, None)], &Bytes::new());
        consume(&mut time, &batch("a", &[100, 90]), START);
        assert_eq!(told(&mut time), None, "b has no watermark yet");
        consume(&mut time, &batch("b", &[50]), START);
        assert_eq!(told(&mut time), Some((1, 50)));
        consume(&mut time, &batch("b", &[500, 40]), START);
        assert_eq!(told(&mut time), Some((0, 90)), "the delay is 10");
        consume(&mut time, &batch("a", &[80]), START);
        assert_eq!(told(&mut time), None);
        consume(&mut time, &batch("a", &[-5, 111]), START);
        assert_eq!(told(&mut time), Some((0, 101)));
    }

    #[test]
    fn an_idle_input_holds_nothing_back_until_it_has_a_record() {
        let mut time = opened([bounded(0, None), bounded(0, Some(500))], &Bytes::new());
        consume(&mut time, &batch("a", &[100]), START);
        time.drained(START + Duration::from_millis(499));
        assert_eq!(told(&mut time), None);
        assert_eq!(time.next_idle(), Some(START + Duration::from_millis(500)));
        time.drained(START + Duration::from_millis(500));
        assert_eq!(told(&mut time), Some((0, 100)));
        consume(&mut time, &batch("b", &[70]), START + Duration::from_millis(600));
        consume(&mut time, &batch("a", &[200]), START + Duration::from_millis(600));
        assert_eq!(told(&mut time), None, "b is back, and behind");
        consume(&mut time, &batch("b", &[150]), START + Duration::from_millis(600));
        assert_eq!(told(&mut time), Some((1, 150)));
    }

    #[test]
    fn when_all_are_idle_the_latest_counts() {
        let mut time = opened([bounded(0, Some(1)), bounded(0, Some(1))], &Bytes::new());
        consume(&mut time, &batch("a", &[100]), START);
        consume(&mut time, &batch("b", &[70]), START);
        time.drained(START + Duration::from_secs(1));
        assert_eq!(told(&mut time), Some((0, 100)));
    }

    #[test]
    fn emitted_watermarks_count_from_the_first_on() {
        let none = Watermark::default();
        let mut time = opened([none, none], &Bytes::new());
        consume(&mut time, &batch("a", &[100]), START);
        assert_eq!(told(&mut time), None);
        assert_eq!(time.keep(), Bytes::new(), "nothing is known");
        time.emitted(&partition("b"), 42, START);
        assert_eq!(told(&mut time), Some((1, 42)), "a takes no part");
        time.emitted(&partition("b"), 41, START);
        time.emitted(&partition("a"), 43, START);
        assert_eq!(told(&mut time), None);
        time.emitted(&partition("b"), 50, START);
        assert_eq!(told(&mut time), Some((0, 43)));
    }

    #[test]
    fn a_timestamp_too_far_ahead_of_the_clock_moves_nothing() {
        let rule = Watermark { max_ahead: Some(Duration::from_millis(50)), ..bounded(10, Some(500)) };
        let mut time = opened([rule, Watermark::default()], &Bytes::new());
        let year_2250 = 8_836_000_000_000;
        assert_eq!(time.consumed(&batch("a", &[year_2250, 1000, 1051, 1050]), START, 1000), 2);
        assert_eq!(told(&mut time), Some((0, 1040)), "1050 is as far ahead as may be");
        assert_eq!(time.consumed(&batch("a", &[i64::MAX]), START, i64::MAX - 60), 1);
        assert_eq!(told(&mut time), None);
        time.drained(START + Duration::from_millis(499));
        assert!(!time.is_idle(), "one that does not count shows all the same that the input is not idle");
        assert_eq!(time.consumed(&batch("a", &[i64::MAX]), START, i64::MAX - 10), 0, "the clock has come near it");
    }

    #[test]
    fn what_is_known_survives() {
        let rules = [bounded(10, None), Watermark::default()];
        let mut time = opened(rules, &Bytes::new());
        consume(&mut time, &batch("a", &[100]), START);
        time.emitted(&partition("b"), 95, START);
        assert_eq!(told(&mut time), Some((0, 90)));
        let mut again = opened(rules, &time.keep());
        assert_eq!(again.told(), Some(90));
        assert_eq!(told(&mut again), None);
        consume(&mut again, &batch("a", &[200]), START);
        assert_eq!(told(&mut again), Some((1, 95)));
    }

    #[test]
    fn a_rise_for_which_timers_were_fired_is_told_whatever_happens() {
        let rules = [bounded(0, None), bounded(0, Some(500))];
        let mut time = opened(rules, &Bytes::new());
        consume(&mut time, &batch("a", &[100]), START);
        time.drained(START + Duration::from_secs(1));
        let rise = time.rise().unwrap();
        time.begin(rise);
        // Opened again, when b is not idle yet.
        let mut again = opened(rules, &time.keep());
        assert_eq!(again.rise(), Some(rise));
        again.tell(rise);
        assert_eq!((again.told(), again.rise()), (Some(100), None));
    }

    #[test]
    fn the_encoding_of_the_first_version_stays_readable() {
        let bytes =
            Bytes::from_static(b"\x01\x01\x5a\x01\x01\x5c\x02\0\x01a\x00\x01\xc8\x01\x00\0\x01b\x00\x00\x01\x5f");
        let rules = [bounded(10, None), Watermark::default()];
        let time = opened(rules, &bytes);
        assert_eq!(
            (time.told(), time.inputs[0].known.latest, time.inputs[1].known.emitted),
            (Some(90), Some(100), Some(95))
        );
        assert_eq!(time.begun, Some(Rise { group: 1, watermark: 92 }));
        assert_eq!(time.keep(), bytes);
        assert!(EventTime::open(&FunctionSpec::default(), &[], &Bytes::from_static(b"\x02"), START).is_err());
        assert!(EventTime::open(&FunctionSpec::default(), &[], &Bytes::from_static(b"\x01\x01"), START).is_err());
    }

    #[test]
    fn times_before_the_epoch_and_at_the_ends_are_no_watermark() {
        let mut time = opened([bounded(u64::MAX / 2, None), bounded(0, None)], &Bytes::new());
        consume(&mut time, &batch("a", &[i64::MIN]), START);
        consume(&mut time, &batch("b", &[i64::MAX]), START);
        assert_eq!(told(&mut time), None);
    }
}
