// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client describe`: a function's description as text for people or JSON for programs.

use fnstream_api::units::{Quantity, format_size};
use fnstream_api::{
    Client, FileGrant, FunctionDescription, FunctionMemory, Limits, OnError, OnErrorAction, TaskDescription,
};

use crate::failure::Result;
use crate::output::{self, Fields, Listing, escape};
use fnstream_core::units::counted;

/// Show what a function is and how it fares.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the function
    #[arg(short, long)]
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(client: &Client, args: &Args) -> Result {
    let function = client.describe_function(&args.name).await?;
    if args.json {
        return output::json(&function);
    }
    output::line(text(&function).trim_end())
}

fn text(function: &FunctionDescription) -> String {
    let mut rows = vec![
        ("name", function.name.clone()),
        ("status", function.status.as_str().to_owned()),
        ("desired", function.desired.clone()),
        ("revision", function.revision.to_string()),
        ("archive", function.archive.clone()),
        ("kind", function.kind.clone().unwrap_or_else(|| "not loaded".to_owned())),
        ("inputs", inputs(function)),
        ("selector", function.selector.as_str().to_owned()),
        ("outputs", function.outputs.join(", ")),
        ("replicas", function.replicas.to_string()),
    ];
    if !function.delivery.is_empty() {
        let interval = function.commit_interval_ms;
        rows.push(("commits", format!("{}, when the input is drained or after {interval} ms", function.delivery)));
    }
    rows.extend(function.from.map(|from| ("from", from.to_string())));
    if function.no_join {
        rows.push(("no-join", "true".to_owned()));
    }
    rows.extend(function.notes.iter().map(|note| ("note", note.clone())));
    rows.extend(function.watermarks.iter().map(|(topic, of)| ("watermark", format!("{topic}: {of}"))));
    rows.extend(function.config.iter().map(|(name, value)| ("config", format!("{name}={value}"))));
    rows.extend(function.env.iter().map(|(name, value)| ("env", format!("{name}={value}"))));
    rows.extend(function.files.iter().map(|grant| ("files", files(grant))));
    rows.push(("limits", limits(&function.limits)));
    rows.push(("memory", memory(&function.memory)));
    rows.extend(function.memory.warning.iter().map(|warning| ("warning", warning.clone())));
    rows.push(("on-error", on_error(&function.on_error)));
    if let Some(error) = &function.error {
        rows.push(("error", format!("{}: {}", error.code, error.message)));
        rows.push(("advice", error.advice.clone()));
    }
    let mut fields = Fields::new(10);
    rows.into_iter().for_each(|(name, value)| fields.push(name, value));
    let mut out = fields.to_string();
    if !function.tasks.is_empty() {
        out += &format!("\n{}", tasks(&function.tasks));
    }
    for task in &function.tasks {
        if let Some(error) = &task.trouble {
            let message = escape::field(&error.message, 2);
            out += &format!("\ntask {} is waiting: {}: {message}", task.index, escape::cell(&error.code));
        }
        if let Some(changes) = task.restored {
            out += &format!("\ntask {} rebuilds its state: {} read", task.index, counted(changes, "change"));
        }
    }
    out
}

/// Topics that share a source id are shown together.
fn inputs(function: &FunctionDescription) -> String {
    match function.groups.as_slice() {
        [] => function.inputs.join(", "),
        groups => groups.iter().map(|group| format!("[{}]", group.join(", "))).collect::<Vec<_>>().join(", "),
    }
}

fn files(grant: &FileGrant) -> String {
    match &grant.guest {
        Some(guest) if *guest != grant.host => format!("{} as {guest}", grant.host),
        _ => grant.host.clone(),
    }
}

fn limits(limits: &Limits) -> String {
    let shown = |name: &str, value: Option<String>| value.map(|value| format!("{name}={value}"));
    let of = |quantity: &Option<Quantity>| quantity.as_ref().map(Quantity::to_string);
    let all = [
        shown("memory", of(&limits.memory)),
        shown("call-time", of(&limits.call_time)),
        shown("start-time", of(&limits.start_time)),
        shown("record", of(&limits.record)),
        shown("records-per-input", limits.records_per_input.map(|number| number.to_string())),
        shown("state", of(&limits.state)),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn memory(memory: &FunctionMemory) -> String {
    let FunctionMemory { used_bytes, all_used_bytes, all_limit_bytes, .. } = *memory;
    let [used, all_used, all_limit] = [used_bytes, all_used_bytes, all_limit_bytes].map(format_size);
    format!("{used}; all functions hold {all_used} of {all_limit}")
}

fn on_error(policy: &OnError) -> String {
    let retries = policy.retries.unwrap_or_default();
    let wait = |quantity: &Option<Quantity>| quantity.as_ref().map(Quantity::to_string).unwrap_or_default();
    let waits = format!(
        "after {}, {} to {} apart",
        counted(retries, "retry"),
        wait(&policy.backoff),
        wait(&policy.max_backoff)
    );
    let action = policy.action.map_or("", OnErrorAction::as_str);
    match &policy.dead_letter_topic {
        Some(topic) => format!("{action} to {topic} {waits}"),
        None => format!("{action} {waits}"),
    }
}

fn tasks(tasks: &[TaskDescription]) -> Listing {
    let mut table = Listing::new(["TASK", "STATUS", "EPOCH", "IN", "OUT", "LAG", "RESTARTS", "LAST ERROR"]);
    for task in tasks {
        let error = task.last_error.as_ref().map(|e| format!("{}: {}", e.code, e.message));
        table.row([
            task.index.to_string(),
            task.status.as_str().to_owned(),
            task.epoch.to_string(),
            task.records_in.to_string(),
            task.records_out.to_string(),
            task.lag().map_or_else(|| "unknown".to_owned(), |lag| lag.to_string()),
            task.restarts.to_string(),
            error.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table
}
