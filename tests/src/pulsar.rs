// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A real Pulsar cluster, and a client of it that has nothing of ours (`tests/pulsar/check.py`, `tests/pulsar/schemas.py`).

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use fnstream_core::topic::TopicRef;

use crate::binary;
use crate::python::python_for;

/// The cluster, and the client that has nothing of ours.
#[derive(Debug)]
pub struct Pulsar {
    /// The address of the brokers.
    pub url: String,
    /// The address of the REST interface.
    pub admin: String,
    python: String,
    namespace: String,
}

impl Pulsar {
    /// `None`, said aloud, if there is none. Topics are in a namespace of this name and a number.
    #[allow(clippy::print_stderr, reason = "a test that is passed over says so")]
    pub fn find(name: &str) -> Result<Option<Pulsar>> {
        let variables = ["FNSTREAM_PULSAR", "FNSTREAM_PULSAR_ADMIN"].map(|name| std::env::var(name).ok());
        let [Some(url), Some(admin)] = variables else {
            ensure!(std::env::var_os("CI").is_none(), "FNSTREAM_PULSAR names no broker: see scripts/pulsar.sh");
            eprintln!("SKIPPED: FNSTREAM_PULSAR names no broker: see scripts/pulsar.sh");
            return Ok(None);
        };
        let Some(python) = python_for("tests/pulsar/requirements.txt")? else { return Ok(None) };
        let namespace = format!("public/{name}-{:016x}", rand::random::<u64>());
        Ok(Some(Pulsar { url, admin, python, namespace }))
    }

    /// Runs it; answers its last line of JSON.
    pub fn check(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        self.run("check.py", arguments)
    }

    /// The same of the script for topics with schemas.
    pub fn schemas(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        self.run("schemas.py", arguments)
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Result<serde_json::Value> {
        let ended = Command::new(&self.python)
            .arg(binary::root().join("tests/pulsar").join(script))
            .args(arguments)
            .output()
            .context("cannot run python")?;
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        ensure!(ended.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&ended.stderr));
        let last = said.lines().rfind(|line| line.starts_with('{')).unwrap_or("{}");
        Ok(serde_json::from_str(last)?)
    }

    /// Has the broker give topics up, as when they move to another one.
    pub fn unload(&self, topics: &[String]) -> Result<()> {
        let unload = ["unload", &self.admin].into_iter().chain(topics.iter().map(String::as_str));
        self.check(&unload.collect::<Vec<_>>()).map(drop)
    }

    /// Fills the quota of a topic that has records, and its namespace: nobody may write there until it is freed.
    pub fn hold(&self, topic: &str) -> Result<()> {
        self.check(&["hold", &self.admin, topic]).map(drop)
    }

    /// Lets a topic that is held, and its namespace, take records again.
    pub fn free(&self, topic: &str) -> Result<()> {
        self.check(&["free", &self.admin, topic]).map(drop)
    }

    /// Compares the outputs of a function with its inputs, of which there are so many. Tells what was found.
    #[allow(clippy::print_stdout, reason = "it says what it found")]
    pub fn check_all(&self, work: &str, input: &str, output: &str, records: usize) -> Result<()> {
        let found = self.check(&[work, &self.url, input, output])?;
        println!("{work}, by the client of Pulsar in Python: {found}");
        let wanted = [("inputs", records), ("outputs", records)].into_iter();
        for (what, wanted) in wanted.chain(["lost", "duplicated", "wrong", "out_of_order"].map(|what| (what, 0))) {
            ensure!(found[what] == wanted, "{work}: {what} is {}, and should be {wanted}", found[what]);
        }
        Ok(())
    }

    /// Makes topics, in a namespace that drops repeats.
    pub fn create(&self, partitions: u32, topics: &[String]) -> Result<()> {
        let partitions = partitions.to_string();
        let create = ["create", &self.admin, &partitions].into_iter().chain(topics.iter().map(String::as_str));
        self.check(&create.collect::<Vec<_>>()).map(drop)
    }

    /// Begins to fill the input of a function.
    pub fn fill(&self, work: &str, records: usize) -> Result<Child> {
        self.fill_topic(work, &self.topic(work, "in"), records, &[])
    }

    /// Begins to fill a topic with records of a work.
    pub fn fill_topic(&self, work: &str, topic: &str, records: usize, options: &[&str]) -> Result<Child> {
        let mut fill = Command::new(&self.python);
        fill.arg(binary::root().join("tests/pulsar/check.py"));
        fill.args(["fill", &self.url, work, topic, &records.to_string(), "--keys", "1000"]).args(options);
        fill.stdout(Stdio::null()).spawn().context("cannot run python")
    }

    /// The name of a topic.
    pub fn topic(&self, work: &str, what: &str) -> String {
        format!("{}/{work}-{what}", self.namespace)
    }

    /// The topic as a function names it.
    pub fn named(&self, topic: &str) -> Result<TopicRef> {
        Ok(format!("{topic}@{}?admin_url={}", self.url, self.admin).parse()?)
    }
}
