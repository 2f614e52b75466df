// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream config`: what a server would be started with, and why.

use clap::ValueEnum;
use fnstream_config::reference::{function_reference, server_reference};
use fnstream_config::schema::{function_schema, server_schema};
use fnstream_config::server::SERVER_DEFAULTS;

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
        Format::Yaml => output::line(loaded.effective.to_yaml().trim_end()),
        Format::Json => output::json(&loaded.effective.to_json()),
    }
}
