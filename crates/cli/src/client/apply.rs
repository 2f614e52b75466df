// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client apply`: a function becomes what its config.yaml says; what that changes is shown before it is done.

use std::path::PathBuf;

use fnstream_api::{Applied, ApplyOutcome, ApplyRequest, Client, FieldChange};

use super::create::{upload, warn};
use super::waiting::{Waiting, is_done};
use crate::failure::{Failure, Result};
use crate::output;

/// Create a function as its config.yaml says, or change it to that.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Description of the function
    #[arg(short, long, value_name = "CONFIG")]
    file: PathBuf,
    /// WebAssembly file to run, or sha256:DIGEST of an artifact that the server has
    #[arg(short, long)]
    archive: String,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Leave a change in force although the function does not come up with it; else the server goes back to what was there
    /// before, if the function was up with that
    #[arg(long, conflicts_with = "no_wait")]
    keep_failed: bool,
    #[command(flatten)]
    waiting: Waiting,
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    let path = args.file.display();
    let config = std::fs::read(&args.file).map_err(|e| Failure::Usage(format!("cannot read '{path}': {e}")))?;
    let archive = upload(client, args.archive).await?;
    let request = |dry_run| ApplyRequest { config: config.clone(), archive: archive.clone(), dry_run };
    let planned = client.apply(request(true)).await?;
    show(&planned)?;
    if args.dry_run {
        return output::line(match planned.outcome {
            ApplyOutcome::Created => format!("Function {} would be created", planned.name),
            ApplyOutcome::Changed => format!("Function {} would be changed", planned.name),
            ApplyOutcome::Unchanged => format!("Function {} is unchanged", planned.name),
        });
    }
    let done = |applied: &Applied| match (applied.outcome, &applied.function) {
        (ApplyOutcome::Created, _) => output::line(format!("Function created: {}", applied.name)),
        (ApplyOutcome::Unchanged, _) => output::line(format!("Function {} is unchanged", applied.name)),
        (ApplyOutcome::Changed, Some(function)) => {
            output::line(format!("Function {} is at revision {}", function.name, function.revision))
        }
        (ApplyOutcome::Changed, None) => Ok(()),
    };
    match args.waiting.of(client, args.keep_failed).apply(request(false)).await {
        Ok(applied) => {
            applied.function.iter().for_each(warn);
            done(&applied)?;
            applied.function.iter().try_for_each(|function| args.waiting.tell(function))
        }
        Err(error) if is_done(&error) => {
            done(&planned)?;
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Prints what changes, a line for each field.
fn show(planned: &Applied) -> Result {
    for note in &planned.notes {
        output::complain(&format!("note: {note}"));
    }
    planned.changes.iter().try_for_each(|change| output::line(line(change)))
}

fn line(FieldChange { field, before, after }: &FieldChange) -> String {
    match (before, after) {
        (None, Some(after)) => format!("+ {field}: {after}"),
        (Some(before), None) => format!("- {field}: {before}"),
        (Some(before), Some(after)) => format!("~ {field}: {before} -> {after}"),
        (None, None) => format!("  {field}"),
    }
}
