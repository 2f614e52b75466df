// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Producers that never stop asking: one record at a time, lines in bulk, or frames over all partitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use fnstream_api::{Client, ClientError, ProduceOptions, Produced};
use fnstream_core::ErrorCode;
use fnstream_frame::{FrameBuilder, RecordRef};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::watch;

use super::IN;
use super::ledger::{Append, Record};
use crate::node::Finder;

/// How a producer asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// One record for each request.
    Single,
    /// Lines of one key.
    Lines,
    /// A frame of records with keys of their own.
    Frame,
}

/// What all producers and readers of a run share.
#[derive(Debug, Clone)]
pub struct Load {
    /// How many different keys there are.
    pub keys: usize,
    /// The most records of one request in bulk.
    pub bulk: usize,
    /// Counts acknowledgements and records seen at the end, so that a kill can be tied to them.
    pub events: Arc<watch::Sender<u64>>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// A load of so many keys.
    pub fn new(keys: usize, bulk: usize) -> Self {
        Load { keys, bulk, events: Arc::new(watch::Sender::new(0)), stop: Arc::default() }
    }

    /// Lets everybody finish what they are about.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether everybody is to finish.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Counts something that happened.
    pub fn happened(&self, times: usize) {
        self.events.send_modify(|events| *events += times as u64);
    }
}

/// A producer.
#[derive(Debug)]
pub struct Producer {
    /// Its number, which all of its records carry.
    pub number: u32,
    /// How it asks.
    pub style: Style,
    /// Its own chance.
    pub rng: StdRng,
    /// What it shares.
    pub load: Load,
}

impl Producer {
    /// Appends until the load is stopped, through every death of the server; answers what it asked for. What got no answer
    /// is asked for again, as another attempt.
    pub async fn run(mut self, mut finder: Finder) -> Result<Vec<Append>> {
        let mut ledger = Vec::new();
        let mut next = 0;
        let mut life = finder.alive().await?;
        while !self.load.is_stopped() {
            let keys = self.choose_keys();
            for attempt in 0.. {
                let records = self.records(next, attempt, &keys);
                let asked = self.ask(&life.client, &records).await;
                ledger.push(Append::asked(self.number, records, &asked));
                match asked {
                    Ok(produced) => {
                        self.load.happened(produced.count as usize);
                        break;
                    }
                    Err(error) if is_of_disk(&error) => life = finder.pause(&life).await?,
                    Err(error) if !is_broken(&error) => bail!("producer {} was refused: {error}", self.number),
                    Err(_) if self.load.is_stopped() => break,
                    Err(_) => life = finder.next(&life).await?,
                }
            }
            next += keys.len();
        }
        Ok(ledger)
    }

    fn choose_keys(&mut self) -> Vec<String> {
        let bulk = self.rng.random_range(1..=self.load.bulk);
        let mut any = || key(self.rng.random_range(0..self.load.keys));
        match self.style {
            Style::Single => vec![any()],
            Style::Lines => vec![any(); bulk],
            Style::Frame => (0..bulk).map(|_| any()).collect(),
        }
    }

    fn records(&self, first: usize, attempt: u32, keys: &[String]) -> Vec<Record> {
        let value = |n: usize, key: &str| format!("{}-{n}#{attempt} word-{}", self.number, key.len() + n % 5);
        (first..).zip(keys).map(|(n, key)| Record::new(key, &value(n, key))).collect()
    }

    async fn ask(&self, client: &Client, records: &[Record]) -> Result<Produced, ClientError> {
        let options = ProduceOptions { key: records.first().map(|r| r.key.clone()), ..ProduceOptions::default() };
        match self.style {
            Style::Single => client.produce(IN, records[0].value.clone(), &options).await,
            Style::Lines => {
                let lines: Vec<_> = records.iter().map(|record| record.value.as_slice()).collect();
                client.produce_lines(IN, lines.join(&b'\n'), &options).await
            }
            Style::Frame => ask_frame(client, records).await,
        }
    }
}

/// The name of a key.
pub fn key(n: usize) -> String {
    format!("key-{n}")
}

/// Appends records with keys of their own in one request.
pub async fn ask_frame(client: &Client, records: &[Record]) -> Result<Produced, ClientError> {
    let mut frame = FrameBuilder::new();
    for record in records {
        frame.push(RecordRef::new(&record.value).with_key(Some(&record.key)));
    }
    client.produce_frame(IN, frame.to_bytes()).await
}

/// Whether it is the disk that keeps the server from doing it now.
pub fn is_of_disk(error: &ClientError) -> bool {
    [ErrorCode::Storage, ErrorCode::StorageFull, ErrorCode::StoreRecovering].iter().any(|code| error.is(*code))
}

/// Whether it is the server's end that ended a call.
pub fn is_broken(error: &ClientError) -> bool {
    let cut = matches!(error, ClientError::Unreachable { .. } | ClientError::Protocol { .. });
    cut || error.is(ErrorCode::ShuttingDown)
}
