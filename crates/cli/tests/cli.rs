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
        &["client", "update", "-n", "f", "-i", "other"],
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
    assert_eq!(out(&server.client(&create)), "Function created: example\nFunction example is running\n");
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
    assert_eq!(out(&server.client(&create)), "Function created: f\nFunction f is running\n");
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
        "Function f is at revision 2\nFunction f is running\n"
    );
    let revisions: serde_json::Value =
        serde_json::from_slice(&server.client(&["revisions", "-n", "f", "--json"]).stdout).unwrap();
    assert_eq!(revisions[0]["changed"], serde_json::json!(["output", "config"]));
    assert_eq!(out(&server.client(&["restart", "-n", "f"])), "Function f is running\n");
    let back = server.client(&["rollback", "-n", "f", "--to", "1"]);
    assert!(out(&back).starts_with("Function f is back to revision 1, as revision 3\n"), "{}", out(&back));
    let present = server.client(&["rollback", "-n", "f", "--to", "3"]);
    assert!(err(&present).starts_with("error FS-1001: revision 3 is the one that function 'f' is at\nadvice: "));
    let shown = server.client(&["describe", "-n", "f"]);
    assert!(out(&shown).contains("outputs   out\n") && out(&shown).contains("config    a=b\n"), "{}", out(&shown));
}

/// A module that traps when it is started.
fn stillborn(folder: &TempDir) -> String {
    let module = wat::parse_str(
        r#"(module (memory (export "memory") 1)
            (func (export "_initialize") unreachable) (func (export "process")))"#,
    );
    let path = folder.path().join("stillborn.wasm");
    std::fs::write(&path, module.unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_exit_code_says_whether_a_function_is_up() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let (good, bad) = (echo(&folder), stillborn(&folder));
    let created = server.client(&["create", "-n", "f", "-a", &bad, "-i", "in", "-o", "out"]);
    assert_eq!((created.status.code(), out(&created)), (Some(1), "Function created: f\n"));
    let told = err(&created);
    assert!(told.starts_with("error FS-1117: function 'f' was created, but does not come up: task 0: "), "{told}");
    assert!(told.contains("\nadvice: see what it wrote with 'function-stream client logs -n NAME'"), "{told}");
    let trusting = server.client(&["create", "-n", "g", "-a", &bad, "-i", "in", "-o", "out", "--no-wait"]);
    assert_eq!((trusting.status.code(), out(&trusting)), (Some(0), "Function created: g\n"));
    // The revision before did not run either: there is nothing to go back to.
    let still = server.client(&["update", "-n", "f", "-c", "a=1"]);
    assert_eq!((still.status.code(), out(&still)), (Some(1), ""));
    assert!(!err(&still).contains("in force again"), "{}", err(&still));
    let mended = server.client(&["update", "-n", "f", "-a", &good]);
    assert_eq!(out(&mended), "Function f is at revision 3\nFunction f is running\n", "{}", err(&mended));

    let taken_back = server.client(&["update", "-n", "f", "-a", &bad]);
    assert_eq!((taken_back.status.code(), out(&taken_back)), (Some(1), ""));
    let told = err(&taken_back);
    assert!(
        told.starts_with("error FS-1117: function 'f' was updated to revision 4, but does not come up: "),
        "{told}"
    );
    assert!(told.contains("; revision 3 is in force again, as revision 5, and runs\n"), "{told}");
    assert!(out(&server.client(&["describe", "-n", "f"])).contains("revision  5\n"));
    let kept = server.client(&["update", "-n", "f", "-a", &bad, "--keep-failed"]);
    assert!(kept.status.code() == Some(1) && !err(&kept).contains("in force again"), "{}", err(&kept));
    assert_eq!(server.client(&["start", "-n", "f"]).status.code(), Some(1));
    assert!(server.terminate(Signal::TERM));
}

#[test]
fn settings_are_merged_and_taken_away_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let archive = echo(&folder);
    let mut create = vec!["create", "-n", "f", "-a", &archive, "-i", "in", "-o", "out", "-c", "a=1", "-c", "b=2"];
    create.extend(["--env", "E=e"]);
    server.client(&create);
    for (args, config, env) in [
        (&["-c", "a=3", "--env", "F=f"][..], "a=3 b=2", "E=e F=f"),
        (&["--unset", "b", "-c", "c=4"], "a=3 c=4", "E=e F=f"),
        (&["--unset-env", "E"], "a=3 c=4", "F=f"),
        (&["--clear", "config", "-c", "z=0", "--clear", "env"], "z=0", ""),
    ] {
        let updated = server.client(&[&["update", "-n", "f"], args].concat());
        assert!(updated.status.success(), "{args:?}: {}", err(&updated));
        let shown = server.client(&["describe", "-n", "f"]);
        let of = |name: &str| {
            let rows = out(&shown).lines().filter_map(|line| line.strip_prefix(&format!("{name:<10}")));
            rows.collect::<Vec<_>>().join(" ")
        };
        assert_eq!((of("config").as_str(), of("env").as_str()), (config, env), "{args:?}");
    }
}

