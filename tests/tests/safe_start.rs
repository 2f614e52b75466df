// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A server that dies three times in a row soon after it has started its functions comes up without them, and everything else
//! works.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fnstream_api::{Client, ConsumeOptions, FunctionStatus, FunctionSummary, ProduceOptions};
use fnstream_tests::chain::function;
use fnstream_tests::guests::{self, Input, Life};
use fnstream_tests::node::Node;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{PATIENCE, binary, within};

/// The last line of a start.
const STARTED: &str = "functions started";

struct Site {
    node: Node,
    client: Client,
}

impl Site {
    /// A server with these functions, which dies before it has ever started one of them again.
    async fn with(names: &[&str]) -> Result<Site> {
        let options = ServerOptions { args: Vec::new(), ..ServerOptions::durable(binary::server()?) };
        let mut node = Node::new(options.arg("--durability", "os"))?;
        let client = node.start().await?;
        let mut site = Site { node, client };
        for name in names {
            site.create(name).await?;
        }
        site.node.kill()?;
        Ok(site)
    }

    async fn create(&mut self, name: &str) -> Result<()> {
        let path = self.node.folder().join("money.wasm");
        std::fs::write(&path, guests::money(Life::StartThenProcess, Input::Stdin)?)?;
        let path = path.to_str().context("a temporary folder with an odd name")?;
        let described = function(path, &format!("{name}-in"), &format!("{name}-out"), 1);
        self.client.create_function(name, &described).await?;
        Ok(())
    }

    /// Starts the server, and waits until all functions are started that it starts.
    async fn start(&mut self) -> Result<()> {
        self.client = self.node.start().await?;
        self.node.server()?.logged(&[STARTED]).await?;
        let up = async {
            let mut looks = tokio::time::interval(Duration::from_millis(5));
            while self.ready().await?.0 == 503 {
                looks.tick().await;
            }
            anyhow::Ok(())
        };
        within("the functions to come up", up).await?
    }

    /// So many starts that die as soon as they have started functions.
    async fn die(&mut self, times: usize) -> Result<()> {
        for _ in 0..times {
            self.start().await?;
            ensure!(!self.is_safe().await?, "it is too early for a safe start");
            self.node.kill()?;
        }
        Ok(())
    }

