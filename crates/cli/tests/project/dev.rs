// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{BINARY, command, must};

/// Long enough for a machine that does much else, and compiles an engine first.
const PATIENCE: Duration = Duration::from_secs(120);

const COUNT: &str = r#"
export default class Count {
  init(ctx) { this.store = ctx.store("n"); }
  process(record, ctx) {
    if (record.text === "fail") throw new Error("as asked");
    const n = Number(this.store.getText("n") ?? 0) + 1;
    this.store.put("n", String(n));
    return "v1 " + record.text + " " + n;
  }
}
"#;

/// A session as a child; it is killed when it is dropped.
struct Dev {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Dev {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        Dev::start_with(command(folder, &[&["dev"], arguments].concat()))
    }

    fn start_with(mut command: Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let (tell, lines) = channel();
        told(child.stdout.take().unwrap(), tell.clone());
        told(child.stderr.take().unwrap(), tell);
        Dev { input: child.stdin.take(), child, lines, seen: Vec::new() }
    }

    /// Waits for a line that has those words, and answers it.
    fn says(&mut self, words: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no line with '{words}':\n{}", self.seen.join("\n"));
            };
            self.seen.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Ends it as Ctrl-C does; answers the exit code.
    fn interrupted(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        while self.lines.recv_timeout(PATIENCE).is_ok() {}
        self.child.wait().unwrap().code()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn told(output: impl Read + Send + 'static, tell: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Nobody may listen any more.
            let _ = tell.send(line);
        }
    });
}

fn project() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.js");
    fs::write(&file, COUNT).unwrap();
    fs::write(folder.path().join("config.yaml"), config("count")).unwrap();
    (folder, file)
}

#[test]
fn a_change_goes_on_with_the_state_and_a_mistake_changes_nothing() {
    let (folder, file) = project();
    let temporary = tempfile::tempdir().unwrap();
    let mut command = command(folder.path(), &["dev", "--replay", "10"]);
    command.env("TMPDIR", temporary.path());
    let mut dev = Dev::start_with(command);
    let url = dev.says("on a server of its own").split("http://").nth(1).unwrap().split(',').next().unwrap().to_owned();
    dev.says("revision 1 runs");
    dev.types("a");
    dev.says("out | \"v1 a 1\"");
    fs::write(&file, COUNT.replace("v1", "v2")).unwrap();
    dev.says("changed: app.js");
    dev.says("revision 2 goes on with its state");
    dev.says("1 record again, from an empty state");
    dev.says("  - \"v1 a 1\"");
    dev.says("  + \"v2 a 1\"");
    dev.types("b");
    dev.says("out | \"v2 b 2\"");
    fs::write(&file, COUNT.replace("process(", "process((")).unwrap();
    dev.says("error FS-1206: ");
    dev.says("revision 2 goes on");
    dev.types("fail");
    dev.says("failed | \"fail\": FS-1401 ");
    dev.says("app.js:5");
    fs::write(&file, COUNT.replace("return \"v1", "console.log(n); return \"v3")).unwrap();
    dev.says("revision 3 goes on");
    dev.types("c");
    dev.says("log | 3");
    assert!(TcpStream::connect(&url).is_ok());
    assert_eq!(dev.interrupted(), Some(0));
    assert!(TcpStream::connect(&url).is_err());
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "a temporary folder is left");
    let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["app.js", "config.yaml"]);
}

