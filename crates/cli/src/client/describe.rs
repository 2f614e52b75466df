// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client describe`: a function's description as text for people or JSON for programs.

use std::fmt::Write;

use comfy_table::Table;
use fnstream_api::{Client, FunctionDescription, TaskDescription};

use crate::failure::{Failure, Result};
use crate::output;

/// Show what a function is and how it fares.
#[derive(clap::Args)]
pub struct Args {
    /// Name of the function
    #[arg(short, long)]
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(client: &Client, args: &Args) -> Result {
    let function = client.describe_function(&args.name).await?;
    if args.json {
        return output::line(serde_json::to_vec_pretty(&function).map_err(|e| Failure::Plain(e.to_string()))?);
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
        ("inputs", function.inputs.join(", ")),
        ("outputs", function.outputs.join(", ")),
        ("replicas", function.replicas.to_string()),
    ];
    rows.extend(function.config.iter().map(|(name, value)| ("config", format!("{name}={value}"))));
    if let Some(error) = &function.error {
        rows.push(("error", format!("{}: {}", error.code, error.message)));
        rows.push(("advice", error.advice.clone()));
    }
    let mut out = String::new();
    for (name, value) in rows {
        let _ = writeln!(out, "{name:<9} {value}");
    }
    if !function.tasks.is_empty() {
        let _ = write!(out, "\n{}", tasks(&function.tasks));
    }
    out
}

fn tasks(tasks: &[TaskDescription]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["TASK", "STATUS", "EPOCH", "IN", "OUT", "LAG", "RESTARTS", "LAST ERROR"]);
    for task in tasks {
        let error = task.last_error.as_ref().map(|e| format!("{}: {}", e.code, e.message));
        table.add_row([
            task.index.to_string(),
            task.status.as_str().to_owned(),
            task.epoch.to_string(),
            task.records_in.to_string(),
            task.records_out.to_string(),
            task.partitions.iter().map(|p| p.lag).sum::<u64>().to_string(),
            task.restarts.to_string(),
            error.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table
}
