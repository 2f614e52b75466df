// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client produce`: one event, one whose value is null, or one for each line of a file.

use std::fs::File;
use std::io::{self, BufRead, BufReader};

use fnstream_api::{Client, ProduceOptions};

use super::pair;
use crate::failure::{Failure, Result};
use crate::output;

/// Lines are sent in requests of about this size.
const REQUEST_BYTES: usize = 1 << 20;

/// Send events to a topic.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct Args {
    /// Name of the topic
    #[arg(short, long, value_name = "TOPIC")]
    name: String,
    /// The event, sent as it is
    #[arg(short, long, group = "what", allow_hyphen_values = true)]
    content: Option<String>,
    /// File with one event per line; - is standard input
    #[arg(short, long, group = "what")]
    file: Option<String>,
    /// Send an event whose value is null, which is not an empty one
    #[arg(long, group = "what")]
    null: bool,
    /// Key of the events: events of one key stay in order
    #[arg(short, long, allow_hyphen_values = true)]
    key: Option<String>,
    /// Header of the events, as name=value; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// Time of the events in milliseconds since the Unix epoch, in place of that of their arrival
    #[arg(short, long, value_name = "MS", allow_negative_numbers = true)]
    timestamp: Option<i64>,
    /// Partition to send to
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    let options = ProduceOptions {
        partition: args.partition,
        timestamp: args.timestamp,
        key: args.key.map(String::into_bytes),
        headers: args.headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect(),
    };
    if args.null {
        client.produce_null(&args.name, &options).await?;
        return output::line("Event produced");
    }
    if let Some(content) = args.content {
        client.produce(&args.name, content, &options).await?;
        return output::line("Event produced");
    }
    let path = args.file.unwrap_or_default();
    let count = match path.as_str() {
        "-" => lines(client, &args.name, &options, io::stdin().lock()).await?,
        path => {
            let file = File::open(path).map_err(|e| Failure::Plain(format!("cannot read '{path}': {e}")))?;
            lines(client, &args.name, &options, BufReader::with_capacity(REQUEST_BYTES, file)).await?
        }
    };
    output::line(format!("{count} events produced"))
}

async fn lines(client: &Client, topic: &str, options: &ProduceOptions, mut from: impl BufRead) -> Result<u64> {
    let (mut sent, mut lines) = (0, Vec::new());
    loop {
        let more = from.read_until(b'\n', &mut lines)? > 0;
        if lines.len() < REQUEST_BYTES && more {
            continue;
        }
        if lines.is_empty() {
            return Ok(sent);
        }
        let request = client.produce_lines(topic, std::mem::take(&mut lines), options);
        sent += request.await.map_err(|e| after(sent, e.into()))?.count;
    }
}

/// A failure halfway says how far it got, so that the rest can be sent again.
fn after(sent: u64, failure: Failure) -> Failure {
    match failure {
        Failure::Coded { code, message, advice } if sent > 0 => {
            Failure::Coded { code, message: format!("after {sent} events were produced: {message}"), advice }
        }
        other => other,
    }
}
