// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A broker, and what a test does to it beside the crate.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use fnstream_core::topic::Cluster as Named;
use fnstream_pulsar::{Options, Properties};
use fnstream_pulsar_client::{Access, Client};
use tokio::runtime::Runtime;

pub(crate) static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

/// The addresses of the broker; `None`, said aloud, where there is none.
pub(crate) fn broker() -> Option<(String, String)> {
    let found = std::env::var("FNSTREAM_PULSAR").ok().zip(std::env::var("FNSTREAM_PULSAR_ADMIN").ok());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "FNSTREAM_PULSAR names no broker: see scripts/pulsar.sh");
        eprintln!("SKIPPED: FNSTREAM_PULSAR names no broker: see scripts/pulsar.sh");
    }
    found
}

/// A name that no other test has, in this run or another.
pub(crate) fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
    format!("t{}-{}", &uuid[..8], COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The clients of a test, with a namespace of its own.
pub(crate) struct Cluster {
    pub(crate) url: String,
    admin: String,
    pub(crate) namespace: String,
    /// The name of the server, before all that is internal.
    pub(crate) server: String,
    pub(crate) client: Client,
}

/// The namespace of what servers keep for themselves; a broker takes long to make one.
pub(crate) const OWN: &str = "public/tests-own";

impl Cluster {
    pub(crate) fn at(broker: &(String, String)) -> Cluster {
        let cluster = Cluster::of(broker, &format!("public/{}", unique()));
        cluster.call(reqwest::Method::PUT, &format!("namespaces/{}", cluster.namespace), None);
        cluster
    }

    /// In a namespace that is there.
    pub(crate) fn of((url, admin): &(String, String), namespace: &str) -> Cluster {
        let client = RUNTIME.block_on(async { Client::builder(url).build().unwrap() });
        Cluster { url: url.clone(), admin: admin.clone(), namespace: namespace.to_owned(), server: unique(), client }
    }

    pub(crate) fn options(&self) -> Options {
        let given = BTreeMap::from([("admin_url".to_owned(), self.admin.clone())]);
        Options {
            cluster: Named::own(),
            properties: Properties::new(&self.url, &given).unwrap(),
            server: self.server.clone(),
            process: String::new(),
            is_shared: false,
            incarnation: String::new(),
            namespace: self.namespace.clone(),
            internal: OWN.into(),
        }
    }

    /// A request to the REST interface that has to succeed.
    pub(crate) fn call(&self, method: reqwest::Method, path: &str, body: Option<&str>) -> String {
        let url = format!("{}/admin/v2/{path}", self.admin);
        RUNTIME.block_on(async {
            let mut request = reqwest::Client::new().request(method, &url);
            if let Some(body) = body {
                request = request.header("content-type", "application/json").body(body.to_owned());
            }
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let text = answer.text().await.unwrap();
            assert!(status.is_success(), "{url}: {status} {text}");
            text
        })
    }

    /// The values of all messages of a topic that is no group of partitions.
    pub(crate) fn read_all(&self, topic: &str) -> Vec<Vec<u8>> {
        RUNTIME.block_on(async {
            let reader = self.client.reader(topic).open().await.unwrap();
            let mut values = Vec::new();
            while reader.has_more().await.unwrap() {
                values.push(reader.next().await.unwrap().payload.unwrap_or_default().to_vec());
            }
            reader.close().await.unwrap();
            values
        })
    }

    /// Takes a topic over from whoever writes it alone.
    pub(crate) fn fence(&self, topic: &str) {
        RUNTIME.block_on(async {
            let producer = self.client.producer(topic).access(Access::ExclusiveWithFencing).create().await.unwrap();
            producer.close().await.unwrap();
        });
    }
}
