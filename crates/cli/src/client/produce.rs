// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client produce`: one event or some, one whose value is null, a file as one event, or the lines of a file as they come.

mod lines;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;

use fnstream_api::{Client, ClientError, ProduceOptions};
use fnstream_core::clock::{Clock, SystemClock};
use fnstream_frame::{FrameBuilder, HeadersBuilder, RecordRef};

use self::lines::{Cutter, Request, chunks};
use super::{new_topic, pair};
use crate::failure::{Failure, Result};
use crate::output;

/// Send events to a topic.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct Args {
    /// Name of the topic
    #[arg(short, long, value_name = "TOPIC")]
    name: String,
    /// The event, sent as it is, also an empty one; may be repeated
    #[arg(short, long, group = "what", allow_hyphen_values = true)]
    content: Vec<OsString>,
    /// File with one event per line, sent as they come; - is standard input; empty lines are skipped
    #[arg(short, long, group = "what")]
    file: Option<String>,
    /// Send the file as one event, as it is
    #[arg(long, requires = "file")]
    whole: bool,
    /// Send an event whose value is null, which is not an empty one
    #[arg(long, group = "what")]
    null: bool,
    /// Key of the events: events of one key stay in order
    #[arg(short, long, allow_hyphen_values = true)]
    key: Option<OsString>,
    /// Header of the events, as name=value; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// Time of the events in milliseconds since the Unix epoch, in place of that of their arrival
    #[arg(short, long, value_name = "MS", allow_negative_numbers = true)]
    timestamp: Option<i64>,
    /// Partition to send to
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
}

pub(super) async fn run(client: &Client, args: Args) -> Result {
    let options = ProduceOptions {
        partition: args.partition,
        timestamp: args.timestamp,
        key: args.key.map(OsString::into_vec),
        headers: args.headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect(),
    };
    let topic = args.name;
    new_topic::note(client, &topic, "").await;
    match args.file {
        None if args.null => {
            client.produce_null(&topic, &options).await?;
            output::line("Event produced")
        }
        None => each(client, &topic, &options, args.content.into_iter().map(OsString::into_vec).collect()).await,
        Some(path) if args.whole => {
            let mut event = Vec::new();
            open(&path)?.read_to_end(&mut event).map_err(|e| unreadable(&path, 0, &e))?;
            each(client, &topic, &options, vec![event]).await
        }
        Some(path) => stream(client, &topic, &options, &path).await,
    }
}

/// Sends events one after the other.
async fn each(client: &Client, topic: &str, options: &ProduceOptions, events: Vec<Vec<u8>>) -> Result {
    let count = events.len();
    for (sent, event) in events.into_iter().enumerate() {
        let produced = match event.is_empty() {
            true => client.produce_frame_to(topic, options.partition, empty(options)?).await,
            false => client.produce(topic, event, options).await,
        };
        produced.map_err(|e| told(e, sent as u64, "the next ones"))?;
    }
    match count {
        1 => output::line("Event produced"),
        count => output::line(format!("{count} events produced")),
    }
}

/// A frame with an empty event: the body of a request for it would look like one that was forgotten.
fn empty(options: &ProduceOptions) -> Result<Vec<u8>> {
    let mut headers = HeadersBuilder::new();
    for (name, value) in &options.headers {
        headers.push(name, value).map_err(|e| Failure::Usage(format!("'{name}' is not a header: {e}")))?;
    }
    let time = options.timestamp.unwrap_or_else(|| SystemClock::new().unix_ms());
    let record = RecordRef::new(b"").with_key(options.key.as_deref()).with_headers(headers.as_headers()).at(time);
    let mut frame = FrameBuilder::new();
    frame.push(record);
    Ok(frame.to_bytes())
}

/// Sends the lines of an input as they come: what comes while a request is under way goes with the next one.
async fn stream(client: &Client, topic: &str, options: &ProduceOptions, path: &str) -> Result {
    let (mut chunks, mut cutter, mut sent, mut is_end) = (chunks(open(path)?), Cutter::default(), 0, false);
    loop {
        while let Some(Request { body, first, last }) = cutter.next(is_end) {
            let lines = format!("those of lines {first} to {last}");
            sent += client.produce_lines(topic, body, options).await.map_err(|e| told(e, sent, &lines))?.count;
        }
        if let Some(line) = cutter.too_long() {
            return Err(Failure::Plain(format!("{}but line {line} is too long to be one", so_far(sent))));
        }
        if is_end {
            break;
        }
        let mut come = chunks.recv().await;
        is_end = come.is_none();
        while let Some(chunk) = come {
            cutter.push(&chunk.map_err(|e| unreadable(path, sent, &e))?);
            come = if cutter.is_full() { None } else { chunks.try_recv().ok() };
        }
    }
    if cutter.skipped > 0 {
        output::complain(&format!("note: empty lines were skipped: {}", cutter.skipped));
    }
    output::line(format!("{sent} events produced"))
}

fn open(path: &str) -> Result<Box<dyn Read + Send>> {
    match path {
        "-" => Ok(Box::new(io::stdin())),
        path => Ok(Box::new(File::open(path).map_err(|e| unreadable(path, 0, &e))?)),
    }
}

fn unreadable(path: &str, sent: u64, error: &io::Error) -> Failure {
    let so_far = if sent > 0 { so_far(sent) } else { String::new() };
    Failure::Plain(format!("{so_far}cannot read '{path}': {error}"))
}

/// A failure says how far it got, so that the rest can be sent again, and whether what failed may be there all the same.
fn told(error: ClientError, sent: u64, which: &str) -> Failure {
    let part = match (error.may_be_done(), sent) {
        (true, _) => format!("{}whether {which} are is not known: ", so_far(sent)),
        (false, 0) => String::new(),
        (false, _) => format!("{}{which} are not: ", so_far(sent)),
    };
    match error.into() {
        Failure::Coded { code, message, advice } => {
            Failure::Coded { code, message: format!("{part}{message}"), advice }
        }
        other => other,
    }
}

fn so_far(sent: u64) -> String {
    format!("{sent} events are durable, ")
}
