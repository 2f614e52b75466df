// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream dev`: runs the function of a folder, and again with each change.
//!
//! ```text
//! files ──► build ──► upload, apply: a revision, with the state of the one before ──► outputs, logs, failures ──► the terminal
//! lines that are typed ──► the first input                        └──► the last records again, aside: what changed
//! ```
//!
//! The server is one of its own in this process, or one that runs. Whatever does not build or come up leaves the revision before
//! it running. The end leaves nothing behind: see [`place`].
//!
//! # Reading order
//!
//! `place` (the server), `session` (the loop), `update` (from files to a revision), `watch`, `tail` and `typed` (what happens, as
//! events), `replay` (the last records again).

mod place;
mod replay;
mod session;
mod tail;
mod typed;
mod update;
mod watch;

use std::path::PathBuf;

use crate::failure::Result;
use crate::project::Project;

/// Run the function of a folder, and again with each change of its files.
///
/// Starts a server of its own, unless one is named. Each line of standard input is an event of the first input. Ctrl-C ends it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder of the function
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Server that runs already, to use instead of one of its own [env: FUNCTION_STREAM_URL]
    #[arg(short, long, value_name = "URL", conflicts_with = "data_dir")]
    server: Option<String>,
    /// Folder in which a server of its own keeps everything; without one it is temporary
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// After each change, process the last N input records aside with the code before and the code now, from an empty state, and
    /// show what differs
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=10_000))]
    replay: u32,
    /// Lines of standard input are JSON objects, with key, headers and timestamp, as 'client consume --json' prints them
    #[arg(long)]
    json_lines: bool,
}

/// What happens while a function is developed.
enum Event {
    /// Files were changed.
    Changed(Vec<PathBuf>),
    /// A build has ended, and what came of it is in force.
    Updated(Box<Result<update::Updated>>),
    /// The last records were processed again.
    Replayed(Result<String>),
    /// A line was typed.
    Typed(Vec<u8>),
    /// Records of a topic.
    Came(tail::Came),
    /// The function's log.
    Said(fnstream_api::LogLine),
    /// Something cannot be followed any more.
    Lost(String),
    /// Somebody asks for an end.
    Interrupted,
}

/// Where events go.
type Events = tokio::sync::mpsc::UnboundedSender<Event>;

pub(crate) fn run(args: Args) -> Result {
    let project = Project::of(&args.dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(session::run(args, project));
    // A read of the terminal that nobody answers must not keep the process.
    runtime.shutdown_background();
    ended
}
