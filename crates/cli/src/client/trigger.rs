// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client trigger`: what a function would do with an event.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fnstream_api::{Client, RecordHeader, Trigger, Triggered, TriggeredEvent};

use super::{pair, timestamp};
use crate::failure::{Failure, Result};
use crate::output::{self, Fields, escape};
use fnstream_core::units::counted;

/// Show what a function would do with an event, on a copy of its state: nothing is kept. The exit code is 1 if it would fail.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct Args {
    /// Name of the function, which may run, be stopped or stuck
    #[arg(short, long)]
    name: String,
    /// The event, as it is
    #[arg(short, long, group = "what", allow_hyphen_values = true)]
    content: Option<OsString>,
    /// An event whose value is null
    #[arg(long, group = "what")]
    null: bool,
    /// Key of the event
    #[arg(short, long, allow_hyphen_values = true)]
    key: Option<OsString>,
    /// Header of the event, as name=value; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// Time of the event, in place of the present: milliseconds since the Unix epoch, or a time in UTC such as
    /// 2026-01-31T08:00:00Z
    #[arg(short, long, value_name = "TIME", allow_negative_numbers = true, value_parser = timestamp)]
    timestamp: Option<i64>,
    /// Input topic that the event seems to come from [default: the first]
    #[arg(short, long, value_name = "TOPIC")]
    input: Option<String>,
    /// Partition that it seems to be in, which says whose state it meets [default: that of its key, or 0]
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// Show the keys of the state that it would change
    #[arg(long)]
    state: bool,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    let (name, state, json) = (args.name.clone(), args.state, args.json);
    let triggered = client.trigger(&name, &trigger(args)).await?;
    match json {
        true => output::json(&triggered)?,
        false => print(&triggered, state)?,
    }
    if triggered.error.is_some() { Err(Failure::Told(1)) } else { Ok(()) }
}

fn trigger(args: Args) -> Trigger {
    let (content, key) = (args.content.map(OsString::into_vec), args.key.map(OsString::into_vec));
    let is_text = content.iter().chain(&key).all(|bytes| std::str::from_utf8(bytes).is_ok());
    let text = |bytes: &[u8]| match is_text {
        true => String::from_utf8_lossy(bytes).into_owned(),
        false => STANDARD.encode(bytes),
    };
    let header = |(name, value): &(String, String)| RecordHeader { name: name.clone(), value: text(value.as_bytes()) };
    Trigger {
        input: args.input,
        partition: args.partition,
        timestamp_ms: args.timestamp,
        key: key.as_deref().map(text),
        headers: args.headers.iter().map(header).collect(),
        value: content.as_deref().map(text),
        encoding: (!is_text).then(|| "base64".to_owned()),
    }
}

fn print(triggered: &Triggered, state: bool) -> Result {
    let mut fields = Fields::new(10);
    fields.push("REVISION", triggered.revision.to_string());
    fields.push("TASK", triggered.task.to_string());
    for event in &triggered.emitted {
        fields.push("EMITS", shown(event));
    }
    if triggered.emitted_left_out > 0 {
        fields.push("EMITS", format!("{} more", triggered.emitted_left_out));
    }
    fields.push("STATE", format!("changes {}", counted(triggered.state_changes, "key")));
    if triggered.timer_changes > 0 {
        fields.push("TIMERS", format!("sets or deletes {}", counted(triggered.timer_changes, "timer")));
    }
    for key in triggered.state.iter().filter(|_| state) {
        fields.push(&key.change.to_uppercase(), format!("{} {}", key.store, key.key));
    }
    for line in &triggered.logs {
        fields.push(&line.from.to_uppercase(), &line.text);
    }
    if let Some(error) = &triggered.error {
        fields.push("ERROR", format!("{}: {}", error.code, error.message));
        if let Some(backtrace) = &error.backtrace {
            fields.push("BACKTRACE", backtrace);
        }
    }
    output::line(fields.to_string().trim_end())
}

/// An event in a line.
fn shown(event: &TriggeredEvent) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let value = event.value.as_deref().map_or_else(|| "null".to_owned(), quoted);
    let key = event.key.as_deref().map(|key| format!(" key {}", quoted(key))).unwrap_or_default();
    let headers = event.headers.iter().map(|header| format!(" {}={}", header.name, quoted(&header.value)));
    let encoding = if event.encoding == "base64" { " (base64)" } else { "" };
    let headers: String = headers.collect();
    escape::shortened(&format!("{}:{} {value}{key}{headers}{encoding}", event.topic, event.partition)).into_owned()
}
