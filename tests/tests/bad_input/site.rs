// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A server with one function that has to go on processing, whatever else happens.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use fnstream_api::{Client, ConsumeOptions, Function, ProduceOptions};
use fnstream_core::ErrorCode;
use fnstream_tests::cli::Cli;
use fnstream_tests::guests::{self, Input, Life};
use fnstream_tests::node::Node;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{PATIENCE, binary};

use super::http::{self, Answer};

/// A function that was there before, and must not notice anything.
pub(crate) const WITNESS: &str = "witness";

/// The server, and the ways to it.
pub(crate) struct Site {
    pub node: Node,
    pub client: Client,
    pub cli: Cli,
    asked: std::cell::Cell<u32>,
}

impl Site {
    /// A server with the witness on an own data folder.
    pub(crate) async fn new() -> Result<Site> {
        Self::with(ServerOptions::new(binary::server()?)).await
    }

    /// The same, with options of the server.
    pub(crate) async fn with(options: ServerOptions) -> Result<Site> {
        let mut node = Node::new(options)?;
        let client = node.start().await?;
        let cli = Cli::new(client.url(), node.folder())?;
        let site = Site { node, client, cli, asked: Default::default() };
        let archive = site.file("witness.wasm", &money()?)?;
        site.client.create_function(WITNESS, &function(&archive, WITNESS)).await?;
        site.still_processes().await?;
        Ok(site)
    }

    /// Checks that the witness processes a record, each and none twice.
    pub(crate) async fn still_processes(&self) -> Result<()> {
        let asked = self.asked.get() + 1;
        self.asked.set(asked);
        let event = format!(r#"{{"name":"{asked}","money":1}}"#);
        self.client.produce(&input(WITNESS), event, &ProduceOptions::default()).await?;
        let options = ConsumeOptions { timeout: Some(PATIENCE), ..Default::default() };
        let answer = self.client.consume(&output(WITNESS), &options).await?.context("the witness is silent")?;
        let wanted = format!(r#""{{\"name\":\"{asked}\",\"money\":2,\"expected\":0}}""#);
        ensure!(answer.json == wanted, "the witness answers {:?}, not {wanted}", answer.json);
        Ok(())
    }

    /// Checks that a name is free: nothing knows it, and a function can be created under it and processes.
    pub(crate) async fn is_free(&self, name: &str) -> Result<()> {
        ensure!(!self.client.list_functions().await?.contains(&name.to_owned()), "'{name}' is listed");
        let known = self.client.describe_function(name).await;
        ensure!(known.as_ref().is_err_and(|e| e.is(ErrorCode::FunctionNotFound)), "'{name}' is known: {known:?}");
        let archive = self.file("good.wasm", &money()?)?;
        self.client.create_function(name, &function(&archive, name)).await?;
        self.client.delete_function(name).await?;
        Ok(())
    }

    /// Ends the server orderly and starts it again.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        let (status, log) = self.node.terminate().await?;
        ensure!(status.success(), "{status}:\n{}", log.join("\n"));
        self.client = self.node.start().await?;
        self.cli = Cli::new(self.client.url(), self.node.folder())?;
        Ok(())
    }

    /// Writes a file of the test; answers its path.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> Result<String> {
        let path = self.node.folder().join(name);
        std::fs::write(&path, bytes)?;
        Ok(path.to_str().context("a temporary folder with an odd name")?.to_owned())
    }

    /// Sends a request without a client's care.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &[u8]) -> Result<Answer> {
        http::send(self.client.url(), method, path, &[], body).await
    }

    /// The files in the folder of artifacts.
    pub(crate) fn artifacts(&self) -> Result<Vec<PathBuf>> {
        let folder = self.node.data_dir().join("artifacts");
        let files = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
        files.collect()
    }
}

/// A function that does what the README's example does.
pub(crate) fn money() -> Result<Vec<u8>> {
    guests::money(Life::StartThenProcess, Input::Stdin)
}

/// A function of that archive on topics named after `name`.
pub(crate) fn function(archive: &str, name: &str) -> Function {
    Function::new(archive, vec![input(name).into()], output(name))
}

pub(crate) fn input(name: &str) -> String {
    format!("{name}-input")
}

pub(crate) fn output(name: &str) -> String {
    format!("{name}-output")
}