#[test]
fn a_revision_has_one_number_wherever_it_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    server.client(&["create", "-n", "f", "-a", &echo(&folder), "-i", "in", "-o", "out"]);
    for verb in ["stop", "start", "stop", "start"] {
        assert!(server.client(&[verb, "-n", "f"]).status.success());
    }
    let json = |args: &[&str]| -> serde_json::Value { serde_json::from_slice(&server.client(args).stdout).unwrap() };
    let described = json(&["describe", "-n", "f", "--json"]);
    let (status, revisions) = (json(&["status", "--json"]), json(&["revisions", "-n", "f", "--json"]));
    assert_eq!(
        (&described["revision"], &status[0]["revision"]),
        (&1.into(), &1.into()),
        "stops and starts change nothing"
    );
    server.client(&["update", "-n", "f", "-o", "other"]);
    assert_eq!(revisions[0]["revision"], 1);
    let described = json(&["describe", "-n", "f", "--json"]);
    let newest = json(&["revisions", "-n", "f", "--json"])[0]["revision"].clone();
    assert_eq!(described["revision"], newest);
    assert_eq!(json(&["status", "--json"])[0]["revision"], newest);
    assert!(server.client(&["rollback", "-n", "f", "--to", "1"]).status.success());
}

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
fn a_description_is_applied_and_shown_before() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let (good, bad, path) = (echo(&folder), stillborn(&folder), folder.path().join("config.yaml"));
    let file = path.to_str().unwrap();
    let describe = |settings: &str| {
        let text = "name: f\ntype: processor\ninput-groups: [{inputs: [{input-type: log, topic: in}]}]\n\
            outputs: [{output-type: log, topic: out}]\n";
        std::fs::write(&path, format!("{text}init_config: {{{settings}}}\n")).unwrap();
    };
    let apply = |archive: &str, more: &[&str]| server.client(&[&["apply", "-f", file, "-a", archive], more].concat());
    describe("a: '1', b: '2'");
    let dry = apply(&good, &["--dry-run"]);
    for line in ["+ config.a: 1\n", "+ inputs: in\n", "+ outputs: out\n", "Function f would be created\n"] {
        assert!(out(&dry).contains(line), "{line}: {} {}", out(&dry), err(&dry));
    }
    assert_eq!(out(&server.client(&["list"])), "");
    let created = apply(&good, &[]);
    assert!(out(&created).ends_with("Function created: f\nFunction f is running\n"), "{}", err(&created));
    assert_eq!(out(&apply(&good, &["--dry-run"])), "Function f is unchanged\n");
    assert_eq!(out(&apply(&good, &[])), "Function f is unchanged\nFunction f is running\n");

    describe("b: '3', c: '4'");
    let diff = "- config.a: 1\n~ config.b: 2 -> 3\n+ config.c: 4\n";
    assert_eq!(out(&apply(&good, &["--dry-run"])), format!("{diff}Function f would be changed\n"));
    assert!(out(&server.client(&["describe", "-n", "f"])).contains("config    a=1\n"), "nothing was done");
    let changed = apply(&good, &[]);
    let told = format!("{diff}Function f is at revision 2\nFunction f is running\n");
    assert_eq!(out(&changed), told, "{}", err(&changed));
    // It comes to an end as an update does.
    let taken_back = apply(&bad, &[]);
    assert_eq!(taken_back.status.code(), Some(1));
    assert!(out(&taken_back).starts_with("~ archive: sha256:"), "{}", out(&taken_back));
    assert!(
        err(&taken_back).contains("; revision 2 is in force again, as revision 4, and runs"),
        "{}",
        err(&taken_back)
    );

    std::fs::write(&path, "name: f\ninputs: [[]]\noutputs: 3\n").unwrap();
    let refused = apply(&good, &["--dry-run"]);
    assert!(err(&refused).starts_with("error FS-1103: "), "{}", err(&refused));
}

