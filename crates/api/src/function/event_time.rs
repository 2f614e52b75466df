// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Selectors and watermarks as a user writes them.

use std::collections::BTreeMap;

use fnstream_core::Error;
use fnstream_core::spec::{self, InputSelector, WatermarkStrategy};
use fnstream_core::topic::Topic;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::units::Quantity;

/// Which input is read next. An input without events is passed over at once by all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Selector {
    /// A batch of each input in turn.
    RoundRobin,
    /// All that an input has, then the next one.
    Sequential,
    /// The first input that has events.
    Priority,
    /// Each input by tasks of its own, with state of their own.
    GroupParallel,
}

/// What the timestamps of an input's events say of its event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Nothing: the input takes no part until a function that writes to it emits a watermark.
    None,
    /// Timestamps never go back: the watermark is the latest one.
    Monotonic,
    /// The watermark is the latest one less the delay.
    Bounded,
}

/// How the event time of an input is known. Times are milliseconds or have a unit (`5s`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Watermark {
    /// What its timestamps say.
    pub strategy: Strategy,
    /// How much later than a younger event an event may come; `bounded` needs it and no other takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "5s")]
    pub delay: Option<Quantity>,
    /// After so long without an event a partition does not hold the others back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "1m")]
    pub idle_timeout: Option<Quantity>,
    /// When all inputs are idle, the watermark of this one counts as this much higher, so that the last window closes without
    /// another event; needs `idle-timeout`. Events that come later with older timestamps are late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "10s")]
    pub idle_advance: Option<Quantity>,
    /// An event whose timestamp is further than this ahead of the server's clock does not move the watermark; for `monotonic`
    /// and `bounded`. Without it every timestamp is believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "1h")]
    pub max_ahead: Option<Quantity>,
}

impl Selector {
    /// The word for it, as in JSON.
    pub fn as_str(self) -> &'static str {
        InputSelector::from(self).name()
    }
}

impl From<Selector> for InputSelector {
    fn from(selector: Selector) -> Self {
        match selector {
            Selector::RoundRobin => InputSelector::RoundRobin,
            Selector::Sequential => InputSelector::Sequential,
            Selector::Priority => InputSelector::Priority,
            Selector::GroupParallel => InputSelector::GroupParallel,
        }
    }
}

impl From<InputSelector> for Selector {
    fn from(selector: InputSelector) -> Self {
        match selector {
            InputSelector::RoundRobin => Selector::RoundRobin,
            InputSelector::Sequential => Selector::Sequential,
            InputSelector::Priority => Selector::Priority,
            InputSelector::GroupParallel => Selector::GroupParallel,
        }
    }
}

impl Strategy {
    /// The word for it, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::None => "none",
            Strategy::Monotonic => "monotonic",
            Strategy::Bounded => "bounded",
        }
    }
}

impl Watermark {
    /// The description's form. What does not fit is added to the problems.
    pub fn read(&self, topic: &str, problems: &mut Vec<String>) -> spec::Watermark {
        let mut time = |name: &str, given: &Option<Quantity>| {
            let read = given.as_ref().map(Quantity::to_duration).transpose();
            read.unwrap_or_else(|why| {
                problems.push(format!("watermark of '{topic}': {name}: {why}"));
                None
            })
        };
        let (delay, idle_timeout) = (time("delay", &self.delay), time("idle-timeout", &self.idle_timeout));
        let (idle_advance, max_ahead) = (time("idle-advance", &self.idle_advance), time("max-ahead", &self.max_ahead));
        let strategy = match self.strategy {
            Strategy::None => WatermarkStrategy::None,
            Strategy::Monotonic => WatermarkStrategy::Monotonic,
            Strategy::Bounded => WatermarkStrategy::Bounded { delay: delay.unwrap_or_default() },
        };
        match (self.strategy, &self.delay) {
            (Strategy::Bounded, None) => {
                problems.push(format!("watermark of '{topic}': the strategy 'bounded' needs a delay"));
            }
            (Strategy::None | Strategy::Monotonic, Some(_)) => {
                let word = self.strategy.as_str();
                problems.push(format!(
                    "watermark of '{topic}': a delay is given, but the strategy is '{word}', not 'bounded'"
                ));
            }
            _ => {}
        }
        spec::Watermark { strategy, idle_timeout, idle_advance, max_ahead }
    }

