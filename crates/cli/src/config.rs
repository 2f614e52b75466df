// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream config`: what a server would be started with, and why.

use clap::ValueEnum;
use fnstream_config::reference::{function_reference, server_reference};
use fnstream_config::schema::{function_schema, server_schema};
use fnstream_config::server::{Bound, SERVER_DEFAULTS};
use fnstream_core::budget::Budget;
use fnstream_core::units::write_size;
use fnstream_server::ServerConfig;
use fnstream_server::descriptors::{self, Descriptors};

use crate::failure::Result;
use crate::{output, settings};

/// The setting that bounds how many consumers wait.
const CONNECTIONS: &str = "network.max_connections";

/// Print the settings that a server would have, each with its origin. Takes the flags of 'standalone'.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: settings::Args,
    /// How to print them
    #[arg(long, value_enum, default_value_t = Format::Yaml)]
    format: Format,
    /// Print the defaults instead, as a commented file to begin with
    #[arg(long, conflicts_with = "schema")]
    defaults: bool,
    /// Print the JSON schema of a file instead
    #[arg(long, value_enum, value_name = "KIND")]
    schema: Option<Kind>,
    /// Print the reference of a file's keys instead
    #[arg(long, value_enum, value_name = "KIND", hide = true, conflicts_with_all = ["schema", "defaults"])]
    reference: Option<Kind>,
}

/// How settings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// As a file, with origins as comments
    Yaml,
    /// As a JSON object
    Json,
}

/// What a file describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A function
    Function,
    /// A server
    Server,
}

pub(crate) fn run(args: &Args) -> Result {
    if args.defaults {
        return output::line(SERVER_DEFAULTS.trim_end());
    }
    match args.schema {
        Some(Kind::Function) => return output::json(&function_schema()),
        Some(Kind::Server) => return output::json(&server_schema()),
        None => {}
    }
    match args.reference {
        Some(Kind::Function) => return output::line(function_reference().trim_end()),
        Some(Kind::Server) => return output::line(server_reference().trim_end()),
        None => {}
    }
    let mut loaded = settings::load(&args.settings)?;
    let config = settings::server(&loaded.settings);
    let (budget, files) = (Budget::new(config.memory), shares(&config));
    for (path, bound) in bounds(&config, &files) {
        loaded.effective.bind(path, bound);
    }
    loaded.notes.iter().for_each(|note| output::complain(note));
    match args.format {
        Format::Yaml => {
            let shown = loaded.effective.to_yaml();
            output::line(format!("{}\n\n{}\n{}", shown.trim_end(), memory(&config, &budget), told(&files)))
        }
        Format::Json => output::json(&loaded.effective.to_json()),
    }
}

/// The settings that ask for more than there is, with what is in force of them.
fn bounds(config: &ServerConfig, files: &Descriptors) -> Vec<(&'static str, Bound)> {
    const FILES: &str = "the limit of open files";
    let network = &config.network;
    let sizes = [
        ("rest.max_produce_size", config.max_produce_bytes, config.most_produced()),
        ("rest.max_artifact_size", config.max_artifact_bytes, config.most_artifact()),
    ];
    let sizes = sizes.into_iter().filter(|(_, wanted, most)| most.bytes < *wanted).filter_map(|(path, _, most)| {
        Some((path, Bound { in_force: write_size(most.bytes as u64), by: most.setting? }))
    });
    let waiting = if files.connections < network.max_connections.unwrap_or_default() { FILES } else { CONNECTIONS };
    let numbers = [
        (CONNECTIONS, network.max_connections, files.connections, FILES),
        ("network.max_waiting_consumers", network.max_waiting, files.waiting, waiting),
    ];
    let numbers = numbers.into_iter().filter(|(_, wanted, most, _)| wanted.is_some_and(|wanted| *most < wanted));
    sizes.chain(numbers.map(|(path, _, most, by)| (path, Bound { in_force: most.to_string(), by }))).collect()
}

/// How the server would share out its memory, as comments.
fn memory(config: &ServerConfig, budget: &Budget) -> String {
    let mib = |bytes: usize| write_size((bytes >> 20 << 20) as u64);
    let parts: Vec<_> = budget.parts().iter().map(|part| format!("{} {}", part.name(), mib(part.limit()))).collect();
    format!(
        "# Of {} of memory, the program and its caches have {}, and the rest is shared out: {}.\n\
         # The largest event is {}, the largest artifact {}.",
        mib(budget.total()),
        mib(budget.own()),
        parts.join(", "),
        write_size(config.most_produced().bytes as u64),
        write_size(config.most_artifact().bytes as u64),
    )
}

/// How the server would share out what it may have open.
fn shares(config: &ServerConfig) -> Descriptors {
    let network = &config.network;
    Descriptors::divide(descriptors::raise_limit(), config.memory, network.max_connections, network.max_waiting)
}

/// The same, as comments.
fn told(files: &Descriptors) -> String {
    let Descriptors { limit, store, connections, waiting, .. } = files;
    format!(
        "# Of {limit} open files (ulimit -Hn), the store has {store} and connections {connections}, of which {waiting} may wait for events."
    )
}
