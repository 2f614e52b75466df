// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client list`.

use fnstream_api::Client;

use crate::failure::Result;
use crate::output;

/// List the functions.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print a JSON array instead of one name per line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(client: &Client, args: &Args) -> Result {
    names(&client.list_functions().await?, args.json)
}

/// Prints names.
pub(super) fn names(names: &[String], json: bool) -> Result {
    if json {
        return output::line(serde_json::json!(names).to_string());
    }
    names.iter().try_for_each(output::line)
}
