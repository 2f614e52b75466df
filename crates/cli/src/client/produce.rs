// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client produce`: one event or some, one whose value is null, a file as one event, or the lines of a file as they come.
//!
//! Events are numbered, so a request whose answer was lost is sent again and nothing is doubled. Other clusters keep no numbers: events
//! for their topics are sent without, and once.

mod form;
mod lines;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use fnstream_api::units::parse_duration;
use fnstream_api::{Client, ClientError, Events, ProduceOptions, Producer};
use fnstream_core::clock::{Clock, SystemClock};
use fnstream_core::topic::Topic;
use fnstream_core::units::counted;
use fnstream_frame::{FrameBuilder, HeadersBuilder, RecordRef};

use self::form::{Form, Kind};
use self::lines::{Cutter, Request, chunks};
use super::{new_topic, pair, timestamp};
use crate::failure::{Failure, Result};
use crate::files;
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
    /// Each line is a JSON object as 'consume --json' prints it, with value and, if wanted, key, headers and timestamp
    #[arg(long, requires = "file", conflicts_with = "whole")]
    json: bool,
    /// Each line is a key, this separator and the event; \t is a tab
    #[arg(long, value_name = "SEPARATOR", requires = "file", conflicts_with_all = ["whole", "json", "key"], value_parser = form::separator)]
    key_separator: Option<String>,
    /// Events end with a NUL byte, not with a line, so that line ends are part of them
    #[arg(long, requires = "file", conflicts_with = "whole")]
    nul: bool,
    /// An empty line is an empty event
    #[arg(long, requires = "file", conflicts_with_all = ["whole", "json"])]
    keep_empty: bool,
    /// Send an event whose value is null, which is not an empty one
    #[arg(long, group = "what")]
    null: bool,
    /// Key of the events: events of one key stay in order
    #[arg(short, long, allow_hyphen_values = true)]
    key: Option<OsString>,
    /// Header of the events, as name=value; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// Time of the events, in place of that of their arrival: milliseconds since the Unix epoch, or a time in UTC such as
    /// 2026-01-31T08:00:00Z
    #[arg(short, long, value_name = "TIME", allow_negative_numbers = true, value_parser = timestamp)]
    timestamp: Option<i64>,
    /// Partition to send to
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// Name of the producer: the same command can be run again after it was interrupted, and goes on behind the events that are
    /// there; one command uses a name at a time
    #[arg(long, value_name = "NAME")]
    producer: Option<String>,
    /// Number of the first event that is given, of all that the producer sends
    #[arg(long, value_name = "N", requires = "producer", default_value_t = 0)]
    sequence: u64,
    /// How long to wait for a server that is gone, before what it did not answer is given up
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    wait: Duration,
}

pub(super) async fn run(client: &Client, mut args: Args) -> Result {
    let form = args.form();
    let options = ProduceOptions {
        partition: args.partition,
        timestamp: args.timestamp,
        key: args.key.map(OsString::into_vec),
        headers: args.headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect(),
    };
    let topic = args.name;
    new_topic::note(client, &topic, "").await;
    let producer = match &args.producer {
        Some(name) => Producer::resume(client, &topic, name).await?,
        None if is_abroad(&topic) => Producer::unnumbered(client, &topic),
        None => Producer::new(client, &topic)?,
    };
    let producer = producer.with_patience(args.wait).telling(tell_of_server);
    let mut target = Target { producer, options, skip: 0, skipped: 0 };
    if let Some(name) = &args.producer {
        if target.producer.next() == 0 {
            output::complain(&format!("note: topic '{topic}' knows no event of producer '{name}' yet"));
        }
        target.skip = target.producer.next().saturating_sub(args.sequence);
        target.producer.go_on_at(args.sequence.max(target.producer.next()));
    }
    match args.file {
        None if args.null => each(target, vec![None]).await,
        None => each(target, args.content.into_iter().map(|event| Some(event.into_vec())).collect()).await,
        Some(path) if args.whole => {
            let event = files::read_all(open(&path)?, files::MOST_BINARY).map_err(|e| unreadable(&path, 0, &e))?;
            each(target, vec![Some(event)]).await
        }
        Some(path) => stream(target, form, &path).await,
    }
}

/// Whether a topic is one of another cluster than the server's own.
fn is_abroad(topic: &str) -> bool {
    topic.parse::<Topic>().is_ok_and(|topic| !topic.cluster.is_own())
}

/// Where events go, and how.
struct Target {
    producer: Producer,
    options: ProduceOptions,
    /// How many of the first events are there already.
    skip: u64,
    /// How many were passed over.
    skipped: u64,
}

