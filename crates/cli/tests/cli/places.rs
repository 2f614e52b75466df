// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Where functions begin to read, and how they are moved.

use crate::applying::described;
use crate::support::Server;
use crate::told::{echo, err, out};

#[test]
fn a_function_is_moved_in_its_inputs_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    server.client(&["create", "-n", "f", "-a", &echo(&folder), "-i", "in", "-o", "out"]);
    server.client(&["produce", "-n", "in", "-c", "e"]);
    server.client(&["consume", "-n", "out"]);
    server.client(&["stop", "-n", "f"]);
    let moved = server.client(&["seek", "-n", "f", "--to", "earliest"]);
    let told = "Function f reads on from earliest, as revision 3\n  in 0: from 1 to 0\nFunction f is stopped\n";
    assert_eq!(out(&moved), told, "{}", err(&moved));
    assert_eq!(out(&server.client(&["start", "-n", "f"])), "Function f is running\n");
    assert_eq!(out(&server.client(&["consume", "-n", "out"])), "\"e\"\n", "it comes again");
    let refused = server.client(&["seek", "-n", "f", "--to", "0:9"]);
    assert!(err(&refused).starts_with("error FS-1305: position 9 of in-0 is past the end, which is 1\n"));
}

#[test]
fn a_function_begins_where_it_is_said_on_the_command_line_and_in_its_description() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    server.client(&["produce", "-n", "in", "-c", "old"]);
    let archive = echo(&folder);
    let create = ["create", "-n", "f", "-a", &archive, "-i", "in", "-o", "out-f", "--from", "latest"];
    assert!(server.client(&create).status.success());
    let path = folder.path().join("g.yaml");
    std::fs::write(&path, described("g", "archive: echo.wasm\nfrom: latest")).unwrap();
    let applied = server.client(&["apply", "-f", path.to_str().unwrap()]);
    assert!(out(&applied).contains("+ from: latest\n"), "{} {}", out(&applied), err(&applied));
    server.client(&["produce", "-n", "in", "-c", "new"]);
    for name in ["f", "g"] {
        assert!(out(&server.client(&["describe", "-n", name])).contains("from      latest\n"));
        assert_eq!(out(&server.client(&["consume", "-n", &format!("out-{name}")])), "\"new\"\n");
    }
    // What is there is moved in another way.
    std::fs::write(&path, described("g", "archive: echo.wasm\nfrom: 2026-01-31T08:00:00Z")).unwrap();
    let refused = server.client(&["apply", "-f", path.to_str().unwrap()]);
    assert!(
        err(&refused)
            .starts_with("error FS-1103: from is '2026-01-31T08:00:00.000Z', but the function began at 'latest'")
    );
    server.stop();
}

/// A moment is written in the same ways wherever one is named.
#[test]
fn a_time_has_the_same_forms_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let archive = echo(&folder);
    for (event, time) in [("a", "0"), ("b", "1970-01-01T00:00:01Z"), ("c", "time=2000")] {
        assert!(server.client(&["produce", "-n", "in", "-c", event, "-t", time]).status.success(), "{time}");
    }
    for (number, time) in ["1970-01-01T00:00:01Z", "1970-01-01T00:00:01.000Z", "time=1000", "time=1"].iter().enumerate()
    {
        let (name, output) = (format!("f{number}"), format!("out{number}"));
        let created = ["create", "-n", &name, "-a", &archive, "-i", "in", "-o", &output, "--from", time];
        assert!(server.client(&created).status.success(), "{time}");
        assert_eq!(out(&server.client(&["consume", "-n", &output, "-t", "60s"])), "\"b\"\n", "{time}");
        assert!(server.client(&["stop", "-n", &name]).status.success());
        assert!(server.client(&["seek", "-n", &name, "--to", time]).status.success(), "{time}");
        assert!(server.client(&["group", "reset", "-n", "in", "-g", &name, "--to", time]).status.success(), "{time}");
        assert_eq!(out(&server.client(&["consume", "-n", "in", "-g", &name])), "\"b\"\n", "{time}");
    }
    for args in [
        &["seek", "-n", "f0", "--to", "yesterday"][..],
        &["group", "reset", "-n", "in", "-g", "g", "--to", "yesterday"],
        &["produce", "-n", "in", "-c", "e", "-t", "yesterday"],
    ] {
        let refused = server.client(args);
        let forms = "a time in UTC such as 2026-01-31T08:00:00Z, or time=MS in milliseconds since the Unix epoch";
        assert!(refused.status.code() == Some(2) && err(&refused).contains(forms), "{}", err(&refused));
    }
    server.stop();
}
