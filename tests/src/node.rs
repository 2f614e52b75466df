// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A server that dies and comes back on the same data folder, and how its clients find it again.

use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fnstream_api::client::Client;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::server::{Server, ServerOptions};
use crate::within;

/// A data folder of its own, and the server that uses it at the moment, if any.
#[derive(Debug)]
pub struct Node {
    folder: TempDir,
    /// How the next start is done.
    pub options: ServerOptions,
    server: Option<Server>,
    lives: watch::Sender<Option<Life>>,
    starts: u64,
    last_start: Duration,
}

/// How long a client waits that was refused.
const PAUSE: Duration = Duration::from_millis(50);

/// One life of the server.
#[derive(Debug, Clone)]
pub struct Life {
    number: u64,
    /// Reaches the server.
    pub client: Client,
}

/// Follows a node through its lives.
#[derive(Debug, Clone)]
pub struct Finder(watch::Receiver<Option<Life>>);

impl Node {
    /// A node with an empty data folder, not started yet.
    pub fn new(options: ServerOptions) -> Result<Node> {
        // `FNSTREAM_KEEP` keeps the data of a test that has failed, or of any.
        let keep = std::env::var_os("FNSTREAM_KEEP").is_some();
        let folder = tempfile::Builder::new().prefix("fnstream-test-").disable_cleanup(keep).tempdir();
        let folder = folder.context("no temporary folder")?;
        let (lives, _) = watch::channel(None);
        Ok(Node { folder, options, server: None, lives, starts: 0, last_start: Duration::ZERO })
    }

    /// The data folder. It is not there before the first start.
    pub fn data_dir(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// A folder for the test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// For whoever has to find the server again after each restart.
    pub fn finder(&self) -> Finder {
        Finder(self.lives.subscribe())
    }

    /// How long the last start took until the server served.
    pub fn last_start(&self) -> Duration {
        self.last_start
    }

    /// Starts the process without waiting for anything.
    pub fn spawn(&mut self) -> Result<()> {
        if self.server.is_some() {
            bail!("the server runs already");
        }
        self.server = Some(Server::spawn(&self.options, &self.data_dir())?);
        Ok(())
    }

    /// Starts the server and waits until it serves.
    pub async fn start(&mut self) -> Result<Client> {
        match self.try_start().await? {
            Some(client) => Ok(client),
            None => bail!("the server ended before it served\n{}", self.server()?.last_words()),
        }
    }

    /// Starts the server and waits until it serves, or has ended instead: then `None`.
    pub async fn try_start(&mut self) -> Result<Option<Client>> {
        let begun = Instant::now();
        self.spawn()?;
        let Some(url) = self.server()?.listening().await? else { return Ok(None) };
        self.last_start = begun.elapsed();
        let client = Client::new(&url).with_context(|| format!("no client for '{url}'"))?;
        self.starts += 1;
        self.lives.send_replace(Some(Life { number: self.starts, client: client.clone() }));
        Ok(Some(client))
    }

    /// The server that runs.
    pub fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("the server does not run")
    }

    /// Ends the server as `kill -9` does.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.lives.send_replace(None);
        self.server.take().context("the server does not run")?.kill()
    }

    /// Asks the server to end and waits until it has; answers how, and its log.
    pub async fn terminate(&mut self) -> Result<(ExitStatus, Vec<String>)> {
        self.server()?.terminate()?;
        self.ended().await
    }

    /// Waits until the server has ended by itself; answers how, and its log.
    pub async fn ended(&mut self) -> Result<(ExitStatus, Vec<String>)> {
        let server = self.server.as_mut().context("the server does not run")?;
        let status = server.ended().await?;
        let lines = server.lines();
        self.server = None;
        self.lives.send_replace(None);
        Ok((status, lines))
    }
}

impl Finder {
    /// The present life of the server; waits for the next one when there is none.
    pub async fn alive(&mut self) -> Result<Life> {
        self.after(0).await
    }

    /// A life later than this one, in which the server died.
    pub async fn next(&mut self, dead: &Life) -> Result<Life> {
        self.after(dead.number).await
    }

    /// A later life if one begins within a short time, else the same: for whoever was refused and asks again.
    pub async fn pause(&mut self, life: &Life) -> Result<Life> {
        let next = tokio::time::timeout(PAUSE, self.after(life.number)).await;
        next.unwrap_or_else(|_| Ok(life.clone()))
    }

    async fn after(&mut self, number: u64) -> Result<Life> {
        let newer = |life: &Option<Life>| life.as_ref().is_some_and(|life| life.number > number);
        let found = within("the server to come back", self.0.wait_for(newer)).await?;
        let life = found.context("the test has ended")?.clone();
        life.context("the server is gone")
    }
}
