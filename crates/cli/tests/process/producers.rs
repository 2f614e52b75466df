// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `client produce` with a name: run again, and through a restart of the server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Stdio};

use crate::support::{BINARY, Server, command, flags};

fn values(server: &Server) -> Vec<String> {
    let printed = server.must(&["consume", "-n", "t", "--from", "earliest", "--raw", "--follow", "--timeout", "1ms"]);
    printed.lines().map(str::to_owned).collect()
}

#[test]
fn a_command_that_is_run_again_goes_on_behind_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (server, file) = (Server::start(&folder.path().join("data")), folder.path().join("events"));
    let produce = ["produce", "-n", "t", "-f", file.to_str().unwrap(), "--producer", "p"];
    std::fs::write(&file, "a\n\nb\n").unwrap();
    assert_eq!(server.must(&produce), "2 events produced\n");
    std::fs::write(&file, "a\n\nb\nc\n\nd\n").unwrap();
    let again = server.client(&produce);
    assert_eq!(String::from_utf8_lossy(&again.stdout), "2 events produced\n");
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(told.contains("events that were there already were skipped: 2"), "{told}");
    assert_eq!(server.must(&produce), "0 events produced\n");
    // The last events of the producer, and some that are new.
    std::fs::write(&file, "c\nd\ne\n").unwrap();
    let late = [&produce[..], &["--sequence", "2"]].concat();
    assert_eq!(server.must(&late), "1 event produced\n");
    let gap = server.client(&[&produce[..], &["--sequence", "7"]].concat());
    assert!(String::from_utf8_lossy(&gap.stderr).contains("FS-1330"), "{gap:?}");
    let single = ["produce", "-n", "t", "-c", "e", "-c", "f", "--producer", "p", "--sequence", "4"];
    assert_eq!(server.must(&single), "1 event produced\n");
    assert_eq!(values(&server), ["a", "b", "c", "d", "e", "f"]);
    server.stop();
}

/// A client that sends the lines of its standard input.
fn typing(address: &str) -> (Child, ChildStdin) {
    let mut client = command(BINARY);
    client.args(["client", "-s", address, "produce", "-n", "t", "-f", "-"]);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let input = client.stdin.take().unwrap();
    (client, input)
}

/// Waits until the last event is that one.
fn until(server: &Server, last: &str) {
    while values(server).last().is_none_or(|value| value != last) {}
}

#[test]
fn a_restart_of_the_server_doubles_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut server = Server::start(&data);
    let address = server.address();
    let (client, mut input) = typing(&address);
    input.write_all(b"a\n").unwrap();
    until(&server, "a");
    for (kill, line) in [(true, "b"), (false, "c")] {
        if kill {
            server.child.kill().unwrap();
            server.ended();
        } else {
            server.stop();
        }
        // While nobody is there.
        writeln!(input, "{line}").unwrap();
        let given = flags(&data).into_iter().map(|flag| if flag == "127.0.0.1:0" { address.clone() } else { flag });
        server = Server::run(command(BINARY).args(given));
        until(&server, line);
    }
    drop(input);
    let output = client.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "3 events produced\n", "{output:?}");
    assert_eq!(values(&server), ["a", "b", "c"]);
    server.stop();
}

/// Passes bytes on until they end so; answers them.
fn pass(from: &mut TcpStream, to: &mut TcpStream, end: &str) -> String {
    let (mut passed, mut bytes) = (String::new(), [0; 4096]);
    while !passed.ends_with(end) {
        let count = from.read(&mut bytes).unwrap();
        assert!(count > 0, "ended after '{passed}'");
        to.write_all(&bytes[..count]).unwrap();
        passed += std::str::from_utf8(&bytes[..count]).unwrap();
    }
    passed
}

#[test]
fn an_answer_that_is_lost_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    server.must(&["topic", "create", "-n", "t"]);
    // A way to the server that lets each first request through and not its answer.
    let way = TcpListener::bind("127.0.0.1:0").unwrap();
    let (client, mut input) = typing(&way.local_addr().unwrap().to_string());
    // It looks first whether the topic is there.
    let (mut looks, _) = way.accept().unwrap();
    let mut onward = TcpStream::connect(server.address()).unwrap();
    pass(&mut looks, &mut onward, "\r\n\r\n");
    pass(&mut onward, &mut looks, "}");
    looks.shutdown(Shutdown::Both).unwrap();
    for line in ["a", "b"] {
        writeln!(input, "{line}").unwrap();
        let (mut lost, _) = way.accept().unwrap();
        pass(&mut lost, &mut TcpStream::connect(server.address()).unwrap(), line);
        until(&server, line);
        drop(lost);
        let (mut again, _) = way.accept().unwrap();
        let mut onward = TcpStream::connect(server.address()).unwrap();
        pass(&mut again, &mut onward, line);
        let answer = pass(&mut onward, &mut again, "}");
        assert!(answer.contains("\"duplicates\":1"), "{answer}");
        // The next line comes over a connection of its own.
        again.shutdown(Shutdown::Both).unwrap();
    }
    drop(input);
    let output = client.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2 events produced\n", "{output:?}");
    assert_eq!(values(&server), ["a", "b"]);
    server.stop();
}

/// Two that use one name at a time are told apart by what they sent, which the topic keeps once.
#[test]
fn a_name_that_another_command_uses_is_told_with_what_it_cost() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    server.must(&["topic", "create", "-n", "t"]);
    let mut first = command(BINARY);
    first.args(["client", "-s", &server.address(), "produce", "-n", "t", "-f", "-", "--producer", "p"]);
    let mut first = first.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(first.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert!(line.contains("knows no event of producer 'p' yet"), "it stands at the first number: {line}");
    assert_eq!(server.must(&["produce", "-n", "t", "-c", "a", "-c", "b", "--producer", "p"]), "2 events produced\n");
    first.stdin.take().unwrap().write_all(b"x\ny\nz\n").unwrap();
    let mut printed = String::new();
    first.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(1), "not all of its events are there");
    assert_eq!(printed, "1 event produced\n");
    line.clear();
    told.read_to_string(&mut line).unwrap();
    let cost =
        "error: 2 events not stored: another command uses the name 'p', and has sent events of the same numbers\n";
    assert_eq!(line, cost);
    assert_eq!(values(&server), ["a", "b", "z"]);
    server.stop();
}
