// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client topic`: topics are made by hand only to give them several partitions or a retention of their own.

use std::time::Duration;

use clap::{ArgGroup, Subcommand};
use fnstream_api::units::{format_size, parse_duration, parse_size};
use fnstream_api::{Client, RetentionBy, TopicChange, TopicDescription, TopicRequest};
use fnstream_core::topic::Topic;
use fnstream_core::units::{counted, write_duration};

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
        /// What the age of events is counted from: when the server got them, or their own timestamps [default: arrival]
        #[arg(long, value_name = "arrival|event-time")]
        retention_by: Option<RetentionBy>,
    },
    /// Change how long a topic keeps its events, and give it more partitions; what is not named stays
    #[command(group(ArgGroup::new("change").required(true).multiple(true)
        .args(["partitions", "retention", "retention_bytes", "retention_by"])))]
    Alter {
        /// Name of the topic
        #[arg(short, long)]
        name: String,
        /// Number of partitions: not fewer than there are. Functions that read or write the topic are restarted
        #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..))]
        partitions: Option<u32>,
        /// Drop events older than this, such as 7d; 'default' is the server's
        #[arg(long, value_name = "DURATION", value_parser = parse_or_default(parse_duration))]
        retention: Option<OrDefault<Duration>>,
        /// Drop the oldest events of a partition as long as this much is left, such as 10GiB; 'default' is the server's
        #[arg(long, value_name = "SIZE", value_parser = parse_or_default(parse_size))]
        retention_bytes: Option<OrDefault<u64>>,
        /// What the age of events is counted from: when the server got them, or their own timestamps
        #[arg(long, value_name = "arrival|event-time")]
        retention_by: Option<RetentionBy>,
        /// Accept that later events of a key may come to a task that does not have the key's state
        #[arg(long, requires = "partitions")]
        accept_moved_keys: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
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
        Verb::Create { name, partitions, retention, retention_bytes, retention_by } => {
            let retention_ms = retention.map(millis);
            let topic = TopicRequest { partitions: Some(partitions), retention_ms, retention_bytes, retention_by };
            client.create_topic(&name, &topic).await?;
            output::line(format!("Topic created: {name}"))
        }
        Verb::Alter { name, partitions, retention, retention_bytes, retention_by, accept_moved_keys, json } => {
            let change = TopicChange {
                partitions,
                retention_ms: retention.map(|retention| retention.0.map(millis)),
                retention_bytes: retention_bytes.map(|retention| retention.0),
                retention_by,
                accept_moved_keys,
            };
            let altered = client.alter_topic(&name, &change).await?;
            if json {
                return output::json(&altered);
            }
            output::line(format!("Topic altered: {name}"))?;
            for function in &altered.restarted {
                output::line(format!("Function restarted: {function}"))?;
            }
            altered.notes.iter().for_each(|note| output::complain(&format!("note: {note}")));
            Ok(())
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

/// A limit, or none of the topic's own.
#[derive(Debug, Clone, Copy)]
struct OrDefault<T>(Option<T>);

/// Reads a limit, or the word for none.
fn parse_or_default<T>(
    parse: fn(&str) -> std::result::Result<T, String>,
) -> impl Fn(&str) -> std::result::Result<OrDefault<T>, String> + Clone {
    move |text| match text {
        "default" => Ok(OrDefault(None)),
        text => parse(text).map(|limit| OrDefault(Some(limit))),
    }
}

fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

fn text(topic: &TopicDescription) -> String {
    let is_own = topic.name.parse::<Topic>().is_ok_and(|topic| topic.cluster.is_own());
    let of_server = |limit: String, is_default: bool| match (is_default, is_own) {
        (true, true) => format!("{limit} (the server's default)"),
        (true, false) => "the default of its cluster".to_owned(),
        (false, _) => limit,
    };
    let age = topic.retention_ms.map_or("for ever".to_owned(), |ms| write_duration(Duration::from_millis(ms)));
    let age = of_server(format!("{age} by {}", topic.retention_by.name()), topic.retention_ms_is_default);
    let size =
        topic.retention_bytes.map_or("without bound".to_owned(), |bytes| format!("{} a partition", format_size(bytes)));
    let size = of_server(size, topic.retention_bytes_is_default);
    let users = |names: &[String]| if names.is_empty() { "-".to_owned() } else { names.join(", ") };
    let mut fields = Fields::new(11);
    fields.push("name", &topic.name);
    fields.push("kept", format!("{age}, {size}"));
    fields.push("read by", users(&topic.read_by));
    fields.push("written by", users(&topic.written_by));
    fields.push("waiting", counted(topic.waiting_consumers, "consumer"));
    let mut table = Listing::new(["PARTITION", "EARLIEST", "END", "SIZE"]);
    for p in &topic.partitions {
        table.row([
            p.partition.to_string(),
            p.earliest.clone(),
            p.end.clone(),
            p.bytes.map_or("-".to_owned(), format_size),
        ]);
    }
    format!("{fields}\n{table}")
}
