// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Scenario files: what a function is given, and what must come of it, as YAML.
//!
//! `docs/developing.md` describes the form. Every expectation has its place in the file, so that whoever carries a scenario out can say
//! which one was not met.

mod data;
mod read;

use std::collections::BTreeMap;

use fnstream_core::ErrorCode;

use crate::problem::{Place, Problem, Problems};
use crate::tree;

pub use data::{Data, Sample, Stored};

/// A scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// What it shows.
    pub name: Option<String>,
    /// Settings that the function is given, beside those of its description.
    pub config: BTreeMap<String, String>,
    /// The time at its beginning, in milliseconds since the Unix epoch.
    pub start: i64,
    /// The function does not start, with a text that contains this.
    pub init_fails: Option<(Place, String)>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// A step with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Where it begins.
    pub place: Place,
    /// What happens, or is to have happened.
    pub what: What,
}

/// What a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Records come, together.
    Send {
        /// The input topic; the first if none is named.
        to: Option<String>,
        /// The records.
        records: Vec<Sample>,
        /// Those that fail, by their index from 0, with a part of the reason.
        fails: Vec<(Place, usize, String)>,
    },
    /// These records, and no others, were emitted to a topic since this was last asked.
    Emitted {
        /// The output topic; the first if none is named.
        from: Option<String>,
        /// The records.
        records: Vec<Sample>,
    },
    /// Event time of an input comes to this.
    Watermark {
        /// The input topic; all if none is named.
        of: Option<String>,
        /// Milliseconds since the Unix epoch.
        at: u64,
        /// A timer, or the call with the watermark, fails with a text that contains this.
        fails: Option<(Place, String)>,
    },
    /// The machine's clock goes on by so many milliseconds.
    Time {
        /// Milliseconds.
        by: u64,
        /// A timer fails with a text that contains this.
        fails: Option<(Place, String)>,
    },
    /// The instance ends, and another one goes on from what was committed.
    Restart,
    /// The stores have these entries; others may be there.
    State(Vec<Stored>),
}

/// Reads a scenario. All that is wrong with it is reported at once.
pub fn parse_scenario(bytes: &[u8]) -> Result<Scenario, Problems> {
    let refused = |list| Problems::new(ErrorCode::ScenarioInvalid, list);
    let Some(root) = tree::parse(bytes).map_err(refused)? else {
        return Err(refused(vec![Problem::error(Place::START, "the file is empty")]));
    };
    let mut problems = Vec::new();
    let scenario = read::scenario(&root, &mut problems);
    if problems.is_empty() { Ok(scenario) } else { Err(refused(problems)) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
