// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream config`: what a server would be started with, and why.

use clap::ValueEnum;
use fnstream_config::reference::{function_reference, server_reference};
use fnstream_config::schema::{function_schema, server_schema};
use fnstream_config::server::{SERVER_DEFAULTS, ServerSettings};
use fnstream_core::budget::Budget;
use fnstream_core::units::write_size;
use fnstream_server::descriptors::{self, Descriptors};

use crate::failure::Result;
use crate::{output, settings};

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
    let loaded = settings::load(&args.settings)?;
    loaded.notes.iter().for_each(|note| output::complain(note));
    match args.format {
        Format::Yaml => {
            let shown = loaded.effective.to_yaml();
            let (memory, files) = (memory(&loaded.settings), files(&loaded.settings));
            output::line(format!("{}\n\n{memory}\n{files}", shown.trim_end()))
        }
        Format::Json => output::json(&loaded.effective.to_json()),
    }
}

/// How the server would share out its memory, as comments.
fn memory(settings: &ServerSettings) -> String {
    let config = settings::server(settings);
    let budget = Budget::new(config.memory);
    let mib = |bytes: usize| write_size((bytes >> 20 << 20) as u64);
    let parts: Vec<_> = budget.parts().iter().map(|part| format!("{} {}", part.name(), mib(part.limit()))).collect();
    format!(
        "# Of {} of memory, the program and its caches have {}, and the rest is shared out: {}.\n\
         # The largest event is {}, the largest artifact {}.",
        mib(budget.total()),
        mib(budget.own()),
        parts.join(", "),
        mib(config.most_produce_bytes()),
        mib(config.most_artifact_bytes()),
    )
}

/// How the server would share out what it may have open, as comments.
fn files(settings: &ServerSettings) -> String {
    let config = settings::server(settings);
    let (network, limit) = (&config.network, descriptors::raise_limit());
    let shares = Descriptors::divide(limit, config.memory, network.max_connections, network.max_waiting);
    let Descriptors { limit, store, connections, waiting, .. } = shares;
    format!(
        "# Of {limit} open files (ulimit -Hn), the store has {store} and connections {connections}, of which {waiting} may wait for events."
    )
}
