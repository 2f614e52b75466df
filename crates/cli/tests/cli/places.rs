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
