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
mod topics;

use std::collections::BTreeMap;

use fnstream_core::ErrorCode;
use fnstream_core::spec::{Beginning, ErrorPolicy, FileGrant, InputSelector, Limits, Watermark};
use fnstream_core::topic::TopicRef;

use crate::problem::{Place, Problem, Problems, Severity, in_order};
use crate::read::Reader;
use crate::tree;

use places::Places;

/// A function as its file describes it, with everything that the file leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionConfig {
    /// The name.
    pub name: String,
    /// The artifact, for those who upload it.
    pub archive: Option<String>,
    /// The kind of its code.
    pub kind: FunctionKind,
    /// The inputs of each group; the index of a group is the source id.
    pub inputs: Vec<Vec<Input>>,
    /// Which group is read next.
    pub selector: InputSelector,
    /// Where it begins in its inputs.
    pub from: Beginning,
    /// The outputs; the index of each is the target id.
    pub outputs: Vec<Output>,
    /// Given to the function at its start.
    pub init_config: BTreeMap<String, String>,
    /// The most tasks that run at once.
    pub replicas: u32,
    /// Whether the function does not join its inputs.
    pub no_join: bool,
    /// The limits of an instance.
    pub limits: Limits,
    /// The treatment of an event that it fails at.
    pub on_error: ErrorPolicy,
    /// The environment variables that it sees.
    pub env: BTreeMap<String, String>,
    /// The folders that it may read.
    pub files: Vec<FileGrant>,
    places: Places,
}

/// The kind of a function's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionKind {
    /// A WebAssembly artifact.
    Processor,
    /// Source in Python.
    Python,
}

/// An input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The topic that its events come from.
    pub from: TopicRef,
    /// How the file says what the topic is of.
    pub connector: Connector,
    /// What the timestamps of its events say of event time.
    pub watermark: Watermark,
    place: Place,
}

/// An output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The topic that its events go to.
    pub to: TopicRef,
    /// How the file says what the topic is of.
    pub connector: Connector,
    place: Place,
}

/// How a file says what a topic is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connector {
    /// By the topic's text form.
    Named,
    /// By a block for Apache Kafka.
    Kafka,
    /// By a block for Apache Pulsar.
    Pulsar,
}

/// Reads a function's file. Everything that is wrong with it is reported at once; what it has to no effect is in the notes.
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
    in_order(&mut problems);
    Ok((config, problems))
}

#[cfg(test)]
mod tests;
