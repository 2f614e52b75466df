// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client logs`: what a function printed and what happened to it.

use fnstream_api::units::format_time;
use fnstream_api::{Client, LogLine, LogOptions};

use super::follow::{Follow, WAIT};
use crate::failure::Result;
use crate::output::{self, escape::one_line};

/// Show what a function printed and what happened to it.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the function
    #[arg(short, long)]
    name: String,
    /// Number of lines to begin with
    #[arg(short, long, value_name = "N", default_value_t = 100)]
    tail: u64,
    /// Go on with what comes, until it is interrupted; waits for a server that restarts
    #[arg(short, long)]
    follow: bool,
    /// Print each line as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    let mut options = LogOptions { tail: Some(args.tail), ..LogOptions::default() };
    let mut follow = args.follow.then(Follow::begin).transpose()?;
    loop {
        let page = match &mut follow {
            Some(follow) => follow.ask(async || client.function_logs(&args.name, &options).await).await?,
            None => client.function_logs(&args.name, &options).await?,
        };
        for line in &page.lines {
            match args.json {
                true => output::json_line(line)?,
                false => output::line(text(line))?,
            }
        }
        if follow.is_none() {
            return Ok(());
        }
        options = LogOptions { tail: None, after: Some(page.next), wait: Some(WAIT) };
    }
}

fn text(line: &LogLine) -> String {
    let task = line.task.map(|task| format!("task {task} ")).unwrap_or_default();
    format!("{} {task}{} | {}", format_time(line.ms), one_line(&line.speaker), one_line(&line.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_who_and_what() {
        let mut line = LogLine { ms: 0, task: Some(3), speaker: "stderr".into(), text: "a\t\u{1b}[2Jb".into() };
        assert_eq!(text(&line), "1970-01-01T00:00:00.000Z task 3 stderr | a\t\\u{1b}[2Jb");
        line = LogLine { task: None, speaker: "host".into(), text: "created".into(), ..line };
        assert_eq!(text(&line), "1970-01-01T00:00:00.000Z host | created");
    }
}
