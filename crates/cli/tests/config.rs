// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Configuration as its users meet it: files that are checked, settings that are shown, a server that does what they say.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The program, in a folder and an environment of its own.
fn program(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_function-stream"));
    command.args(args).current_dir(folder).env_clear().envs(variables.iter().copied());
    command
}

fn run(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = program(folder, args, variables).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

const GOOD: &str = "name: f\ninputs: [[{input-type: log, topic: i}]]\noutputs: [{output-type: log, topic: o}]\n";

#[test]
fn validate_tells_all_problems_of_all_files() {
    let bad = "nmae: f\ninputs: [[{input-type: log, topic: i}]]\noutputs: []\nidle-sleep-ms: 5\n";
    let server = "service: {port: 99999}\npython: {wasm_path: p, cache_dir: c}\n";
    let folder = folder(&[("good.yaml", GOOD), ("bad.yaml", bad), ("server.yaml", server)]);
    let (code, out, err) =
        run(folder.path(), &["validate", "good.yaml", "bad.yaml", "missing.yaml", "server.yaml"], &[]);
    let expected = "\
good.yaml: valid function configuration
bad.yaml:1:1: unknown key 'nmae'; did you mean 'name'?
bad.yaml:1:1: key 'name' is missing
bad.yaml:3:10: 'outputs' holds 0 entries, not 1 or more
bad.yaml:4:1: note: 'idle-sleep-ms' has no effect: nothing here polls, sleeps or has queues to size
missing.yaml: the file cannot be read: No such file or directory (os error 2)
server.yaml:1:17: 'service.port' is 99999, not a whole number of 0 to 65535
server.yaml:2:24: note: 'python.cache_dir' has no effect: compiled code is kept as the block 'wasm' says
";
    assert_eq!((code, out.as_str(), err.as_str()), (Some(1), expected, ""));
}

#[test]
fn validate_is_content_with_notes_and_with_the_example() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/go-processor/config.yaml");
    let folder =
        folder(&[("f.yaml", &format!("{GOOD}max-idle-count: 1")), ("s.yaml", "stream_catalog: {persist: true}")]);
    let (code, out, _) = run(folder.path(), &["validate", example, "f.yaml", "s.yaml"], &[]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("s.yaml: valid server configuration\n"), "{out}");
    assert!(out.contains("f.yaml:4:1: note: 'max-idle-count' has no effect"), "{out}");
    // What a file is can be said.
    let (code, out, _) = run(folder.path(), &["validate", "--kind", "server", "f.yaml"], &[]);
    assert_eq!((code, out.lines().next().unwrap().contains("unknown key 'name'; known: service")), (Some(1), true));
}

#[test]
fn validate_looks_at_every_function_of_a_file() {
    let bad = GOOD.replace("name: f", "nmae: g");
    let folder = folder(&[("two.yaml", &format!("{GOOD}---\n{GOOD}")), ("bad.yaml", &format!("{GOOD}---\n{bad}"))]);
    let (code, out, _) = run(folder.path(), &["validate", "two.yaml", "bad.yaml"], &[]);
    let told = "two.yaml: valid function configuration\n\
        bad.yaml:5:1: unknown key 'nmae'; did you mean 'name'?\nbad.yaml:5:1: key 'name' is missing\n";
    assert_eq!((code, out.as_str()), (Some(1), told));
}

#[test]
fn validate_tells_programs_too() {
    let folder =
        folder(&[("f.yaml", "name: f\ninputs: [[{input-type: log, topic: i}]]\nouputs: []\n"), ("g.yaml", GOOD)]);
    let (code, out, _) = run(folder.path(), &["validate", "--format", "json", "f.yaml", "g.yaml"], &[]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, Some(1));
    assert_eq!(
        (&json[0]["valid"], &json[1]["valid"], &json[1]["kind"]),
        (&false.into(), &true.into(), &"function".into())
    );
    let problem = &json[0]["problems"][1];
    assert_eq!((&problem["line"], &problem["column"], &problem["severity"]), (&3.into(), &1.into(), &"error".into()));
    assert_eq!(
        (&problem["message"], &problem["hint"]),
        (&"unknown key 'ouputs'".into(), &"did you mean 'outputs'?".into())
    );
}

