// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Whoever consumes is warned of what retention dropped before, once, and goes on.

use std::process::Output;
use std::time::Instant;

use fnstream_frame::{FrameBuilder, RecordRef};
use serde_json::Value;

use super::support::{BINARY, PATIENCE, Server, answering, command};

/// The lines of the error output.
fn complaints(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_group_that_retention_overtakes_is_warned_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data);
    server.must(&["produce", "-n", "t", "-c", "a"]);
    let (acks, plain) = (["consume", "-n", "t", "-g", "acks", "--ack"], ["consume", "-n", "t", "-g", "plain"]);
    for consume in [&acks[..], &plain] {
        assert_eq!(server.must(consume), "\"a\"\n");
    }
    for event in ["b", "c", "d", "e"] {
        server.must(&["produce", "-n", "t", "-c", event]);
    }
    server.must(&["topic", "alter", "-n", "t", "--retention-bytes", "1"]);
    server.stop();
    // Retention is enforced at the start; what it has dropped is seen in the topic.
    let server = Server::start(&data);
    let earliest = || {
        let described: Value = serde_json::from_str(&server.must(&["topic", "describe", "-n", "t", "--json"])).unwrap();
        described["partitions"][0]["earliest"].as_str().unwrap().to_owned()
    };
    let until = Instant::now() + PATIENCE;
    while earliest() != "4" {
        assert!(Instant::now() < until, "retention is not enforced");
    }
    let told = "warning: retention dropped 3 events of partition 0, from position 1 on, before they were consumed";
    for (consume, follow) in [(&acks[..], true), (&plain, false)] {
        let output = server.client(&[consume, if follow { &["-f", "-t", "1ms"] } else { &[] }].concat());
        assert_eq!((&output.stdout[..], complaints(&output)), (&b"\"e\"\n"[..], vec![told.to_owned()]));
        server.must(&["produce", "-n", "t", "-c", "f"]);
        assert_eq!(complaints(&server.client(consume)), [""; 0], "it is told once");
    }
    server.stop();
}

/// A reader of its own place, without a group: between two of its requests retention drops what comes next.
#[test]
fn a_reader_that_retention_overtakes_goes_on_with_what_is_left() {
    let event = |position: u32, value: &str| {
        let mut frame = FrameBuilder::new();
        frame.push(RecordRef::new(value.as_bytes()));
        let (next, frame) = (position + 1, frame.to_bytes());
        let head = format!("fs-partition: 0\r\nfs-position: {position}\r\nfs-next-position: {next}\r\n");
        (200, head, frame)
    };
    let error = |status, code: &str| {
        (status, String::new(), format!(r#"{{"code":"{code}","message":"m","advice":"a"}}"#).into_bytes())
    };
    for (from, follows) in [("earliest", false), ("0", false), ("0", true)] {
        let url = answering(move |request| {
            match request.split([' ', '?', '&']).find_map(|part| part.strip_prefix("from=")) {
                Some("earliest" | "0") if request.contains("partition=0") => event(7, "h"),
                Some("earliest" | "0") => event(0, "a"),
                Some("1" | "5") => error(410, "FS-1304"),
                Some("8") => (204, String::new(), Vec::new()),
                _ => error(404, "FS-1301"),
            }
        });
        let mut consume = command(BINARY);
        consume.args(["client", "-s", &url, "consume", "-n", "t", "--from", from]);
        consume.args(if follows { &["-f", "-t", "1ms"][..] } else { &["--count", "2"] });
        let output = consume.output().unwrap();
        let told: Vec<_> = complaints(&output).into_iter().filter(|line| line.starts_with("warning")).collect();
        assert_eq!(output.stdout, b"\"a\"\n\"h\"\n");
        assert_eq!(
            told,
            ["warning: retention dropped 6 events of partition 0, from position 1 on, before they were consumed"]
        );
    }
    // A position that the user names is not passed over.
    let url = answering(move |_| error(410, "FS-1304"));
    let refused = command(BINARY).args(["client", "-s", &url, "consume", "-n", "t", "--from", "5"]).output().unwrap();
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("FS-1304"), "{refused:?}");
}
