// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Events that go in and come out on the command line.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::support::{BINARY, Server, command, flags};

/// A client that goes on while the test does; it is killed when it is dropped.
struct Client(Child);

impl Client {
    fn start(address: &str, args: &[&str]) -> Self {
        let mut client = command(BINARY);
        client.args(["client", "-s", address]).args(args);
        Client(client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn types(&mut self, text: &str) {
        self.0.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        BufReader::new(self.0.stdout.take().unwrap()).lines().map(Result::unwrap)
    }

    fn complaints(&mut self) -> impl Iterator<Item = String> + use<> {
        BufReader::new(self.0.stderr.take().unwrap()).lines().map(Result::unwrap)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn lines_are_sent_as_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mut producing = Client::start(&server.address(), &["produce", "-n", "t", "-f", "-", "-k", "k"]);
    producing.types("one\nhal");
    assert_eq!(server.must(&["consume", "-n", "t"]), "\"one\"\n", "while the input is open");
    producing.types("f\n\n\r\n");
    assert_eq!(server.must(&["consume", "-n", "t"]), "\"half\"\n");
    producing.types("last");
    drop(producing.0.stdin.take());
    assert_eq!(producing.lines().collect::<Vec<_>>(), ["3 events produced"]);
    assert_eq!(
        producing.complaints().collect::<Vec<_>>(),
        ["note: there is no topic 't' yet", "note: empty lines were skipped: 2"]
    );
    assert_eq!(server.must(&["consume", "-n", "t"]), "\"last\"\n");
    server.stop();
}

#[test]
fn lines_of_any_size_go_in_requests_that_the_server_takes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let file = folder.path().join("lines");
    let (short, long) = ("s".repeat(900_000), "l".repeat(16 << 20));
    std::fs::write(&file, format!("{short}\n{long}\nend\n")).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(server.must(&["produce", "-n", "t", "-f", file]), "3 events produced\n");
    let all = server.must(&["consume", "-n", "t", "--count", "3", "--raw"]);
    assert!(all == format!("{short}\n{long}\nend\n"));

    // One byte more is refused: what went before it is there, and the message says so.
    std::fs::write(file, format!("a\nb\n{long}l\nend\n")).unwrap();
    let refused = server.client(&["produce", "-n", "u", "-f", file]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains(": 2 events are durable, those of lines 3 to 3 are not: "), "{said}");
    assert_eq!(server.must(&["consume", "-n", "u", "--from", "earliest", "-f", "-t", "1ms"]), "\"a\"\n\"b\"\n");
    server.stop();
}

#[test]
fn events_of_every_kind_are_produced() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let file = folder.path().join("file");
    std::fs::write(&file, b"two\n\nlines\xff\n").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(server.must(&["produce", "-n", "t", "-c", "a", "-c", "-b", "-k", "k"]), "2 events produced\n");
    assert_eq!(server.must(&["produce", "-n", "t", "-c", "", "-k", "k", "-H", "h=1", "-t", "5"]), "Event produced\n");
    assert_eq!(server.must(&["produce", "-n", "t", "-f", file, "--whole"]), "Event produced\n");
    assert_eq!(server.must(&["produce", "-n", "t", "--null"]), "Event produced\n");
    let mut odd = command(BINARY);
    odd.args(["client", "-s", &server.address(), "produce", "-n", "t", "-c"]).arg(OsStr::from_bytes(b"\xff"));
    assert!(odd.output().unwrap().status.success());

    let shown = server.must(&["consume", "-n", "t", "--count", "6", "--json"]);
    let events: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| events.iter().map(|event| event[name].clone()).collect::<Vec<_>>();
    let bytes = json!({ "base64": "dHdvCgpsaW5lc/8K" });
    assert_eq!(of("value"), [json!("a"), json!("-b"), json!(""), bytes, json!(null), json!({ "base64": "/w==" })]);
    assert_eq!(of("key"), [json!("k"), json!("k"), json!("k"), json!(null), json!(null), json!(null)]);
    assert_eq!(of("position"), ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(events[2]["headers"], json!([{ "name": "h", "value": "1" }]));
    assert_eq!((&events[2]["timestamp"], &events[2]["partition"]), (&json!(5), &json!(0)));

    let again = |args: &[&str]| server.client(&[&["consume", "-n", "t"], args].concat()).stdout;
    assert_eq!(again(&["--from", "3", "--raw"]), b"two\n\nlines\xff\n", "a single event is exact");
    assert_eq!(again(&["--from", "0", "--raw", "--count", "2"]), b"a\n-b\n");
    assert_eq!(again(&["--from", "4", "--count", "2"]), b"null\n{\"base64\":\"/w==\"}\n");
    server.stop();
}

#[test]
fn a_broken_connection_says_how_many_events_are_durable() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    // A way to the server that breaks at the second request, after it was sent.
    let way = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, target) = (way.local_addr().unwrap().to_string(), server.address());
    let mut producing = Client::start(&address, &["produce", "-n", "t", "-f", "-", "--wait", "0s"]);
    producing.types("one\ntwo\n");
    let (mut client, _) = way.accept().unwrap();
    let mut onward = TcpStream::connect(target).unwrap();
    let (mut up, mut down) = (client.try_clone().unwrap(), onward.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut down, &mut up));
    let mut bytes = [0; 4096];
    for part in ["one\ntwo", "three"] {
        let mut request = String::new();
        while !request.ends_with(part) {
            let count = client.read(&mut bytes).unwrap();
            request += std::str::from_utf8(&bytes[..count]).unwrap();
            if part != "three" {
                onward.write_all(&bytes[..count]).unwrap();
            }
        }
        if part != "three" {
            assert_eq!(server.must(&["consume", "-n", "t", "--count", "2"]), "\"one\"\n\"two\"\n");
            producing.types("three\n");
        }
    }
    onward.shutdown(std::net::Shutdown::Both).unwrap();
    client.shutdown(std::net::Shutdown::Both).unwrap();
    drop(way);
    let said = producing.complaints().find(|line| !line.starts_with("note: ")).unwrap();
    let expected =
        "error FS-1704: 2 events are durable, whether those of lines 3 to 3 are is not known: the connection broke";
    assert!(said.starts_with(expected), "{said}");
    server.stop();
}

