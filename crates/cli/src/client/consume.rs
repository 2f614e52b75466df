// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client consume`: waits for events and prints each as one JSON string, as `null` when its value is null, and as
//! `{"base64":"…"}` when it is not text.

use std::time::Duration;

use fnstream_api::units::parse_duration;
use fnstream_api::{Client, ConsumeOptions, ReadFrom};

use crate::failure::{Failure, Result};
use crate::output;

/// Wait for the next event of a topic and print it as one JSON string; null when its value is null.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the topic
    #[arg(short, long, value_name = "TOPIC")]
    name: String,
    /// Group whose place in the topic moves on: each of its events goes to one consumer [default: default]
    #[arg(short, long, conflicts_with = "from")]
    group: Option<String>,
    /// Give up, with exit code 1, when nothing comes for so long, such as 5s [default: wait]
    #[arg(short, long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Number of events to wait for
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Read from earliest, latest or a position without moving a group's place
    #[arg(long, value_name = "WHERE")]
    from: Option<ReadFrom>,
    /// Partition to read; needed with --from when the topic has several
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    let mut options =
        ConsumeOptions { timeout: args.timeout, group: args.group, from: args.from, partition: args.partition };
    for _ in 0..args.count {
        let Some(event) = client.consume(&args.name, &options).await? else {
            return Err(Failure::Plain(format!("no event within {:?}", args.timeout.unwrap_or_default())));
        };
        if let Some(position) = &event.skipped_from {
            output::complain(&format!(
                "warning: events from position {position} on were dropped by retention before they were consumed"
            ));
        }
        let json = String::from_utf8_lossy(&event.json);
        match event.base64 {
            // Not a text of the same letters.
            true => output::json_text(&format!("{{\"base64\":{json}}}"), "\n")?,
            false => output::json_text(&json, "\n")?,
        }
        if options.from.is_some() {
            options.from = Some(ReadFrom::Position(event.next_position));
            options.partition = Some(event.partition);
        }
    }
    Ok(())
}
