// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The example functions that chains are made of, each with its model: what it must make of the records of one task.

use std::collections::HashMap;

use super::ledger::Record;

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Emits each record as it is.
    PassThrough,
    /// Counts the records of each key and emits the count in 8 bytes, little-endian.
    KeyedCount,
    /// Counts each word of each value and emits word and count in decimal digits.
    WordCount,
}

/// What a task makes of its next record. It remembers what it must.
pub type Model = Box<dyn FnMut(&Record) -> Vec<Record>>;

impl Step {
    /// The name of the example that does it.
    pub fn example(self) -> &'static str {
        match self {
            Step::PassThrough => "pass_through_rust",
            Step::KeyedCount => "keyed_count_rust",
            Step::WordCount => "word_count_rust",
        }
    }

    /// The model of a task that has seen nothing yet.
    pub fn fresh(self) -> Model {
        let mut counts: HashMap<Vec<u8>, u64> = HashMap::new();
        let mut count = move |key: &[u8]| {
            let count = counts.entry(key.to_vec()).or_default();
            *count += 1;
            *count
        };
        match self {
            Step::PassThrough => Box::new(|record| vec![record.clone()]),
            Step::KeyedCount => Box::new(move |record| {
                vec![Record { key: record.key.clone(), value: count(&record.key).to_le_bytes().into() }]
            }),
            Step::WordCount => Box::new(move |record| {
                let words = record.value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
                words.map(|word| Record { key: word.to_vec(), value: count(word).to_string().into() }).collect()
            }),
        }
    }
}
