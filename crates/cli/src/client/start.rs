// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client start`: what the user wants is durable before the command returns.

use fnstream_api::Client;

use super::waiting::{Waiting, status};
use crate::failure::Result;

/// Start a stopped function.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the function
    #[arg(short, long)]
    name: String,
    #[command(flatten)]
    waiting: Waiting,
}

pub(super) async fn run(client: &Client, args: &Args) -> Result {
    status(&args.waiting.of(client, false).start_function(&args.name).await?)
}