#[test]
fn config_shows_each_setting_with_its_origin() {
    let folder = folder(&[("conf/config.yaml", "service:\n  port: 9090\n  workers: 3\nlogging: {level: warn}\n")]);
    let args = &["config", "--workers", "2", "--allow-files-dir", "a", "--allow-files-dir", "b"];
    let (code, out, err) =
        run(folder.path(), args, &[("LISTEN_ADDR", "h:1"), ("FUNCTION_STREAM_LOGGING_FORMAT", "json")]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let line = |key: &str| {
        let line = out.lines().find(|line| line.trim_start().starts_with(&format!("{key}:"))).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("port"), "port: 9090 # conf/config.yaml:2");
    assert_eq!(line("workers"), "workers: 2 # flag --workers");
    assert_eq!(line("listen"), "listen: h:1 # env LISTEN_ADDR");
    assert_eq!(line("format"), "format: json # env FUNCTION_STREAM_LOGGING_FORMAT");
    assert_eq!(line("files_dirs"), "files_dirs: [a, b] # flag --allow-files-dir");
    assert_eq!(line("durability"), "durability: group # default");
    // What is shown is itself a file, which means the same.
    fs::write(folder.path().join("shown.yaml"), &out).unwrap();
    let values = |args: &[&str], variables: &[(&str, &str)]| {
        let (_, out, _) = run(folder.path(), &[&["config", "--format", "json"], args].concat(), variables);
        let json: Value = serde_json::from_str(&out).unwrap();
        json.as_object().unwrap().iter().map(|(path, entry)| format!("{path} {}", entry["value"])).collect::<Vec<_>>()
    };
    let again = values(&["--config", "shown.yaml"], &[]);
    assert_eq!(again, values(&args[1..], &[("LISTEN_ADDR", "h:1"), ("FUNCTION_STREAM_LOGGING_FORMAT", "json")]));
    assert!(again.contains(&"service.port 9090".to_owned()), "{again:?}");
}

#[test]
fn the_file_is_found_where_it_is_said_to_be() {
    let folder = folder(&[
        ("conf/config.yaml", "service: {port: 1}"),
        ("home/conf/config.yaml", "service: {port: 2}"),
        ("named/config.yaml", "service: {port: 3}"),
        ("single.yaml", "service: {port: 4}"),
        ("none/readme", ""),
    ]);
    let port = |args: &[&str], variables: &[(&str, &str)]| {
        let (code, out, err) = run(folder.path(), &[&["config"], args].concat(), variables);
        assert_eq!(code, Some(0), "{err}");
        let line = out.lines().find(|line| line.trim_start().starts_with("port:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    let home = ("FUNCTION_STREAM_HOME", "home");
    assert_eq!(port(&[], &[]), "1");
    assert_eq!(port(&[], &[home]), "2");
    assert_eq!(port(&[], &[home, ("FUNCTION_STREAM_CONF", "named")]), "3");
    assert_eq!(port(&[], &[("FUNCTION_STREAM_CONF", "home")]), "2");
    assert_eq!(port(&["--config", "single.yaml"], &[home, ("FUNCTION_STREAM_CONF", "named")]), "4");
    for (path, why) in [("none", "has neither config.yaml nor conf/config.yaml"), ("no.yaml", "is not there")] {
        let (code, _, err) = run(folder.path(), &["config"], &[("FUNCTION_STREAM_CONF", path)]);
        assert_eq!(code, Some(1));
        assert!(err.contains("FS-1703") && err.contains(why), "{err}");
    }
}

#[test]
fn memory_is_told_with_its_parts_and_too_little_is_refused() {
    let folder = folder(&[]);
    let (_, shown, _) = run(folder.path(), &["config", "--memory", "1GiB"], &[]);
    assert!(shown.contains("  budget: 1GiB ") && shown.contains("# flag --memory"), "{shown}");
    assert!(shown.contains("# Of 1GiB of memory, the program and its caches have 215MiB, "), "{shown}");
    assert!(shown.contains("# The largest event is 16MiB, the largest artifact "), "{shown}");
    let least = [("FUNCTION_STREAM_MEMORY_BUDGET", "384MiB")];
    let (_, shown, _) = run(folder.path(), &["config"], &least);
    assert!(shown.contains("# The largest event is 8MiB, the largest artifact 24MiB."), "{shown}");
    for (size, is) in [("383MiB", "383MiB"), ("0", "0B"), ("0B", "0B")] {
        let why = format!("'memory.budget' is {is}, not a size of 384MiB or more");
        let (code, _, err) = run(folder.path(), &["standalone", "--memory", size], &[]);
        assert_eq!(code, Some(1), "{err}");
        assert!(err.starts_with(&format!("error FS-1703: --memory: {why}")), "{err}");
        let variable = "FUNCTION_STREAM_MEMORY_BUDGET";
        let (code, _, err) = run(folder.path(), &["standalone"], &[(variable, size)]);
        assert_eq!(code, Some(1), "{err}");
        assert!(err.starts_with(&format!("error FS-1703: {variable}: {why}")), "{err}");
    }
    for (size, why) in [("much", "'much' is not a size"), (TOO_LARGE, TOO_LARGE_WHY)] {
        let (code, _, err) = run(folder.path(), &["standalone", "--memory", size], &[]);
        assert!(code == Some(2) && err.contains(why), "{err}");
        let (code, _, err) = run(folder.path(), &["standalone"], &[("FUNCTION_STREAM_MEMORY_BUDGET", size)]);
        assert!(code == Some(1) && err.contains(&format!("'memory.budget': {why}")), "{err}");
    }
    assert!(!folder.path().join("data").exists());
}

const TOO_LARGE: &str = "99999999999999GiB";
const TOO_LARGE_WHY: &str = "'99999999999999GiB' is too large: the most is 17179869183GiB";

#[test]
fn what_is_in_force_is_told_with_what_bounds_it() {
    let folder = folder(&[("c.yaml", "rest: {max_artifact_size: 20MiB}\nnetwork: {max_waiting_consumers: 3000}\n")]);
    let run = |args: &[&str]| {
        let args = [&["config", "--config", "c.yaml", "--memory", "384MiB"], args].concat();
        let (code, out, err) = run(folder.path(), &args, &[("FUNCTION_STREAM_NETWORK_MAX_CONNECTIONS", "2000")]);
        assert_eq!(code, Some(0), "{err}");
        out
    };
    let shown = run(&[]);
    let line = |key: &str| shown.lines().find(|line| line.trim_start().starts_with(key)).unwrap();
    assert!(line("max_produce_size: 16MiB").ends_with(" # default; memory.budget bounds it to 8MiB"), "{shown}");
    assert!(line("max_artifact_size: 20MiB").ends_with(" # c.yaml:1"), "{shown}");
    let waiting = line("max_waiting_consumers: 3000");
    assert!(waiting.ends_with(" # c.yaml:2; network.max_connections bounds it to 1800"), "{shown}");
    let json: Value = serde_json::from_str(&run(&["--format", "json"])).unwrap();
    let produce = serde_json::json!({
        "value": "16MiB", "origin": "default", "in_force": "8MiB", "bounded_by": "memory.budget"
    });
    assert_eq!(json["rest.max_produce_size"], produce);
    assert_eq!(json["rest.max_artifact_size"], serde_json::json!({ "value": "20MiB", "origin": "c.yaml:1" }));
}

#[test]
fn the_defaults_and_schemas_are_printed() {
    let folder = folder(&[]);
    let (_, defaults, _) = run(folder.path(), &["config", "--defaults"], &[]);
    fs::write(folder.path().join("d.yaml"), &defaults).unwrap();
    assert_eq!(run(folder.path(), &["validate", "d.yaml"], &[]).1, "d.yaml: valid server configuration\n");
    for kind in ["function", "server"] {
        let (_, printed, _) = run(folder.path(), &["config", "--schema", kind], &[]);
        let published = format!("{}/../../docs/schema/{kind}.json", env!("CARGO_MANIFEST_DIR"));
        let published: Value = serde_json::from_str(&fs::read_to_string(published).unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), published);
    }
}

#[test]
fn a_wrong_setting_ends_the_server_before_it_touches_anything() {
    let folder = folder(&[("conf/config.yaml", "service: {prot: 1}\nlogging: {format: xml}\n")]);
    let (code, _, err) = run(folder.path(), &["standalone"], &[("LISTEN_ADDR", "nowhere")]);
    assert_eq!(code, Some(1));
    let expected = "\
error FS-1703: conf/config.yaml:1:11: unknown key 'prot' in 'service'; did you mean 'port'?
  conf/config.yaml:2:19: 'logging.format' is 'xml', not one of text, pretty, json
  LISTEN_ADDR: 'rest.listen' is 'nowhere', not host:port
";
    assert!(err.starts_with(expected), "{err}");
    assert!(!folder.path().join("data").exists());
}

/// A server that is ended with the test, and its lines.
struct Server(Child);

impl Server {
    fn start(folder: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = program(folder, &["standalone"], variables);
        Server(command.stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Asks it to end, and answers what it wrote to standard error meanwhile.
    fn end(mut self) -> String {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        let mut text = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(self.0.wait().unwrap().success(), "{text}");
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a file has a text. What another process writes can only be looked at again and again.
fn wait_for(path: &Path, text: &str) -> String {
    let (_nobody, never) = std::sync::mpsc::channel::<()>();
    for _ in 0..600 {
        if let Ok(found) = fs::read_to_string(path)
            && found.contains(text)
        {
            return found;
        }
        let _ = never.recv_timeout(std::time::Duration::from_millis(50));
    }
    panic!("no '{text}' in {}", path.display());
}

#[test]
fn a_server_does_what_its_file_says() {
    let file = "
service: {port: 0, service_id: 7}
rest: {listen: '127.0.0.1:0'}
logging: {format: json, file_path: logs/server.log}
state_storage: {base_dir: kept, durability: os, storage_type: memory}
wasm: {cache_dir: code}
";
    let folder = folder(&[("conf/config.yaml", file)]);
    let server = Server::start(folder.path(), &[]);
    let log = folder.path().join("logs/server.log");
    let text = wait_for(&log, "\"listening\"");
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let warned: Vec<_> = events
        .iter()
        .filter(|event| event["level"] == "WARN")
        .map(|event| event["message"].as_str().unwrap())
        .collect();
    let expected = [
        "conf/config.yaml:2:20: note: 'service.service_id' has no effect: the server is known by its address",
        "conf/config.yaml:5:63: note: 'state_storage.storage_type: memory' has no effect: state is kept in base_dir, durably, \
         with everything else",
    ];
    assert_eq!(warned, expected);
    let listening = events.iter().find(|event| event["message"] == "listening").unwrap();
    assert_eq!(listening["fields"]["data"], "kept");
    assert!(folder.path().join("kept").is_dir() && !folder.path().join("data").exists());
    // Compiled code lands where it was said to.
    let artifact = folder.path().join("f.wasm");
    fs::write(&artifact, wat::parse_str(r#"(module (func (export "process")))"#).unwrap()).unwrap();
    let url = format!("http://{}", listening["fields"]["address"].as_str().unwrap());
    let args = ["client", "-s", &url, "create", "-n", "f", "-a", "f.wasm", "-i", "i", "-o", "o"];
    let (code, _, err) = run(folder.path(), &args, &[]);
    assert_eq!(code, Some(0), "{err}");
    assert!(fs::read_dir(folder.path().join("code")).unwrap().count() >= 2);
    assert!(!folder.path().join("kept/cache").exists());
    assert_eq!(server.end(), "", "everything is in the file");
    assert!(fs::read_to_string(&log).unwrap().contains("\"stopped\""));
}

#[test]
fn a_compiler_that_dies_writes_nothing_into_a_log_of_json() {
    let file = "
service: {grpc: false}
memory: {budget: 384MiB}
rest: {listen: '127.0.0.1:0'}
logging: {format: json, file_path: server.log}
state_storage: {durability: os}
";
    let folder = folder(&[("conf/config.yaml", file)]);
    let functions = "(func (drop (i32.add (i32.const 1) (i32.const 2))))".repeat(95_000);
    let artifact = wat::parse_str(format!(r#"(module (func (export "process")) {functions})"#)).unwrap();
    fs::write(folder.path().join("f.wasm"), artifact).unwrap();
    let server = Server::start(folder.path(), &[]);
    let text = wait_for(&folder.path().join("server.log"), "\"listening\"");
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let listening = events.into_iter().find(|event| event["message"] == "listening").unwrap();
    let url = format!("http://{}", listening["fields"]["address"].as_str().unwrap());
    let args = ["client", "-s", &url, "create", "-n", "f", "-a", "f.wasm", "-i", "i", "-o", "o"];
    let (code, _, err) = run(folder.path(), &args, &[]);
    assert!(code == Some(1) && err.contains("FS-1418"), "{err}");
    assert!(err.contains("bytes of memory that it was given; it last wrote: memory allocation of "), "{err}");
    assert_eq!(server.end(), "", "nobody writes past the log");
}

#[test]
fn why_a_server_ended_is_in_its_log_in_the_form_of_the_log() {
    let file = "service: {grpc: false}\nrest: {listen: '127.0.0.1:0'}\nlogging: {format: json}\n";
    let folder = folder(&[("c.yaml", file), ("data/foreign", "")]);
    let args = ["standalone", "--config", "c.yaml", "--data-dir", "data"];
    let last = |text: &str| {
        let mut events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        events.pop().unwrap()
    };
    let (code, _, err) = run(folder.path(), &args, &[]);
    let event = last(&err);
    assert_eq!((code, &event["level"], &event["fields"]["code"]), (Some(1), &"ERROR".into(), &"FS-1504".into()));
    // With a file for the log, also for who stands at the terminal.
    let (code, _, err) = run(folder.path(), &args, &[("FUNCTION_STREAM_LOGGING_FILE_PATH", "s.log")]);
    assert!(code == Some(1) && err.starts_with("error FS-1504: "), "{err}");
    let event = last(&fs::read_to_string(folder.path().join("s.log")).unwrap());
    assert_eq!(event["fields"]["code"], "FS-1504");
}

#[test]
fn logs_are_kept_within_bounds_and_code_is_not_kept_unless_it_may() {
    let file = "
service: {grpc: false, debug: true}
rest: {listen: '127.0.0.1:0'}
logging: {file_path: s.log, max_file_size: 100kB, max_files: 2}
wasm: {enable_cache: false}
";
    let full = "x".repeat(99_999) + "\n";
    let folder = folder(&[("c.yaml", file), ("s.log", &full), ("s.log.1", "the oldest")]);
    let variables = [("FUNCTION_STREAM_CONF", "c.yaml"), ("FUNCTION_STREAM_STATE_STORAGE_DURABILITY", "os")];
    let server = Server::start(folder.path(), &variables);
    wait_for(&folder.path().join("s.log"), "functions started");
    server.end();
    let read = |name: &str| fs::read_to_string(folder.path().join(name));
    assert!(read("s.log.1").unwrap() == full, "what was there is put aside as it was");
    let text = read("s.log").unwrap();
    assert!(text.contains("stopped") && !text.contains("serving gRPC"), "{text}");
    assert!(read("s.log.2").is_err());
    assert!(!folder.path().join("data/cache").exists());
}
