// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One run of everything that a server does, through the deaths that it was told to die.
//!
//! ```text
//! start ─ chain created ─ records ─ another function and topics come and go ─ stop, start ─ account ─ update, rollback
//!       ─ orderly restart ─ more records ─ account
//! ```
//!
//! Every step is repeated until it is answered. What an unanswered step did is found by repeating it: it says that it is
//! done already, or does it.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;

use anyhow::{Context, Result, bail, ensure};
use fnstream_api::{Client, ClientError, FunctionUpdate, ProduceOptions, RollbackRequest, TopicRequest};
use fnstream_core::ErrorCode;
use fnstream_core::spec::DEAD_LETTER_SUFFIX;
use fnstream_tests::chain::check::Problem;
use fnstream_tests::chain::ledger::{Append, Record};
use fnstream_tests::chain::producer::{self, Load, is_broken};
use fnstream_tests::chain::step::Step;
use fnstream_tests::chain::{Chain, IN, MID, OUT, function, unless};
use fnstream_tests::guests;
use fnstream_tests::node::Node;
use fnstream_tests::server::ServerOptions;

const CHAIN: Chain = Chain { partitions: 2, first: Step::PassThrough, second: Step::KeyedCount };

/// What SIGABRT is called by the system.
const SIGABRT: i32 = 6;

/// Where and when to die.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    point: &'static str,
    after: u32,
}

impl Fault {
    /// At that step, when it was passed so often before.
    pub(crate) fn new(point: &'static str, after: u32) -> Self {
        Fault { point, after }
    }
}

/// How a drill ended.
#[derive(Debug)]
pub(crate) struct Report {
    /// How often the server died, each time as it was told.
    pub deaths: usize,
    /// What is wrong in the end.
    pub problems: Vec<Problem>,
}

/// A drill.
pub(crate) struct Drill {
    node: Node,
    options: ServerOptions,
    client: Option<Client>,
    /// The deaths to come; the server knows of the first.
    faults: VecDeque<Fault>,
    deaths: usize,
    ledger: Vec<Append>,
    rounds: u32,
    load: Load,
}

impl Drill {
    /// A drill on an empty data folder.
    pub(crate) fn new(binary: PathBuf, faults: Vec<Fault>, wrong_committer: bool) -> Result<Self> {
        let mut options = ServerOptions::new(binary);
        if wrong_committer {
            options = options.env("FNSTREAM_WRONG_COMMITTER", "1");
        }
        let node = Node::new(options.clone())?;
        Ok(Drill {
            node,
            options,
            client: None,
            faults: faults.into(),
            deaths: 0,
            ledger: Vec::new(),
            rounds: 0,
            load: Load::new(20, 20),
        })
    }

    /// Runs it.
    pub(crate) async fn run(mut self) -> Result<Report> {
        let scratch = self.node.folder().join("scratch.wasm");
        std::fs::write(&scratch, guests::money(guests::Life::InitializeThenProcess, guests::Input::Stdin)?)?;

        self.survive("creating", async |client, _| CHAIN.create(client).await).await?;
        self.produce(12).await?;
        self.survive("creating another", async |client, _| create_scratch(client, &scratch).await).await?;
        self.survive("deleting it", async |client, _| delete_scratch(client).await).await?;
        self.survive("stopping", async |client, _| Ok(client.stop_function("first").await.map(drop)?)).await?;
        self.survive("starting", async |client, _| Ok(client.start_function("first").await.map(drop)?)).await?;
        let mut problems = self.account().await?;
        // Nothing is under way now, so the state that comes back is the state that there is.
        self.survive("updating", async |client, _| Ok(client.update_function("second", &change()).await.map(drop)?))
            .await?;
        self.survive("rolling back", async |client, _| roll_back(client).await).await?;

        self.restart().await?;
        self.produce(4).await?;
        problems.extend(self.account().await?);
        problems.sort();
        problems.dedup();
        if let Some(fault) = self.faults.front() {
            bail!("the server never came to {} after {} times", fault.point, fault.after);
        }
        Ok(Report { deaths: self.deaths, problems })
    }

    /// Appends one record and then many, so many times.
    async fn produce(&mut self, times: u32) -> Result<()> {
        for n in 0..times {
            self.rounds += 1;
            let (load, round) = (self.load.clone(), self.rounds);
            let mut attempt = 0;
            self.survive("one record", async |client, ledger| {
                attempt += 1;
                let record = Record::new(&producer::key(n as usize % load.keys), &format!("one-{round}#{attempt}"));
                let options = ProduceOptions { key: Some(record.key.clone()), ..ProduceOptions::default() };
                let asked = client.produce(IN, record.value.clone(), &options).await;
                ledger.push(Append::asked(0, vec![record], &asked));
                Ok(asked.map(drop)?)
            })
            .await?;
            self.survive("many records", async |client, ledger| {
                attempt += 1;
                CHAIN.touch(client, ledger, &load, round * 1000 + attempt).await
            })
            .await?;
        }
        Ok(())
    }

