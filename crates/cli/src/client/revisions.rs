// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client revisions`: what a function was, and whether one can go back to it.

use fnstream_api::units::format_time;
use fnstream_api::{Client, RevisionDescription};

use crate::failure::Result;
use crate::output::{self, Listing};

/// Characters of a digest that tell artifacts apart for people.
const SHORT_DIGEST: usize = "sha256:".len() + 12;

/// List the kept revisions of a function.
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
    let revisions = client.function_revisions(&args.name).await?;
    if args.json {
        return output::json(&revisions);
    }
    output::line(table(&revisions).to_string())
}

fn table(revisions: &[RevisionDescription]) -> Listing {
    let mut table = Listing::new(["REVISION", "SINCE", "ARTIFACT", "CHANGED", "STATE"]);
    for of in revisions {
        let changed = if of.changed.is_empty() { "-".to_owned() } else { of.changed.join(", ") };
        let state = match (of.current, of.state) {
            (true, _) => "in use",
            (false, true) => "kept",
            (false, false) => "not kept",
        };
        let archive = of.archive.chars().take(SHORT_DIGEST).collect();
        table.row([of.revision.to_string(), format_time(of.created_ms), archive, changed, state.to_owned()]);
    }
    table
}