impl Args {
    fn form(&mut self) -> Form {
        let kind = match self.key_separator.take() {
            Some(separator) => Kind::Keyed(separator.into_bytes()),
            None if self.json => Kind::Json,
            None => Kind::Event,
        };
        Form { nul: self.nul, keep_empty: self.keep_empty, kind }
    }
}

impl Target {
    /// Sends events; answers how many of them another producer has not sent before.
    async fn send(&mut self, events: Events) -> std::result::Result<u64, ClientError> {
        let options = match &events {
            Events::Frame(_) => &ProduceOptions { partition: self.options.partition, ..ProduceOptions::default() },
            _ => &self.options,
        };
        let (found, next) = (self.producer.found(), self.producer.next());
        self.producer.send(events, options).await?;
        Ok(self.producer.next() - next - (self.producer.found() - found))
    }

    /// Fails if events were not stored since another command sends under the same name.
    fn check_found(&self) -> Result {
        match self.producer.found() {
            0 => Ok(()),
            found => Err(Failure::Plain(format!(
                "{} not stored: another command uses the name '{}', and has sent events of the same numbers",
                counted(found, "event"),
                self.producer.name(),
            ))),
        }
    }

    /// Says what was done.
    fn finish(&self, sent: u64) -> Result {
        if self.skipped > 0 {
            output::complain(&format!("note: events that were there already were skipped: {}", self.skipped));
        }
        output::line(format!("{} produced", counted(sent, "event")))?;
        self.check_found()
    }
}

fn tell_of_server(trouble: Option<&ClientError>) {
    match trouble {
        Some(error) => output::complain(&format!("note: {error}; waiting for the server")),
        None => output::complain("note: the server answers again"),
    }
}

/// Sends events one after the other; `None` is one whose value is null.
async fn each(mut target: Target, events: Vec<Option<Vec<u8>>>) -> Result {
    let (mut sent, is_one) = (0, events.len() == 1 && target.skip == 0);
    for event in events {
        if target.skipped < target.skip {
            target.skipped += 1;
            continue;
        }
        let fits = fits_head(&target.options);
        let event = match event {
            None if fits => Events::Null,
            // The body of a request for an empty event would look like one that was forgotten.
            Some(event) if fits && !event.is_empty() => Events::One(event.into()),
            event => Events::Frame(framed(event.as_deref(), &target.options)?.into()),
        };
        sent += target.send(event).await.map_err(|e| told(e, sent, "the next ones"))?;
    }
    if is_one && sent == 1 { output::line("Event produced") } else { target.finish(sent) }
}

/// Whether key and headers can travel in HTTP headers, of which no server takes any number. Encoded they are three times as long at most.
fn fits_head(options: &ProduceOptions) -> bool {
    let headers = options.headers.iter().map(|(name, value)| name.len() + value.len());
    let bytes = options.key.as_ref().map_or(0, Vec::len) + headers.sum::<usize>();
    options.headers.len() <= 64 && bytes <= 4 << 10
}

/// A frame with one event.
fn framed(value: Option<&[u8]>, options: &ProduceOptions) -> Result<Vec<u8>> {
    let mut headers = HeadersBuilder::new();
    for (name, value) in &options.headers {
        headers.push(name, value).map_err(|e| Failure::Usage(format!("'{name}' is not a header: {e}")))?;
    }
    let time = options.timestamp.unwrap_or_else(|| SystemClock::new().unix_ms());
    let record = value.map_or_else(RecordRef::null, RecordRef::new);
    let record = record.with_key(options.key.as_deref()).with_headers(headers.as_headers()).at(time);
    let mut frame = FrameBuilder::new();
    frame.push(record);
    Ok(frame.to_bytes())
}

/// Sends the lines of an input as they come: what comes while a request is under way goes with the next one.
async fn stream(mut target: Target, form: Form, path: &str) -> Result {
    let (mut chunks, mut cutter, mut sent, mut is_end) =
        (chunks(open(path)?), Cutter::new(form.clone(), target.skip), 0, false);
    loop {
        while let Some(Request { body, first, last }) = cutter.next(is_end).map_err(|why| wrong(sent, &why))? {
            let lines = format!("those of lines {first} to {last}");
            sent += target.send(form.events(body)).await.map_err(|e| told(e, sent, &lines))?;
        }
        if let Some(line) = cutter.too_long() {
            return Err(wrong(sent, &format!("line {line} is too long to be one")));
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
    target.skipped = cutter.passed;
    target.finish(sent)
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

/// A line cannot be sent.
fn wrong(sent: u64, why: &str) -> Failure {
    Failure::Plain(if sent > 0 { format!("{}but {why}", so_far(sent)) } else { why.to_owned() })
}

fn so_far(sent: u64) -> String {
    format!("{} {} durable, ", counted(sent, "event"), if sent == 1 { "is" } else { "are" })
}
