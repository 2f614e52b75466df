// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream validate`: what is wrong with configuration files, before anything is sent or started.

use std::path::PathBuf;

use clap::ValueEnum;
use fnstream_config::{ConfigKind, Problem, Severity, documents, parse_function_config, parse_server_config};
use serde_json::{Value, json};

use crate::config::Kind;
use crate::failure::{Failure, Result};
use crate::output;

/// Check configuration files of functions and servers. Tells all problems with their places; the exit code is 1 if a file
/// cannot be used.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files to check
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What they describe [default: what their keys tell]
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How problems are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for each: FILE:LINE:COLUMN: MESSAGE
    Text,
    /// A JSON array of files
    Json,
}

pub(crate) fn run(args: &Args) -> Result {
    let mut reports = Vec::new();
    for path in &args.files {
        let name = path.display().to_string();
        reports.push(match crate::files::read(path, crate::files::MOST_TEXT) {
            Ok(bytes) => check(name, &bytes, args.kind),
            Err(error) => Report { name, kind: None, problems: vec![unreadable(&error)] },
        });
    }
    match args.format {
        Format::Text => reports.iter().try_for_each(print)?,
        Format::Json => output::json(&reports.iter().map(as_json).collect::<Vec<_>>())?,
    }
    if reports.iter().all(Report::is_good) { Ok(()) } else { Err(Failure::Quiet) }
}

/// What is to be said about a file.
struct Report {
    name: String,
    /// Unknown of a file that cannot be read.
    kind: Option<ConfigKind>,
    problems: Vec<Problem>,
}

impl Report {
    fn is_good(&self) -> bool {
        self.problems.iter().all(|problem| problem.severity == Severity::Note)
    }

    fn kind(&self) -> Option<&'static str> {
        self.kind.map(|kind| match kind {
            ConfigKind::Function => "function",
            ConfigKind::Server => "server",
        })
    }
}

fn check(name: String, bytes: &[u8], kind: Option<Kind>) -> Report {
    let kind = match kind {
        Some(Kind::Function) => ConfigKind::Function,
        Some(Kind::Server) => ConfigKind::Server,
        None => ConfigKind::of(bytes),
    };
    let problems = match kind {
        ConfigKind::Function => functions(bytes),
        ConfigKind::Server => parse_server_config(bytes).map_or_else(|problems| problems.list, |(_, notes)| notes),
    };
    Report { name, kind: Some(kind), problems }
}

/// What is to be said about each function of a file.
fn functions(bytes: &[u8]) -> Vec<Problem> {
    let texts = match documents(bytes) {
        none if none.is_empty() => vec![bytes.to_vec()],
        texts => texts,
    };
    let told = |text: &Vec<u8>| parse_function_config(text).map_or_else(|problems| problems.list, |(_, notes)| notes);
    texts.iter().flat_map(told).collect()
}

fn unreadable(error: &std::io::Error) -> Problem {
    let message = format!("the file cannot be read: {error}");
    Problem { severity: Severity::Error, place: None, origin: None, message, hint: None }
}

fn print(report: &Report) -> Result {
    for problem in &report.problems {
        output::line(problem.line(&report.name))?;
    }
    match report.kind() {
        Some(kind) if report.is_good() => output::line(format!("{}: valid {kind} configuration", report.name)),
        _ => Ok(()),
    }
}

fn as_json(report: &Report) -> Value {
    let problem = |problem: &Problem| {
        json!({
            "severity": if problem.severity == Severity::Note { "note" } else { "error" },
            "line": problem.place.map(|place| place.line),
            "column": problem.place.map(|place| place.column),
            "message": problem.message,
            "hint": problem.hint,
        })
    };
    json!({
        "file": report.name,
        "kind": report.kind(),
        "valid": report.is_good(),
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}