/// A description of a function that copies a topic, with more lines.
fn described(name: &str, more: &str) -> String {
    format!(
        "name: {name}\ninput-groups: [{{inputs: [{{input-type: log, topic: in}}]}}]\n\
         outputs: [{{output-type: log, topic: out-{name}}}]\n{more}\n"
    )
}

#[test]
fn descriptions_are_applied_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    echo(&folder);
    stillborn(&folder);
    let place = folder.path().join("deploy");
    std::fs::create_dir(&place).unwrap();
    let write = |file: &str, text: &str| std::fs::write(place.join(file), text).unwrap();
    let apply = |more: &[&str]| server.client(&[&["apply", "-f", place.to_str().unwrap()], more].concat());
    let good = "archive: ../echo.wasm";
    write("1.yaml", &format!("# two\n---\n{}---\n{}", described("a", good), described("b", good)));
    write("2.yml", &described("c", &format!("{good}\nfrom: soon")));
    write("notes.txt", "no description");
    let listed = || out(&server.client(&["list"])).to_owned();

    // What is wrong with one is told with its place, and nothing is done.
    let refused = apply(&[]);
    let told = err(&refused);
    assert!(told.starts_with("error FS-1103: ") && told.contains("2.yml:5:7: 'from': 'soon' is none of"), "{told}");
    assert_eq!(listed(), "");
    // So it is with what only the server knows.
    write("2.yml", &described("c", &format!("{good}\nfiles: [{{host: /etc}}]")));
    let refused = apply(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        err(&refused).contains("2.yml: nothing was changed, since not every description is accepted"),
        "{}",
        err(&refused)
    );
    assert_eq!(listed(), "");

    write("2.yml", &described("c", good));
    let dry = apply(&["--dry-run"]);
    assert!(out(&dry).starts_with("a:\n+ archive: sha256:"), "{} {}", out(&dry), err(&dry));
    let ends = "Function a would be created\nFunction b would be created\nFunction c would be created\n";
    assert!(out(&dry).ends_with(ends), "{}", out(&dry));
    assert_eq!(listed(), "");
    assert!(apply(&[]).status.success());
    assert_eq!(listed(), "a\nb\nc\n");
    let again = apply(&["--no-wait"]);
    assert_eq!(out(&again), "Function a is unchanged\nFunction b is unchanged\nFunction c is unchanged\n");

    // The second does not come up: the first is changed, and the third is not tried.
    let [changed, bad] = ["replicas: 2", "archive: ../stillborn.wasm"];
    write("1.yaml", &format!("{}---\n{}", described("a", &format!("{good}\n{changed}")), described("b", bad)));
    write("2.yml", &described("c", &format!("{good}\n{changed}")));
    let failed = apply(&[]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(out(&failed).contains("Function a is at revision 2\n"), "{}", out(&failed));
    let told = err(&failed);
    assert!(told.contains("not applied, since function b failed: c\n"), "{told}");
    assert!(told.contains("error FS-1117: function 'b' was updated to revision 2, but does not come up"), "{told}");
    let revision = |name: &str| out(&server.client(&["describe", "-n", name])).contains("revision  1\n");
    assert!(revision("c") && !revision("a"));

    // Wrong usage.
    write("1.yaml", &described("a", ""));
    for (says, wrong) in [
        ("there is no artifact for function 'a': give --archive, or 'archive' in '", described("c", good)),
        ("function 'a' is described twice, in '", described("a", good)),
        ("describes no function", "# nothing\n".to_owned()),
    ] {
        write("2.yml", &wrong);
        let archive: &[&str] = if says.contains("no artifact") { &[] } else { &["-a", "sha256:00"] };
        let refused = apply(archive);
        assert!(refused.status.code() == Some(2) && err(&refused).contains(says), "{}", err(&refused));
    }
    assert!(server.terminate(Signal::TERM));
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
    assert!(server.terminate(Signal::TERM));
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
    assert_eq!((out(&produced), err(&produced)), ("Event produced\n", "note: there is no topic 't' yet\n"));
    assert!(server.client(&["produce", "-n", "t", "-c", "null"]).status.success());
    let consumed = server.client(&["consume", "-n", "t", "-c", "2", "-t", "60s"]);
    assert_eq!((out(&consumed), err(&consumed)), ("null\n\"null\"\n", ""));
    assert!(server.terminate(Signal::TERM));
}

