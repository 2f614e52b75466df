// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client create`: reads the artifact here and uploads it, so that client and server need not share a disk.

use fnstream_api::{Client, Function, FunctionDescription};
use fnstream_core::ErrorCode;
use fnstream_core::topic::TopicRef;

use super::settings::Settings;
use crate::failure::{Failure, Result};
use crate::output;

/// Register a function and start it.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the function
    #[arg(short, long)]
    name: String,
    /// WebAssembly file to run, or sha256:DIGEST of an artifact that the server has
    #[arg(short, long)]
    archive: String,
    /// Input topic; may be repeated
    #[arg(short, long = "input", value_name = "TOPIC", required = true, value_parser = str::parse::<TopicRef>)]
    inputs: Vec<TopicRef>,
    /// Output topic
    #[arg(short, long, value_name = "TOPIC", value_parser = str::parse::<TopicRef>)]
    output: TopicRef,
    /// How many tasks may run at once
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    replicas: u32,
    /// The function does not join its inputs: they may have different numbers of partitions
    #[arg(long)]
    no_join: bool,
    #[command(flatten)]
    settings: Settings,
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    let archive = upload(client, args.archive).await?;
    let function = Function {
        replicas: args.replicas,
        no_join: args.no_join,
        limits: args.settings.limits(),
        on_error: args.settings.on_error(),
        config: args.settings.config.into_iter().collect(),
        env: args.settings.env.into_iter().collect(),
        files: args.settings.files,
        ..Function::new(archive, args.inputs, args.output)
    };
    let made = client.create_function(&args.name, &function).await?;
    warn(&made);
    output::line(format!("Function created: {}", args.name))
}

/// Tells what was accepted and is probably not meant.
pub(super) fn warn(function: &FunctionDescription) {
    if let Some(warning) = &function.memory.warning {
        output::complain(&format!("warning: {warning}"));
    }
    function.notes.iter().for_each(|note| output::complain(&format!("note: {note}")));
}

/// Uploads the artifact at a path; answers how the server names it. What is named so already stays as it is.
pub(super) async fn upload(client: &Client, path: String) -> Result<String> {
    if path.starts_with("sha256:") {
        return Ok(path);
    }
    let artifact = std::fs::read(&path).map_err(|e| Failure::Coded {
        code: ErrorCode::ArtifactNotFound.as_str().to_owned(),
        message: format!("cannot read '{path}': {e}"),
        advice: "give the path of a WebAssembly file on this machine".to_owned(),
    })?;
    Ok(format!("sha256:{}", client.upload_artifact(artifact).await?.digest))
}
