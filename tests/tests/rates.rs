// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How many small events a second `client produce -f` and `client consume` move, beside a raw HTTP client that sends and asks for
//! the same in requests of the same size. `FNSTREAM_RATES_EVENTS` says how many.
#![allow(clippy::print_stdout, reason = "it measures")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fnstream_frame::Frame;
use fnstream_tests::binary;
use fnstream_tests::cli::Cli;
use fnstream_tests::node::Node;
use fnstream_tests::seed::number;
use fnstream_tests::server::ServerOptions;

/// A request of the client has about this size at most.
const REQUEST_BYTES: usize = 1 << 20;

/// The most events that the client asks for at once.
const MOST: usize = 10_000;

/// A connection that is kept, and nothing more of HTTP than it takes.
struct Raw {
    stream: BufReader<TcpStream>,
}

impl Raw {
    fn connect(url: &str) -> Result<Raw> {
        let stream = TcpStream::connect(url.trim_start_matches("http://"))?;
        stream.set_nodelay(true)?;
        Ok(Raw { stream: BufReader::with_capacity(1 << 16, stream) })
    }

    /// Status, next position and body of the answer.
    fn ask(&mut self, head: &str, body: &[u8]) -> Result<(u16, Option<String>, Vec<u8>)> {
        let length = body.len();
        let head = format!("{head} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n");
        let head = format!("{head}content-type: application/x-ndjson\r\n\r\n");
        self.stream.get_mut().write_all(head.as_bytes())?;
        self.stream.get_mut().write_all(body)?;
        let (mut status, mut next, mut length) = (0, None, 0);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some(("content-length", value)) => length = value.parse()?,
                Some(("fs-next-position", value)) => next = Some(value.to_owned()),
                Some(_) => {}
                None if line.trim_end().is_empty() => break,
                None => status = line.split(' ').nth(1).context("no status")?.parse()?,
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, next, body))
    }

    /// Sends the lines of a file, as many in a request as the client does.
    fn produce(&mut self, topic: &str, file: &Path) -> Result<()> {
        let mut left = &fs::read(file)?[..];
        while !left.is_empty() {
            let most = left.len().min(REQUEST_BYTES);
            let end = left[..most].iter().rposition(|byte| *byte == b'\n').context("no line end")? + 1;
            let (status, ..) = self.ask(&format!("PUT /api/v1/produce/{topic}"), &left[..end])?;
            ensure!(status == 200, "{status}");
            left = &left[end..];
        }
        Ok(())
    }

    /// Writes all events of a topic to a file, as lines.
    fn consume(&mut self, topic: &str, count: usize, file: &Path) -> Result<()> {
        let (mut out, mut at, mut read) = (BufWriter::with_capacity(1 << 20, File::create(file)?), "0".to_owned(), 0);
        while read < count {
            let path = format!("GET /api/v1/consume/{topic}?format=frame&max={MOST}&from={at}");
            let (status, next, body) = self.ask(&path, b"")?;
            ensure!(status == 200, "{status}");
            for record in Frame::parse(&body).map_err(|e| anyhow::anyhow!("{e}"))?.iter() {
                out.write_all(record.bytes())?;
                out.write_all(b"\n")?;
                read += 1;
            }
            at = next.context("no next position")?;
        }
        Ok(out.flush()?)
    }
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "it measures; 'make rates'"]
async fn the_client_moves_small_events_as_fast_as_a_raw_one() -> Result<()> {
    let events = number("FNSTREAM_RATES_EVENTS", 2_000_000)?;
    let mut node = Node::new(ServerOptions::durable(binary::server()?))?;
    let url = node.start().await?.url().to_owned();
    let (input, raw_out, out) = ["input", "raw", "out"].map(|name| node.folder().join(name)).into();
    let mut text = String::new();
    (0..events).try_for_each(|number| writeln!(text, "{{\"event\":{number:09}}}"))?;
    fs::write(&input, &text)?;
    let (cli, mut raw) = (Cli::new(&url, node.folder())?, Raw::connect(&url)?);
    println!("{events} events of {} bytes", text.len() / events - 1);
    let mut best = [Duration::MAX; 4];
    for round in 0..3 {
        let (raw_topic, topic) = (format!("raw-{round}"), format!("own-{round}"));
        cli.prints(&["topic", "create", "-n", &topic])?;
        let file = input.to_str().context("a path that is no text")?;
        let times = [
            timed(|| raw.produce(&raw_topic, &input))?,
            timed(|| cli.prints(&["produce", "-n", &topic, "-f", file]).map(drop))?,
            timed(|| raw.consume(&topic, events, &raw_out))?,
            timed(|| {
                let count = events.to_string();
                let args = ["consume", "-n", &topic, "--from", "earliest", "--raw", "--count", &count];
                let status = cli.command(&args).stdout(File::create(&out)?).status()?;
                ensure!(status.success(), "{status}");
                Ok(())
            })?,
        ];
        ensure!(fs::read(&raw_out)? == text.as_bytes() && fs::read(&out)? == text.as_bytes(), "not what was sent");
        for (best, time) in best.iter_mut().zip(times) {
            *best = time.min(*best);
        }
    }
    let rate = |time: Duration| events as f64 / time.as_secs_f64();
    for (what, raw, own) in [("produce -f", best[0], best[1]), ("consume --raw", best[2], best[3])] {
        let ratio = rate(own) / rate(raw);
        println!("{what}: {:.0} events/s, a raw client {:.0} events/s, ratio {ratio:.2}", rate(own), rate(raw));
    }
    Ok(())
}
