// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A server for a test, and small guests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fnstream_api::{
    Client, ConsumeOptions, ErrorBody, Function, FunctionDescription, ProduceOptions, ReadFrom, TaskStatus,
};
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::topic::TopicRef;
use fnstream_frame::{Frame, FrameBuilder, HeadersBuilder, RecordRef};
use fnstream_server::{Durability, Server, ServerConfig};
use tempfile::TempDir;

/// How long a test waits for what must come.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A running server, its folder and a client.
pub(crate) struct Fixture {
    pub server: Server,
    pub client: Client,
    pub folder: TempDir,
}

pub(crate) fn config(folder: &Path) -> ServerConfig {
    let mut config = ServerConfig::new(folder.join("data"));
    config.listen = "127.0.0.1:0".into();
    config.grpc_listen = Some("127.0.0.1:0".into());
    config.durability = Durability::Os;
    config.workers = Some(2);
    config
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        Self::open(tempfile::tempdir().unwrap(), change).await
    }

    pub(crate) async fn open(folder: TempDir, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = config(folder.path());
        change(&mut config);
        let server = Server::start(config).await.unwrap();
        let client = Client::new(&format!("http://{}", server.local_addr())).unwrap();
        Fixture { server, client, folder }
    }

    /// Ends the server orderly and starts another on the same folder.
    pub(crate) async fn restart(self) -> Self {
        self.restart_as(|_| ()).await
    }

    /// The same with other settings.
    pub(crate) async fn restart_as(self, change: impl FnOnce(&mut ServerConfig)) -> Self {
        self.server.shutdown().await.unwrap();
        Self::open(self.folder, change).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.local_addr())
    }

    /// A function that runs the artifact, uploaded.
    pub(crate) async fn function(&self, artifact: Vec<u8>, input: &str, output: &str) -> Function {
        let digest = self.client.upload_artifact(artifact).await.unwrap().digest;
        function(&format!("sha256:{digest}"), input, output)
    }

    /// Sends bytes as they are on a connection of their own and reads what is answered before it closes.
    pub(crate) fn raw(&self, request: &[u8]) -> (u16, String) {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        answer(&mut stream)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.local_addr()).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    /// Describes a function until it is as it must become: what it has committed is readable before it is counted.
    pub(crate) async fn described(
        &self,
        name: &str,
        wanted: impl Fn(&FunctionDescription) -> bool,
    ) -> FunctionDescription {
        let until = Instant::now() + LONG;
        loop {
            let described = self.client.describe_function(name).await.unwrap();
            if wanted(&described) {
                return described;
            }
            assert!(Instant::now() < until, "it does not come: {described:?}");
        }
    }

    /// Comes back when so many consumers wait at a topic.
    pub(crate) async fn waiting(&self, topic: &str, count: u64) {
        let until = Instant::now() + LONG;
        while self.client.describe_topic(topic).await.unwrap().waiting_consumers != count {
            assert!(Instant::now() < until, "not {count} consumers wait");
        }
    }

    /// Comes back when so many clients wait, wherever.
    pub(crate) async fn waiting_clients(&self, count: u64) {
        let (until, wanted) = (Instant::now() + LONG, format!("\nfnstream_waiting_clients {count}\n"));
        while !reqwest::get(self.url("/metrics")).await.unwrap().text().await.unwrap().contains(&wanted) {
            assert!(Instant::now() < until, "not {count} clients wait");
        }
    }

    /// The names of the stored artifacts.
    pub(crate) fn artifacts(&self) -> Vec<String> {
        let folder = self.folder.path().join("data/artifacts");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }
}

/// A dead letter of a function as it stands in its topic: the record that has the value, which the function failed at.
pub(crate) fn dead_letter(function: &str, value: &str) -> HeadersBuilder {
    let letter = fnstream_core::dead_letter::DeadLetter {
        code: "FS-1402".into(),
        message: format!("trapped at {value}"),
        backtrace: None,
        function: function.into(),
        revision: 1,
        source: TopicPartition::new("in", 0),
        position: Position(7),
        input: 0,
        attempts: 4,
        failed_at_ms: 1,
    };
    letter.headers(HeadersBuilder::new().as_headers()).unwrap()
}

impl Fixture {
    /// A function with that artifact from `in` to `out`, and so many dead letters that wait: `l0`, `l1` and so on. They are made
    /// as anybody can make them, since failing takes its time.
    pub(crate) async fn with_letters(&self, name: &str, artifact: Vec<u8>, letters: usize) {
        let function = self.function(artifact, "in", "out").await;
        self.client.create_function(name, &function).await.unwrap();
        // Whatever is there before a function's first task is of a former one of the name.
        self.described(name, |f| f.tasks.first().is_some_and(|task| task.status == TaskStatus::Running)).await;
        self.client.produce("in", "first".to_owned(), &ProduceOptions::default()).await.unwrap();
        self.described(name, |f| f.tasks.first().is_some_and(|task| task.epoch > 0)).await;
        self.more_letters(name, 0..letters).await;
    }