#[test]
fn following_ends_when_nothing_comes_any_more_or_at_an_interrupt() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    server.must(&["produce", "-n", "t", "-c", "a", "-c", "b"]);
    assert_eq!(server.must(&["consume", "-n", "t", "-f", "-t", "10ms"]), "\"a\"\n\"b\"\n");
    assert_eq!(server.must(&["consume", "-n", "t", "-f", "-t", "10ms"]), "", "the group has them");

    let mut following = Client::start(&server.address(), &["consume", "-n", "t", "-f", "--raw", "--from", "earliest"]);
    let mut lines = following.lines();
    assert_eq!(lines.by_ref().take(2).collect::<Vec<_>>(), ["a", "b"]);
    server.must(&["produce", "-n", "t", "-c", "c"]);
    assert_eq!(lines.next().unwrap(), "c");
    kill_process(Pid::from_child(&following.0), Signal::INT).unwrap();
    assert_eq!(following.0.wait().unwrap().code(), Some(130));
    server.stop();
}

#[test]
fn following_lives_through_a_restart_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data);
    let address = server.address();
    let archive = folder.path().join("f.wasm");
    let module = r#"(module (memory (export "memory") 1) (func (export "_initialize")) (func (export "process")))"#;
    std::fs::write(&archive, wat::parse_str(module).unwrap()).unwrap();
    server.must(&["create", "-n", "f", "-a", archive.to_str().unwrap(), "-i", "in", "-o", "out"]);
    server.must(&["produce", "-n", "t", "-c", "before"]);

    let mut reading = Client::start(&address, &["consume", "-n", "t", "-f", "--from", "earliest"]);
    let mut group = Client::start(&address, &["consume", "-n", "t", "-f"]);
    let mut logs = Client::start(&address, &["logs", "-n", "f", "-f"]);
    let (mut read, mut taken, mut logged) = (reading.lines(), group.lines(), logs.lines());
    assert_eq!((read.next().unwrap(), taken.next().unwrap()), ("\"before\"".into(), "\"before\"".into()));
    assert!(logged.any(|line| line.ends_with("| created and started")));
    let mut notes = [reading.complaints(), group.complaints(), logs.complaints()];

    server.stop();
    for notes in &mut notes {
        let note = notes.next().unwrap();
        assert!(note.starts_with("note: ") && note.ends_with("; waiting for the server"), "{note}");
    }
    let mut again = command(BINARY);
    let given = flags(&data).into_iter().map(|flag| if flag == "127.0.0.1:0" { address.clone() } else { flag });
    let server = Server::run(again.args(given));
    server.must(&["produce", "-n", "t", "-c", "after"]);
    assert_eq!((read.next().unwrap(), taken.next().unwrap()), ("\"after\"".into(), "\"after\"".into()));
    server.must(&["stop", "-n", "f"]);
    assert!(logged.any(|line| line.ends_with("| stops")));
    for notes in &mut notes {
        assert_eq!(notes.next().unwrap(), "note: the server answers again");
    }
    server.stop();
}

#[test]
fn a_server_that_never_answered_is_not_waited_for() {
    for args in [&["consume", "-n", "t", "-f"][..], &["logs", "-n", "f", "-f"]] {
        let output = command(BINARY).args(["client", "-s", "127.0.0.1:1"]).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with("error FS-1704: cannot reach the server at http://127.0.0.1:1"), "{said}");
    }
}

