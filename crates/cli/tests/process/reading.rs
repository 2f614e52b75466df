// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What reads can be read by programs.

use serde_json::Value;

use crate::support::{BINARY, Server, command};

/// A module that gives up at each record.
fn trap() -> Vec<u8> {
    wat::parse_str(
        r#"(module (memory (export "memory") 1) (func (export "_initialize")) (func (export "process") unreachable))"#,
    )
    .unwrap()
}

/// The JSON that a command prints: one value, or one on each line.
fn json(text: &str) -> Vec<Value> {
    let values = serde_json::Deserializer::from_str(text).into_iter().collect::<Result<Vec<_>, _>>();
    values.unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn every_command_that_reads_prints_json_if_asked() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let artifact = folder.path().join("trap.wasm");
    std::fs::write(&artifact, trap()).unwrap();
    let artifact = artifact.display().to_string();
    server.must(&["topic", "create", "-n", "in"]);
    server.must(&["create", "-n", "f", "-a", &artifact, "-i", "in", "-o", "out", "--retries", "0"]);
    server.must(&["produce", "-n", "in", "-c", "event"]);
    // The letter is there when its topic has it.
    let letter = &json(&server.must(&["consume", "-n", "f.dlq", "--json", "--timeout", "60s"]))[0];
    let id = format!("{}:{}", letter["partition"], letter["position"].as_str().unwrap());
    let shown = server.must(&["dlq", "show", "-n", "f", &id, "--json"]);
    assert!(json(&shown)[0].is_object() && shown.contains("unreachable"), "{shown}");
    let dropped = json(&server.must(&["dlq", "drop", "-n", "f", "--all", "--no-wait", "--json"]));
    let job = dropped[0]["id"].as_str().unwrap().to_owned();
    for (args, is) in [
        (vec!["list"], "[\"f\"]"),
        (vec!["describe", "-n", "f"], "\"f\""),
        (vec!["status"], "\"f\""),
        (vec!["status", "-n", "f"], "\"f\""),
        (vec!["logs", "-n", "f"], "text"),
        (vec!["revisions", "-n", "f"], "sha256:"),
        (vec!["consume", "-n", "in", "--timeout", "60s"], "event"),
        (vec!["topic", "list"], "\"in\""),
        (vec!["topic", "describe", "-n", "in"], "\"in\""),
        (vec!["dlq", "ls", "-n", "f"], "["),
        (vec!["dlq", "jobs"], &job),
        (vec!["dlq", "job", &job], &job),
    ] {
        let printed = server.must(&[args.as_slice(), &["--json"]].concat());
        assert!(!json(&printed).is_empty() && printed.contains(is), "{args:?}: {printed}");
    }
    let url = format!("http://{}", server.address());
    for statement in ["show functions", "show topics", "describe function f", "show dead letters of f"] {
        let mut sql = command(BINARY);
        // The one address of the server, which has no other here.
        let output = sql.args(["sql", "--format", "json", "-e", statement]).env("FUNCTION_STREAM_URL", &url).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{statement}: {output:?}");
        assert!(!json(&String::from_utf8(output.stdout).unwrap()).is_empty(), "{statement}");
    }
    server.stop();
}
