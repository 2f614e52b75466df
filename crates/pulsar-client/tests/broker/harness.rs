// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A broker, and what a test does to it beside the client.

use std::future::Future;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use fnstream_pulsar_client::{Client, Consumer, Event, Message, MessageId, Producer, ReceivedMessage};

/// Longer than anything takes on a busy machine; only so that a fault ends the test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A namespace of a real broker that no other test uses.
pub(crate) struct Namespace {
    url: String,
    admin: String,
    name: String,
}

/// A variable that names a part of the broker; none, said aloud, if it is not set.
pub(crate) fn variable(name: &str) -> Option<String> {
    let found = std::env::var(name).ok().filter(|value| !value.is_empty());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is not set: see scripts/pulsar.sh");
        eprintln!("SKIPPED: {name} is not set: see scripts/pulsar.sh");
    }
    found
}

/// Runs a test in a namespace of its own, if there is a broker.
pub(crate) fn with_broker<F: Future<Output = ()>>(test: impl FnOnce(Namespace) -> F) {
    let (Some(url), Some(admin)) = (variable("FNSTREAM_PULSAR"), variable("FNSTREAM_PULSAR_ADMIN")) else { return };
    let namespace = Namespace::new(url, admin);
    runtime()
        .block_on(async { tokio::time::timeout(PATIENCE, test(namespace)).await.expect("the test takes too long") });
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub(crate) fn unique() -> String {
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
    format!("t{}", &uuid[..8])
}

impl Namespace {
    /// Creates one on the broker at these addresses.
    pub(crate) fn new(url: String, admin: String) -> Namespace {
        let namespace = Namespace { url, admin, name: format!("public/{}", unique()) };
        namespace.put(&format!("namespaces/{}", namespace.name), "{}");
        // Without a subscription, what is in a topic goes when the topic moves.
        namespace.policy("retention", r#"{"retentionTimeInMinutes": -1, "retentionSizeInMB": -1}"#);
        namespace
    }

    pub(crate) fn client(&self) -> Client {
        Client::builder(&self.url).build().unwrap()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The full name of a topic in it.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("persistent://{}/{name}", self.name)
    }

    /// A request to the admin API; it must succeed.
    pub(crate) fn admin(&self, method: &str, path: &str, body: &str) -> String {
        let (status, answer) = http(&self.admin, method, &format!("/admin/v2/{path}"), body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    pub(crate) fn put(&self, path: &str, body: &str) {
        self.admin("PUT", path, body);
    }

    pub(crate) fn post(&self, path: &str, body: &str) {
        self.admin("POST", path, body);
    }

    /// Sets a policy of the namespace.
    pub(crate) fn policy(&self, name: &str, body: &str) {
        self.post(&format!("namespaces/{}/{name}", self.name), body);
    }

    pub(crate) fn topic_path(&self, topic: &str) -> String {
        format!("persistent/{}/{topic}", self.name)
    }

    pub(crate) fn unload(&self, topic: &str) {
        self.put(&format!("{}/unload", self.topic_path(topic)), "");
    }

    pub(crate) fn create_partitioned(&self, topic: &str, partitions: u32) {
        self.put(&format!("{}/partitions", self.topic_path(topic)), &partitions.to_string());
    }
}

/// One exchange of HTTP/1.1.
fn http(base: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let host = base.strip_prefix("http://").unwrap().trim_end_matches('/');
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = String::new();
    reader.read_to_string(&mut answer).unwrap();
    (status, answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

/// The next entry; other events are passed over.
pub(crate) async fn next_entry(consumer: &Consumer) -> fnstream_pulsar_client::Entry {
    loop {
        if let Event::Messages(entry) = consumer.recv().await.unwrap() {
            return entry;
        }
    }
}

/// The payloads of so many messages, as text.
pub(crate) async fn texts(consumer: &Consumer, count: usize) -> Vec<String> {
    messages(consumer, count).await.iter().map(text).collect()
}

pub(crate) async fn messages(consumer: &Consumer, count: usize) -> Vec<ReceivedMessage> {
    let mut found = Vec::new();
    while found.len() < count {
        found.extend(next_entry(consumer).await.messages);
    }
    assert_eq!(found.len(), count);
    found
}

pub(crate) fn text(message: &ReceivedMessage) -> String {
    message.payload.as_deref().map_or("null".into(), |payload| String::from_utf8_lossy(payload).into_owned())
}

/// Sends texts one by one, and returns their places.
pub(crate) async fn send(producer: &Producer, texts: &[&str]) -> Vec<MessageId> {
    let sent: Vec<_> = texts.iter().map(|text| producer.send(Message::new(text.to_string()))).collect();
    let mut ids = Vec::new();
    for receipt in sent {
        ids.push(receipt.await.unwrap().message_id);
    }
    ids
}

pub(crate) fn batch(texts: &[&str]) -> Vec<Message> {
    texts.iter().map(|text| Message::new(text.to_string())).collect()
}
