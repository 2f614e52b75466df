// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client update`: what is not said stays; the function goes on with its state from where it stands.

use clap::ValueEnum;
use fnstream_api::{Client, FunctionUpdate};
use fnstream_core::topic::TopicRef;

use super::create::{server_at_work, upload, warn};
use super::settings::Settings;
use crate::failure::{Failure, Result};
use crate::output::{self, busy::during};

/// Change a function, which goes on with its state from where it stands.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the function
    #[arg(short, long)]
    name: String,
    /// WebAssembly file to run from now on, or sha256:DIGEST of an artifact that the server has
    #[arg(short, long)]
    archive: Option<String>,
    /// Output topic
    #[arg(short, long, value_name = "TOPIC", value_parser = str::parse::<TopicRef>)]
    output: Option<TopicRef>,
    /// How many tasks may run at once
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..))]
    replicas: Option<u32>,
    /// All settings, variables or folders that the function was given; those that are given now replace all former ones
    /// anyway; may be repeated
    #[arg(long, value_enum, value_name = "WHAT")]
    clear: Vec<Clear>,
    #[command(flatten)]
    settings: Settings,
}

/// What can be taken away as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Clear {
    /// The settings of --config
    Config,
    /// The variables of --env
    Env,
    /// The folders of --files
    Files,
}

impl Args {
    /// What replaces all that was there before, if anything does.
    fn whole<T, C: FromIterator<T>>(&self, what: Clear, given: &[T]) -> Result<Option<C>>
    where
        T: Clone,
    {
        match (self.clear.contains(&what), given.is_empty()) {
            (true, false) => {
                Err(Failure::Usage("what is given replaces all former ones: leave --clear out".to_owned()))
            }
            (false, true) => Ok(None),
            _ => Ok(Some(given.iter().cloned().collect())),
        }
    }
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    let update = FunctionUpdate {
        name: None,
        archive: None,
        inputs: None,
        selector: None,
        watermarks: None,
        output: args.output.clone(),
        replicas: args.replicas,
        config: args.whole(Clear::Config, &args.settings.config)?,
        limits: args.settings.limits(),
        on_error: args.settings.on_error(),
        env: args.whole(Clear::Env, &args.settings.env)?,
        files: args.whole(Clear::Files, &args.settings.files)?,
    };
    if args.archive.is_none() && update == FunctionUpdate::default() {
        return Err(Failure::Usage("nothing is to be changed: give an archive or an option".to_owned()));
    }
    let archive = match args.archive {
        Some(archive) => Some(upload(client, archive).await?),
        None => None,
    };
    let update = FunctionUpdate { archive, ..update };
    let function = during(server_at_work, client.update_function(&args.name, &update)).await?;
    warn(&function);
    output::line(format!("Function {} is at revision {}", function.name, function.revision))
}
