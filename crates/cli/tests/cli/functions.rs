// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions from their creation to their end, and how they fare.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::support::{BINARY, Server};
use crate::told::{echo, err, out, run};

#[test]
fn events_go_through_a_function_and_survive_an_orderly_end() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data);
    let create = ["create", "-n", "example", "-a", &echo(&folder), "-i", "in", "-o", "out", "-r", "1"];
    assert_eq!(out(&server.client(&create)), "Function created: example\nFunction example is running\n");
    assert_eq!(out(&server.client(&["list"])), "example\n");
    let again = server.client(&create);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(
        err(&again),
        "error FS-1101: function 'example' exists\nadvice: choose another name, or delete the function first\n"
    );
    let event = r#"{"name":"rbt","money":3}"#;
    assert_eq!(out(&server.client(&["produce", "-n", "in", "-c", event])), "Event produced\n");
    assert_eq!(out(&server.client(&["consume", "-n", "out"])), "\"{\\\"name\\\":\\\"rbt\\\",\\\"money\\\":3}\"\n");

    let lines = folder.path().join("lines");
    std::fs::File::create(&lines).unwrap().write_all(b"one\ntwo\nthree").unwrap();
    let produced = server.client(&["produce", "-n", "in", "-f", lines.to_str().unwrap(), "-k", "key", "-H", "a=b"]);
    assert_eq!(out(&produced), "3 events produced\n");
    assert_eq!(out(&server.client(&["consume", "-n", "out", "--count", "2"])), "\"one\"\n\"two\"\n");

    // A second server on the folder is refused.
    let second = run(&[
        "standalone",
        "--listen",
        "127.0.0.1:0",
        "--grpc-listen",
        "127.0.0.1:0",
        "--data-dir",
        data.to_str().unwrap(),
    ]);
    assert_eq!(second.status.code(), Some(1));
    assert!(err(&second).contains("error FS-1503: "), "{}", err(&second));

    server.stop();
    let mut server = Server::start(&data);
    assert_eq!(out(&server.client(&["consume", "-n", "out"])), "\"three\"\n");
    let nothing = server.client(&["consume", "-n", "out", "-t", "10ms"]);
    assert_eq!((nothing.status.code(), err(&nothing)), (Some(1), "error: no event within 10ms\n"));
    let all = server.client(&["consume", "-n", "out", "--from", "earliest", "--count", "4"]);
    assert_eq!(out(&all).lines().count(), 4);
    // The function comes up while the server serves already.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let described = server.client(&["describe", "-n", "example", "--json"]);
        let described: serde_json::Value = serde_json::from_slice(&described.stdout).unwrap();
        if described["tasks"][0]["records_in"] == 4 {
            break;
        }
        assert!(std::time::Instant::now() < until, "{described:#}");
    }
    assert_eq!(out(&server.client(&["delete", "-n", "example"])), "Function deleted: example\n");
    server.signal(Signal::INT.as_raw());
    assert!(server.ended().success());
}

#[test]
fn what_a_function_may_use_is_said_on_the_command_line_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let archive = echo(&folder);
    let mut create = vec!["create", "-n", "f", "-a", &archive, "-i", "in", "-o", "out", "-c", "a=b"];
    create.extend([
        "--limit",
        "memory=64MiB",
        "--limit",
        "call-time=5s",
        "--on-error",
        "dead-letter",
        "--retries",
        "3",
    ]);
    create.extend(["--backoff", "100ms", "--max-backoff", "30s", "--dead-letter-topic", "bad", "--env", "REGION=eu"]);
    assert_eq!(out(&server.client(&create)), "Function created: f\nFunction f is running\n");
    let shown = server.client(&["describe", "-n", "f"]);
    for line in [
        "config    a=b\n",
        "env       REGION=eu\n",
        "limits    memory=64MiB call-time=5s start-time=1m record=1MiB records-per-input=10000 state=none\n",
        "on-error  dead-letter to bad after 3 retries, 100ms to 30s apart\n",
    ] {
        assert!(out(&shown).contains(line), "{line}: {}", out(&shown));
    }
    let granted = server.client(&["create", "-n", "g", "-a", &archive, "-i", "in", "-o", "out", "--files", "/tmp:/t"]);
    assert!(
        err(&granted).starts_with("error FS-1108: not a folder that functions may be granted on this server: '/tmp'")
    );
}

#[test]
fn how_functions_fare_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    assert_eq!(out(&server.client(&["status"])), "there are no functions\n");
    server.client(&["create", "-n", "example", "-a", &echo(&folder), "-i", "in", "-o", "out"]);
    server.client(&["stop", "-n", "example"]);
    let status = server.client(&["status"]);
    let lines: Vec<_> = out(&status).lines().collect();
    assert!(lines[0].trim_start().starts_with("NAME"), "{lines:?}");
    assert!(lines[1].contains("example") && lines[1].contains("stopped"), "{lines:?}");
    assert_eq!(lines[3], "example: it was told to stop; 'client start' lets it run again");
    let json: serde_json::Value = serde_json::from_slice(&server.client(&["status", "--json"]).stdout).unwrap();
    assert_eq!(json[0]["status"], "stopped");

    let logs = server.client(&["logs", "-n", "example", "--tail", "1"]);
    assert!(out(&logs).ends_with("Z host | stops\n"), "{}", out(&logs));
    let logs = server.client(&["logs", "-n", "example", "--json"]);
    let first: serde_json::Value = serde_json::from_str(out(&logs).lines().next().unwrap()).unwrap();
    assert_eq!(first["text"], "created and started");

    // Whoever follows sees what comes.
    let mut following = Command::new(BINARY)
        .args(["client", "-s", &server.address(), "logs", "-n", "example", "-f"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(following.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut stops = lines.filter(|line| line.ends_with("host | stops"));
    assert!(stops.next().is_some(), "what was there");
    server.client(&["start", "-n", "example"]);
    server.client(&["stop", "-n", "example"]);
    assert!(stops.next().is_some(), "what comes");
    server.client(&["delete", "-n", "example"]);
    assert_eq!(following.wait().unwrap().code(), Some(1), "there is nothing to follow any more");
}
