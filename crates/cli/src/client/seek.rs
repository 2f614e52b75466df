// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client seek`: for a function that is stopped, or stuck at a record or behind retention.

use fnstream_api::{Client, Place, SeekRequest};
use fnstream_core::topic::TopicRef;

use super::waiting::Waiting;
use crate::failure::Result;
use crate::output;

/// Have a function read on from another place of its inputs. Its state stays; what is read again is processed again.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the function
    #[arg(short, long)]
    name: String,
    /// earliest, latest, a time in UTC such as 2026-01-31T08:00:00Z, time=MS in milliseconds since the Unix epoch, or a position as
    /// PARTITION:POSITION
    #[arg(long, value_name = "PLACE")]
    to: Place,
    /// Input that it is moved in [default: all]
    #[arg(long, value_name = "TOPIC", value_parser = str::parse::<TopicRef>)]
    topic: Option<TopicRef>,
    #[command(flatten)]
    waiting: Waiting,
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    let request = SeekRequest { to: args.to, topic: args.topic };
    let done = args.waiting.of(client, false).seek_function(&args.name, &request).await?;
    output::line(format!("Function {} reads on from {}, as revision {}", args.name, args.to, done.function.revision))?;
    done.moved.iter().try_for_each(|moved| {
        let from = moved.from.as_deref().unwrap_or("the beginning");
        output::line(format!("  {} {}: from {from} to {}", moved.topic, moved.partition, moved.to))
    })?;
    args.waiting.tell(&done.function)
}