    /// More of them.
    pub(crate) async fn more_letters(&self, name: &str, numbers: Range<usize>) {
        let mut frame = FrameBuilder::new();
        for number in numbers {
            let value = format!("l{number}");
            let headers = dead_letter(name, &value);
            frame.push(RecordRef::new(value.as_bytes()).with_headers(headers.as_headers()));
        }
        self.client.produce_frame(&format!("{name}.dlq"), frame.to_bytes()).await.unwrap();
    }

    /// The values of a topic of one partition, in order.
    pub(crate) async fn values(&self, topic: &str) -> Vec<String> {
        let mut options = ConsumeOptions { from: Some(ReadFrom::Earliest), ..now() };
        let mut values = Vec::new();
        while let Some((frame, next)) = self.client.consume_frame(topic, &options, 10_000).await.unwrap() {
            let frame = Frame::parse(&frame).unwrap();
            values.extend(frame.iter().map(|record| String::from_utf8_lossy(record.bytes()).into_owned()));
            options.from = Some(ReadFrom::Position(next));
        }
        values
    }
}

/// Status and body of an answer on a connection that the server closes.
pub(crate) fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

pub(crate) fn function(archive: &str, input: &str, output: &str) -> Function {
    Function::new(archive, vec![input.parse().unwrap()], output.parse::<TopicRef>().unwrap())
}

/// The code of an error body.
pub(crate) fn code(body: &str) -> String {
    let body: ErrorBody = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body:?}"));
    assert!(!body.message.is_empty() && !body.advice.is_empty(), "{body:?}");
    body.code
}

pub(crate) fn within_long() -> ConsumeOptions {
    ConsumeOptions { timeout: Some(LONG), ..ConsumeOptions::default() }
}

pub(crate) fn group(name: &str) -> ConsumeOptions {
    ConsumeOptions { group: Some(name.into()), ..within_long() }
}

pub(crate) fn now() -> ConsumeOptions {
    ConsumeOptions { timeout: Some(Duration::ZERO), ..ConsumeOptions::default() }
}

/// The word count of the examples.
pub(crate) fn word_count() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = std::env::var_os("FNSTREAM_EXAMPLES").map_or_else(|| root.join("bin"), PathBuf::from);
    std::fs::read(folder.join("example_word_count_rust.wasm")).expect("examples/build.sh makes it")
}

/// A module that copies each record from its standard input to its standard output.
pub(crate) fn echo() -> Vec<u8> {
    copy_to(1)
}

/// A module that copies each record to its standard error and emits nothing.
pub(crate) fn complain() -> Vec<u8> {
    copy_to(2)
}

fn copy_to(file: u32) -> Vec<u8> {
    stdio(&format!(
        r#"(i32.store (i32.const 0) (i32.const 1024))
           (i32.store (i32.const 4) (i32.const 60000))
           (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
           (i32.store (i32.const 4) (i32.load (i32.const 8)))
           (drop (call $write (i32.const {file}) (i32.const 0) (i32.const 1) (i32.const 12)))"#
    ))
}

/// A module that copies each record, and traps at those that begin with an x.
pub(crate) fn poison() -> Vec<u8> {
    stdio(
        r#"(i32.store (i32.const 0) (i32.const 1024))
           (i32.store (i32.const 4) (i32.const 60000))
           (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
           (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 120)) (then unreachable))
           (i32.store (i32.const 4) (i32.load (i32.const 8)))
           (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))"#,
    )
}

/// A module that computes for about a millisecond before it copies a record.
pub(crate) fn slow() -> Vec<u8> {
    stdio(
        r#"(local $n i32)
           (local.set $n (i32.const 1500000))
           (loop $on
             (local.set $n (i32.sub (local.get $n) (i32.const 1)))
             (i32.store (i32.const 2000) (local.get $n))
             (br_if $on (local.get $n)))
           (i32.store (i32.const 0) (i32.const 1024))
           (i32.store (i32.const 4) (i32.const 60000))
           (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
           (i32.store (i32.const 4) (i32.load (i32.const 8)))
           (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))"#,
    )
}

/// A module that traps at each record.
pub(crate) fn trap() -> Vec<u8> {
    stdio("unreachable")
}

/// A module that traps when it is started.
pub(crate) fn stillborn() -> Vec<u8> {
    starting("unreachable", "unreachable")
}

/// A module whose start takes as long as it is let.
pub(crate) fn never_up() -> Vec<u8> {
    starting("(loop $on (br $on))", "unreachable")
}

fn stdio(process: &str) -> Vec<u8> {
    starting("", process)
}

fn starting(start: &str, process: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 2)
            (func (export "_initialize") {start})
            (func (export "process") {process}))"#
    );
    wat::parse_str(text).unwrap()
}
