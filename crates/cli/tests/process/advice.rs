// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is advised fits what was asked, and names the options as the command line has them.

use crate::support::Server;

/// What a command that fails says.
fn refused(server: &Server, args: &[&str]) -> String {
    let output = server.client(args);
    assert!(!output.status.success(), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_topic_of_several_partitions_is_read_from_a_place_in_one_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    server.must(&["topic", "create", "-n", "t", "-p", "2"]);
    server.must(&["produce", "-n", "t", "-c", "e", "--partition", "1"]);
    for from in ["earliest", "latest", "0"] {
        let told = refused(&server, &["consume", "-n", "t", "--from", from, "-t", "1ms"]);
        let what = "error FS-1314: topic 't' has 2 partitions: reading from a position needs one of them\n";
        assert_eq!(told, format!("{what}advice: name the partition with --partition\n"));
    }
    let told = refused(&server, &["group", "reset", "-n", "t", "-g", "g", "--to", "0"]);
    assert!(told.starts_with("error FS-1314: ") && told.ends_with("with --partition\n"), "{told}");
    assert_eq!(server.must(&["consume", "-n", "t", "--from", "earliest", "--partition", "1"]), "\"e\"\n");
    server.stop();
}
