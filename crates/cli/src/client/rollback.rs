// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client rollback`: says what cannot be undone, as the server tells it.

use fnstream_api::{Client, RollbackRequest};

use super::waiting::Waiting;
use crate::failure::Result;
use crate::output;

/// Put an earlier revision of a function in force again.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the function
    #[arg(short, long)]
    name: String,
    /// Revision whose description is to be in force again, as 'client revisions' lists it
    #[arg(long, value_name = "REVISION")]
    to: u64,
    /// Bring back the state too that this revision ended with; inputs are read on from where they stand now
    #[arg(long)]
    with_state: bool,
    /// With the state, read the inputs again from where they stood then; the outputs of these records come again
    #[arg(long, requires = "with_state")]
    reprocess: bool,
    #[command(flatten)]
    waiting: Waiting,
}

pub(super) async fn run(client: &Client, args: &Args) -> Result {
    let Args { name, to, with_state, reprocess, waiting } = args;
    let request = RollbackRequest { to: *to, with_state: *with_state, reprocess: *reprocess };
    let done = waiting.of(client, false).rollback_function(name, request).await?;
    let what = if *with_state { " with its state" } else { "" };
    output::line(format!("Function {name} is back to revision {to}{what}, as revision {}", done.function.revision))?;
    done.notes.iter().try_for_each(|note| output::line(format!("  {note}")))?;
    waiting.tell(&done.function)
}
