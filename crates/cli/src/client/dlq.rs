// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client dlq`: the records that a function failed at.

use clap::Subcommand;
use comfy_table::Table;
use fnstream_api::{
    Client, DeadLetter, DeadLetterDrop, DeadLetterResult, DeadLetterSelection, DeadLetterTrial, DeadLetters,
    TriedDeadLetter,
};

use super::create::upload;
use crate::failure::Result;
use crate::output;

/// See, replay and drop dead letters.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the dead letters that wait, the oldest first
    Ls {
        /// Name of the function
        #[arg(short, long)]
        name: String,
        /// Show at most so many
        #[arg(short, long, value_name = "N", default_value_t = 100)]
        max: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a dead letter with its record, its error and the backtrace
    Show {
        /// Name of the function
        #[arg(short, long)]
        name: String,
        /// The dead letter, as `dlq ls` shows it: PARTITION:POSITION
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Have the function process its dead letters again, in their order, each exactly once
    Replay {
        /// Name of the function
        #[arg(short, long)]
        name: String,
        /// Only the oldest so many [default: all that wait]
        #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
        /// Try this artifact on the dead letters first, or sha256:DIGEST, and only report: nothing is kept or emitted
        #[arg(long, value_name = "ARCHIVE")]
        with_archive: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Drop dead letters: they are not shown or replayed any more
    #[command(group = clap::ArgGroup::new("which").required(true).args(["count", "all"]))]
    Drop {
        /// Name of the function
        #[arg(short, long)]
        name: String,
        /// The oldest so many
        #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
        /// All that wait
        #[arg(long)]
        all: bool,
    },
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    match args.verb {
        Verb::Ls { name, max, json } => {
            let dead_letters = client.list_dead_letters(&name, max).await?;
            if json { output::json(&dead_letters) } else { list(&dead_letters) }
        }
        Verb::Show { name, id, json } => {
            let dead_letter = client.show_dead_letter(&name, &id).await?;
            if json { output::json(&dead_letter) } else { output::line(text(&dead_letter).trim_end()) }
        }
        Verb::Replay { name, count, with_archive: Some(path), json } => {
            let trial = DeadLetterTrial { archive: upload(client, path).await?, count };
            let tried = client.try_dead_letters(&name, &trial).await?;
            if json { output::json(&tried) } else { tell_trial(&tried) }
        }
        Verb::Replay { name, count, with_archive: None, json } => {
            let done = client.replay_dead_letters(&name, &DeadLetterSelection { count }).await?;
            if json { output::json(&done) } else { tell_replay(&done) }
        }
        Verb::Drop { name, count, all } => {
            let done = client.drop_dead_letters(&name, &DeadLetterDrop { count, all }).await?;
            if done.finished {
                output::line(format!("{} dropped, {} waiting", done.dropped, done.waiting))?;
            }
            unfinished(&done)
        }
    }
}

fn list(dead_letters: &DeadLetters) -> Result {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["ID", "FROM", "REVISION", "ATTEMPTS", "CODE", "MESSAGE"]);
    for dead_letter in &dead_letters.dead_letters {
        table.add_row([
            dead_letter.id.clone(),
            source(dead_letter),
            dead_letter.revision.to_string(),
            dead_letter.attempts.to_string(),
            dead_letter.code.clone(),
            dead_letter.message.lines().next().unwrap_or_default().to_owned(),
        ]);
    }
    if !dead_letters.dead_letters.is_empty() {
        output::line(table.to_string())?;
    }
    let shown = match dead_letters.dead_letters.len() as u64 {
        shown if shown < dead_letters.waiting => format!(", {shown} shown"),
        _ => String::new(),
    };
    output::line(format!("{} waiting in {}{shown}", dead_letters.waiting, dead_letters.topic))
}

fn source(dead_letter: &DeadLetter) -> String {
    format!("{}-{}:{}", dead_letter.topic, dead_letter.partition, dead_letter.position)
}

fn text(dead_letter: &DeadLetter) -> String {
    let mut out = format!(
        "id        {}\nfrom      {}\ncode      {}\nmessage   {}\nrevision  {}\nattempts  {}\n",
        dead_letter.id,
        source(dead_letter),
        dead_letter.code,
        dead_letter.message,
        dead_letter.revision,
        dead_letter.attempts
    );
    if dead_letter.encoding != "utf-8" {
        out += "encoding  base64\n";
    }
    if let Some(key) = &dead_letter.key {
        out += &format!("key       {key}\n");
    }
    for header in &dead_letter.headers {
        out += &format!("header    {}: {}\n", header.name, header.value);
    }
    match &dead_letter.value {
        Some(value) => out += &format!("value     {value}\n"),
        None => out += "no value  it is null\n",
    }
    if let Some(backtrace) = &dead_letter.backtrace {
        out += &format!("\n{backtrace}\n");
    }
    out
}

fn tell_replay(done: &DeadLetterResult) -> Result {
    if done.finished {
        let DeadLetterResult { replayed, failed_again, waiting, .. } = done;
        output::line(format!("{replayed} replayed, {failed_again} failed again, {waiting} waiting"))?;
    }
    unfinished(done)
}

fn unfinished(done: &DeadLetterResult) -> Result {
    if !done.finished {
        // How many of them it has done is not known before it has done all.
        output::line(format!("{} waiting", done.waiting))?;
        output::complain("note: the function goes on with it; 'client dlq ls' shows what is left");
    }
    Ok(())
}

fn tell_trial(tried: &[TriedDeadLetter]) -> Result {
    let mut good = 0;
    for dead_letter in tried {
        let outcome = match (&dead_letter.emitted, &dead_letter.code, &dead_letter.message) {
            (Some(emitted), ..) => {
                good += 1;
                format!("ok, {emitted} emitted")
            }
            (None, code, message) => {
                format!("{} {}", code.as_deref().unwrap_or_default(), message.as_deref().unwrap_or_default())
            }
        };
        output::line(format!("{}  {outcome}", dead_letter.id))?;
    }
    output::line(format!("{good} of {} would succeed; nothing was kept", tried.len()))
}
