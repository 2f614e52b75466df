// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is published of the tables of keys is what they say: the JSON schemas in `docs/schema/` and the reference in
//! `docs/config.md`. `FNSTREAM_GOLDEN=write cargo test -p fnstream-config --test published` writes them.

#![allow(clippy::unwrap_used)]

mod published {
    pub(crate) mod validator;
}

use std::path::PathBuf;

use fnstream_config::reference::{function_reference, server_reference};
use fnstream_config::schema::{function_schema, server_schema};
use fnstream_config::server::SERVER_DEFAULTS;
use fnstream_config::{parse_function_config, parse_server_config};
use published::validator::{from_yaml, violations};
use serde_json::Value;

fn current(path: &str, expected: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if std::env::var_os("FNSTREAM_GOLDEN").is_some_and(|what| what == "write") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(found == expected, "{} is not what the tables of keys say: write it anew", path.display());
}

#[test]
fn the_schemas_are_current() {
    let text = |schema: &Value| serde_json::to_string_pretty(schema).unwrap() + "\n";
    current("docs/schema/function.json", &text(&function_schema()));
    current("docs/schema/server.json", &text(&server_schema()));
}

#[test]
fn the_reference_is_current() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/config.md");
    let page = std::fs::read_to_string(path).unwrap();
    let mut expected = String::new();
    let mut rest = page.as_str();
    for (name, text) in [("function", function_reference()), ("server", server_reference())] {
        let (begin, end) = (format!("<!-- keys of {name} -->\n"), format!("<!-- end of {name} -->"));
        let (before, after) = rest.split_once(&begin).unwrap();
        let (_, after) = after.split_once(&end).unwrap();
        expected += &format!("{before}{begin}\n{}\n\n{end}", text.trim());
        rest = after;
    }
    current("docs/config.md", &(expected + rest));
}

/// Good files of functions.
const FUNCTIONS: &[&str] = &[
    include_str!("../../../examples/go-processor/config.yaml"),
    r#"{"name": "f", "inputs": [[{"input-type": "log", "topic": "i"}]], "outputs": [{"output-type": "log", "topic": "o"}]}"#,
    r#"
name: window
type: processor
input-groups:
  - inputs:
      - {input-type: log, topic: a, watermark: monotonic}
      - {input-type: log, topic: b, schema: bytes, watermark: {strategy: bounded, delay: 5s, idle-timeout: 30s, max-ahead: 1h}}
  - [{input-type: log, topic: c, watermark: none}]
outputs: [{output-type: log, topic: x}, {output-type: log, topic: y, schema: none}]
input-selector: group-parallel
init_config: {text: words, number: 7, fraction: 1.5, flag: true, empty: ""}
replicas: 4
no-join: true
limits: {memory: 64MiB, call-time: 500ms, start-time: 2m, record: 4096, records-per-input: 7, state: none}
on-error: {action: dead-letter, retries: 3, backoff: 100ms, max-backoff: 1m, dead-letter-topic: bad}
env: {LANG: C, LEVEL: 3}
files: [{host: /srv/lists}, {host: /srv/b, guest: /c}]
delivery: exactly-once
schema: bytes
max-idle-count: 3
control-poll: 1
processor-runtime:
"#,
    r#"
name: brokers
type: python
input-groups:
  - - {input-type: kafka, bootstrap_servers: "a:9092,b:9092", topic: t, group_id: g, partition: 3, session.timeout.ms: 6000, debug: cgrp}
    - {input-type: pulsar, service_url: "pulsar://localhost:6650", topic: "persistent://p/n/t", subscription: s}
outputs: [{output-type: kafka, bootstrap_servers: "a:9092", topic: o, compression.type: lz4}, {output-type: pulsar, topic: o}]
on-error: stop
limits: {state: 1GiB}
"#,
];

