// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A function's `config.yaml`.
//!
//! ```
//! use fnstream_config::parse_function_config;
//!
//! let text = "
//! name: upper
//! input-groups:
//!   - inputs: [{input-type: log, topic: lines}]
//! outputs: [{output-type: log, topic: shouts}]
//! ";
//! let (config, notes) = parse_function_config(text.as_bytes()).unwrap();
//! let spec = config.to_spec(&"0".repeat(64)).unwrap();
//! assert_eq!((&*spec.inputs[0][0].topic.name, notes.len()), ("lines", 0));
//! ```

mod brokers;
pub(crate) mod keys;
mod places;
mod read;
mod spec;

use std::collections::BTreeMap;

use fnstream_core::ErrorCode;
use fnstream_core::spec::{ErrorPolicy, FileGrant, InputSelector, Limits, Watermark};

use crate::problem::{Place, Problem, Problems, Severity, in_order};
use crate::read::Reader;
use crate::tree;

use places::Places;

/// A function as its file describes it, with everything that the file leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionConfig {
    /// The name.
    pub name: String,
    /// What it is made of.
    pub kind: FunctionKind,
    /// The inputs of each group; the index of a group is the source id.
    pub inputs: Vec<Vec<Input>>,
    /// Which group is read next.
    pub selector: InputSelector,
    /// The outputs; the index of each is the target id.
    pub outputs: Vec<Output>,
    /// Given to the function at its start.
    pub init_config: BTreeMap<String, String>,
    /// How many tasks may run at once.
    pub replicas: u32,
    /// What an instance may use.
    pub limits: Limits,
    /// What becomes of an event that it fails at.
    pub on_error: ErrorPolicy,
    /// The environment variables that it sees.
    pub env: BTreeMap<String, String>,
    /// The folders that it may read.
    pub files: Vec<FileGrant>,
    places: Places,
}

/// What a function is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionKind {
    /// A WebAssembly artifact.
    Processor,
    /// Python modules.
    Python,
}

/// An input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Where its events come from.
    pub from: Connector,
    /// What their timestamps say of event time.
    pub watermark: Watermark,
    place: Place,
}

/// An output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where its events go.
    pub to: Connector,
    place: Place,
}

/// A topic of the embedded log or of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connector {
    /// Of the embedded log.
    Log {
        /// The topic.
        topic: String,
    },
    /// Of Apache Kafka.
    Kafka(Kafka),
    /// Of Apache Pulsar.
    Pulsar(Pulsar),
}

/// A topic of Apache Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kafka {
    /// Brokers to begin with, each `host:port`.
    pub bootstrap_servers: Vec<String>,
    /// The topic.
    pub topic: String,
    /// The consumer group; an input has one.
    pub group_id: Option<String>,
    /// One partition of the topic, or all.
    pub partition: Option<i32>,
    /// Settings that pass to the client as they are.
    pub client: BTreeMap<String, String>,
}

/// A topic of Apache Pulsar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulsar {
    /// The broker; the server's when it is not given.
    pub service_url: Option<String>,
    /// The topic.
    pub topic: String,
    /// The subscription of an input; the function's name when it is not given.
    pub subscription: Option<String>,
}

impl Connector {
    /// The word for its kind.
    pub fn word(&self) -> &'static str {
        match self {
            Connector::Log { .. } => "log",
            Connector::Kafka(_) => "kafka",
            Connector::Pulsar(_) => "pulsar",
        }
    }

    /// Its topic.
    pub fn topic(&self) -> &str {
        match self {
            Connector::Log { topic } => topic,
            Connector::Kafka(kafka) => &kafka.topic,
            Connector::Pulsar(pulsar) => &pulsar.topic,
        }
    }
}

/// Reads a function's file. Everything that is wrong with it is told at once; what it has to no effect is in the notes.
pub fn parse_function_config(bytes: &[u8]) -> Result<(FunctionConfig, Vec<Problem>), Problems> {
    let refused = |list| Problems::new(ErrorCode::InvalidSpec, list);
    let Some(root) = tree::parse(bytes).map_err(refused)? else {
        return Err(refused(vec![Problem::error(Place::START, "the file is empty")]));
    };
    let mut reader = Reader::default();
    let block = reader.root(&root, keys::FUNCTION);
    let config = read::function(&block, &mut reader);
    let mut problems = reader.problems;
    // What one key alone does not show.
    let partial = problems.iter().any(|problem| problem.severity == Severity::Error);
    problems.extend(config.checked(partial));
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(refused(problems));
    }
    problems.extend(config.unavailable().into_iter().map(|problem| Problem { severity: Severity::Note, ..problem }));
    in_order(&mut problems);
    Ok((config, problems))
}

#[cfg(test)]
mod tests;
