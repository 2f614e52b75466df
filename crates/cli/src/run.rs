// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream run`: a function over standard input, in this process.
//!
//! ```text
//! input ──lines──► topic ──► engine, runtime: as in a server ──► topic ──lines──► output
//!   ▲ held back while 16 MiB of it are not processed                 │
//!   └───────────────────── nor while the output is not taken ────────┘
//! ```
//!
//! What is read becomes events of a log, which lies in a folder that is temporary, or is named with `--data-dir` and kept. So events
//! wait, fail, are tried again and are committed as they are in a server, and in a folder that is kept what was read is processed
//! exactly once, whatever ends this process. Results are printed at least once: again, if the process was killed between
//! printing them and noting it.
//!
//! # Reading order
//!
//! `spec` (what is run), `host` (the store and the engine), `feed` (from an input to the log), `ending` (event time at the end of an
//! input), `results` and `failed` (from the log to the outputs); this file drives them.

pub(crate) mod bell;
pub(crate) mod ending;
mod failed;
mod feed;
pub(crate) mod host;
mod lines;
mod log;
mod results;
pub(crate) mod spec;

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use fnstream_core::record::TopicPartition;
use fnstream_core::units::counted;
use fnstream_engine::{FunctionState, FunctionStatus, TaskStatus};
use fnstream_server::descriptors;
use rustix::fs::Mode;
use rustix::process::umask;

use self::bell::Bell;
use self::ending::END_OF_TIME;
use self::failed::Failed;
use self::feed::Feed;
use self::host::Host;
use self::results::Results;
use self::spec::Described;
use crate::client::pair;
use crate::client::settings::Settings;
use crate::failure::{Failure, Result};
use crate::interrupt::{self, INTERRUPTED};
use crate::output::{self, escape};

/// Starts again of one function, at calls that no event is to blame for, after which the run is given up.
const PATIENCE: u64 = 5;

/// What `--files` means without a server that would have to allow it.
const FILES: &str = "Folder of this machine that the function may read, and where it finds it if not at the same path; granted by being \
     named here; may be repeated";

/// Run a function over standard input, without a server: its results go to standard output, what it prints to standard error.
///
/// The engine, the limits and the error policy are those of a server. The exit code is 0 if all events were processed, 1 if some
/// failed or the function does not run, 2 for wrong usage, 130 after an interrupt.
#[derive(clap::Args)]
#[command(mut_arg("files", |files| files.help(FILES)))]
pub(crate) struct Args {
    /// What to run: a WebAssembly file, a .py or .js file, or a folder or a zip of these
    #[arg(value_name = "ARTIFACT")]
    artifact: PathBuf,
    /// Description of the function, a config.yaml [default: one input, one output]; options change what it says
    #[arg(short, long, value_name = "CONFIG")]
    file: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Events are JSON objects in lines, with key, headers and timestamp, as 'client consume --json' prints them; in and out
    #[arg(long)]
    json_lines: bool,
    /// File with the events of an input topic; - is standard input; may be repeated [default: the first input reads standard
    /// input, others get no events]
    #[arg(long = "input", value_name = "TOPIC=FILE", value_parser = pair)]
    inputs: Vec<(String, String)>,
    /// File for the events of an output topic; - is standard output; may be repeated [default: the first output goes to
    /// standard output, others are counted]
    #[arg(long = "output", value_name = "TOPIC=FILE", value_parser = pair)]
    outputs: Vec<(String, String)>,
    /// Folder that keeps the state and what is not processed or printed yet; without one nothing is kept
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Pass over as many events of each input as earlier runs in the folder have taken: the input is the same, from its beginning
    #[arg(long, requires = "data_dir")]
    resume: bool,
    /// What becomes of event time at the end of the input [default: close, or keep with --data-dir]
    #[arg(long, value_enum, value_name = "WHAT")]
    at_end: Option<AtEnd>,
    /// Folder that a config.yaml may grant to the function; may be repeated. Those of --files are granted anyway
    #[arg(long, value_name = "FOLDER")]
    allow_files_dir: Vec<PathBuf>,
    /// Print what happens to the function, too: retries, instances that are replaced
    #[arg(short, long)]
    verbose: bool,
}

