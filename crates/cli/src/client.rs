// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream client`: everything that is done by talking to a server.

mod apply;
mod backup;
mod consume;
mod create;
mod custom;
mod delete;
mod describe;
mod dlq;
mod exec;
mod follow;
mod group;
mod list;
mod logs;
mod new_topic;
mod produce;
mod restart;
mod revisions;
mod rollback;
mod seek;
pub(crate) mod settings;
mod start;
mod status;
mod stop;
mod topic;
mod trigger;
mod update;
mod waiting;

use clap::Subcommand;
use fnstream_api::Client;
use fnstream_api::units::{TIME_FORMS, parse_time};

use crate::failure::Result;
use crate::output;
use crate::service;

/// Manage functions and topics, produce and consume events.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Server to talk to; 'http://' may be left out [env: FUNCTION_STREAM_URL] [default: http://localhost:7300]
    #[arg(short = 's', long, global = true, value_name = "URL")]
    service_url: Option<String>,
    /// Show values and messages in full length, which are cut otherwise
    #[arg(long, global = true)]
    full: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Register a function and start it
    Create(create::Args),
    /// Create a function as its config.yaml says, or change it to that
    Apply(apply::Args),
    /// List the functions
    List(list::Args),
    /// Delete a function with its state; its topics stay
    Delete(delete::Args),
    /// Show what a function is and how it fares
    Describe(describe::Args),
    /// Start a stopped function
    Start(start::Args),
    /// Stop a function after it has finished what it began
    Stop(stop::Args),
    /// Show how all functions fare, and why what does not run does not
    Status(status::Args),
    /// Show what a function printed and what happened to it
    Logs(logs::Args),
    /// Let a function finish what it began and start it anew
    Restart(restart::Args),
    /// Change a function, which goes on with its state from where it stands
    Update(update::Args),
    /// List the kept revisions of a function
    Revisions(revisions::Args),
    /// Put an earlier revision of a function in force again
    Rollback(rollback::Args),
    /// Have a function read on from another place of its inputs
    Seek(seek::Args),
    /// Send events to a topic
    Produce(produce::Args),
    /// Wait for the next event of a topic and print it
    Consume(consume::Args),
    /// Ask a running function something of its own
    Custom(custom::Args),
    /// Hand code or modules to a running function that takes them
    Exec(exec::Args),
    /// Show what a function would do with an event; nothing is kept
    Trigger(trigger::Args),
    /// Manage topics
    Topic(topic::Args),
    /// See and move consumer groups
    Group(group::Args),
    /// See, replay and drop the records that a function failed at
    Dlq(dlq::Args),
    /// Make a backup of everything that the server keeps
    Backup(backup::Args),
}

pub(crate) fn run(args: Args) -> Result {
    if args.full {
        output::escape::show_in_full();
    }
    let client = Client::new(&service::url(args.service_url))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match args.verb {
            Verb::Create(args) => create::run(&client, args).await,
            Verb::Apply(args) => apply::run(&client, args).await,
            Verb::List(args) => list::run(&client, &args).await,
            Verb::Delete(args) => delete::run(&client, &args).await,
            Verb::Describe(args) => describe::run(&client, &args).await,
            Verb::Start(args) => start::run(&client, &args).await,
            Verb::Stop(args) => stop::run(&client, &args).await,
            Verb::Status(args) => status::run(&client, args).await,
            Verb::Logs(args) => logs::run(&client, args).await,
            Verb::Restart(args) => restart::run(&client, &args).await,
            Verb::Update(args) => update::run(&client, args).await,
            Verb::Revisions(args) => revisions::run(&client, &args).await,
            Verb::Rollback(args) => rollback::run(&client, &args).await,
            Verb::Seek(args) => seek::run(&client, args).await,
            Verb::Produce(args) => produce::run(&client, args).await,
            Verb::Consume(args) => consume::run(&client, args).await,
            Verb::Custom(args) => custom::run(&client, args).await,
            Verb::Exec(args) => exec::run(&client, args).await,
            Verb::Trigger(args) => trigger::run(&client, args).await,
            Verb::Topic(args) => topic::run(&client, args).await,
            Verb::Group(args) => group::run(&client, args).await,
            Verb::Dlq(args) => dlq::run(&client, args).await,
            Verb::Backup(args) => backup::run(&client, args).await,
        }
    })
}

/// Reads the time of an event: a number of milliseconds alone, or as times are written everywhere.
fn timestamp(text: &str) -> std::result::Result<i64, String> {
    let is_number = || text.parse().ok();
    let none = || format!("'{}' is none of a number of milliseconds, {TIME_FORMS}", text.escape_debug());
    is_number().or_else(|| parse_time(text)).ok_or_else(none)
}

/// Reads `name=value`.
pub(crate) fn pair(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("'{}' is not of the form name=value", text.escape_debug())),
    }
}
