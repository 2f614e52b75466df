// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is beside the errors themselves: an end that comes in time or is asked for, refusals by the hundred, and a folder that goes
//! away and comes back.

use anyhow::{Context, Result, ensure};
use fnstream_core::ErrorCode;
use fnstream_tests::faults::{Fault, calls};
use fnstream_tests::seed::Seed;
use rustix::io::Errno;

use super::site::{Site, get, metric, until_accepted, until_refused};

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
async fn a_server_that_is_asked_to_end_while_it_recovers_ends_in_order() -> Result<()> {
    let mut site = Site::new("group", Seed::of("asked")?).await?;
    let client = site.node.finder().alive().await?.client;
    site.faults.set(Fault::failing(calls::CHANGES, Errno::IO))?;
    until_refused(&client).await?;
    let (status, lines) = site.node.terminate().await?;
    let log = lines.join("\n");
    ensure!(status.success(), "the server ended with {status}:\n{log}");
    ensure!(lines.iter().any(|line| line.ends_with("stopped")), "it has not stopped:\n{log}");
    ensure!(log.contains("what was acknowledged is as safe as its durability promises"), "{log}");
    ensure!(!log.contains(ErrorCode::StoreRecovering.advice()), "who ends does not go on by itself:\n{log}");
    site.faults.lift()?;
    site.node.start().await.context("with the disk well again")?;
    site.settle().await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_refusals_does_not_flood_the_log() -> Result<()> {
    let site = Site::new("group", Seed::of("flood")?).await?;
    let client = site.node.finder().alive().await?.client;
    site.faults.set(Fault::failing(calls::CHANGES, Errno::IO))?;
    until_refused(&client).await?;
    let refused = r#"fnstream_requests_failed_total{code="FS-1507"}"#;
    let (before, lines) = (metric(&client, refused).await?, site.node.server()?.lines().len());
    let (http, url) = (reqwest::Client::new(), format!("{}/api/v1/produce/ballast", client.url()));
    for _ in 0..500 {
        let answer = http.put(&url).body("x").send().await?;
        ensure!(answer.status() == 503 && answer.headers()["retry-after"] == "1", "{answer:?}");
    }
    let more = site.node.server()?.lines().split_off(lines);
    ensure!(metric(&client, refused).await? >= before + 500, "the refusals were not counted");
    // What functions and the store itself say meanwhile.
    ensure!(more.len() < 100, "{} lines:\n{}", more.len(), more[..100].join("\n"));
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
