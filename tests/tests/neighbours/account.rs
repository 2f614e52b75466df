// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What became of every record.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fnstream_api::{Client, ConsumeOptions, ReadFrom};
use fnstream_core::dead_letter::DeadLetter;
use fnstream_frame::Frame;

use super::load::Kind;

/// How long nothing may come of what is left when the load has ended.
const PATIENCE: Duration = Duration::from_secs(300);

/// The sums of all functions.
pub(crate) struct Sums(Vec<(&'static str, usize, usize, usize)>);

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, records, emitted, dead_letters) in &self.0 {
            writeln!(f, "{name:<8} {records} records = {emitted} emitted + {dead_letters} dead letters")?;
        }
        Ok(())
    }
}

/// Waits until every function has done all of its input, then accounts for each record.
pub(crate) async fn settle(client: &Client) -> Result<Sums> {
    let mut sums = Vec::new();
    for kind in Kind::ALL {
        let input = read(client, &kind.input(), 0).await?;
        let bad = input.iter().filter(|record| kind.is_bad(&record.value)).count();
        let output = read(client, &kind.output(), input.len() - bad).await?;
        let dead_letters = read(client, &format!("{}.dlq", kind.name()), bad).await?;
        check(kind, &input, &output, &dead_letters).with_context(|| format!("the account of '{}'", kind.name()))?;
        sums.push((kind.name(), input.len(), output.len(), dead_letters.len()));
    }
    Ok(Sums(sums))
}

fn check(kind: Kind, input: &[Stored], output: &[Stored], dead_letters: &[Stored]) -> Result<()> {
    let good: Vec<_> = input.iter().map(|record| &record.value).filter(|value| !kind.is_bad(value)).collect();
    let emitted: Vec<_> = output.iter().map(|record| &record.value).collect();
    ensure!(emitted == good, "{} good records, {} emitted, or in another order", good.len(), emitted.len());
    let bad: BTreeMap<_, _> = input.iter().enumerate().filter(|(_, record)| kind.is_bad(&record.value)).collect();
    ensure!(dead_letters.len() == bad.len(), "{} bad records, {} dead letters", bad.len(), dead_letters.len());
    for (dead_letter, (position, record)) in dead_letters.iter().zip(bad) {
        let info = dead_letter.dead_letter.as_ref().context("a dead letter without its reason")?;
        ensure!(dead_letter.value == record.value, "the dead letter of '{}' is '{}'", record.value, dead_letter.value);
        ensure!(info.position.0 == position as u128, "'{}' was at {position}, not {}", record.value, info.position);
        ensure!(Some(info.code.as_str()) == kind.bad().map(|bad| bad.1), "'{}' died of {}", record.value, info.code);
    }
    Ok(())
}

/// A record as it is stored.
pub(crate) struct Stored {
    value: String,
    dead_letter: Option<DeadLetter>,
}

/// All records of a topic of one partition; waits until there are at least so many.
async fn read(client: &Client, topic: &str, least: usize) -> Result<Vec<Stored>> {
    let end = || async { anyhow::Ok(client.describe_topic(topic).await?.partitions[0].end.parse::<usize>()?) };
    let mut records = Vec::with_capacity(least);
    while records.len() < least.max(end().await?) {
        let from = Some(ReadFrom::Position(records.len().to_string()));
        let options = ConsumeOptions { from, timeout: Some(PATIENCE), ..ConsumeOptions::default() };
        let came = client.consume_frame(topic, &options, 10_000).await?;
        let (bytes, _) = came.with_context(|| format!("{} of {least} records came in {topic}", records.len()))?;
        let frame = Frame::parse(&bytes).map_err(|e| anyhow::anyhow!("{e}"))?;
        records.extend(frame.iter().map(|record| Stored {
            value: String::from_utf8_lossy(record.bytes()).into_owned(),
            dead_letter: DeadLetter::read(record.headers),
        }));
    }
    Ok(records)
}
