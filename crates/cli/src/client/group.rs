// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client group`: the consumer groups of a topic.

use clap::Subcommand;
use fnstream_api::units::{TIME_FORMS, format_time};
use fnstream_api::{Client, GroupDescription, GroupReset, GroupSummary};

use crate::failure::Result;
use crate::output::{self, Fields, Listing};
use fnstream_core::spec::Beginning;

/// See and move consumer groups.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the groups of a topic
    List {
        /// Name of the topic
        #[arg(short, long, value_name = "TOPIC")]
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show how far a group is in each partition, and what it has not acknowledged
    Describe {
        #[command(flatten)]
        of: Of,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Have a group go on elsewhere; its leases end, and a group that is not there is made
    Reset {
        #[command(flatten)]
        of: Of,
        /// Where: earliest, latest, a position, a time in UTC such as 2026-01-31T08:00:00Z, or time=MS in milliseconds since the
        /// Unix epoch
        #[arg(long, value_name = "WHERE", value_parser = reset)]
        to: GroupReset,
        /// Only in this partition; needed with a position when the topic has several
        #[arg(long, value_name = "N")]
        partition: Option<u32>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete a group; one of the same name that comes later begins at the earliest event
    Delete {
        #[command(flatten)]
        of: Of,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
struct Of {
    /// Name of the topic
    #[arg(short, long, value_name = "TOPIC")]
    name: String,
    /// Name of the group
    #[arg(short, long)]
    group: String,
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    match args.verb {
        Verb::List { name, json } => {
            let groups = client.list_groups(&name).await?;
            if json { output::json(&groups) } else { output::line(list(&groups)) }
        }
        Verb::Describe { of, json } => shown(&client.describe_group(&of.name, &of.group).await?, json),
        Verb::Reset { of, to, partition, json } => {
            let reset = client.reset_group(&of.name, &of.group, &GroupReset { partition, ..to }).await?;
            if json { output::json(&reset) } else { output::line(format!("Group reset: {}", of.group)) }
        }
        Verb::Delete { of, json } => {
            client.delete_group(&of.name, &of.group).await?;
            match json {
                true => output::json(&serde_json::json!({ "topic": of.name, "deleted": of.group })),
                false => output::line(format!("Group deleted: {}", of.group)),
            }
        }
    }
}

fn shown(group: &GroupDescription, json: bool) -> Result {
    if json { output::json(group) } else { output::line(text(group)) }
}

fn reset(text: &str) -> std::result::Result<GroupReset, String> {
    let none = GroupReset::default();
    if text.parse::<u128>().is_ok() {
        return Ok(GroupReset { position: Some(text.to_owned()), ..none });
    }
    match text.parse::<Beginning>() {
        // As a number, which servers of every version take.
        Ok(Beginning::Time(ms)) => Ok(GroupReset { time_ms: Some(ms), ..none }),
        Ok(Beginning::Earliest | Beginning::Latest) => Ok(GroupReset { to: Some(text.to_owned()), ..none }),
        Err(_) => Err(format!("'{}' is none of earliest, latest, a position, {TIME_FORMS}", text.escape_debug())),
    }
}

/// How a group consumes, in a word.
fn kind(acknowledges: bool) -> &'static str {
    if acknowledges { "acknowledges" } else { "takes" }
}

fn lag(lag: Option<u64>) -> String {
    lag.map_or_else(|| "unknown".to_owned(), |lag| lag.to_string())
}

fn list(groups: &[GroupSummary]) -> String {
    let mut table = Listing::new(["GROUP", "KIND", "LAG", "LEASED", "RETURNED"]);
    for group in groups {
        table.row([
            group.name.clone(),
            kind(group.acknowledges).to_owned(),
            lag(group.lag),
            group.leased.to_string(),
            group.returned.to_string(),
        ]);
    }
    table.to_string()
}

fn text(group: &GroupDescription) -> String {
    let mut fields = Fields::new(14);
    fields.push("group", &group.name);
    fields.push("topic", &group.topic);
    fields.push("kind", kind(group.acknowledges));
    fields.push("lag", lag(group.lag));
    if let Some(topic) = group.dead_letter_topic.as_ref().filter(|_| group.acknowledges) {
        fields.push("dead letters", topic);
    }
    let mut table = Listing::new(["PARTITION", "POSITION", "END", "LAG", "LEASED", "RETURNED", "OLDEST"]);
    for of in &group.partitions {
        table.row([
            of.partition.to_string(),
            of.position.clone(),
            of.end.clone(),
            lag(of.lag),
            format!("{}{}", of.leased, if of.is_full { " (full)" } else { "" }),
            of.returned.to_string(),
            of.oldest_ms.map_or("-".to_owned(), format_time),
        ]);
    }
    format!("{fields}\n{table}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_group_goes_on_where_the_words_say() {
        let none = GroupReset::default();
        assert_eq!(reset("earliest").unwrap(), GroupReset { to: Some("earliest".into()), ..none.clone() });
        assert_eq!(reset("17").unwrap(), GroupReset { position: Some("17".into()), ..none.clone() });
        assert_eq!(reset("time=-5").unwrap(), GroupReset { time_ms: Some(-5), ..none.clone() });
        assert_eq!(reset("1970-01-01T00:00:01Z").unwrap(), GroupReset { time_ms: Some(1_000), ..none });
        for bad in ["", "first", "time=", "time=x", "-1"] {
            assert!(reset(bad).is_err(), "{bad}");
        }
    }
}