    /// All of a description.
    pub fn read_all(
        watermarks: &BTreeMap<String, Watermark>,
        problems: &mut Vec<String>,
    ) -> BTreeMap<Topic, spec::Watermark> {
        let mut read = BTreeMap::new();
        for (text, watermark) in watermarks {
            let watermark = watermark.read(text, problems);
            match text.parse() {
                Ok(topic) => drop(read.insert(topic, watermark)),
                Err(Error { message, .. }) => problems.push(format!("a watermark is given for {message}")),
            }
        }
        read
    }
}

impl From<&spec::Watermark> for Watermark {
    fn from(watermark: &spec::Watermark) -> Self {
        let (strategy, delay) = match watermark.strategy {
            WatermarkStrategy::None => (Strategy::None, None),
            WatermarkStrategy::Monotonic => (Strategy::Monotonic, None),
            WatermarkStrategy::Bounded { delay } => (Strategy::Bounded, Some(Quantity::duration(delay))),
        };
        Watermark {
            strategy,
            delay,
            idle_timeout: watermark.idle_timeout.map(Quantity::duration),
            idle_advance: watermark.idle_advance.map(Quantity::duration),
            max_ahead: watermark.max_ahead.map(Quantity::duration),
        }
    }
}

impl std::fmt::Display for Watermark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.strategy.as_str())?;
        let times = [
            ("delay", &self.delay),
            ("idle-timeout", &self.idle_timeout),
            ("idle-advance", &self.idle_advance),
            ("max-ahead", &self.max_ahead),
        ];
        for (name, value) in times {
            if let Some(value) = value {
                write!(f, ", {name}={value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(json: &str) -> (spec::Watermark, Vec<String>) {
        let mut problems = Vec::new();
        let read = serde_json::from_str::<Watermark>(json).unwrap().read("t", &mut problems);
        (read, problems)
    }

    #[test]
    fn a_watermark_is_told_as_it_was_asked_for() {
        for (json, shown) in [
            (r#"{"strategy":"none"}"#, "none"),
            (r#"{"strategy":"monotonic","idle-timeout":"1m"}"#, "monotonic, idle-timeout=1m"),
            (r#"{"strategy":"bounded","delay":"5s"}"#, "bounded, delay=5s"),
            (
                r#"{"strategy":"monotonic","idle-timeout":"1m","idle-advance":"10s"}"#,
                "monotonic, idle-timeout=1m, idle-advance=10s",
            ),
            (r#"{"strategy":"monotonic","max-ahead":"1h"}"#, "monotonic, max-ahead=1h"),
        ] {
            let (watermark, problems) = read(json);
            assert!(problems.is_empty(), "{problems:?}");
            let told = Watermark::from(&watermark);
            assert_eq!(serde_json::to_string(&told).unwrap(), json);
            assert_eq!(told.to_string(), shown);
        }
        let (bounded, _) = read(r#"{"strategy":"bounded","delay":1500}"#);
        assert_eq!(bounded.strategy, WatermarkStrategy::Bounded { delay: Duration::from_millis(1500) });
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert_eq!(read(r#"{"strategy":"bounded"}"#).1, ["watermark of 't': the strategy 'bounded' needs a delay"]);
        let (_, problems) = read(r#"{"strategy":"monotonic","delay":"1s","idle-timeout":"soon"}"#);
        assert!(problems[0].starts_with("watermark of 't': idle-timeout: 'soon' is not a duration"), "{problems:?}");
        assert!(
            problems[1].ends_with("a delay is given, but the strategy is 'monotonic', not 'bounded'"),
            "{problems:?}"
        );
        for (bad, what) in
            [(r#"{"strategy":"late"}"#, "`bounded`"), (r#"{"strategy":"none","idle":1}"#, "unknown field")]
        {
            let error = serde_json::from_str::<Watermark>(bad).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn the_word_of_a_selector_and_of_a_strategy_is_its_json() {
        for selector in InputSelector::ALL.map(Selector::from) {
            assert_eq!(serde_json::to_value(selector).unwrap(), selector.as_str());
        }
        for strategy in [Strategy::None, Strategy::Monotonic, Strategy::Bounded] {
            assert_eq!(serde_json::to_value(strategy).unwrap(), strategy.as_str());
        }
    }
}
