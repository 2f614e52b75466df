// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The whole way: a server on a data folder, and functions that live and die by statements.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use super::terminal::Terminal;
use super::{BINARY, command, err, out};

const CONFIG: &str = "\
name: word-count
type: processor
input-groups:
  - inputs:
      - input-type: log
        topic: words
outputs:
  - output-type: log
    topic: counts
";

/// A server process. It is killed as by `kill -9` when it is dropped.
struct Server {
    process: Child,
    grpc: u16,
    url: String,
}

impl Server {
    /// Starts it and waits until its functions are up.
    fn start(data: &Path) -> Self {
        let mut process = Command::new(BINARY)
            .args(["standalone", "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--durability", "os"])
            // It is killed soon after its start, again and again.
            .args(["--safe-start", "never"])
            .arg("--data-dir")
            .arg(data)
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        // Its functions start while it begins to listen, so these lines come in any order.
        let (mut grpc, mut rest, mut started) = (None, None, false);
        while grpc.is_none() || rest.is_none() || !started {
            let line = log.next().expect("the server goes on").unwrap();
            let port = || line.split("address=127.0.0.1:").nth(1)?.split_whitespace().next()?.parse::<u16>().ok();
            match &line {
                line if line.contains("serving gRPC") => grpc = port(),
                line if line.contains("listening") => rest = port(),
                line => started |= line.contains("functions started"),
            }
        }
        let (grpc, rest) = (grpc.unwrap(), rest.unwrap());
        // Nobody reads on: a full pipe would stop the server.
        std::thread::spawn(move || log.count());
        Server { process, grpc, url: format!("http://127.0.0.1:{rest}") }
    }

    fn sql(&self, folder: &TempDir, sql: &str) -> Output {
        command(self.grpc, folder.path()).args(["--format", "csv", "-e", sql]).output().unwrap()
    }

    /// What a text prints that succeeds.
    #[track_caller]
    fn shows(&self, folder: &TempDir, sql: &str) -> String {
        let output = self.sql(folder, sql);
        assert_eq!(output.status.code(), Some(0), "{sql}: {}", err(&output));
        out(&output).to_owned()
    }

    /// What `SHOW FUNCTIONS` prints when none is coming up any more: a function that was just started is `Initialized` first.
    #[track_caller]
    fn functions(&self, folder: &TempDir) -> String {
        let mut shown = self.shows(folder, "SHOW FUNCTIONS");
        for _ in 0..500 {
            if !shown.contains("Initialized") {
                break;
            }
            shown = self.shows(folder, "SHOW FUNCTIONS");
        }
        shown
    }

