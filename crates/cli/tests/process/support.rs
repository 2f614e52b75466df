// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A server as a child, with its log as lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_function-stream");

/// Long enough for a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The flags of a server that takes free ports.
pub(crate) fn flags(data: &Path) -> Vec<String> {
    let flags = ["standalone", "--listen", "127.0.0.1:0", "--grpc-listen", "none", "--durability", "os", "--data-dir"];
    flags.iter().map(|flag| (*flag).to_owned()).chain([data.display().to_string()]).collect()
}

/// A command without the settings of whoever runs the tests.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for name in [
        "FUNCTION_STREAM_CONF",
        "FUNCTION_STREAM_HOME",
        "LISTEN_ADDR",
        "GRPC_LISTEN_ADDR",
        "FUNCTION_STREAM_URL",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command
}

/// A server; it is killed when it is dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    lines: Receiver<String>,
    /// All that was read.
    pub(crate) log: Vec<String>,
}

impl Server {
    pub(crate) fn start(data: &Path) -> Self {
        let mut command = command(BINARY);
        Self::run(command.args(flags(data)))
    }

    /// Starts one, and waits until it listens.
    pub(crate) fn run(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = lines(child.stderr.take().unwrap());
        let mut server = Server { child, lines, log: Vec::new() };
        server.logs("listening");
        server
    }

    /// Waits for a line with that word, and answers it.
    pub(crate) fn logs(&mut self, word: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no line with '{word}' in time, or at all:\n{}", self.log.join("\n"));
            };
            self.log.push(line.clone());
            if line.contains(word) {
                return line;
            }
        }
    }

    pub(crate) fn address(&self) -> String {
        let line = self.log.iter().find(|line| line.contains("listening")).unwrap();
        line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
    }

    pub(crate) fn client(&self, args: &[&str]) -> Output {
        let url = format!("http://{}", self.address());
        command(BINARY).args(["client", "-s", &url]).args(args).output().unwrap()
    }

    /// The same, of which something is expected.
    pub(crate) fn must(&self, args: &[&str]) -> String {
        let output = self.client(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn signal(&self, number: i32) {
        let kill = command("kill").arg(format!("-{number}")).arg(self.child.id().to_string()).status();
        assert!(kill.unwrap().success());
    }

    /// Waits until it has ended; what it still said is in the log.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.log.push(line);
        }
        self.child.wait().unwrap()
    }

    /// Ends it as it should be.
    pub(crate) fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.ended().success(), "{}", self.log.join("\n"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a log file that may be moved has a line with that word.
pub(crate) fn wait_for(file: &Path, word: &str) {
    let mut tail = Command::new("tail");
    tail.args(["-n", "+1", "-s", "0.1", "-F"]).arg(file).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut tail = tail.spawn().unwrap();
    let lines = lines(tail.stdout.take().unwrap());
    while !lines.recv_timeout(PATIENCE).unwrap().contains(word) {}
    tail.kill().unwrap();
    tail.wait().unwrap();
}

fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Nobody may listen any more.
            let _ = tell.send(line);
        }
    });
    lines
}

/// A server that answers each request, of which the first line is given, with a status, lines of its head and a body; answers its URL.
pub(crate) fn answering(mut answer: impl FnMut(&str) -> (u16, String, Vec<u8>) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut line, mut first, mut length) = (String::new(), String::new(), 0);
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if first.is_empty() {
                    first = line.clone();
                }
                line.clear();
            }
            let _ = reader.take(length).read_to_end(&mut Vec::new());
            let (status, headers, body) = answer(&first);
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
            // A client that has what it wants may be gone.
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    url
}
