// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client consume`: waits for events and prints them, one or some or all that come.
//!
//! Events come in batches. Those of a group are taken when the server sends them: a batch that is not printed, since the
//! reader of the output went away or the machine did, is not given to the group again. Reading with `--from` takes nothing. With
//! `--ack` a group's events are leased until they are printed.

mod acknowledge;
mod dropped;
mod print;

use std::time::Duration;

use fnstream_api::units::parse_duration;
use fnstream_api::{Client, ClientError, ConsumeOptions, ConsumedBatch, ReadFrom, TakeOptions};
use fnstream_core::ErrorCode;
use tokio::time::Instant;

use self::acknowledge::Leasing;
use self::print::{Form, Printer};
use super::follow::{Follow, WAIT};
use super::new_topic;
use crate::failure::{Failure, Result};

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
    // Of other clusters' topics those are an error that are not there.
    if !args.name.contains('@') {
        new_topic::note(client, &args.name, ", its first event is waited for").await;
    }
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
async fn some(client: &Client, topic: &str, options: ConsumeOptions, count: u64, mut printer: Printer) -> Result {
    let (mut left, mut place) = (count, Place { options, reached: None, missed: None });
    while left > 0 {
        let most = u32::try_from(left).unwrap_or(MOST).min(MOST);
        match place.poll(client, topic, most).await? {
            Ok(batch) => left = left.saturating_sub(place.take(&batch, &mut printer)?),
            Err(_) => {
                let waited = place.options.timeout.unwrap_or_default();
                return Err(Failure::Plain(format!("no event within {waited:?}")));
            }
        }
    }
    Ok(())
}

/// Prints all that comes, until nothing has come for as long as was said, if anything was.
async fn follow(client: &Client, topic: &str, options: ConsumeOptions, mut printer: Printer) -> Result {
    let (patience, mut follow, mut last) = (options.timeout, Follow::begin()?, Instant::now());
    let mut place = Place { options, reached: None, missed: None };
    place.options.timeout = Some(AT_ONCE);
    loop {
        let polled = follow.ask(async || place.poll(client, topic, MOST).await).await?;
        match polled {
            Ok(batch) => {
                place.take(&batch, &mut printer)?;
                last = Instant::now();
            }
            // What comes before the next request is not to be missed.
            Err(Some(next)) => place.go_on(next),
            Err(None) => {}
        }
        place.options.timeout = match patience.map(|patience| patience.saturating_sub(last.elapsed())) {
            Some(Duration::ZERO) => return Ok(()),
            left => Some(left.unwrap_or(WAIT).min(WAIT)),
        };
    }
}

/// Where the next events are read.
struct Place {
    options: ConsumeOptions,
    /// The position behind what was read; none while nothing was, or if the group knows it.
    reached: Option<String>,
    /// The position of the next event when retention dropped it, until it is told.
    missed: Option<String>,
}

impl Place {
    /// The next events. Behind what was read it goes on at the earliest event there is, if retention dropped the next one.
    async fn poll(
        &mut self,
        client: &Client,
        topic: &str,
        most: u32,
    ) -> std::result::Result<std::result::Result<ConsumedBatch, Option<String>>, ClientError> {
        match client.poll(topic, &self.options, most).await {
            Err(error) if error.code() == ErrorCode::PositionDropped.as_str() && self.reached.is_some() => {
                self.missed = self.missed.take().or(self.reached.take());
                self.options.from = Some(ReadFrom::Earliest);
                client.poll(topic, &self.options, most).await
            }
            polled => polled,
        }
    }

    /// Prints a batch, and sees to it that reading goes on behind it; answers how many events there were.
    fn take(&mut self, batch: &ConsumedBatch, printer: &mut Printer) -> Result<u64> {
        if let Some(from) = self.missed.take().or(batch.skipped_from.clone()) {
            dropped::warn_before(batch, &from);
        }
        if self.options.from.is_some() {
            self.options.partition = Some(batch.partition);
        }
        self.go_on(batch.next_position.clone());
        printer.print(batch)
    }

    /// Goes on at a position, if no group has its place.
    fn go_on(&mut self, next: String) {
        if self.options.from.is_some() {
            self.options.from = Some(ReadFrom::Position(next.clone()));
            self.reached = Some(next);
        }
    }
}
