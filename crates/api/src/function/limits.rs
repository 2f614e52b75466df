// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Limits as a user writes them.

use fnstream_core::spec;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::units::{Quantity, parse_duration, parse_size};

/// What lifts the bound of the state.
const NO_BOUND: &str = "none";

/// What each instance of a function may use. What is not given is the default, or stays as it is in an update. Sizes are
/// bytes or have a unit (`64MiB`), times are milliseconds or have one (`10s`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Linear memory and tables together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "256MiB")]
    pub memory: Option<Quantity>,
    /// Processor time of one call; one that waits is ended after twenty times as long by the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "10s")]
    pub call_time: Option<Quantity>,
    /// Processor time of making an instance and of its `init` together; waits end after twenty times as long by the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "60s")]
    pub start_time: Option<Quantity>,
    /// Key, headers and value of one emitted record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "1MiB")]
    pub record: Option<Quantity>,
    /// Records emitted in a call, for each record that the call was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 10000)]
    pub records_per_input: Option<u64>,
    /// Keys and values that a task keeps, over all its stores; `none` is no bound, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "1GiB")]
    pub state: Option<Quantity>,
}

impl Limits {
    /// The names, as in JSON and on the command line.
    pub const NAMES: [&str; 6] = ["memory", "call-time", "start-time", "record", "records-per-input", "state"];

    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        *self == Limits::default()
    }

    /// Sets the limit of a name from text, as on a command line.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        let quantity = Some(Quantity::Text(text.to_owned()));
        match name {
            "memory" | "record" => parse_size(text).map(drop)?,
            "state" if text != NO_BOUND => parse_size(text).map(drop)?,
            "call-time" | "start-time" => parse_duration(text).map(drop)?,
            _ => {}
        }
        match name {
            "memory" => self.memory = quantity,
            "call-time" => self.call_time = quantity,
            "start-time" => self.start_time = quantity,
            "record" => self.record = quantity,
            "records-per-input" => {
                let number = text.parse().map_err(|_| format!("'{}' is not a whole number", text.escape_debug()))?;
                self.records_per_input = Some(number);
            }
            "state" => self.state = quantity,
            _ => {
                let known = Self::NAMES.join(", ");
                return Err(format!("there is no limit '{}', known: {known}", name.escape_debug()));
            }
        }
        Ok(())
    }

    /// These limits, and those of `base` where nothing is given. What cannot be read is added to the problems.
    pub fn over(&self, base: spec::Limits, problems: &mut Vec<String>) -> spec::Limits {
        let mut limits = base;
        let mut size = |name: &str, quantity: &Quantity| {
            quantity.to_size().map_err(|why| problems.push(format!("limit {name}: {why}"))).ok()
        };
        for (name, given, limit) in
            [("memory", &self.memory, &mut limits.memory), ("record", &self.record, &mut limits.record_bytes)]
        {
            if let Some(bytes) = given.as_ref().and_then(|given| size(name, given)) {
                *limit = usize::try_from(bytes).unwrap_or(usize::MAX);
            }
        }
        match &self.state {
            Some(Quantity::Text(text)) if text == NO_BOUND => limits.state_bytes = None,
            Some(given) => limits.state_bytes = size("state", given).or(limits.state_bytes),
            None => {}
        }
        for (name, given, limit) in [
            ("call-time", &self.call_time, &mut limits.call_time),
            ("start-time", &self.start_time, &mut limits.start_time),
        ] {
            match given.as_ref().map(Quantity::to_duration) {
                Some(Ok(time)) => *limit = time,
                Some(Err(why)) => problems.push(format!("limit {name}: {why}")),
                None => {}
            }
        }
        limits.records_per_input = self.records_per_input.unwrap_or(limits.records_per_input);
        limits
    }
}

impl From<&spec::Limits> for Limits {
    fn from(limits: &spec::Limits) -> Self {
        let size = |bytes: usize| Some(Quantity::size(bytes as u64));
        Limits {
            memory: size(limits.memory),
            call_time: Some(Quantity::duration(limits.call_time)),
            start_time: Some(Quantity::duration(limits.start_time)),
            record: size(limits.record_bytes),
            records_per_input: Some(limits.records_per_input),
            state: Some(limits.state_bytes.map_or_else(|| Quantity::Text(NO_BOUND.to_owned()), Quantity::size)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_given_goes_over_what_was_there() {
        let given: Limits =
            serde_json::from_str(r#"{"memory":"64MiB","call-time":500,"records-per-input":7,"state":"1GiB"}"#).unwrap();
        let mut problems = Vec::new();
        let limits = given.over(spec::Limits::default(), &mut problems);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!((limits.memory, limits.call_time), (64 << 20, Duration::from_millis(500)));
        assert_eq!((limits.records_per_input, limits.state_bytes), (7, Some(1 << 30)));
        let default = spec::Limits::default();
        assert_eq!((limits.start_time, limits.record_bytes), (default.start_time, default.record_bytes));
        let lifted: Limits = serde_json::from_str(r#"{"state":"none"}"#).unwrap();
        assert_eq!(lifted.over(limits, &mut problems).state_bytes, None);
    }

    #[test]
    fn every_limit_that_cannot_be_read_is_named() {
        let given: Limits =
            serde_json::from_str(r#"{"memory":"lots","call-time":"5","record":"1","state":"x"}"#).unwrap();
        let mut problems = Vec::new();
        given.over(spec::Limits::default(), &mut problems);
        let named: Vec<_> = problems.iter().map(|problem| problem.split(':').next().unwrap()).collect();
        assert_eq!(named, ["limit memory", "limit state", "limit call-time"], "{problems:?}");
        let unknown = serde_json::from_str::<Limits>(r#"{"cpu":1}"#).unwrap_err().to_string();
        assert!(unknown.contains("unknown field `cpu`"), "{unknown}");
    }

    #[test]
    fn what_is_told_can_be_asked_for() {
        let limits = spec::Limits { state_bytes: Some(1000), memory: 3 << 20, ..spec::Limits::default() };
        let told = Limits::from(&limits);
        let mut problems = Vec::new();
        let other = spec::Limits { records_per_input: 1, ..spec::Limits::default() };
        assert_eq!((told.over(other, &mut problems), problems), (limits, Vec::new()));
    }

    #[test]
    fn a_limit_is_set_by_its_name() {
        let mut limits = Limits::default();
        for (name, text) in Limits::NAMES.iter().zip(["1MiB", "1s", "2s", "3KiB", "4", "none"]) {
            limits.set(name, text).unwrap();
        }
        let json = serde_json::to_value(&limits).unwrap();
        assert_eq!(
            (&json["memory"], &json["start-time"], &json["records-per-input"]),
            (&"1MiB".into(), &"2s".into(), &4.into())
        );
        assert!(limits.set("cpu", "1").unwrap_err().contains("known: memory, call-time"));
        for (name, bad) in [("memory", "x"), ("call-time", "5"), ("records-per-input", "-1"), ("state", "nothing")] {
            assert!(limits.set(name, bad).is_err(), "{name}={bad}");
        }
    }
}
