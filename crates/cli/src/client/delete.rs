// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client delete`.

use fnstream_api::Client;

use crate::failure::Result;
use crate::output;

/// Delete a function with its state; its topics stay.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the function
    #[arg(short, long)]
    name: String,
}

pub(super) async fn run(client: &Client, args: &Args) -> Result {
    client.delete_function(&args.name).await?;
    output::line(format!("Function deleted: {}", args.name))
}
