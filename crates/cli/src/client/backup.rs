// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client backup`: everything that the server keeps, as it is at one moment, in a folder on the server's machine.

use std::io::IsTerminal;
use std::path::PathBuf;

use fnstream_api::units::{format_size, parse_size};
use fnstream_api::{BackupRequest, Client};

use crate::failure::{Failure, Result};
use crate::output;

/// Make a backup of everything that the server keeps, while it runs: topics, functions, their state and artifacts. The folder is
/// there when the backup is whole and on the disk. Ctrl-C ends it, and nothing is left. 'function-stream restore' is the way back
#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder on the server's machine that is not there yet; the one above it must be
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Copy at most so much in a second, such as 20MiB [default: as much as the disk gives]
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    rate: Option<u64>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

fn rate(text: &str) -> std::result::Result<u64, String> {
    match parse_size(text) {
        Ok(0) => Err("a backup that copies nothing has no end".to_owned()),
        Ok(size) => Ok(size),
        Err(e) => Err(e.to_string()),
    }
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    let to = std::path::absolute(&args.to)?;
    let to = to.into_os_string().into_string().map_err(|_| Failure::Usage("the folder is not utf-8".to_owned()))?;
    let watched = std::io::stderr().is_terminal() && !args.json;
    let asked = BackupRequest { to, rate: args.rate };
    let made = client.backup(&asked, |progress| {
        if watched {
            output::progress(&format!("{} of {}", format_size(progress.bytes), format_size(progress.of)));
        }
    });
    let made = made.await;
    if watched {
        output::progress("");
    }
    let (made, to) = (made?, asked.to);
    if args.json {
        return output::json(&serde_json::json!({
            "to": to,
            "at_unix_ms": made.at_unix_ms,
            "topics": made.topics,
            "functions": made.functions,
            "files": made.files,
            "bytes": made.bytes,
        }));
    }
    let (topics, functions, size) = (made.topics, made.functions, format_size(made.bytes));
    output::line(format!("Backup made: {to} (topics {topics}, functions {functions}, {size})"))
}
