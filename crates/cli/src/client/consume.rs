// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client consume`: waits for events and prints them, one or some or all that come.
//!
//! Events come in batches. Those of a group are taken when the server sends them: a batch that is not printed, since the
//! reader of the output went away or the machine did, is not given to the group again. Reading with `--from` takes nothing. With
//! `--ack` a group's events are leased until they are printed.

mod acknowledge;
mod print;

use std::time::Duration;

use fnstream_api::units::parse_duration;
use fnstream_api::{Client, ConsumeOptions, ConsumedBatch, ReadFrom, TakeOptions};
use tokio::time::Instant;

use self::acknowledge::Leasing;
use self::print::{Form, Printer};
use super::follow::{Follow, WAIT};
use super::new_topic;
use crate::failure::{Failure, Result};
use crate::output;

/// The most events of one request.
const MOST: u32 = 10_000;

/// The group of who names none.
const DEFAULT_GROUP: &str = "default";

/// The wait of a follower's first request: the answer says that the server is there.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Wait for the next event of a topic and print it as one JSON string.
///
/// An event whose value is null is printed as null, and one that is not text as {"base64":"…"}.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the topic
    #[arg(short, long, value_name = "TOPIC")]
    name: String,
    /// Group whose place in the topic moves on: each of its events goes to one consumer [default: default]
    #[arg(short, long, conflicts_with = "from")]
    group: Option<String>,
    /// Give up, with exit code 1, when nothing comes for so long, such as 5s; with --follow that is the end, with exit code 0
    /// [default: wait]
    #[arg(short, long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Number of events to wait for
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Go on with all that comes, until it is interrupted; waits for a server that restarts
    #[arg(short, long, conflicts_with = "count")]
    follow: bool,
    /// Acknowledge events to the group once they are printed: those of a client that ends before that are given again, so that
    /// none is lost and some may come twice
    #[arg(long, conflicts_with = "from")]
    ack: bool,
    /// How long events are this client's before they are given to others, 1ms to 12h [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "ack")]
    lease: Option<Duration>,
    /// Move events that were delivered so often and not acknowledged to the topic TOPIC.GROUP.dlq [default: never]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), requires = "ack")]
    max_deliveries: Option<u32>,
    /// Print each event as a JSON object in a line, with its key, headers, partition, position and timestamp
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// Print the bytes of each event as they are; a line end follows each, but not a single one
    #[arg(long)]
    raw: bool,
    /// Read from earliest, latest or a position without moving a group's place
    #[arg(long, value_name = "WHERE")]
    from: Option<ReadFrom>,
    /// Partition to read; needed with --from when the topic has several
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
}

impl Args {
    fn form(&self) -> Form {
        match (self.json, self.raw) {
            (true, _) => Form::Object,
            (_, true) => Form::Raw { lines: self.follow || self.count > 1 },
            _ => Form::Text,
        }
    }
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    let printer = Printer::new(args.form());
    new_topic::note(client, &args.name, ", its first event is waited for").await;
    if args.ack {
        let options = TakeOptions {
            lease: args.lease,
            max_deliveries: args.max_deliveries,
            partition: args.partition,
            ..TakeOptions::default()
        };
        let leasing = Leasing {
            client,
            topic: &args.name,
            group: args.group.as_deref().unwrap_or(DEFAULT_GROUP),
            options,
            timeout: args.timeout,
            count: (!args.follow).then_some(args.count),
        };
        return leasing.run(printer).await;
    }
    let options =
        ConsumeOptions { timeout: args.timeout, group: args.group, from: args.from, partition: args.partition };
    match args.follow {
        true => follow(client, &args.name, options, printer).await,
        false => some(client, &args.name, options, args.count, printer).await,
    }
}

/// Prints so many events.
async fn some(client: &Client, topic: &str, mut options: ConsumeOptions, count: u64, mut printer: Printer) -> Result {
    let mut left = count;
    while left > 0 {
        let most = u32::try_from(left).unwrap_or(MOST).min(MOST);
        match client.poll(topic, &options, most).await? {
            Ok(batch) => left = left.saturating_sub(take(&batch, &mut options, &mut printer)?),
            Err(_) => {
                let waited = options.timeout.unwrap_or_default();
                return Err(Failure::Plain(format!("no event within {waited:?}")));
            }
        }
    }
    Ok(())
}

/// Prints all that comes, until nothing has come for as long as was said, if anything was.
async fn follow(client: &Client, topic: &str, mut options: ConsumeOptions, mut printer: Printer) -> Result {
    let (patience, mut follow, mut last) = (options.timeout, Follow::begin()?, Instant::now());
    options.timeout = Some(AT_ONCE);
    loop {
        let polled = follow.ask(async || client.poll(topic, &options, MOST).await).await?;
        match polled {
            Ok(batch) => {
                take(&batch, &mut options, &mut printer)?;
                last = Instant::now();
            }
            // What comes before the next request is not to be missed.
            Err(Some(next)) if options.from.is_some() => options.from = Some(ReadFrom::Position(next)),
            Err(_) => {}
        }
        options.timeout = match patience.map(|patience| patience.saturating_sub(last.elapsed())) {
            Some(Duration::ZERO) => return Ok(()),
            left => Some(left.unwrap_or(WAIT).min(WAIT)),
        };
    }
}

/// Prints a batch, and sees to it that reading goes on behind it; answers how many events there were.
fn take(batch: &ConsumedBatch, options: &mut ConsumeOptions, printer: &mut Printer) -> Result<u64> {
    if let Some(position) = &batch.skipped_from {
        output::complain(&format!(
            "warning: events from position {position} on were dropped by retention before they were consumed"
        ));
    }
    if options.from.is_some() {
        options.from = Some(ReadFrom::Position(batch.next_position.clone()));
        options.partition = Some(batch.partition);
    }
    printer.print(batch)
}
