// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is told of the command line itself: its help, its exit codes, and servers that are none.

use std::io::{BufRead, BufReader, Write};

use crate::told::{err, out, run};

#[test]
fn the_verbs_and_the_version_are_told() {
    let help = run(&["--help"]);
    for verb in ["standalone", "server", "client", "sql", "bench"] {
        assert!(out(&help).contains(verb), "{verb}");
    }
    assert!(!out(&help).contains("openapi"), "for those who build it only");
    assert_eq!(out(&run(&["-V"])), format!("function-stream {}\n", env!("CARGO_PKG_VERSION")));
    let help = run(&["client", "--help"]);
    for verb in [
        "create",
        "apply",
        "list",
        "delete",
        "describe",
        "start",
        "stop",
        "restart",
        "update",
        "revisions",
        "rollback",
        "seek",
        "status",
        "logs",
        "produce",
        "consume",
        "topic",
        "group",
        "dlq",
    ] {
        assert!(out(&help).contains(verb), "{verb}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2_and_failure_is_1() {
    for wrong in [
        &["client", "produce", "-n", "t"][..],
        &["client", "produce", "-n", "t", "-c", "a", "-f", "b"],
        &["client", "produce", "-n", "t", "--null", "-c", "a"],
        &["client", "produce", "-n", "t", "--null", "-f", "-"],
        &["client", "create", "-n", "f"],
        &["client", "create", "-n", "f", "-a", "a", "-i", "i@", "-o", "o"],
        &["client", "create", "-n", "f", "-a", "a", "-i", "i", "-o", "o?x"],
        &["client", "create", "-n", "f", "-a", "a", "-i", "i", "-o", "o", "--limit", "cpu=1"],
        &["client", "create", "-n", "f", "-a", "a", "-i", "i", "-o", "o", "--limit", "memory=lots"],
        &["client", "create", "-n", "f", "-a", "a", "-i", "i", "-o", "o", "--on-error", "retry"],
        &["client", "create", "-n", "f", "-a", "a", "-i", "i", "-o", "o", "--backoff", "5"],
        &["client", "create", "-n", "f", "-a", "a", "-i", "i", "-o", "o", "--files", "/a:"],
        &["client", "update", "-n", "f"],
        &["client", "update", "-n", "f", "--unset-env", "A", "--env", "A=b"],
        &["client", "update", "-n", "f", "-c", "a=1", "--no-wait", "--keep-failed"],
        &["client", "start", "-n", "f", "--no-wait", "--wait", "5s"],
        &["client", "update", "-n", "f", "-i", "other?x"],
        &["client", "rollback", "-n", "f"],
        &["client", "seek", "-n", "f", "--to", "yesterday"],
        &["client", "create", "-n", "f", "-a", "a", "-i", "i", "-o", "o", "--from", "0:1"],
        &["client", "apply", "-a", "a"],
        &["client", "rollback", "-n", "f", "--to", "1", "--reprocess"],
        &["client", "consume", "-n", "t", "-t", "5"],
        &["client", "consume", "-n", "t", "--from", "first"],
        &["client", "consume", "-n", "t", "--from", "latest", "-g", "g"],
        &["standalone", "--durability", "none"],
        &["bench", "--variant", "put-per-key"],
        &["bench", "--keys", "5"],
        &["nothing"],
    ] {
        let output = run(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", err(&output));
    }
}

/// What is given for one broker is not passed over in silence by the other.
#[test]
fn a_server_says_which_flags_are_the_other_brokers() {
    for (wrong, told) in [
        (&["server", "--bootstrap", "b:9092"][..], "--bootstrap has no effect with '--backend pulsar'"),
        (
            &["server", "--backend", "kafka", "--pulsar-url", "pulsar://b:6650"],
            "--pulsar-url has no effect with '--backend kafka'",
        ),
    ] {
        let output = run(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(err(&output).contains(told), "{}", err(&output));
    }
}

#[test]
fn a_server_that_is_not_there_is_named_with_an_advice() {
    let output = run(&["client", "-s", "http://127.0.0.1:1", "list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).starts_with("error FS-1704: cannot reach the server at http://127.0.0.1:1: "),
        "{}",
        err(&output)
    );
    assert!(err(&output).contains("\nadvice: check that 'function-stream standalone' runs"), "{}", err(&output));
}

/// A program that answers one request so, whatever it is.
fn answers(answer: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while !lines.next().unwrap().unwrap().is_empty() {}
        stream.write_all(answer.as_bytes()).unwrap();
    });
    url
}

#[test]
fn what_answers_but_is_no_server_is_not_said_to_be_away() {
    for answer in [
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\ncontent-length: 6\r\n\r\n<html>",
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\n<html>",
    ] {
        let url = answers(answer);
        let output = run(&["client", "-s", &url, "list"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(err(&output).starts_with("error FS-1711: ") && err(&output).contains(&url), "{}", err(&output));
        assert!(!err(&output).contains("runs"), "{}", err(&output));
    }
}

#[test]
fn the_description_that_is_printed_is_the_committed_one() {
    let committed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi.yaml")).unwrap();
    assert_eq!(out(&run(&["openapi"])), committed);
}
