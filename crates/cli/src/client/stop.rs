// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client stop`: what the user wants is durable before the command returns.

use fnstream_api::Client;

use crate::failure::Result;
use crate::output;

/// Stop a function after it has finished what it began.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the function
    #[arg(short, long)]
    name: String,
}

pub(super) async fn run(client: &Client, args: &Args) -> Result {
    let function = client.stop_function(&args.name).await?;
    output::line(format!("Function {} is {}", function.name, function.status.as_str()))
}
