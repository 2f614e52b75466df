// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client dlq`: the records that a function failed at.

mod jobs;
mod list;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use fnstream_api::{Client, DeadLetter, DeadLetterDrop, DeadLetterSelection, DeadLetterTrial};

use super::create::upload;
use crate::failure::Result;
use crate::output::{self, Fields, escape};

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
        /// Go on behind this cursor, which an earlier list named
        #[arg(long, value_name = "CURSOR")]
        after: Option<String>,
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
    ///
    /// Exits with 1 when one of them failed again, and a trial when one would.
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
        /// Print the id of the job and don't wait for it
        #[arg(long)]
        no_wait: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Drop dead letters: they are not shown or replayed any more
    ///
    /// A letter that is dropped by its id while older ones wait moves all others of its partition to the end. They keep their
    /// order and get new ids.
    #[command(group = clap::ArgGroup::new("which").required(true).args(["ids", "count", "all"]))]
    Drop {
        /// Name of the function
        #[arg(short, long)]
        name: String,
        /// These, as `dlq ls` shows them: PARTITION:POSITION
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        /// The oldest so many
        #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
        /// All that wait
        #[arg(long)]
        all: bool,
        /// Print the id of the job and don't wait for it
        #[arg(long)]
        no_wait: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a replay, a drop or a trial has done so far
    Job {
        /// The job's id
        id: String,
        /// Wait until it is over; exits with 1 when it has not done all it was for, as if it had been waited for at once
        #[arg(short, long)]
        wait: bool,
        /// Have it begin nothing more; what it did stays done
        #[arg(long)]
        cancel: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the jobs under way, and the newest of those that are over
    Jobs {
        /// Those of this function only
        #[arg(short, long)]
        name: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    match args.verb {
        Verb::Ls { name, max, after, json } => list::run(client, &name, max, after, json).await,
        Verb::Show { name, id, json } => {
            let dead_letter = client.show_dead_letter(&name, &id).await?;
            if json { output::json(&dead_letter) } else { output::line(text(&dead_letter).trim_end()) }
        }
        Verb::Replay { name, count, with_archive: Some(path), no_wait, json } => {
            let trial = DeadLetterTrial { archive: upload(client, path).await?, count };
            jobs::begun(client, client.start_trial(&name, &trial).await?, no_wait, json).await
        }
        Verb::Replay { name, count, with_archive: None, no_wait, json } => {
            let job = client.start_replay(&name, &DeadLetterSelection { count }).await?;
            jobs::begun(client, job, no_wait, json).await
        }
        Verb::Drop { name, ids, count, all, no_wait, json } => {
            let job = client.start_drop(&name, &DeadLetterDrop { ids, count, all }).await?;
            jobs::begun(client, job, no_wait, json).await
        }
        Verb::Job { id, wait, cancel, json } => jobs::show(client, &id, wait, cancel, json).await,
        Verb::Jobs { name, json } => jobs::list(client, name.as_deref(), json).await,
    }
}

fn source(dead_letter: &DeadLetter) -> String {
    format!("{}-{}:{}", dead_letter.topic, dead_letter.partition, dead_letter.position)
}

fn text(dead_letter: &DeadLetter) -> String {
    let DeadLetter { id, code, message, revision, attempts, encoding, .. } = dead_letter;
    let shown = |text: &String| bytes_of(text, encoding);
    let mut out = Fields::new(10);
    out.push("id", id);
    out.push("from", source(dead_letter));
    out.push("code", code);
    out.push("message", message);
    out.push("revision", revision.to_string());
    out.push("attempts", attempts.to_string());
    if let Some(key) = &dead_letter.key {
        out.push("key", shown(key));
    }
    for header in &dead_letter.headers {
        out.push("header", format!("{}: {}", escape::one_line(&header.name), shown(&header.value)));
    }
    match &dead_letter.value {
        Some(value) => out.push("value", shown(value)),
        None => out.push("no value", "it is null"),
    }
    match &dead_letter.backtrace {
        Some(backtrace) => format!("{out}\n  {}\n", escape::field(backtrace, 2)),
        None => out.to_string(),
    }
}

/// A part of a record, whose encoding is that of the whole, as text or as hexadecimal digits.
fn bytes_of(text: &str, encoding: &str) -> String {
    let bytes = match encoding {
        "base64" => STANDARD.decode(text).ok(),
        _ => Some(text.as_bytes().to_vec()),
    };
    bytes.map_or_else(|| text.to_owned(), |bytes| escape::bytes(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use fnstream_api::RecordHeader;

    use super::*;

    fn dead_letter() -> DeadLetter {
        DeadLetter {
            id: "0:7".into(),
            code: "FS-1402".into(),
            message: "no\u{1b}[2J\nvalue     forged".into(),
            backtrace: Some("at a\nat b".into()),
            revision: 2,
            topic: "in".into(),
            partition: 0,
            position: "9".into(),
            attempts: 3,
            failed_at_ms: 0,
            timestamp_ms: 0,
            key: None,
            headers: Vec::new(),
            value: Some("/w==".into()),
            encoding: "utf-8".into(),
        }
    }

    #[test]
    fn a_dead_letter_forges_no_line_of_its_own() {
        let expected = "id        0:7\nfrom      in-0:9\ncode      FS-1402\nmessage   no\u{1b}[2J\n          value     forged\n\
                        revision  2\nattempts  3\nvalue     /w==\n\n  at a\n  at b\n";
        assert_eq!(text(&dead_letter()), expected);
    }

    #[test]
    fn what_is_no_text_is_shown_in_digits_and_what_is_text_beside_it_as_text() {
        let header = RecordHeader { name: "h".into(), value: "/w==".into() };
        let letter =
            DeadLetter { key: Some("azE=".into()), headers: vec![header], encoding: "base64".into(), ..dead_letter() };
        let shown = text(&letter);
        assert!(shown.contains("key       k1\nheader    h: \\xff\nvalue     \\xff\n"), "{shown}");
    }

    #[test]
    fn a_record_of_megabytes_is_cut() {
        let letter = DeadLetter { value: Some("x".repeat(5 << 20)), ..dead_letter() };
        let shown = text(&letter);
        assert!(shown.len() < 10_000 && shown.contains(" bytes more: --full)"), "{}", shown.len());
    }
}
