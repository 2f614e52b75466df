// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Errors that are not the disk's: an end that comes in time, and a folder that goes away and comes back.

use anyhow::{Context, Result, ensure};
use fnstream_core::ErrorCode;
use fnstream_tests::faults::{Fault, calls};
use fnstream_tests::seed::Seed;
use rustix::io::Errno;

use super::site::{Site, get, until_accepted, until_refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_recover_in_time_ends() -> Result<()> {
    let mut site = Site::new("group", Seed::of("end")?).await?;
    // The next life has less time.
    site.node.kill()?;
    site.node.options = site.node.options.clone().env("FUNCTION_STREAM_STATE_STORAGE_RECOVERY_TIMEOUT", "2s");
    let client = site.node.start().await?;
    site.faults.set(Fault::failing(calls::CHANGES, Errno::IO))?;
    until_refused(&client).await?;
    let (status, lines) = site.node.ended().await?;
    ensure!(!status.success() && status.code().is_some(), "the server ended with {status}");
    let told = |code: ErrorCode| lines.iter().any(|line| line.contains(code.as_str()));
    ensure!(told(ErrorCode::StoreGaveUp), "the log does not say why:\n{}", lines.join("\n"));
    site.faults.lift()?;
    site.node.start().await.context("with the disk well again")?;
    site.settle().await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_that_was_moved_away_and_back_is_used_again() -> Result<()> {
    let site = Site::new("group", Seed::of("moved")?).await?;
    let client = site.node.finder().alive().await?.client;
    let (here, away) = (site.node.data_dir(), site.node.folder().join("away"));
    std::fs::rename(&here, &away)?;
    until_refused(&client).await?;
    let (status, body) = get(&client, "/readyz").await?;
    ensure!(status == 503, "/readyz answers {status}: {body}");
    ensure!(!here.exists(), "a new folder was made");
    std::fs::rename(&away, &here)?;
    until_accepted(&mut site.node.finder()).await?;
    site.flows().await?;
    site.settle().await.map(drop)
}