    async fn ready(&self) -> Result<(u16, String)> {
        let answer = reqwest::get(format!("{}/readyz", self.client.url())).await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    async fn is_safe(&self) -> Result<bool> {
        let (status, text) = self.ready().await?;
        ensure!(status == 200, "{status}: {text}");
        Ok(text.contains("FS-1709"))
    }

    async fn status(&self, name: &str) -> Result<FunctionSummary> {
        self.client.status(Some(name)).await?.pop().context("no status")
    }

    async fn is_held_back(&self, name: &str) -> Result<bool> {
        let FunctionSummary { status, reason, .. } = self.status(name).await?;
        Ok(status == FunctionStatus::Failed && reason.is_some_and(|reason| reason.contains("(FS-1709)")))
    }

    async fn produce(&self, name: &str) -> Result<()> {
        let event = format!(r#"{{"name":"{name}","money":1}}"#);
        self.client.produce(&format!("{name}-in"), event, &ProduceOptions::default()).await?;
        Ok(())
    }

    /// The function has processed what was produced.
    async fn processes(&self, name: &str) -> Result<()> {
        let options = ConsumeOptions { timeout: Some(PATIENCE), ..Default::default() };
        let answer = self.client.consume(&format!("{name}-out"), &options).await?;
        ensure!(
            answer.is_some_and(|answer| String::from_utf8_lossy(&answer.json).contains("expected")),
            "'{name}' does not process"
        );
        Ok(())
    }
}

#[tokio::test]
async fn after_three_deaths_functions_are_held_back_until_somebody_lets_them_go() -> Result<()> {
    let mut site = Site::with(&["bad", "good", "other"]).await?;
    site.die(3).await?;
    site.start().await?;
    let told = site.node.server()?.logged(&["safe start", "FS-1709"]).await?;
    ensure!(told.contains("WARN") && told.contains("bad, good, other"), "{told}");
    let (status, text) = site.ready().await?;
    ensure!((status, &*text) == (200, "ready; functions held back by a safe start: 3 (FS-1709)\n"), "{status} {text}");

    // Everything else works: topics, and functions that are made now.
    site.produce("good").await?;
    site.create("new").await?;
    site.produce("new").await?;
    site.processes("new").await?;
    let described = site.client.describe_function("bad").await?;
    ensure!(described.error.as_ref().is_some_and(|error| error.code == "FS-1709"), "{:?}", described.error);

    // Whoever dies of something else meanwhile comes up as before.
    site.node.kill()?;
    site.start().await?;
    for name in ["bad", "good", "other"] {
        ensure!(site.is_held_back(name).await?, "'{name}' is not held back: {:?}", site.status(name).await?);
    }

    // Each can be let go, and that is the end of it.
    site.client.delete_function("bad").await?;
    site.client.start_function("good").await?;
    site.processes("good").await?;
    site.client.stop_function("other").await?;
    ensure!(site.status("other").await?.status == FunctionStatus::Stopped, "it is not stopped");
    ensure!(!site.is_safe().await?, "nothing is held back any more");

    let (ended, _) = site.node.terminate().await?;
    ensure!(ended.success(), "{ended}");
    site.start().await?;
    ensure!(!site.is_safe().await?, "it was ended orderly");
    site.produce("good").await?;
    site.processes("good").await
}

#[tokio::test]
async fn a_safe_start_that_dies_too_holds_back_all_and_says_of_each_how_often_it_was_to_start() -> Result<()> {
    let mut site = Site::with(&["bad"]).await?;
    site.die(3).await?;
    site.start().await?;
    site.create("late").await?;
    site.node.kill()?;
    // This one starts a function beside those that are held back, and dies too.
    site.start().await?;
    ensure!(site.is_held_back("bad").await? && !site.is_held_back("late").await?, "it did not run each time");
    site.node.kill()?;
    site.start().await?;
    let server = site.node.server()?;
    server.logged(&["safe start", "bad, late", "the server died soon after 4 starts"]).await?;
    server.logged(&[STARTED, "started=0", "failed=0", "held=2"]).await?;
    for (name, times) in [("bad", "3 of which were to start it"), ("late", "1 of which was to start it")] {
        ensure!(site.is_held_back(name).await?, "'{name}' is not held back");
        let reason = site.status(name).await?.reason.unwrap_or_default();
        ensure!(reason.contains(&format!("the server died soon after 4 starts, {times}")), "{reason}");
    }
    Ok(())
}

#[tokio::test]
async fn an_orderly_end_lets_all_go_and_forgets_what_was_before() -> Result<()> {
    let mut site = Site::with(&["f"]).await?;
    site.die(3).await?;
    site.start().await?;
    ensure!(site.is_held_back("f").await?, "it is not held back: {:?}", site.status("f").await?);
    site.node.terminate().await?;
    site.die(2).await?;
    site.start().await?;
    ensure!(!site.is_safe().await?, "it has died twice only since it was ended orderly");
    site.node.terminate().await?;
    site.die(2).await?;
    site.start().await?;
    ensure!(!site.is_safe().await?, "the same again");
    site.produce("f").await?;
    site.processes("f").await
}

#[tokio::test]
async fn whoever_starts_the_server_may_choose() -> Result<()> {
    let mut site = Site::with(&["f"]).await?;
    let usual = site.node.options.clone();
    site.node.options = usual.clone().arg("--safe-start", "always");
    site.start().await?;
    ensure!(site.is_held_back("f").await?, "it is not held back: {:?}", site.status("f").await?);
    site.node.kill()?;
    site.node.options = usual.clone();
    // It was not that start which started functions.
    site.die(3).await?;
    site.node.options = usual.arg("--safe-start", "never");
    site.start().await?;
    ensure!(!site.is_safe().await?, "it was told to start all functions");
    site.produce("f").await?;
    site.processes("f").await
}

/// The reason why a function is held back.
async fn why(site: &Site, name: &str) -> Result<String> {
    ensure!(site.is_held_back(name).await?, "'{name}' is not held back: {:?}", site.status(name).await?);
    site.status(name).await?.reason.context("no reason")
}

#[tokio::test]
async fn a_function_made_during_a_safe_start_that_dies_is_kept_and_is_held_back_only_if_it_is_to_blame() -> Result<()> {
    let mut site = Site::with(&["bad"]).await?;
    site.die(3).await?;
    site.start().await?;
    site.create("new").await?;
    site.produce("new").await?;
    // One more, which is registered, and whose maker never gets its answer.
    let path = site.node.folder().join("money.wasm");
    let described = function(path.to_str().context("an odd name")?, "late-in", "late-out", 1);
    let client = site.client.clone();
    let making = tokio::spawn(async move { client.create_function("late", &described).await });
    let mut looks = tokio::time::interval(Duration::from_millis(1));
    let registered = async {
        while !site.client.list_functions().await?.iter().any(|name| name == "late") {
            looks.tick().await;
        }
        anyhow::Ok(())
    };
    within("a function to be registered", registered).await??;
    site.node.kill()?;
    // It may have had its answer just before.
    let _ = making.await?;

    site.start().await?;
    why(&site, "bad").await?;
    ensure!(site.client.list_functions().await? == ["bad", "late", "new"], "{:?}", site.client.list_functions().await?);
    site.processes("new").await?;
    site.produce("late").await?;
    site.processes("late").await?;

    // This start was to start the two, and dies as well.
    site.node.kill()?;
    site.start().await?;
    for (name, times) in [("bad", 3), ("late", 1), ("new", 1)] {
        let why = why(&site, name).await?;
        ensure!(why.contains(&format!("after 4 starts, {times} of which")), "{name}: {why}");
    }
    site.produce("new").await?;
    site.client.start_function("new").await?;
    site.processes("new").await
}

#[tokio::test]
async fn a_server_that_is_always_started_safely_holds_back_what_was_made_in_the_life_before() -> Result<()> {
    let mut site = Site::with(&["old"]).await?;
    let options = site.node.options.clone();
    site.node.options = options.clone().arg("--safe-start", "always");
    site.start().await?;
    site.create("new").await?;
    site.node.kill()?;
    site.start().await?;
    for name in ["old", "new"] {
        why(&site, name).await?;
    }
    site.node.kill()?;
    site.node.options = options;
    site.start().await?;
    for name in ["old", "new"] {
        site.produce(name).await?;
        site.processes(name).await?;
    }
    Ok(())
}
