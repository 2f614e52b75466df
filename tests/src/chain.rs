// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Two functions in a row under load, and the account of every record that went through them.
//!
//! ```text
//! producers ──► chain-in ──► first ──► chain-mid ──► second ──► chain-out
//!   ledger         │                       │                       │
//!      └─ appended ┘     model of first ───┘    model of second ───┘      what check compares
//! ```
//!
//! What exactly once means here, to the letter:
//!
//! - an **acknowledged** append is in `chain-in` exactly once, at the position that the answer named;
//! - an append **without an answer** is there once or not at all, and of a bulk append all records of one partition or
//!   none; the producer appends the same again under a new attempt's number, so no two appends look alike;
//! - the appends of one producer are in the order in which it made them;
//! - `chain-mid` is what the first function makes of `chain-in`, partition by partition, record by record, and
//!   `chain-out` what the second makes of `chain-mid`. The second counts, so a state that lost or repeated anything shows;
//! - what a reader has once seen at a position stays there.
//!
//! The end of a run is not guessed: a last record of its own is sent through each partition, and order brings it out after
//! everything else.
//!
//! # Reading order
//!
//! [`ledger`], [`producer`], [`reader`]: what is done and seen. [`step`]: the functions and their models. [`check`]: the
//! comparison, free of I/O. Then this module's [`Chain`].

pub mod check;
pub mod ledger;
pub mod producer;
pub mod reader;
pub mod step;

use anyhow::{Context, Result, bail};
use fnstream_api::{Client, ClientError, Function, ProduceOptions, TopicRequest};
use fnstream_core::ErrorCode;
use fnstream_core::record::partition_for_key;

use self::check::Problem;
use self::ledger::{Append, Record};
use self::producer::Load;
use self::step::Step;
use crate::binary;

/// The topic that is produced to.
pub const IN: &str = "chain-in";
/// The topic between the functions.
pub const MID: &str = "chain-mid";
/// The topic at the end.
pub const OUT: &str = "chain-out";

/// What the chain consists of.
#[derive(Debug, Clone, Copy)]
pub struct Chain {
    /// The partitions of each topic, and so the tasks of each function.
    pub partitions: u32,
    /// The function `first`.
    pub first: Step,
    /// The function `second`.
    pub second: Step,
}

/// What was found in the topics at the end.
#[derive(Debug)]
pub struct Found {
    /// Records of all topics.
    pub records: usize,
    /// What is not as it must be.
    pub problems: Vec<Problem>,
}

impl Chain {
    /// Makes what is not there yet: the topics, then the functions.
    pub async fn create(&self, client: &Client) -> Result<()> {
        for topic in [IN, MID, OUT] {
            let request = TopicRequest { partitions: Some(self.partitions), ..TopicRequest::default() };
            unless(client.create_topic(topic, &request).await.map(drop), ErrorCode::TopicExists)?;
        }
        for (name, step, input, output) in [("first", self.first, IN, MID), ("second", self.second, MID, OUT)] {
            let archive = binary::example(step.example())?;
            let function =
                function(archive.to_str().context("a path that is not UTF-8")?, input, output, self.partitions);
            unless(client.create_function(name, &function).await.map(drop), ErrorCode::FunctionExists)?;
        }
        Ok(())
    }

    /// Sends a last record through each partition, waits until they have come out, and compares everything that is in the
    /// topics with the ledger and with what the functions make of it. `round` tells apart the last records of repeated
    /// checks; they are entered into the ledger.
    pub async fn settle(&self, client: &Client, ledger: &mut Vec<Append>, round: u32) -> Result<Found> {
        let last: Vec<Record> = (0..self.partitions).map(|partition| self.last(partition, round)).collect();
        for record in &last {
            let options = ProduceOptions { key: Some(record.key.clone()), ..ProduceOptions::default() };
            let asked = client.produce(IN, record.value.clone(), &options).await;
            ledger.push(Append::asked(u32::MAX, vec![record.clone()], &asked));
            asked?;
        }
        let mut topics = Vec::new();
        let mut ends = last;
        for (topic, step) in [(IN, Step::PassThrough), (MID, self.first), (OUT, self.second)] {
            // The last record is new to every count, so what is made of it is what a fresh function makes of it.
            let made: Option<Vec<Record>> = ends.iter().map(|end| step.fresh()(end).pop()).collect();
            ends = made.context("the last record leaves no trace")?;
            let mut partitions = Vec::new();
            for (partition, end) in (0..).zip(&ends) {
                partitions.push(reader::read_until(client, topic, partition, end).await?);
            }
            topics.push(partitions);
        }
        let mut problems = check::appended(ledger, &topics[0]);
        problems.extend(check::processed("first", self.first, &topics[0], &topics[1]));
        problems.extend(check::processed("second", self.second, &topics[1], &topics[2]));
        Ok(Found { records: topics.iter().flatten().map(Vec::len).sum(), problems })
    }

    /// Sends a record of each key, which must go on counting where it was.
    pub async fn touch(&self, client: &Client, ledger: &mut Vec<Append>, load: &Load, round: u32) -> Result<()> {
        let record = |n| Record::new(&producer::key(n), &format!("touch-{round}-{n}"));
        let records: Vec<Record> = (0..load.keys).map(record).collect();
        let asked = producer::ask_frame(client, &records).await;
        ledger.push(Append::asked(u32::MAX, records, &asked));
        asked.map(drop).map_err(Into::into)
    }

    /// A record whose key falls to that partition and that nobody else sends.
    fn last(&self, partition: u32, round: u32) -> Record {
        let keys = (0..).map(|n| format!("last-{round}-{n}"));
        let key = keys.into_iter().find(|key| partition_for_key(key.as_bytes(), self.partitions) == partition);
        let key = key.unwrap_or_default().into_bytes();
        Record { value: key.clone(), key }
    }
}

impl Found {
    /// Fails when anything is not as it must be, and says what.
    pub fn must_be_clean(&self) -> Result<()> {
        if self.problems.is_empty() {
            return Ok(());
        }
        bail!("{}", check::report(&self.problems));
    }
}

/// A function of one input.
pub fn function(archive: &str, input: &str, output: &str, replicas: u32) -> Function {
    Function { replicas, ..Function::new(archive, vec![input.into()], output) }
}

/// Takes an error of that code for success: what was asked for was done before.
pub fn unless(done: Result<(), ClientError>, code: ErrorCode) -> Result<(), ClientError> {
    match done {
        Err(error) if error.is(code) => Ok(()),
        other => other,
    }
}