/// What becomes of event time at the end of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AtEnd {
    /// It comes to its end: windows close and all timers of event time fire
    Close,
    /// It stays where it is, for a run that goes on in the folder
    Keep,
}

impl Args {
    fn closes(&self) -> bool {
        self.at_end.unwrap_or(if self.data_dir.is_some() { AtEnd::Keep } else { AtEnd::Close }) == AtEnd::Close
    }
}

/// An output that is an input too would be emptied before it is read.
fn refuse_one_file_for_both(args: &Args) -> Result {
    let id = |of: Metadata| of.is_file().then(|| (of.dev(), of.ino()));
    let files = args.inputs.iter().filter(|(_, file)| file != "-").filter_map(|(_, file)| id(fs::metadata(file).ok()?));
    let standard = io::stdin().as_fd().try_clone_to_owned().and_then(|input| File::from(input).metadata());
    let read: HashSet<_> = files.chain(standard.ok().and_then(id)).collect();
    for (_, file) in args.outputs.iter().filter(|(_, file)| file != "-") {
        if fs::metadata(file).ok().and_then(id).is_some_and(|file| read.contains(&file)) {
            return Err(Failure::Usage(format!("'{file}' is an input: it would be lost before it is read")));
        }
    }
    Ok(())
}

pub(crate) fn run(args: Args) -> Result {
    let described = spec::describe(&args)?;
    let (bell, asked) = (Bell::default(), Arc::new(AtomicBool::new(false)));
    {
        let (bell, asked) = (bell.clone(), asked.clone());
        interrupt::end_orderly(move || {
            asked.store(true, Ordering::Relaxed);
            bell.ring();
        })?;
    }
    refuse_one_file_for_both(&args)?;
    // Files of the user's are made with the rights that the user wants, those of the store are private.
    let (inputs, outputs) = (feed::open(&described, &args)?, results::open(&described, &args)?);
    umask(Mode::from_raw_mode(0o077));
    descriptors::raise_limit();
    let host = Host::open(&described, &args, &bell)?;
    let mut run = Run {
        results: Results::new(&host, outputs, args.json_lines, &bell)?,
        failed: Failed::new(&host, described.hides_dead_letters)?,
        feeds: feed::start(&host, inputs, &args, &bell)?,
        closes: args.closes(),
        restarts: None,
        host,
    };
    run.drive(&bell, &asked)?;
    run.finish()?;
    run.exit(asked.load(Ordering::Relaxed))
}

struct Run {
    // Before the host: they watch its topics.
    feeds: Vec<Feed>,
    results: Results,
    failed: Failed,
    host: Host,
    /// Event time is brought to its end.
    closes: bool,
    /// How often each task had started again when all events were processed.
    restarts: Option<u64>,
}

