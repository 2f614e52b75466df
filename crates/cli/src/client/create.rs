// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client create`: reads the artifact here and uploads it, so that client and server need not share a disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use fnstream_api::units::format_size;
use fnstream_api::{Client, Function, FunctionDescription};
use fnstream_core::ErrorCode;
use fnstream_core::spec::Beginning;
use fnstream_core::topic::TopicRef;

use super::settings::Settings;
use super::waiting::{Waiting, is_done};
use crate::artifact;
use crate::failure::{Failure, Result};
use crate::output::{self, busy::during};

/// Register a function and start it.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the function
    #[arg(short, long)]
    name: String,
    /// What to run: a WebAssembly file, a .py or .js file, a folder or a zip of these, or sha256:DIGEST of what the server has
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
    /// Where it begins in its inputs: earliest, latest, or a time in UTC such as 2026-01-31T08:00:00Z, or as time=MS in milliseconds
    /// since the Unix epoch, that is at the first event whose timestamp is not before it [default: earliest]
    #[arg(long, value_name = "PLACE", value_parser = str::parse::<Beginning>)]
    from: Option<Beginning>,
    /// The function does not join its inputs: they may have different numbers of partitions
    #[arg(long)]
    no_join: bool,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    waiting: Waiting,
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    let archive = upload(client, args.archive).await?;
    let function = Function {
        replicas: args.replicas,
        from: args.from,
        no_join: args.no_join,
        limits: args.settings.limits(),
        on_error: args.settings.on_error(),
        config: args.settings.config.into_iter().collect(),
        env: args.settings.env.into_iter().collect(),
        files: args.settings.files,
        ..Function::new(archive, args.inputs, args.output)
    };
    let patient = args.waiting.of(client, false);
    let made = during(server_at_work, patient.create_function(&args.name, &function)).await;
    let created = || output::line(format!("Function created: {}", args.name));
    let made = match made {
        Err(error) if is_done(&error) => {
            created()?;
            return Err(error.into());
        }
        made => made?,
    };
    warn(&made);
    created()?;
    args.waiting.tell(&made)
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
    let artifact = artifact::read(path.as_ref()).map_err(|e| Failure::Coded {
        code: ErrorCode::ArtifactNotFound.as_str().to_owned(),
        message: format!("cannot read '{path}': {e}"),
        advice: "give the path of a WebAssembly file on this machine, of a .py or .js file, or of a folder or a zip of these"
            .to_owned(),
    })?;
    let (whole, sent) = (artifact.len(), Arc::new(AtomicUsize::new(0)));
    let so_far = sent.clone();
    let going_on = move || match so_far.load(Relaxed) {
        sent if sent < whole => format!("uploading {} of {}", format_size(sent as u64), format_size(whole as u64)),
        _ => server_at_work(),
    };
    let upload = client.upload_artifact_telling(artifact.into(), move |bytes| sent.store(bytes, Relaxed));
    Ok(format!("sha256:{}", during(going_on, upload).await?.digest))
}

/// What takes long at a server that was given an artifact.
pub(super) fn server_at_work() -> String {
    "the server checks and compiles the artifact".to_owned()
}
