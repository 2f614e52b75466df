// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Clients that hold back what they owe: their request, or their attention.

mod bounds;
mod frames;
mod half_closed;
mod pipelined;
mod slow;
mod sums;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fnstream_core::budget::{self, Budget};
use fnstream_server::ServerConfig;

use crate::support::{Fixture, LONG};

/// The largest event that a server takes when nothing else is said is 16 MiB.
const LARGE: usize = 8 << 20;

/// A server with little memory and little patience, and its memory.
async fn fixture(change: impl FnOnce(&mut ServerConfig)) -> (Fixture, Budget) {
    let fixture = Fixture::with(|config| {
        config.memory = budget::LEAST;
        change(config);
    });
    let fixture = fixture.await;
    let budget = fixture.server.budget().clone();
    (fixture, budget)
}

/// Comes back when something has become so.
async fn until(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    let mut turns = tokio::time::interval(Duration::from_millis(5));
    while !is() {
        assert!(Instant::now() < deadline, "it does not come: {what}");
        turns.tick().await;
    }
}

/// Reads until the server closes the connection; what it says of that, if it says something.
async fn closed(mut stream: TcpStream) -> String {
    let read = tokio::task::spawn_blocking(move || {
        let mut said = Vec::new();
        // A client that was cut while it was sending sees a broken connection.
        match stream.read_to_end(&mut said) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("it is not closed"),
            _ => String::from_utf8_lossy(&said).into_owned(),
        }
    });
    read.await.unwrap()
}

/// Asks something on a connection of its own and does not look at the answer.
fn ask(fixture: &Fixture, target: &str) -> TcpStream {
    let mut stream = fixture.connect();
    write!(stream, "GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    stream
}

/// Begins to send an event of that length.
fn begin_to_send(fixture: &Fixture, topic: &str, length: usize, sent: usize) -> TcpStream {
    let mut stream = fixture.connect();
    write!(stream, "PUT /api/v1/produce/{topic} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n")
        .unwrap();
    stream.write_all(&vec![b'x'; sent]).unwrap();
    stream
}

/// One value that is exposed to monitoring. A connection that was told to close leaves its place when its client has closed it.
async fn metric(fixture: &Fixture, name: &str) -> u64 {
    let text = loop {
        let answer = reqwest::get(fixture.url("/metrics")).await.unwrap();
        if answer.status() != 503 {
            break answer.text().await.unwrap();
        }
    };
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).rsplit(' ').next().unwrap().parse().unwrap()
}
