// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client custom`: asks a running function something of its own.

use fnstream_api::Client;

use crate::failure::Result;
use crate::output;

/// Ask a running function something of its own and print its answer.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the function
    #[arg(short, long)]
    name: String,
    /// What is asked, as it is
    #[arg(short, long, value_name = "PAYLOAD", allow_hyphen_values = true)]
    content: String,
    /// Index of the task that is asked
    #[arg(long, value_name = "N", default_value_t = 0)]
    task: u32,
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    output::exact(&client.custom(&args.name, args.task, args.content).await?)
}