impl Run {
    /// Works until all is done, or somebody asks for an end.
    fn drive(&mut self, bell: &Bell, asked: &AtomicBool) -> Result {
        while !asked.load(Ordering::Relaxed) {
            bell.wait();
            self.results.print()?;
            let status = self.host.status();
            for feed in &self.feeds {
                feed.go_on(&self.host, &status)?;
                if self.closes && feed.end().is_some() {
                    self.host.endings.end(&feed.at);
                }
            }
            self.failed.tell(&self.host, &self.feeds)?;
            self.check(&status)?;
            if self.is_done(&status) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reports whether every event was processed, and event time is where it is to be.
    fn is_done(&self, status: &FunctionStatus) -> bool {
        let is_done = |task: &TaskStatus| !self.closes || task.watermark == Some(END_OF_TIME);
        status.state == FunctionState::Running && self.is_processed(status) && status.tasks.iter().all(is_done)
    }

    fn is_processed(&self, status: &FunctionStatus) -> bool {
        self.feeds.iter().all(|feed| feed.end().is_some_and(|end| place(status, &feed.at) >= end))
    }

    /// An error if the function does not go on by itself.
    fn check(&mut self, status: &FunctionStatus) -> Result {
        let error = status.tasks.iter().find_map(|task| task.last_error.clone());
        let restarts = status.tasks.iter().map(|task| task.restarts).sum();
        let gives_up = match status.state {
            FunctionState::Failed => true,
            // Not even its start succeeds, or no event is left that could be to blame.
            FunctionState::BackingOff if self.is_processed(status) => {
                restarts >= *self.restarts.get_or_insert(restarts) + PATIENCE
            }
            _ => false,
        };
        if let Some(circling) = status.tasks.iter().find_map(|task| task.circling.clone()) {
            return Err(circling.into());
        }
        let Some(error) = error.filter(|_| gives_up) else { return Ok(()) };
        // What it had committed before may have been on its way.
        self.host.stop();
        self.results.print()?;
        // A task that failed at an event stands before it. One that does not start stands somewhere, too.
        let standing = self.host.standing()?;
        let at = self.feeds.iter().find_map(|feed| {
            let position = standing.get(&feed.at).copied().unwrap_or_default();
            let is_there = error.message.starts_with(&format!("at position {position} of {}", feed.at));
            feed.line(position.0).filter(|_| is_there).map(|line| format!("{}: ", feed.place(line)))
        });
        let message = format!("{}{}", at.unwrap_or_default(), error.message);
        if let Some(backtrace) = &error.backtrace {
            output::complain(&escape::field(backtrace, 2));
        }
        Err(Failure::of_server(error.code.as_str().to_owned(), &message, error.code.advice()))
    }

    /// Ends the function, prints what is left, closes the store.
    fn finish(&mut self) -> Result {
        self.host.stop();
        self.results.print()?;
        self.failed.tell(&self.host, &self.feeds)?;
        self.results.end()?;
        self.host.close()
    }

    fn exit(&self, interrupted: bool) -> Result {
        for (topic, count) in self.results.dropped() {
            output::complain(&format!(
                "note: {} of the output '{topic}' went nowhere: name it with --output",
                counted(count, "event")
            ));
        }
        let failed = self.failed.count() + self.feeds.iter().map(Feed::failed).sum::<u64>();
        if failed > 0 {
            output::complain(&format!("{} failed", counted(failed, "event")));
        }
        match (interrupted, failed) {
            (true, _) => Err(Failure::Told(INTERRUPTED)),
            (false, 0) => Ok(()),
            (false, _) => Err(Failure::Told(1)),
        }
    }
}

/// The position up to which a partition was processed.
pub(crate) fn place(status: &FunctionStatus, at: &TopicPartition) -> u128 {
    let partitions = status.tasks.iter().flat_map(|task| &task.partitions);
    partitions.filter(|partition| partition.partition == *at).map(|partition| partition.position.0).max().unwrap_or(0)
}

/// The names on the command line, each of which has to be one of these topics.
fn named(what: &str, given: &[(String, String)], topics: &[String]) -> Result {
    for (at, (topic, _)) in given.iter().enumerate() {
        if !topics.contains(topic) {
            let there = topics.join("', '");
            return Err(Failure::Usage(format!("'{topic}' is no {what} of the function, which has '{there}'")));
        }
        if given[..at].iter().any(|(other, _)| other == topic) {
            return Err(Failure::Usage(format!("the {what} '{topic}' is given twice")));
        }
    }
    Ok(())
}

/// What each topic of the function is of: what the command line says, or the standard stream for the first, or nothing.
fn files(described: &[String], given: &[(String, String)]) -> Vec<Option<String>> {
    let of = |(index, topic): (usize, &String)| {
        let named = given.iter().find(|(name, _)| name == topic).map(|(_, file)| file.clone());
        named.or_else(|| (index == 0).then(|| "-".to_owned()))
    };
    described.iter().enumerate().map(of).collect()
}

/// The topics of a function by their names, each once.
fn topics(described: &Described) -> (Vec<String>, Vec<String>) {
    let names = |topics: &mut dyn Iterator<Item = &fnstream_core::topic::TopicRef>| {
        let mut names: Vec<String> = Vec::new();
        for topic in topics {
            let name = topic.topic.to_string();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    };
    (names(&mut described.spec.inputs.iter().flatten()), names(&mut described.spec.outputs.iter()))
}
