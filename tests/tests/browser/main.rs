// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A real browser with a page of another site, and with one whose name was made to lead to the server (DNS rebinding): neither
//! reads nor changes anything, by whatever a page can send.
//!
//! `make browser` runs it. It needs Chromium (`CHROMIUM=path`, otherwise the first of the path), so `make test` leaves it out;
//! there, requests as browsers send them stand for it. The same page of a site that the server allows reads what it asks for: so
//! the attempts are real ones.

#![allow(clippy::print_stdout, reason = "what a page saw is part of the result")]

mod site;

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use fnstream_api::{Client, ConsumeOptions, FunctionStatus, ProduceOptions};
use fnstream_core::ErrorCode;
use fnstream_tests::chain::function;
use fnstream_tests::node::Node;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{binary, within};
use serde_json::Value;

use site::{Site, Way};

/// Where the browser is, by its usual names.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// What a browser says, in its profile.
const SAID: &str = "said.log";

/// A browser that has opened a page. It ends with the test.
struct Browser(Child);

impl Browser {
    fn open(url: &str, profile: &Path) -> Result<Self> {
        let given = std::env::var("CHROMIUM").ok();
        for name in given.as_deref().into_iter().chain(BROWSERS) {
            let child = Command::new(name)
                .args([
                    "--headless=new",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--no-first-run",
                    "--remote-debugging-port=0",
                ])
                // The server is what protects here, not the browser's own opinion of networks.
                .arg("--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests,HttpsUpgrades")
                .arg("--host-resolver-rules=MAP *.example 127.0.0.1")
                .arg(format!("--user-data-dir={}", profile.display()))
                .arg(url)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(File::create(profile.join(SAID))?)
                .spawn();
            match child {
                Ok(child) => return Ok(Browser(child)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| name.to_owned()),
            }
        }
        bail!("there is no Chromium: install it, or set CHROMIUM to its path")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a page has seen, by the attempt: the words of an answer, or why there are none.
async fn seen_by(page: &str, site: &mut Site, targets: &[&str]) -> Result<Value> {
    let profile = tempfile::tempdir()?;
    let _browser = Browser::open(&site.page(page, targets), profile.path())?;
    let report = match within("the page to have tried everything", site.report()).await {
        Ok(report) => report,
        Err(error) => {
            let said = std::fs::read_to_string(profile.path().join(SAID)).unwrap_or_default();
            return Err(error.context(format!("the browser says: {said}")));
        }
    };
    println!("{page}: {report:#}");
    Ok(report)
}

/// Attempts of a page at which it could read something.
fn read(report: &Value) -> Vec<String> {
    let attempts = report.as_object().into_iter().flatten();
    let read = attempts.filter(|(_, seen)| seen.as_str().is_some_and(|seen| seen.starts_with("read ")));
    read.map(|(attempt, seen)| format!("{attempt}: {seen}")).collect()
}

struct Prey {
    client: Client,
    artifacts: usize,
}

const ARCHIVES: &str = "artifacts";

impl Prey {
    /// A server that has something to lose.
    async fn new(node: &mut Node) -> Result<Self> {
        let client = node.start().await?;
        let digest = client.upload_artifact(std::fs::read(binary::example("basic")?)?).await?.digest;
        client.create_function("f", &function(&format!("sha256:{digest}"), "in", "out", 1)).await?;
        client.produce("kept", "secret-event", &ProduceOptions::default()).await?;
        let artifacts = std::fs::read_dir(node.data_dir().join(ARCHIVES))?.count();
        Ok(Prey { client, artifacts })
    }

    /// All of it is still there, and nothing else is.
    async fn is_whole(&self, node: &Node) -> Result<()> {
        let client = &self.client;
        ensure!(client.list_functions().await? == ["f"], "other functions: {:?}", client.list_functions().await?);
        let status = client.describe_function("f").await?.status;
        ensure!(!matches!(status, FunctionStatus::Stopped | FunctionStatus::Stopping), "the function is {status:?}");
        for topic in ["new", "misspelt", "produced"] {
            let topic = client.describe_topic(topic).await;
            ensure!(topic.as_ref().is_err_and(|error| error.is(ErrorCode::TopicNotFound)), "there is {topic:?}");
        }
        let artifacts = std::fs::read_dir(node.data_dir().join(ARCHIVES))?.count();
        ensure!(artifacts == self.artifacts, "{artifacts} artifacts, not {}", self.artifacts);
        let none = ConsumeOptions { timeout: Some(std::time::Duration::ZERO), ..ConsumeOptions::default() };
        let event = client.consume("kept", &none).await?.context("the event was taken")?;
        ensure!(event.json == "\"secret-event\"", "{event:?}");
        Ok(())
    }
}

fn options() -> Result<ServerOptions> {
    Ok(ServerOptions::new(binary::server()?))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a browser; see `make browser`"]
async fn a_page_of_another_site_reads_and_changes_nothing() -> Result<()> {
    let mut node = Node::new(options()?)?;
    let prey = Prey::new(&mut node).await?;
    let url = prey.client.url().to_owned();
    let mut site = Site::new(&url, Way::Plain).await?;
    let (address, name) = (url.clone(), url.replace("127.0.0.1", "localhost"));
    let report = seen_by("evil.example", &mut site, &[&address, &name]).await?;
    ensure!(read(&report).is_empty(), "it has read {:?}", read(&report));
    prey.is_whole(&node).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a browser; see `make browser`"]
async fn a_page_whose_name_leads_to_the_server_reads_and_changes_nothing() -> Result<()> {
    let mut node = Node::new(options()?)?;
    let prey = Prey::new(&mut node).await?;
    let mut site = Site::new(prey.client.url(), Way::Plain).await?;
    let own = format!("http://rebound.example:{}", site.port());
    let report = seen_by("rebound.example", &mut site, &[&own]).await?;
    // It is of the same origin, so it may read: that it is refused.
    let beyond: Vec<_> = read(&report).into_iter().filter(|seen| !seen.contains("FS-1010")).collect();
    ensure!(beyond.is_empty(), "it has read {beyond:?}");
    ensure!(!read(&report).is_empty(), "it did not reach the server: {report}");
    prey.is_whole(&node).await
}

/// What holds the others up: the same pages before a server that checks nothing do all the harm that there is.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a browser; see `make browser`"]
async fn a_server_without_checks_is_read_and_changed() -> Result<()> {
    for page in ["evil.example", "rebound.example"] {
        let mut node = Node::new(options()?)?;
        let prey = Prey::new(&mut node).await?;
        let mut site = Site::new(prey.client.url(), Way::Unguarded).await?;
        // Both lead to the server by now: the one by the name of another site, the other by its own.
        let target = match page {
            "evil.example" => format!("http://localhost:{}", site.port()),
            own => format!("http://{own}:{}", site.port()),
        };
        let report = seen_by(page, &mut site, &[&target]).await?;
        let has_read = read(&report).iter().any(|seen| seen.contains("fetch GET /api/v1/functions of"));
        // Without headers of the server's that allow it, browsers let only a page of the same origin read.
        ensure!(has_read == (page == "rebound.example"), "{page} has read {:?}", read(&report));
        ensure!(prey.is_whole(&node).await.is_err(), "{page} has changed nothing: {report}");
    }
    Ok(())
}

/// What holds the others up: the page is able to do what it tries.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a browser; see `make browser`"]
async fn a_page_of_a_site_that_is_allowed_reads_and_changes_what_it_likes() -> Result<()> {
    let mut site = Site::to_come(Way::Plain).await?;
    let origin = format!("http://console.example:{}", site.port());
    let mut node = Node::new(options()?.arg("--allow-origin", &origin))?;
    let prey = Prey::new(&mut node).await?;
    site.leads_to(prey.client.url())?;
    let report = seen_by("console.example", &mut site, &[prey.client.url()]).await?;
    let read = read(&report);
    for attempt in ["fetch GET /api/v1/functions", "fetch GET /metrics", "fetch PUT /api/v1/produce/produced"] {
        ensure!(read.iter().any(|read| read.starts_with(attempt)), "{attempt}: {report}");
    }
    ensure!(prey.is_whole(&node).await.is_err(), "it has changed nothing");
    Ok(())
}
