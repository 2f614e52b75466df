// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a user takes for granted of a program on a terminal.

use std::fs::File;
use std::io::Read;
use std::process::Stdio;

use nix::pty::openpty;

use super::support::{BINARY, Server, command, flags};

#[test]
fn the_server_is_named_in_the_environment_and_without_its_scheme() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    server.must(&["produce", "-n", "t", "-c", "e"]);
    let address = server.address();
    let list = |url: &str, given: &[&str]| {
        command(BINARY).args(["client", "topic", "list"]).args(given).env("FUNCTION_STREAM_URL", url).output().unwrap()
    };
    for (url, given) in [(address.as_str(), &[][..]), ("127.0.0.1:1", &["-s", &address]), ("", &["-s", &address])] {
        let output = list(url, given);
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"t\n"[..], &b""[..]), "'{url}' {given:?}");
    }
    let wrong = list("https://example", &[]);
    let expected = "error FS-1001: service url 'https://example': this client speaks http, not https; give it as http://HOST:PORT, \
                    such as http://localhost:7300\n";
    assert!(String::from_utf8(wrong.stderr).unwrap().starts_with(expected));
    server.stop();
}

#[test]
fn a_value_that_begins_with_a_hyphen_is_no_flag() {
    for (args, option) in [
        (&["client", "consume", "-n", "t", "-t", "-5"][..], "'-5' for '--timeout <DURATION>'"),
        (&["client", "consume", "-n", "t", "-t", "-5s"], "'-5s' for '--timeout <DURATION>'"),
        (&["client", "consume", "-n", "t", "--count", "-1"], "'-1' for '--count <N>'"),
        (&["client", "logs", "-n", "f", "--tail", "-f"], "'-f' for '--tail <N>'"),
        (&["client", "topic", "create", "-n", "t", "--retention", "-7d"], "'-7d' for '--retention <DURATION>'"),
        (
            &["client", "topic", "create", "-n", "t", "--retention-bytes", "-1GiB"],
            "'-1GiB' for '--retention-bytes <SIZE>'",
        ),
        (
            &["client", "create", "-n", "f", "-a", "a", "-i", "i", "-o", "o", "-r", "-2"],
            "'-2' for '--replicas <REPLICAS>'",
        ),
        (&["sql", "-p", "-1"], "'-1' for '--port <PORT>'"),
        (&["bench", "--records", "-1"], "'-1' for '--records <N>'"),
    ] {
        let output = command(BINARY).args(args).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(&format!("error: invalid value {option}")), "{args:?}: {said}");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn colours_are_for_terminals_of_those_who_want_them() {
    for (no_color, coloured) in [(None, true), (Some(""), true), (Some("1"), false)] {
        let folder = tempfile::tempdir().unwrap();
        let log = log_on_a_terminal(folder.path(), no_color);
        assert_eq!(log.contains('\u{1b}'), coloured, "{no_color:?}: {log:?}");
    }
}

/// What a server says on a terminal until it listens.
fn log_on_a_terminal(data: &std::path::Path, no_color: Option<&str>) -> String {
    let ends = openpty(None, None).unwrap();
    let mut server = command(BINARY);
    server.args(flags(data)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::from(ends.slave));
    server.env_remove("NO_COLOR").envs(no_color.map(|value| ("NO_COLOR", value)));
    let mut child = server.spawn().unwrap();
    // Its copy of the terminal would keep it open after the server's end.
    drop(server);
    let (mut terminal, mut log, mut bytes) = (File::from(ends.master), Vec::new(), [0; 4096]);
    let listens = |log: &[u8]| String::from_utf8_lossy(log).contains("listening");
    while !listens(&log) {
        match terminal.read(&mut bytes) {
            Ok(count @ 1..) => log.extend_from_slice(&bytes[..count]),
            _ => break,
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(listens(&log), "{}", String::from_utf8_lossy(&log));
    String::from_utf8(log).unwrap()
}
