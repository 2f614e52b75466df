// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What producers asked for, and what they were told.

use std::collections::HashMap;

use fnstream_api::{AppendedRun, ClientError, Produced};
use fnstream_core::record::partition_for_key;

/// A record as the chain sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Record {
    /// The key; an absent one counts as empty.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

impl Record {
    /// From texts.
    pub fn new(key: &str, value: &str) -> Self {
        Record { key: key.into(), value: value.into() }
    }
}

/// One request to append. Each record of each request has a value of its own.
#[derive(Debug, Clone)]
pub struct Append {
    /// Who asked. The requests of one producer are one after the other.
    pub producer: u32,
    /// What was to be appended, in order.
    pub records: Vec<Record>,
    /// What became of it, as far as the producer knows.
    pub outcome: Outcome,
}

/// What a producer knows of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered: the records are there, at these positions.
    Acknowledged(Vec<AppendedRun>),
    /// There was no answer: they are there or not.
    Unknown,
}

impl Append {
    /// A request with its answer.
    pub fn asked(producer: u32, records: Vec<Record>, answer: &Result<Produced, ClientError>) -> Self {
        let outcome = match answer {
            Ok(produced) => Outcome::Acknowledged(produced.runs.clone()),
            Err(_) => Outcome::Unknown,
        };
        Append { producer, records, outcome }
    }

    /// The records by the partition of their keys, in order.
    pub fn by_partition(&self, partitions: u32) -> HashMap<u32, Vec<&Record>> {
        let mut parts: HashMap<u32, Vec<&Record>> = HashMap::new();
        for record in &self.records {
            parts.entry(partition_for_key(&record.key, partitions)).or_default().push(record);
        }
        parts
    }

    /// Whether it was answered.
    pub fn is_acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Acknowledged(_))
    }
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.key.escape_ascii(), self.value.escape_ascii())
    }
}
