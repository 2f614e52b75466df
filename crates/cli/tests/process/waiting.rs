// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What takes long says on a terminal what goes on, and nothing elsewhere.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use crate::support::{BINARY, command};
use crate::terminal::Terminal;

const ARTIFACT: usize = 64 << 20;

/// A server that takes its time: what it does next is for the test to say.
struct Slow(TcpListener);

impl Slow {
    fn new() -> Self {
        Slow(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// The head of the next request, whose body is still on its way, and its length.
    fn asked(&self) -> (BufReader<TcpStream>, String, usize) {
        let mut client = BufReader::new(self.0.accept().unwrap().0);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(client.read_line(&mut head).unwrap() > 0, "{head}");
        }
        let length = head
            .to_lowercase()
            .split_once("content-length: ")
            .map(|(_, rest)| rest.split("\r\n").next().unwrap().parse().unwrap());
        (client, head, length.unwrap_or(0))
    }
}

fn answer(client: BufReader<TcpStream>, status: &str, body: &str) {
    let (mut client, length) = (client.into_inner(), body.len());
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}");
    client.write_all(format!("{head}\r\nconnection: close\r\n\r\n{body}").as_bytes()).unwrap();
}

fn take(client: &mut BufReader<TcpStream>, length: usize) {
    let mut body = vec![0; length];
    client.read_exact(&mut body).unwrap();
}

const DIGEST: &str = r#"{"digest": "00", "bytes": 67108864}"#;
const REFUSED: &str = r#"{"code": "FS-1101", "message": "function 'f' exists", "advice": "choose another name"}"#;

fn create(folder: &std::path::Path, server: &Slow) -> Command {
    let artifact = folder.join("large.wasm");
    std::fs::write(&artifact, vec![0; ARTIFACT]).unwrap();
    let mut create = command(BINARY);
    create.args(["client", "-s", &server.0.local_addr().unwrap().to_string()]);
    create.args(["create", "-n", "f", "-i", "in", "-o", "out", "-a"]).arg(artifact);
    create
}

#[test]
fn a_terminal_is_shown_how_far_an_upload_is_and_that_the_server_is_at_work() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Slow::new());
    let mut terminal = Terminal::run(create(folder.path(), &server));
    let (mut upload, _, length) = server.asked();
    assert_eq!(length, ARTIFACT, "it says how large it is");
    terminal.reads("uploading ");
    terminal.reads(" of 64.0 MiB, ");
    take(&mut upload, length);
    terminal.reads("the server checks and compiles the artifact, ");
    answer(upload, "200 OK", DIGEST);
    let (mut made, head, length) = server.asked();
    assert!(head.starts_with("POST /api/v1/function/f?wait=30s "), "{head}");
    take(&mut made, length);
    terminal.reads("the server checks and compiles the artifact, ");
    answer(made, "409 Conflict", REFUSED);
    terminal.reads("error FS-1101: function 'f' exists");
    assert_eq!(terminal.ends().code(), Some(1));
}

#[test]
fn what_is_no_terminal_is_shown_nothing_of_it() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Slow::new());
    let (folder, create) = (folder.path(), |folder| create(folder, &server));
    let mut quiet = create(folder);
    let running = std::thread::spawn(move || quiet.output().unwrap());
    // As long as it takes for a terminal to be shown that an upload stands still.
    let mut other = Terminal::run(create(folder));
    let first = server.asked();
    let second = server.asked();
    other.reads("uploading ");
    for (mut upload, _, length) in [first, second] {
        take(&mut upload, length);
        answer(upload, "409 Conflict", REFUSED);
    }
    let output = running.join().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("uploading") && said.contains("FS-1101"), "{said}");
}