/// A hundred thousand events: each once and in order, by whatever batches they come.
#[test]
fn a_topic_is_read_in_batches() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let file = folder.path().join("lines");
    let all: String = (0..100_000).map(|number| format!("{number}\n")).collect();
    std::fs::write(&file, &all).unwrap();
    server.must(&["produce", "-n", "t", "-f", file.to_str().unwrap()]);
    assert!(server.must(&["consume", "-n", "t", "--raw", "--count", "25001"]) == all[..all.find("25001\n").unwrap()]);
    assert!(server.must(&["consume", "-n", "t", "--raw", "-f", "-t", "1s"]) == all[all.find("25001\n").unwrap()..]);
    server.stop();
}

#[test]
fn what_consume_prints_as_json_can_be_produced() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    server.must(&["produce", "-n", "t", "-c", "a\nb", "-c", "", "-k", "k", "-H", "h=1", "-H", "h=", "-t", "5"]);
    server.must(&["produce", "-n", "t", "--null"]);
    let mut odd = command(BINARY);
    odd.args(["client", "-s", &server.address(), "produce", "-n", "t", "-c"]).arg(OsStr::from_bytes(b"\xff"));
    assert!(odd.output().unwrap().status.success());
    let printed = server.must(&["consume", "-n", "t", "--count", "4", "--json"]);
    let file = folder.path().join("events");
    std::fs::write(&file, &printed).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(server.must(&["produce", "-n", "again", "-f", file, "--json"]), "4 events produced\n");
    assert_eq!(server.must(&["consume", "-n", "again", "--count", "4", "--json"]), printed);

    std::fs::write(file, format!("{printed}\n{{\"value\":1}}\n")).unwrap();
    let refused = server.client(&["produce", "-n", "u", "-f", file, "--json"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("4 events are durable, but line 6: column 10: a string or {\"base64\": \"…\"} is expected"),
        "{said}"
    );
    server.stop();
}

#[test]
fn lines_have_keys_and_other_ends() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let file = folder.path().join("events");
    let path = file.to_str().unwrap();
    std::fs::write(&file, b"k1\tone\nk2\ttwo\tb\n\nk3\t\xff\n").unwrap();
    assert_eq!(server.must(&["produce", "-n", "t", "-f", path, "--key-separator", "\\t"]), "3 events produced\n");
    std::fs::write(&file, b"a\nb\0\0c").unwrap();
    assert_eq!(server.must(&["produce", "-n", "t", "-f", path, "--nul", "-k", "k4"]), "2 events produced\n");
    std::fs::write(&file, b"d\n\ne\n").unwrap();
    assert_eq!(server.must(&["produce", "-n", "t", "-f", path, "--keep-empty"]), "3 events produced\n");
    let shown = server.must(&["consume", "-n", "t", "--count", "8", "--json"]);
    let events: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| events.iter().map(|event| event[name].clone()).collect::<Vec<_>>();
    let values = [json!("one"), json!("two\tb"), json!({"base64": "/w=="}), json!("a\nb"), json!("c")];
    assert_eq!(of("value"), [&values[..], &[json!("d"), json!(""), json!("e")]].concat());
    let keys = ["k1", "k2", "k3", "k4", "k4"].map(|key| json!(key));
    assert_eq!(of("key"), [&keys[..], &[json!(null), json!(null), json!(null)]].concat());
    let refused = server.client(&["produce", "-n", "t", "-f", path, "--key-separator", ":"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("line 1: there is no ':' behind a key"), "{said}");
    server.stop();
}

#[test]
fn a_name_that_no_request_can_have_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    for (length, code) in [(300, "FS-1004"), (66_000, "")] {
        let refused = server.client(&["topic", "describe", "-n", &"a".repeat(length)]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.starts_with(&format!("error {code}")) && !said.contains("FS-1704"), "{said}");
    }
    server.stop();
}

#[test]
fn what_no_http_header_holds_is_produced_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let headers: Vec<_> = (0..140).flat_map(|n| ["-H".to_owned(), format!("h{n}=v")]).collect();
    let headers: Vec<_> = headers.iter().map(String::as_str).collect();
    let key = "k".repeat(100_000);
    for event in [&["-c", "x"][..], &["--null"]] {
        assert_eq!(server.must(&[&["produce", "-n", "t", "-k", &key], event, &headers].concat()), "Event produced\n");
    }
    let consumed = server.must(&["consume", "-n", "t", "--json", "--count", "2", "-t", "60s"]);
    let events: Vec<serde_json::Value> = consumed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let values: Vec<_> = events.iter().map(|event| event["value"].clone()).collect();
    assert_eq!(values, ["x".into(), serde_json::Value::Null]);
    for event in events {
        assert_eq!((event["headers"].as_array().unwrap().len(), event["key"].as_str()), (140, Some(&*key)));
    }
    server.stop();
}
