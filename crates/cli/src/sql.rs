// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream sql`: statements from a prompt, from the command line, from a file or from standard input.
//!
//! # Reading order
//!
//! [`session`] carries a statement out at a server, [`create`] reads what it uploads, [`rows`] are what comes back and
//! [`show`] is how they look. [`script`] runs texts, [`repl`] is the prompt with its [`completer`] and [`history`].

mod completer;
mod create;
mod history;
mod repl;
mod rows;
mod script;
mod session;
mod show;

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::sync::Arc;

use clap::ArgAction;
use fnstream_sql::MAX_BYTES;

use crate::failure::{Failure, Result};
use crate::output;
use crate::service;
use script::Source;
use session::Session;
use show::Format;

/// The exit code when no server is reached.
const NOT_REACHED: u8 = 3;
/// Where a server serves gRPC, if nobody says otherwise.
const HOST: &str = "127.0.0.1";
const PORT: u16 = 8080;

/// The exit code when a statement failed.
const FAILED: u8 = 1;

const AFTER_HELP: &str = "\
Without -e and -f statements are read from standard input; from a terminal, at a prompt. A text in which one statement
has a mistake is not begun.

Exit codes: 0 all statements succeeded, 1 one failed, 2 wrong usage, 3 no server was reached";

/// Manage functions in SQL, at a prompt or from a text.
#[derive(clap::Args)]
#[command(disable_help_flag = true, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Server to talk to, by the address of its REST interface, which serves gRPC too; 'http://' may be left out
    /// [env: FUNCTION_STREAM_URL]
    #[arg(short = 's', long, value_name = "URL", conflicts_with_all = ["host", "port"])]
    service_url: Option<String>,
    /// Server to talk to, by the address of its gRPC port [default: 127.0.0.1, if no URL is given]
    #[arg(short = 'h', long, value_parser = host)]
    host: Option<String>,
    /// Port of the server's gRPC address [default: 8080, if no URL is given]
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Run these statements and end; may be repeated
    #[arg(short = 'e', long = "execute", value_name = "SQL", conflicts_with = "file", allow_hyphen_values = true)]
    execute: Vec<String>,
    /// Run the statements of this file and end; '-' is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How rows are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Go on with the next statement after one that failed; the exit code is 1 all the same
    #[arg(long)]
    keep_going: bool,
    /// Show the values of tables and messages in full length, which are cut otherwise
    #[arg(long)]
    full: bool,
}

pub(crate) fn run(args: Args) -> Result {
    if args.full {
        output::escape::show_in_full();
    }
    // The worker drives the connection while the prompt waits for a key, so that a server's end is noticed.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let session = Arc::new(Session::new(url(&args)?));
    let sources = match (&args.execute, &args.file) {
        (texts, None) if !texts.is_empty() => texts.iter().map(|text| Source::argument(text)).collect(),
        (_, Some(path)) if path.as_os_str() != "-" => vec![file(path)?],
        (_, None) if std::io::stdin().is_terminal() => return repl::run(&runtime, &session, args.format),
        _ => vec![Source::argument(&bounded(std::io::stdin().lock(), "standard input")?)],
    };
    runtime.block_on(script::run(&session, &sources, args.format, args.keep_going))
}

/// The server that is named by an option, in the environment, or by nobody.
fn url(args: &Args) -> Result<String> {
    let named = match (&args.host, args.port) {
        (None, None) => args.service_url.clone().or_else(service::named),
        _ => None,
    };
    if let Some(url) = named {
        return service::grpc_url(&url);
    }
    let host = args.host.as_deref().unwrap_or(HOST);
    // An IPv6 address is told from a name by its colons.
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    Ok(format!("http://{host}:{}", args.port.unwrap_or(PORT)))
}

/// What can stand in a URL as a host: a name or an address, the latter also in brackets.
fn host(text: &str) -> std::result::Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']' | '%');
    match !text.is_empty() && text.chars().all(fits) {
        true => Ok(text.to_owned()),
        false => Err("a host is a name or an address".to_owned()),
    }
}

fn file(path: &PathBuf) -> Result<Source> {
    let unreadable = |e: std::io::Error| Failure::Usage(format!("cannot read '{}': {e}", path.display()));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    Ok(Source::file(path, bounded(file, &path.display().to_string())?))
}

/// Reads a text, of a longer one only enough to know that it is too long.
fn bounded(reader: impl Read, name: &str) -> Result<String> {
    let mut bytes = Vec::new();
    let unreadable = |e: std::io::Error| Failure::Usage(format!("cannot read '{name}': {e}"));
    reader.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_BYTES {
        return Err(Failure::Usage(format!("'{name}' has more than {MAX_BYTES} bytes: run it in parts")));
    }
    String::from_utf8(bytes).map_err(|_| Failure::Usage(format!("'{name}' is not text in UTF-8")))
}