/// Good files of servers.
const SERVERS: &[&str] = &[
    SERVER_DEFAULTS,
    r#"
service: {service_id: 1, service_name: a, version: 1.0.0, host: 0.0.0.0, port: 9090, workers: 3, worker_multiplier: 2, allowed_hosts: ["*"], allowed_origins: ["https://a:1"], local_paths: false, debug: true}
rest: {listen: ':7400', max_produce_size: 1MiB, max_artifact_size: 2000}
logging: {level: warn, format: json, file_path: logs/a.log, max_file_size: 7, max_files: 9}
python: {wasm_path: a, cache_dir: b, enable_cache: true}
wasm: {cache_dir: /cache, enable_cache: false, max_cache_size: 1GiB, max_compile_time: 90s, engines_dir: e}
state_storage: {storage_type: memory, base_dir: /srv, access: group, durability: os, dirty_keys: 12, recovery_timeout: 0s, scrub: false, scrub_rate: 1MiB, rocksdb: {max_open_files: 3}}
task_storage: {storage_type: rocksdb, db_path: d, rocksdb: {}}
stream_catalog: {persist: true, db_path: s}
retention: {max_age: 7d, max_bytes: 10GiB}
topics: {auto_create: functions}
kafka: {replication: 3, partitions: 6}
allow: {archive_dirs: [/a, b], files_dirs: [], backup_dirs: [/d]}
pulsar: {service_url: "pulsar://x:1"}
"#,
];

#[test]
fn good_files_are_good_by_the_schemas_too() {
    for text in FUNCTIONS {
        parse_function_config(text.as_bytes()).unwrap();
        assert_eq!(violations(&function_schema(), &from_yaml(text)), Vec::<String>::new(), "{text}");
    }
    for text in SERVERS {
        parse_server_config(text.as_bytes()).unwrap();
        assert_eq!(violations(&server_schema(), &from_yaml(text)), Vec::<String>::new(), "{text}");
    }
}

/// What a schema can see is refused by it as by the reader; the golden files have what each is told.
#[test]
fn what_a_schema_accepts_the_reader_refuses_only_for_what_a_schema_cannot_see() {
    const NOT_SEEN: &[&str] = &[
        "is named twice",
        "both input and output",
        "dead-letter topic",
        "'dead-letter-topic' is",
        "name '",
        "not 64KiB to 4GiB",
        "not 1ms to",
        "nothing could be emitted",
        "nothing would fit",
        "'logging.level' is",
        "is shorter than its backoff",
        "needs a delay",
        "'topics_pattern' is given",
        "are both given",
        "keeps the schemas of the inputs",
        "'delay' is given",
        "'max-ahead' is given",
        "'idle-advance' is given",
        "more than 366 days",
        "is not host:port",
        "not the address of a Pulsar broker",
        "name of an environment variable",
        "holds a zero byte",
        "absolute path",
        "two folders",
        // JSON Schema counts what YAML has read, not what was written.
        "is given twice",
        "is not a size",
        "not a size of",
        "merge keys",
        "the tag",
    ];
    for (golden, schema) in [
        (include_str!("golden/functions.txt"), function_schema()),
        (include_str!("golden/servers.txt"), server_schema()),
    ] {
        let mut refused = 0;
        for case in golden.split("#### case: ").skip(1) {
            let (title, rest) = case.split_once('\n').unwrap();
            let (text, told) = rest.split_once("#### told:\n").unwrap();
            if told.contains("not valid YAML") || told.contains("a tab is used") || told.contains("second document") {
                continue;
            }
            let Some(value) = published::validator::try_yaml(text) else { continue };
            let unseen = |line: &str| line.contains("note:") || NOT_SEEN.iter().any(|what| line.contains(what));
            if violations(&schema, &value).is_empty() {
                assert!(told.lines().all(unseen), "{title}: the schema takes\n{text}\nbut the reader says\n{told}");
            } else {
                refused += 1;
            }
        }
        assert!(refused > 25, "{refused}");
    }
}
