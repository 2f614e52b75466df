// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a server sends does not reach a terminal as it is: an answer that is hostile in every text, shown by every command.

use std::process::Output;

use fnstream_frame::{FrameBuilder, RecordRef};
use serde_json::{Value, json};

use super::support::{BINARY, answering, command};

/// Clears the screen, sets the title, is ESC [ in one character, turns the order round, and forges lines.
const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;t\u{7}\u{9b}1A\u{202e}\radvice: run this\nadvice: run that";

/// A server that answers every request with one status and body; answers its URL.
fn server(status: u16, headers: &'static str, body: impl Into<Vec<u8>>) -> String {
    let body = body.into();
    answering(move |_| (status, headers.to_owned(), body.clone()))
}

fn client(url: &str, args: &[&str]) -> Output {
    command(BINARY).args(["client", "-s", url]).args(args).output().unwrap()
}

/// Both outputs, in which nothing steers a terminal.
#[track_caller]
fn harmless(args: &[&str], output: &Output) -> String {
    let shown = [output.stdout.as_slice(), &output.stderr].concat();
    let shown = String::from_utf8(shown).unwrap();
    let steers = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || c == '\u{202e}';
    assert!(!shown.contains(steers), "{args:?}: {shown:?}");
    assert!(shown.contains("[2J"), "{args:?} does not show it: {shown:?}");
    shown
}

#[test]
fn errors_are_shown_harmless_by_every_command() {
    let body = json!({ "code": HOSTILE, "message": HOSTILE, "advice": HOSTILE });
    let url = server(409, "content-type: application/json\r\n", body.to_string());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "line\n").unwrap();
    let file = file.to_str().unwrap();
    for args in [
        &["create", "-n", "f", "-a", file, "-i", "i", "-o", "o"][..],
        &["list"],
        &["delete", "-n", "f"],
        &["describe", "-n", "f"],
        &["start", "-n", "f"],
        &["stop", "-n", "f"],
        &["status"],
        &["logs", "-n", "f"],
        &["restart", "-n", "f"],
        &["update", "-n", "f", "-a", file],
        &["revisions", "-n", "f"],
        &["rollback", "-n", "f", "--to", "1"],
        &["produce", "-n", "t", "-c", "e"],
        &["produce", "-n", "t", "-f", file],
        &["consume", "-n", "t"],
        &["custom", "-n", "f", "-c", "e"],
        &["topic", "list"],
        &["topic", "describe", "-n", "t"],
        &["dlq", "ls", "-n", "f"],
        &["dlq", "show", "-n", "f", "0:0"],
        &["dlq", "replay", "-n", "f", "--with-archive", file],
        &["dlq", "jobs"],
    ] {
        let output = client(&url, args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let shown = harmless(args, &output);
        assert_eq!(shown.lines().filter(|line| line.starts_with("advice: ")).count(), 1, "{args:?}: {shown}");
    }
}

#[test]
fn answers_are_shown_harmless() {
    let dead_letter = json!({
        "id": HOSTILE, "code": HOSTILE, "message": HOSTILE, "backtrace": HOSTILE, "revision": 1, "topic": HOSTILE,
        "partition": 0, "position": "0", "attempts": 1, "failed_at_ms": 0, "timestamp_ms": 0, "key": HOSTILE,
        "headers": [{ "name": HOSTILE, "value": HOSTILE }], "value": HOSTILE, "encoding": "utf-8",
    });
    let line = json!({ "ms": 0, "speaker": HOSTILE, "text": HOSTILE });
    let of = |body: Value| ("content-type: application/json\r\n", body.to_string().into_bytes());
    let cases = [
        (&["list"][..], of(json!([HOSTILE]))),
        (&["topic", "list"], of(json!([HOSTILE]))),
        (&["dlq", "show", "-n", "f", "0:0"], of(dead_letter.clone())),
        (&["dlq", "ls", "-n", "f"], of(json!({ "topic": HOSTILE, "waiting": 1, "dead_letters": [dead_letter] }))),
        (&["logs", "-n", "f"], of(json!({ "lines": [line], "next": "1" }))),
        (&["consume", "-n", "t"], (PLACE, event(HOSTILE.as_bytes()))),
    ];
    for (args, (headers, body)) in cases {
        let url = server(200, headers, body);
        for json in [false, true] {
            let all = [args, if json { &["--json"] } else { &[] }].concat();
            let output = client(&url, &all);
            assert!(output.status.success(), "{all:?}: {output:?}");
            let shown = harmless(&all, &output);
            match json || args[0] == "consume" {
                // What a program reads has the very value.
                true => {
                    let value: Value = serde_json::from_str(&shown).unwrap();
                    assert!(contains(&value, HOSTILE), "{all:?}: {value:#}");
                }
                false => assert!(!shown.lines().any(|line| line.starts_with("advice")), "{all:?}: {shown}"),
            }
        }
    }
}

fn contains(value: &Value, text: &str) -> bool {
    match value {
        Value::String(one) => one == text,
        Value::Array(all) => all.iter().any(|one| contains(one, text)),
        Value::Object(all) => all.values().any(|one| contains(one, text)),
        _ => false,
    }
}

/// The headers of an answer with one event.
const PLACE: &str = "fs-partition: 0\r\nfs-position: 0\r\nfs-next-position: 1\r\n";

fn event(value: &[u8]) -> Vec<u8> {
    let mut frame = FrameBuilder::new();
    frame.push(RecordRef::new(value).with_key(Some(value)));
    frame.to_bytes()
}

/// The bytes 0xFF and the text that is their base64; what is asked for byte by byte is exact.
#[test]
fn bytes_that_are_no_text_do_not_look_like_text() {
    let shown = |value: &[u8], args: &[&str]| {
        client(&server(200, PLACE, event(value)), &[&["consume", "-n", "t"], args].concat()).stdout
    };
    assert_eq!(shown(b"/w==", &[]), b"\"/w==\"\n");
    assert_eq!(shown(&[0xff], &[]), b"{\"base64\":\"/w==\"}\n");
    assert_eq!(shown(&[0xff, 0x1b], &["--raw"]), [0xff, 0x1b]);
}

#[test]
fn what_is_long_is_cut_unless_all_is_asked_for() {
    let body = json!({ "code": "FS-1402", "message": "m".repeat(100_000), "advice": "a" });
    let url = server(409, "", body.to_string());
    let cut = client(&url, &["list"]);
    assert!(
        cut.stderr.len() < 5_000 && cut.stderr.ends_with(b"m \xe2\x80\xa6 (96000 bytes more: --full)\nadvice: a\n")
    );
    let whole = client(&url, &["list", "--full"]);
    assert!(whole.stderr.len() > 100_000);
}
