// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client topic`: topics are made by hand only to give them several partitions or a retention of their own.

use std::time::Duration;

use clap::Subcommand;
use fnstream_api::units::{format_size, parse_duration, parse_size};
use fnstream_api::{Client, TopicDescription, TopicRequest};

use super::list::names;
use crate::failure::Result;
use crate::output::{self, Fields, Listing};

/// Manage topics.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a topic
    Create {
        /// Name of the topic
        #[arg(short, long)]
        name: String,
        /// Number of partitions
        #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        partitions: u32,
        /// Drop events older than this, such as 7d [default: the server's]
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        retention: Option<Duration>,
        /// Drop the oldest events of a partition as long as this much is left, such as 10GiB [default: the server's]
        #[arg(long, value_name = "SIZE", value_parser = parse_size)]
        retention_bytes: Option<u64>,
    },
    /// List the topics
    List {
        /// Print a JSON array instead of one name per line
        #[arg(long)]
        json: bool,
    },
    /// Show a topic's partitions and who uses it
    Describe {
        /// Name of the topic
        #[arg(short, long)]
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete a topic with its events; refused while a function uses it
    Delete {
        /// Name of the topic
        #[arg(short, long)]
        name: String,
    },
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    match args.verb {
        Verb::Create { name, partitions, retention, retention_bytes } => {
            let retention_ms = retention.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
            let topic = TopicRequest { partitions: Some(partitions), retention_ms, retention_bytes };
            client.create_topic(&name, &topic).await?;
            output::line(format!("Topic created: {name}"))
        }
        Verb::List { json } => names(json, async |page| client.topics_page(&page).await).await,
        Verb::Describe { name, json } => {
            let topic = client.describe_topic(&name).await?;
            match json {
                true => output::json(&topic),
                false => output::line(text(&topic)),
            }
        }
        Verb::Delete { name } => {
            client.delete_topic(&name).await?;
            output::line(format!("Topic deleted: {name}"))
        }
    }
}

fn text(topic: &TopicDescription) -> String {
    let age = topic.retention_ms.map_or("for ever".to_owned(), |ms| format!("{:?}", Duration::from_millis(ms)));
    let size =
        topic.retention_bytes.map_or("without bound".to_owned(), |bytes| format!("{} a partition", format_size(bytes)));
    let users = |names: &[String]| if names.is_empty() { "-".to_owned() } else { names.join(", ") };
    let mut fields = Fields::new(11);
    fields.push("name", &topic.name);
    fields.push("kept", format!("{age}, {size}"));
    fields.push("read by", users(&topic.read_by));
    fields.push("written by", users(&topic.written_by));
    fields.push("waiting", format!("{} consumer(s)", topic.waiting_consumers));
    let mut table = Listing::new(["PARTITION", "EARLIEST", "END", "SIZE"]);
    for p in &topic.partitions {
        table.row([p.partition.to_string(), p.earliest.clone(), p.end.clone(), format_size(p.bytes)]);
    }
    format!("{fields}\n{table}")
}
