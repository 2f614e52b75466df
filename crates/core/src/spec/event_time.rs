// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How a function reads its inputs: in which order, and what it knows of their event time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Field, SpecProblem, millis};
use crate::topic::Topic;

/// Which input group a task reads next. A group without records is passed over at once by all of them.
///
/// | selector | meaning |
/// |---|---|
/// | `round-robin` | a batch of each group in turn |
/// | `sequential` | all that a group has, then all that the next one has, and so on around |
/// | `priority` | always the first group that has records: a later one waits until all before it are empty |
/// | `group-parallel` | each group has tasks of its own, with instances and state of their own, that run at the same time |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputSelector {
    /// A batch of each group in turn.
    #[default]
    RoundRobin,
    /// All that a group has, then the next one.
    Sequential,
    /// The first group that has records.
    Priority,
    /// Each group by tasks of its own.
    GroupParallel,
}

impl InputSelector {
    /// All of them.
    pub const ALL: [InputSelector; 4] =
        [InputSelector::RoundRobin, InputSelector::Sequential, InputSelector::Priority, InputSelector::GroupParallel];

    /// The index of the task that reads a partition of an input group, of so many groups; the highest one, which no task has,
    /// for numbers that no input has. Everybody else asks [`super::FunctionSpec::task_of`] or
    /// [`crate::broker::Subscription::tasks`].
    pub(crate) fn task_of(self, groups: u32, group: u32, partition: u32) -> u32 {
        match self {
            InputSelector::GroupParallel => partition.saturating_mul(groups).saturating_add(group),
            _ => partition,
        }
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            InputSelector::RoundRobin => "round-robin",
            InputSelector::Sequential => "sequential",
            InputSelector::Priority => "priority",
            InputSelector::GroupParallel => "group-parallel",
        }
    }
}

/// How the watermark of an input's partitions is found. What the functions that write to it emit as watermarks counts in
/// each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Watermark {
    /// What its records' timestamps say.
    #[serde(flatten)]
    pub strategy: WatermarkStrategy,
    /// A partition that has had no record for so long does not hold the others back, until it has one again. Milliseconds
    /// when stored.
    #[serde(default, with = "optional_millis", rename = "idle_timeout_ms", skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Duration>,
    /// When all partitions that take part are idle, this one's watermark counts as this much higher, so that what waits for a time
    /// soon after the last record need not wait for another one. Milliseconds when stored.
    #[serde(default, with = "optional_millis", rename = "idle_advance_ms", skip_serializing_if = "Option::is_none")]
    pub idle_advance: Option<Duration>,
    /// A record whose timestamp is further than this ahead of the clock when it is consumed is processed like any other, but
    /// does not move the watermark. Without it every timestamp is believed. Milliseconds when stored.
    #[serde(default, with = "optional_millis", rename = "max_ahead_ms", skip_serializing_if = "Option::is_none")]
    pub max_ahead: Option<Duration>,
}

/// What the timestamps of an input's records say of its watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "kebab-case")]
pub enum WatermarkStrategy {
    /// Nothing: the input takes no part in event time until a function that writes to it emits a watermark.
    #[default]
    None,
    /// Timestamps never go back: the watermark is the latest one.
    Monotonic,
    /// A record may come this much after one with a later timestamp: the watermark is the latest one less the delay.
    Bounded {
        /// Milliseconds when stored.
        #[serde(with = "millis", rename = "delay_ms")]
        delay: Duration,
    },
}

impl Watermark {
    /// The longest delay and idle time, and the most that timestamps may be ahead or an idle partition may advance.
    pub const MOST: Duration = Duration::from_hours(24 * 366);

    pub(super) fn check(&self, topic: &Topic, problems: &mut Vec<SpecProblem>) {
        let mut found = |message| problems.push(SpecProblem::new(Field::Watermark(topic.clone()), message));
        if let WatermarkStrategy::Bounded { delay } = self.strategy
            && delay > Self::MOST
        {
            found(format!("the watermark of '{topic}' is delayed by {delay:?}, more than 366 days"));
        }
        if let Some(idle) = self.idle_timeout
            && (idle.is_zero() || idle > Self::MOST)
        {
            found(format!("the idle time of '{topic}' is {idle:?}, not 1ms to 366 days"));
        }
        if let Some(advance) = self.idle_advance {
            if advance.is_zero() || advance > Self::MOST {
                found(format!(
                    "the watermark of '{topic}' advances by {advance:?} when it is idle, not by 1ms to 366 days"
                ));
            }
            if self.idle_timeout.is_none() {
                found(format!(
                    "the watermark of '{topic}' has an idle-advance, but no idle-timeout after which it is idle"
                ));
            }
        }
        if let Some(ahead) = self.max_ahead {
            if ahead.is_zero() || ahead > Self::MOST {
                found(format!("timestamps of '{topic}' may be {ahead:?} ahead, not 1ms to 366 days"));
            }
            if self.strategy == WatermarkStrategy::None {
                found(format!(
                    "the timestamps of '{topic}' are bounded by max-ahead, but the strategy does not use them"
                ));
            }
        }
    }
}

/// Durations that may be missing.
mod optional_millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::millis::serialize(time, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}
