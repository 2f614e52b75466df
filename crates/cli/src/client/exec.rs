// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client exec`: hands modules to the instances of a function that takes them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fnstream_api::{Client, ExecModule, ExecRequest};

use super::pair;
use crate::failure::{Failure, Result};
use crate::output;

/// Hand code or modules to a running function that takes them.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the function
    #[arg(short, long)]
    name: String,
    /// What is to be run of the modules
    #[arg(long, value_name = "CLASS")]
    class_name: String,
    /// A module, as name=path of a file on this machine; may be repeated
    #[arg(short, long = "module", value_name = "NAME=PATH", value_parser = pair)]
    modules: Vec<(String, String)>,
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    let read = |(name, path): (String, String)| {
        let bytes = crate::files::read(path.as_ref(), crate::files::MOST_BINARY)
            .map_err(|e| Failure::Usage(format!("cannot read '{path}': {e}")))?;
        Ok::<_, Failure>(ExecModule { name, bytes: STANDARD.encode(bytes) })
    };
    let modules = args.modules.into_iter().map(read).collect::<Result<_>>()?;
    client.exec(&args.name, &ExecRequest { class_name: args.class_name, modules }).await?;
    output::line(format!("Function {} took it", args.name))
}