#[test]
fn a_function_that_does_not_come_up_at_first_comes_up_when_it_is_mended() {
    let (folder, file) = project();
    fs::write(&file, "export default class {").unwrap();
    let mut dev = Dev::start(folder.path(), &["--json-lines"]);
    dev.types(r#"{"value":"early"}"#);
    dev.says("error FS-1206: ");
    dev.says("the function does not run yet");
    fs::write(&file, COUNT).unwrap();
    dev.says("revision 1 runs");
    dev.says("out | \"v1 early 1\"");
    dev.types("no json");
    dev.says("dev: the line is no event: ");
    assert_eq!(dev.interrupted(), Some(0));
}

#[test]
fn words_that_go_to_a_file_of_the_folder_are_no_change() {
    let (folder, _) = project();
    let said = folder.path().join("said.txt");
    let mut command = command(folder.path(), &["dev"]);
    let mut child = command.stdin(Stdio::piped()).stdout(fs::File::create(&said).unwrap()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // Each is answered by a line in the file, a moment after the one before.
    for n in 1..=5 {
        writeln!(input, "a").unwrap();
        crate::support::wait_for(&said, &format!("v1 a {n}"));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let text = fs::read_to_string(&said).unwrap();
    assert!(!text.contains("changed"), "{text}");
}

#[test]
fn a_timer_that_fails_is_told() {
    let (folder, file) = project();
    let timer = "ctx.setTimer(\"processing\", \"t\", 0); return \"v1";
    let text = COUNT
        .replace("return \"v1", timer)
        .replace("  process(", "  onTimer() { throw new Error(\"bad timer\"); }\n  process(");
    fs::write(
        &file,
        text.replace("\"processing\"", "PROCESSING_TIME").replacen(
            '\n',
            "\nimport { PROCESSING_TIME } from \"functionstream\";\n",
            1,
        ),
    )
    .unwrap();
    let mut dev = Dev::start(folder.path(), &[]);
    dev.types("a");
    dev.says(
        "failed | failed, it goes on from its last commit after a wait: telling of time: Error: bad timer (FS-1401)",
    );
    assert_eq!(dev.interrupted(), Some(0));
}

#[test]
fn a_folder_that_is_named_keeps_the_state() {
    let (folder, _) = project();
    let data = tempfile::tempdir().unwrap();
    let arguments = ["--data-dir", data.path().to_str().unwrap()];
    for count in ["1", "2"] {
        let mut dev = Dev::start(folder.path(), &arguments);
        dev.types("a");
        dev.says(&format!("out | \"v1 a {count}\""));
        assert_eq!(dev.interrupted(), Some(0));
    }
}

/// A server as a child; it is killed when it is dropped.
struct Standalone {
    child: Child,
    url: String,
}

impl Standalone {
    fn start(data: &Path) -> Self {
        let mut command = Command::new(BINARY);
        let flags =
            ["standalone", "--listen", "127.0.0.1:0", "--grpc-listen", "none", "--durability", "os", "--data-dir"];
        command.args(flags).arg(data).env_remove("FUNCTION_STREAM_CONF");
        command.env("FUNCTION_STREAM_WASM_ENGINES_DIR", crate::support::engines());
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut server = Standalone { child, url: String::new() };
        let (tell, lines) = channel();
        told(server.child.stderr.take().unwrap(), tell);
        while server.url.is_empty() {
            let line = lines.recv_timeout(PATIENCE).unwrap();
            if let Some(address) = line.split("listening").nth(1).and_then(|rest| rest.split("address=").nth(1)) {
                server.url = format!("http://{}", address.split_whitespace().next().unwrap());
            }
        }
        std::thread::spawn(move || lines.iter().for_each(drop));
        server
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn on_a_server_that_runs_the_function_goes_unless_it_was_there_before() {
    let (folder, file) = project();
    let server = Standalone::start(&folder.path().join(".data"));
    let url = &server.url;
    let list = || must(folder.path(), &["client", "-s", url, "list"]);
    let mut dev = Dev::start(folder.path(), &["--server", url]);
    dev.says("on the server http://");
    dev.types("a");
    dev.says("out | \"v1 a 1\"");
    assert!(list().contains("count"));
    assert_eq!(dev.interrupted(), Some(0));
    assert!(!list().contains("count"));

    must(folder.path(), &["client", "-s", url, "create", "-n", "count", "-a", "app.js", "-i", "in", "-o", "out"]);
    fs::write(&file, COUNT.replace("v1", "v2")).unwrap();
    let mut dev = Dev::start(folder.path(), &["--server", url]);
    dev.says("revision 2 runs");
    dev.types("b");
    dev.says("out | \"v2 b");
    kill_process(Pid::from_child(&dev.child), Signal::INT).unwrap();
    dev.says("'count' was there before, and stays at revision 2");
    drop(dev);
    assert!(list().contains("count"));
}

fn config(name: &str) -> String {
    format!(
        "name: {name}\ninput-groups:\n  - inputs: [{{input-type: log, topic: in}}]\noutputs: [{{output-type: log, topic: out}}]\n"
    )
}

#[test]
fn what_cannot_be_developed_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let ended = crate::support::run(folder.path(), &["dev"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("error FS-1801: "), "{}", ended.err);
    fs::write(folder.path().join("app.js"), COUNT).unwrap();
    let nowhere = crate::support::run(folder.path(), &["dev", "--server", "http://127.0.0.1:1"]);
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.err.contains("127.0.0.1:1"), "{}", nowhere.err);
    fs::write(folder.path().join("config.yaml"), "nmae: x\n").unwrap();
    let bad = crate::support::run(folder.path(), &["dev"]);
    assert_eq!(bad.code, Some(1));
    assert!(bad.err.contains("config.yaml:1:1: unknown key 'nmae'"), "{}", bad.err);
}