    fn client(&self, args: &[&str]) -> String {
        let output = Command::new(BINARY).args(["client", "-s", &self.url]).args(args).output().unwrap();
        assert!(output.status.success(), "{}", err(&output));
        out(&output).to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A folder with what the guide calls `build/processor.wasm` and `config.yaml`, and the guide's statement for it.
fn project() -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
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
    std::fs::create_dir(folder.path().join("build")).unwrap();
    std::fs::write(folder.path().join("build/processor.wasm"), module.unwrap()).unwrap();
    std::fs::write(folder.path().join("config.yaml"), CONFIG).unwrap();
    let root = folder.path().display();
    let statement = format!(
        "create function with (\n  'function_path'='{root}/build/processor.wasm',\n  'config_path'='{root}/config.yaml'\n);"
    );
    (folder, statement)
}

const NONE: &str = "name,task_type,status\n";
const RUNNING: &str = "name,task_type,status\nword-count,processor,Running\n";
const STOPPED: &str = "name,task_type,status\nword-count,processor,Stopped\n";

#[test]
fn the_guides_statement_makes_a_function_that_processes() {
    let (folder, create) = project();
    let server = Server::start(&folder.path().join("data"));
    server.shows(&folder, &create);
    assert_eq!(server.functions(&folder), RUNNING);
    server.client(&["produce", "-n", "words", "-c", "hello"]);
    assert_eq!(server.client(&["consume", "-n", "counts"]), "\"hello\"\n");
    let topics = server.shows(&folder, "SHOW TOPICS LIKE '%s'");
    assert!(topics.contains("\ncounts,1,1,") && topics.contains("\nwords,1,1,"), "{topics}");
}

#[test]
fn the_guides_statement_works_at_the_prompt() {
    let (folder, create) = project();
    let server = Server::start(&folder.path().join("data"));
    let mut terminal = Terminal::run(command(server.grpc, folder.path()));
    terminal.reads("function-stream> ");
    for (at, line) in create.lines().enumerate() {
        if at > 0 {
            terminal.reads("  -> ");
        }
        terminal.types(&format!("{line}\r"));
    }
    terminal.reads("function 'word-count' created");
    terminal.reads("function-stream> ");
    assert_eq!(server.functions(&folder), RUNNING);
    terminal.types("show functions;\r");
    terminal.reads("| name       | task_type | status  |");
    terminal.reads("| word-count | processor | Running |");
    terminal.types("drop function word-c\t;\r");
    terminal.reads("dropped");
    terminal.types("quit\r");
    assert_eq!(terminal.ends().code(), Some(0));
}

#[test]
fn a_function_is_what_the_last_statement_made_it_also_after_a_crash() {
    let (folder, create) = project();
    let data = folder.path().join("data");
    let steps = [
        (create.as_str(), RUNNING),
        ("STOP FUNCTION word-count; STOP FUNCTION word-count", STOPPED),
        ("START FUNCTION word-count", RUNNING),
        ("RESTART FUNCTION word-count", RUNNING),
        ("STOP FUNCTION word-count", STOPPED),
        ("DROP FUNCTION word-count", NONE),
        ("DROP FUNCTION IF EXISTS word-count", NONE),
        (create.as_str(), RUNNING),
    ];
    for (sql, expected) in steps {
        let server = Server::start(&data);
        server.shows(&folder, sql);
        assert_eq!(server.functions(&folder), expected, "after {sql}");
        drop(server);
        let server = Server::start(&data);
        assert_eq!(server.functions(&folder), expected, "after {sql} and a crash");
    }
}

#[test]
fn a_name_that_is_taken_is_refused_kept_or_replaced() {
    let (folder, create) = project();
    let server = Server::start(&folder.path().join("data"));
    server.shows(&folder, &create);
    let output = server.sql(&folder, &create);
    assert_eq!((out(&output), output.status.code()), ("", Some(1)));
    assert!(err(&output).starts_with("error FS-1101: function 'word-count' exists\nadvice: "), "{}", err(&output));
    let revision = || {
        let described = server.shows(&folder, "DESCRIBE FUNCTION word-count");
        let line = described.lines().find(|line| line.starts_with("revision,")).unwrap().to_owned();
        line["revision,".len()..].parse::<u64>().unwrap()
    };
    server.shows(&folder, &create.replace("create function", "CREATE FUNCTION IF NOT EXISTS"));
    assert_eq!(revision(), 1);
    std::fs::write(folder.path().join("config.yaml"), CONFIG.to_owned() + "init_config:\n  greeting: hello\n").unwrap();
    server.shows(&folder, &create.replace("create function", "CREATE OR REPLACE FUNCTION"));
    assert_eq!(revision(), 2);
    server.shows(&folder, "ROLLBACK FUNCTION word-count TO REVISION 1");
    assert_eq!(revision(), 3);
}

#[test]
fn what_is_refused_leaves_nothing_behind_and_says_why() {
    let (folder, create) = project();
    let server = Server::start(&folder.path().join("data"));
    let cases = [
        ("config.yaml", "name: word-count\noutputz: []\n", "FS-1103", "outputz"),
        ("config.yaml", "name: [", "FS-1103", ""),
        ("build/processor.wasm", "not wasm", "FS-1202", ""),
    ];
    for (file, text, code, says) in cases {
        let path = folder.path().join(file);
        let before = std::fs::read(&path).unwrap();
        std::fs::write(&path, text).unwrap();
        let output = server.sql(&folder, &create);
        std::fs::write(&path, before).unwrap();
        assert_eq!((out(&output), output.status.code()), ("", Some(1)));
        assert!(err(&output).starts_with(&format!("error {code}: ")), "{}", err(&output));
        assert!(err(&output).contains(says), "{}", err(&output));
        assert_eq!(server.shows(&folder, "SHOW FUNCTIONS"), NONE);
    }
    for verb in ["START", "STOP", "RESTART", "DROP", "DESCRIBE"] {
        let output = server.sql(&folder, &format!("{verb} FUNCTION nobody"));
        assert!(err(&output).starts_with("error FS-1102: "), "{verb}: {}", err(&output));
    }
    for sql in ["SHOW STATE OF nobody", "SHOW DEAD LETTERS OF nobody", "ROLLBACK FUNCTION nobody TO REVISION 1"] {
        assert!(err(&server.sql(&folder, sql)).starts_with("error FS-1102: "), "{sql}");
    }
    server.shows(&folder, &create);
}
