// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client update`: what is not said stays; the function goes on with its state from where it stands.

use std::collections::BTreeMap;

use clap::ValueEnum;
use fnstream_api::{Client, FunctionUpdate};
use fnstream_core::topic::TopicRef;

use super::create::{server_at_work, upload, warn};
use super::settings::Settings;
use super::waiting::Waiting;
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
    /// Input topics as they are, with other options behind a question mark; may be repeated
    #[arg(short, long = "input", value_name = "TOPIC", value_parser = str::parse::<TopicRef>)]
    inputs: Vec<TopicRef>,
    /// Output topic
    #[arg(short, long, value_name = "TOPIC", value_parser = str::parse::<TopicRef>)]
    output: Option<TopicRef>,
    /// How many tasks may run at once
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..))]
    replicas: Option<u32>,
    /// Whether the function does not join its inputs, so that they may have different numbers of partitions
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    no_join: Option<bool>,
    /// Take away all settings, variables or folders that the function was given, before those that are given now; folders that
    /// are given replace all former ones anyway; may be repeated
    #[arg(long, value_enum, value_name = "WHAT")]
    clear: Vec<Clear>,
    /// Setting of --config to take away; all others stay; may be repeated
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,
    /// Variable of --env to take away; all others stay; may be repeated
    #[arg(long, value_name = "NAME")]
    unset_env: Vec<String>,
    /// Leave the change in force although the function does not come up with it; else the server goes back to what was there
    /// before, if the function was up with that
    #[arg(long, conflicts_with = "no_wait")]
    keep_failed: bool,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    waiting: Waiting,
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

/// Entries that replace all former ones, or change some of them.
type Entries = (Option<BTreeMap<String, String>>, BTreeMap<String, Option<String>>);

impl Args {
    /// What becomes of the entries: `given` are added or replaced, `unset` go.
    fn entries(&self, what: Clear, given: &[(String, String)], unset: &[String]) -> Result<Entries> {
        if let Some((name, _)) = given.iter().find(|(name, _)| unset.contains(name)) {
            return Err(Failure::Usage(format!("'{name}' is given and to be taken away")));
        }
        if self.clear.contains(&what) {
            return Ok((Some(given.iter().cloned().collect()), BTreeMap::new()));
        }
        let set = given.iter().map(|(name, value)| (name.clone(), Some(value.clone())));
        Ok((None, set.chain(unset.iter().map(|name| (name.clone(), None))).collect()))
    }
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    let (config, config_changes) = args.entries(Clear::Config, &args.settings.config, &args.unset)?;
    let (env, env_changes) = args.entries(Clear::Env, &args.settings.env, &args.unset_env)?;
    let no_folders = args.settings.files.is_empty() && !args.clear.contains(&Clear::Files);
    let update = FunctionUpdate {
        inputs: (!args.inputs.is_empty()).then(|| args.inputs.clone()),
        output: args.output.clone(),
        replicas: args.replicas,
        no_join: args.no_join,
        config,
        config_changes,
        limits: args.settings.limits(),
        on_error: args.settings.on_error(),
        env,
        env_changes,
        files: (!no_folders).then(|| args.settings.files.clone()),
        ..FunctionUpdate::default()
    };
    if args.archive.is_none() && update == FunctionUpdate::default() {
        return Err(Failure::Usage("nothing is to be changed: give an archive or an option".to_owned()));
    }
    let archive = match args.archive {
        Some(archive) => Some(upload(client, archive).await?),
        None => None,
    };
    let client = args.waiting.of(client, args.keep_failed);
    let update = FunctionUpdate { archive, ..update };
    let function = during(server_at_work, client.update_function(&args.name, &update)).await?;
    warn(&function);
    output::line(format!("Function {} is at revision {}", function.name, function.revision))?;
    args.waiting.tell(&function)
}
