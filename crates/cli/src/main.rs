// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The binary `function-stream`: one file per verb.
//!
//! Owns the command line: flags, texts and exit codes (0 = done, 1 = failed, with message, code and advice on standard
//! error, 2 = wrong usage; `sql` also 3 = no server was reached, and `check` 3 = a repair loses too much to be done unasked). What a verb does is the server's or the client library's; the bench alone does its own work.
//!
//! # Reading order
//!
//! `standalone` and `server` run a server, with `settings` and `logging`; `client` talks to one, and `sql` in statements;
//! `new` makes projects, `test` and `dev` work on what `project` is, with `local`; `run` runs a function in this process; `validate` and `config` look at configurations; `check` looks at data folders, `restore` makes one of a backup; `build` makes artifacts; `bench` measures; `openapi` prints the description
//! of the REST interface that the server publishes, `completions` what a shell needs.

mod arguments;
mod artifact;
mod bench;
mod build;
mod check;
mod client;
mod completions;
mod config;
mod dev;
mod event;
mod failure;
mod files;
mod interrupt;
mod local;
mod logging;
mod new;
mod openapi;
mod output;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod pages;
mod project;
mod restore;
mod run;
mod server;
mod service;
mod settings;
mod sql;
mod standalone;
mod test;
mod validate;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use fnstream_core::leave::leave;

use crate::failure::Failure;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Few arenas. Each keeps what it was given back for a while, so with the allocator's default, four for each core, a server
/// that has moved millions of records holds a fifth more memory on two cores, and more on larger machines; threads have
/// caches of their own before the arenas, so that these are not fought for. What is free for ten seconds goes back to the system,
/// also from an arena that nobody uses any more: a thread of the allocator's own sees to it.
#[allow(unsafe_code, reason = "the allocator reads its settings from a symbol of this name before main runs")]
#[unsafe(export_name = "malloc_conf")]
pub static ALLOCATOR_SETTINGS: &[u8] = b"narenas:4,background_thread:true\0";

/// The exit code of what could not be done.
const FAILED: u8 = 1;

/// The exit code of wrong usage, as of an unknown flag.
const WRONG_USAGE: u8 = 2;

/// Small WebAssembly functions over streams of events, exactly once, in one binary.
#[derive(Parser)]
#[command(name = "function-stream", version, max_term_width = 100)]
#[command(
    after_help = "Without a command, and with a file named in $FUNCTION_STREAM_CONF, it serves like 'standalone'."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a server with a log of its own: needs no other service
    Standalone(standalone::Args),
    /// Run a process of a server group on Apache Pulsar or Apache Kafka
    Server(server::Args),
    /// Manage functions and topics, produce and consume events
    Client(client::Args),
    /// Manage functions in SQL, at a prompt or from a text
    Sql(sql::Args),
    /// Make a new project: a folder with a function, its test and its configuration
    New(new::Args),
    /// Build an artifact from the program or the source in a folder
    Build(build::Args),
    /// Test the function of a folder: its language's own tests, and its scenarios
    Test(test::Args),
    /// Run the function of a folder, and again with each change
    Dev(dev::Args),
    /// Run a function over standard input, without a server
    Run(run::Args),
    /// Check configuration files of functions and servers
    Validate(validate::Args),
    /// Check a data folder that no server uses, and repair its log
    Check(check::Args),
    /// Make a data folder of a backup
    Restore(restore::Args),
    /// Print the settings that a server would have, each with its origin
    Config(config::Args),
    /// Measure throughput and latency
    #[command(visible_alias = "perf")]
    Bench(bench::Args),
    /// Print a script for a shell that completes commands and flags
    Completions(completions::Args),
    /// Print the description of the REST interface as YAML
    #[command(hide = true)]
    Openapi,
}

/// What is asked for. Without arguments a server is, if a file for one is named in the environment; otherwise the parser
/// prints the help.
fn command_line() -> Cli {
    let named = std::env::var_os("FUNCTION_STREAM_CONF").is_some_and(|path| !path.is_empty());
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if named && arguments.len() == 1 {
        arguments.push("standalone".into());
    }
    let matches = arguments::with_hyphens(Cli::command()).get_matches_from(arguments);
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn main() -> ExitCode {
    if let Some(done) = fnstream_runtime::compile_if_asked() {
        return done;
    }
    fnstream_core::failpoint::init();
    let done = match command_line().verb {
        Verb::Standalone(args) => standalone::run(&args),
        Verb::Server(args) => server::run(&args),
        Verb::Client(args) => client::run(args),
        Verb::Sql(args) => sql::run(args),
        Verb::New(args) => new::run(&args),
        Verb::Build(args) => build::run(args),
        Verb::Test(args) => test::run(&args),
        Verb::Dev(args) => dev::run(args),
        Verb::Run(args) => run::run(args),
        Verb::Validate(args) => validate::run(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Restore(args) => restore::run(&args),
        Verb::Config(args) => config::run(&args),
        Verb::Bench(args) => bench::run(args),
        Verb::Completions(args) => completions::run(&args, Cli::command()),
        Verb::Openapi => openapi::run(),
    };
    leave(match done {
        Ok(()) => 0,
        Err(Failure::Quiet) => FAILED,
        Err(Failure::Told(code)) => code,
        Err(failure) => {
            output::complain(&failure.to_string());
            match failure {
                Failure::Usage(_) => WRONG_USAGE,
                _ => FAILED,
            }
        }
    })
}