#[test]
fn a_topic_is_altered_and_describe_says_whose_limits_hold() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    assert!(server.client(&["topic", "create", "-n", "t", "--retention", "90m"]).status.success());
    let kept = || {
        let described = server.client(&["topic", "describe", "-n", "t"]);
        out(&described)
            .lines()
            .find(|line| line.starts_with("kept"))
            .unwrap()
            .split_once(' ')
            .unwrap()
            .1
            .trim()
            .to_owned()
    };
    assert_eq!(kept(), "90m by arrival, without bound (the server's default)");
    let alter = |args: &[&str]| server.client(&[&["topic", "alter", "-n", "t"], args].concat());
    let altered =
        alter(&["--retention", "default", "--retention-bytes", "1MiB", "--retention-by", "event-time", "-p", "2"]);
    assert_eq!((out(&altered), err(&altered)), ("Topic altered: t\n", ""));
    assert_eq!(kept(), "for ever by event-time (the server's default), 1.0 MiB a partition");
    let archive = echo(&folder);
    assert!(
        server
            .client(&["create", "-n", "f", "-a", &archive, "-i", "t", "-i", "u", "-o", "o", "-r", "2"])
            .status
            .success()
    );
    let altered = alter(&["--partitions", "3"]);
    assert_eq!(out(&altered), "Topic altered: t\nFunction restarted: f\n");
    assert!(err(&altered).starts_with("note: function 'f' also reads 'u'"), "{}", err(&altered));
    let refused = alter(&["-p", "1"]);
    assert!(err(&refused).starts_with("error FS-1311: topic 't' has 3 partitions"), "{}", err(&refused));
    for wrong in [&[][..], &["--accept-moved-keys"], &["--retention", "soon"], &["--retention-by", "luck"]] {
        assert_eq!(alter(wrong).status.code(), Some(2), "{wrong:?}");
    }
    assert!(server.terminate(Signal::TERM));
}

#[test]
fn a_name_that_is_no_topic_is_told_with_the_nearest_that_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let produced = server.client(&["produce", "-n", "orders", "-c", "a"]);
    assert_eq!((out(&produced), err(&produced)), ("Event produced\n", "note: there is no topic 'orders' yet\n"));
    let produced = server.client(&["produce", "-n", "orders", "-c", "b"]);
    assert_eq!((out(&produced), err(&produced)), ("Event produced\n", ""), "it is there");
    let consumed = server.client(&["consume", "-n", "oders", "-t", "1ms"]);
    assert_eq!((consumed.status.code(), out(&consumed)), (Some(1), ""));
    let told = "note: there is no topic 'oders' yet, its first event is waited for; did you mean 'orders'?\n";
    assert!(err(&consumed).starts_with(told), "{}", err(&consumed));
    assert_eq!(out(&server.client(&["topic", "list"])), "orders\n");
    let produced = server.client(&["produce", "-n", "Orders", "-c", "a"]);
    assert_eq!(err(&produced), "note: there is no topic 'Orders' yet; did you mean 'orders'?\n");
    assert_eq!(out(&server.client(&["topic", "list"])), "Orders\norders\n", "it is made all the same");
    assert!(server.terminate(Signal::TERM));
}

#[test]
fn more_replicas_than_partitions_and_inputs_that_do_not_meet_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let archive = echo(&folder);
    assert!(server.client(&["topic", "create", "-n", "one"]).status.success());
    assert!(server.client(&["topic", "create", "-n", "two", "-p", "2"]).status.success());
    let create = |name: &str, args: &[&str]| {
        server.client(&[&["create", "-n", name, "-a", &archive, "-o", "out"], args].concat())
    };
    let created = create("f", &["-i", "one", "-r", "4"]);
    assert_eq!(out(&created), "Function created: f\nFunction f is running\n");
    assert!(
        err(&created).starts_with("note: replicas is 4, but there is a task for each partition"),
        "{}",
        err(&created)
    );
    let refused = create("g", &["-i", "one", "-i", "two"]);
    assert!(err(&refused).starts_with("error FS-1313: input 'one' has 1 partition"), "{}", err(&refused));
    assert!(create("g", &["-i", "one", "-i", "two", "--no-join"]).status.success());
    assert!(out(&server.client(&["describe", "-n", "g"])).contains("no-join   true\n"));
    let refused = server.client(&["update", "-n", "g", "--no-join", "false"]);
    assert!(err(&refused).starts_with("error FS-1313"), "{}", err(&refused));
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
        &["update", "-n", "f", "-o", "t@prod"],
    ] {
        let refused = server.client(args);
        assert_eq!(refused.status.code(), Some(1), "{args:?}");
        assert!(err(&refused).starts_with("error FS-1309: topic 't@"), "{args:?}: {}", err(&refused));
    }
    assert!(server.terminate(Signal::TERM));
}