    /// Sends what marks the end and compares everything.
    async fn account(&mut self) -> Result<Vec<Problem>> {
        self.rounds += 1;
        let mut round = self.rounds * 1000;
        let found = self.survive("the account", async |client, ledger| {
            round += 1;
            ensure!(client.list_functions().await? == ["first", "second"], "other functions than the chain's");
            let topics = client.list_topics().await?.into_iter().filter(|topic| !topic.ends_with(DEAD_LETTER_SUFFIX));
            ensure!(topics.eq([IN, MID, OUT]), "other topics than the chain's");
            CHAIN.settle(client, ledger, round).await
        });
        Ok(found.await?.problems)
    }

    /// Ends the server orderly and starts it again.
    async fn restart(&mut self) -> Result<()> {
        self.client = None;
        let (status, log) = self.node.terminate().await?;
        if !status.success() {
            self.died(status, &log)?;
        }
        Ok(())
    }

    /// Does something again and again until the server lives through it.
    async fn survive<T>(
        &mut self,
        what: &str,
        mut step: impl AsyncFnMut(&Client, &mut Vec<Append>) -> Result<T>,
    ) -> Result<T> {
        loop {
            let client = self.up().await?;
            match step(&client, &mut self.ledger).await {
                Ok(done) => return Ok(done),
                Err(error) if error.downcast_ref::<ClientError>().is_some_and(is_broken) => {
                    self.client = None;
                    let (status, log) = self.node.ended().await.with_context(|| format!("after {error:#}"))?;
                    self.died(status, &log)?;
                }
                Err(error) => return Err(error).context(what.to_owned()),
            }
        }
    }

    /// The running server; starts it, also when it is to die while it starts.
    async fn up(&mut self) -> Result<Client> {
        loop {
            if let Some(client) = &self.client {
                return Ok(client.clone());
            }
            // So few that a life's work is applied in bulk, and that a recovery applies what it finds.
            let dirty_keys = if self.deaths == 0 { 8 } else { 1 };
            self.node.options = self.options.clone().arg("--state-dirty-keys", dirty_keys);
            if let Some(Fault { point, after }) = self.faults.front() {
                let fault = format!("{point}={after}*off->return");
                self.node.options = self.node.options.clone().env("FAILPOINTS", fault);
            }
            self.client = self.node.try_start().await?;
            if self.client.is_none() {
                let (status, log) = self.node.ended().await?;
                self.died(status, &log)?;
            }
        }
    }

    /// The server has ended: it must have been told to.
    fn died(&mut self, status: ExitStatus, log: &[String]) -> Result<()> {
        if status.signal() != Some(SIGABRT) || self.faults.pop_front().is_none() {
            bail!("the server ended with {status}, which nobody asked for\n{}", log.join("\n"));
        }
        self.deaths += 1;
        Ok(())
    }
}

fn change() -> FunctionUpdate {
    let config = Some([("drill".to_owned(), "1".to_owned())].into());
    FunctionUpdate { config, ..FunctionUpdate::default() }
}

/// Rolls the function back to what it was at first, with its state; once more is the same again.
async fn roll_back(client: &Client) -> Result<()> {
    let request = RollbackRequest { to: 1, with_state: true, reprocess: false };
    Ok(client.rollback_function("second", request).await.map(drop)?)
}

const SCRATCH_TOPICS: [&str; 2] = ["scratch-in", "scratch-out"];

async fn create_scratch(client: &Client, archive: &std::path::Path) -> Result<()> {
    let request = TopicRequest { partitions: Some(3), ..TopicRequest::default() };
    unless(client.create_topic(SCRATCH_TOPICS[0], &request).await.map(drop), ErrorCode::TopicExists)?;
    let function = function(&archive.to_string_lossy(), SCRATCH_TOPICS[0], SCRATCH_TOPICS[1], 1);
    Ok(unless(client.create_function("scratch", &function).await.map(drop), ErrorCode::FunctionExists)?)
}

async fn delete_scratch(client: &Client) -> Result<()> {
    unless(client.delete_function("scratch").await, ErrorCode::FunctionNotFound)?;
    for topic in SCRATCH_TOPICS {
        unless(client.delete_topic(topic).await, ErrorCode::TopicNotFound)?;
    }
    Ok(())
}
