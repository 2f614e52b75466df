// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The binary as its users meet it: texts, exit codes, signals.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_function-stream");

fn run(args: &[&str]) -> Output {
    Command::new(BINARY).args(args).env_remove("LISTEN_ADDR").output().unwrap()
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// A server process on a folder of its own.
struct Server {
    process: Child,
    log: BufReader<ChildStderr>,
    url: String,
}

impl Server {
    fn start(data: &Path) -> Self {
        let mut process = Command::new(BINARY)
            .args([
                "standalone",
                "--listen",
                "127.0.0.1:0",
                "--grpc-listen",
                "127.0.0.1:0",
                "--durability",
                "os",
                "--data-dir",
            ])
            .arg(data)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the server ended before it listened");
        }
        let address = line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
        Server { process, log, url: format!("http://{address}") }
    }

    fn client(&self, args: &[&str]) -> Output {
        run(&[&["client", "-s", &self.url], args].concat())
    }

    /// Asks it to end, and answers whether it ended well.
    fn terminate(mut self, signal: Signal) -> bool {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
        let ended = self.process.wait().unwrap();
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.log, &mut rest).unwrap();
        assert!(rest.contains("stopped"), "{rest}");
        ended.success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn echo(folder: &TempDir) -> String {
    let module = wat::parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 2)
            (func (export "_initialize"))
            (func (export "process")
                (i32.store (i32.const 0) (i32.const 1024))
                (i32.store (i32.const 4) (i32.const 60000))
                (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                (i32.store (i32.const 4) (i32.load (i32.const 8)))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))))"#,
    );
    let path = folder.path().join("echo.wasm");
    std::fs::write(&path, module.unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

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
        "list",
        "delete",
        "describe",
        "start",
        "stop",
        "restart",
        "update",
        "revisions",
        "rollback",
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
        &["client", "update", "-n", "f", "--clear", "env", "--env", "A=b"],
        &["client", "update", "-n", "f", "-i", "other"],
        &["client", "rollback", "-n", "f"],
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
    let output = run(&["server"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        err(&output),
        "error FS-1705: server mode needs Apache Pulsar or Kafka, which this build does not speak\n\
         advice: use 'function-stream standalone'\n"
    );
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

#[test]
fn events_go_through_a_function_and_survive_an_orderly_end() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data);
    let create = ["create", "-n", "example", "-a", &echo(&folder), "-i", "in", "-o", "out", "-r", "1"];
    assert_eq!(out(&server.client(&create)), "Function created: example\n");
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

    assert!(server.terminate(Signal::TERM));
    let server = Server::start(&data);
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
    assert!(server.terminate(Signal::INT));
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
    assert_eq!(out(&server.client(&create)), "Function created: f\n");
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
        .args(["client", "-s", &server.url, "logs", "-n", "example", "-f"])
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

#[test]
fn a_function_is_changed_and_brought_back_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let archive = echo(&folder);
    server.client(&["create", "-n", "f", "-a", &archive, "-i", "in", "-o", "out", "-c", "a=b"]);
    assert_eq!(
        out(&server.client(&["update", "-n", "f", "-o", "other", "--clear", "config"])),
        "Function f is at revision 2\n"
    );
    let revisions: serde_json::Value =
        serde_json::from_slice(&server.client(&["revisions", "-n", "f", "--json"]).stdout).unwrap();
    assert_eq!(revisions[0]["changed"], serde_json::json!(["output", "config"]));
    assert!(out(&server.client(&["restart", "-n", "f"])).starts_with("Function f is "));
    let back = server.client(&["rollback", "-n", "f", "--to", "1"]);
    assert!(out(&back).starts_with("Function f is back to revision 1, as revision 3\n"), "{}", out(&back));
    let present = server.client(&["rollback", "-n", "f", "--to", "3"]);
    assert!(err(&present).starts_with("error FS-1001: revision 3 is the one that function 'f' is at\nadvice: "));
    let shown = server.client(&["describe", "-n", "f"]);
    assert!(out(&shown).contains("outputs   out\n") && out(&shown).contains("config    a=b\n"), "{}", out(&shown));
}

#[test]
fn a_bench_checks_what_it_measures() {
    let folder = tempfile::tempdir().unwrap();
    let archive = echo(&folder);
    for (args, variant) in [
        (&["--archive", &archive][..], "wasm"),
        (&["--variant", "native", "--workload", "money"], "native"),
        (&["--variant", "native", "--workload", "keyed-count", "--keys", "50", "--partitions", "3"], "native"),
        (&["--variant", "copy", "--partitions", "2"], "copy"),
        (&["--variant", "native", "--rate", "2000"], "native"),
    ] {
        let output = run(&[&["bench", "--records", "5000", "--durability", "os", "--json"], args].concat());
        assert!(output.status.success(), "{args:?}: {}", err(&output));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["variant"], variant);
        for count in ["lost", "duplicated", "wrong"] {
            assert_eq!(report[count], 0, "{args:?}: {report:#}");
        }
        assert!(report["records_per_second"].as_f64().unwrap() > 0.0);
        assert_eq!(report["latency"].is_object(), args.contains(&"--rate"), "{report:#}");
    }
    // An echo is no count: the check must see it.
    let output = run(&["bench", "--records", "500", "--workload", "keyed-count", "--archive", &archive]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("did not deliver each record exactly once"), "{}", err(&output));
}

#[test]
fn a_null_value_is_produced_and_printed_as_null() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let produced = server.client(&["produce", "-n", "t", "--null", "-k", "k"]);
    assert_eq!((out(&produced), err(&produced)), ("Event produced\n", ""));
    assert!(server.client(&["produce", "-n", "t", "-c", "null"]).status.success());
    let consumed = server.client(&["consume", "-n", "t", "-c", "2", "-t", "60s"]);
    assert_eq!((out(&consumed), err(&consumed)), ("null\n\"null\"\n", ""));
    assert!(server.terminate(Signal::TERM));
}

#[test]
fn topics_are_named_in_their_text_form_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let (input, output) = ("persistent://t/n/in", "t/n/out");
    let archive = echo(&folder);
    let created = server.client(&["create", "-n", "f", "-a", &archive, "-i", input, "-o", output]);
    assert_eq!(err(&created), "");
    assert!(server.client(&["produce", "-n", input, "-c", "e"]).status.success());
    assert_eq!(out(&server.client(&["consume", "-n", output, "-t", "60s"])), "\"e\"\n");
    assert!(out(&server.client(&["topic", "describe", "-n", input])).contains("name       persistent://t/n/in\n"));
    let described = server.client(&["describe", "-n", "f"]);
    assert!(out(&described).contains("inputs    persistent://t/n/in\n"), "{}", out(&described));

    for args in [
        &["produce", "-n", "t@prod", "-c", "e"][..],
        &["consume", "-n", "t@prod", "-t", "1ms"],
        &["topic", "create", "-n", "t@prod"],
        &["topic", "describe", "-n", "t@prod"],
        &["topic", "delete", "-n", "t@prod"],
        &["create", "-n", "g", "-a", &archive, "-i", "t@prod", "-o", "o"],
        &["update", "-n", "f", "-o", "t@kafka://h:1"],
    ] {
        let refused = server.client(args);
        assert_eq!(refused.status.code(), Some(1), "{args:?}");
        assert!(err(&refused).starts_with("error FS-1309: topic 't@"), "{args:?}: {}", err(&refused));
    }
    assert!(server.terminate(Signal::TERM));
}
