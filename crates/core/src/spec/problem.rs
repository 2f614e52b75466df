// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is wrong with a description, and where: whoever read it from a text can point at the place.

use crate::topic::Topic;

/// A problem of a [`super::FunctionSpec`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecProblem {
    /// What it is about.
    pub field: Field,
    /// What is wrong: lowercase, no final period.
    pub message: String,
}

/// A part of a [`super::FunctionSpec`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// The name.
    Name,
    /// The input groups as a whole.
    Inputs,
    /// A topic of an input group.
    Input {
        /// The group.
        group: usize,
        /// The topic within it.
        index: usize,
    },
    /// The output of this index.
    Output(usize),
    /// The watermark of this input topic.
    Watermark(Topic),
    /// How many tasks run at once.
    Replicas,
    /// The limit of this name.
    Limit(&'static str),
    /// The number of retries.
    Retries,
    /// The waits between retries.
    Backoff,
    /// Where dead letters go.
    DeadLetterTopic,
    /// The environment variable of this name.
    Env(String),
    /// The granted folder of this index.
    File(usize),
}

impl SpecProblem {
    pub(super) fn new(field: Field, message: impl Into<String>) -> Self {
        SpecProblem { field, message: message.into() }
    }
}
