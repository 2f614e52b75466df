// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Servers that cannot start, and clients without a server.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use fnstream_tests::cli::{self, Cli};
use fnstream_tests::{binary, within};

use super::site::Site;

#[tokio::test]
async fn a_second_process_on_a_data_folder_is_refused() -> Result<()> {
    let site = Site::new().await?;
    let message = refused(&site.node.data_dir(), "127.0.0.1:0", "FS-1503").await?;
    ensure!(message.contains("another process uses the data folder"), "{message}");
    site.still_processes().await
}

#[tokio::test]
async fn an_address_that_is_taken_is_refused() -> Result<()> {
    let site = Site::new().await?;
    let address = site.client.url().strip_prefix("http://").context("not a url")?.to_owned();
    let other = tempfile::tempdir()?;
    let message = refused(&other.path().join("data"), &address, "FS-1702").await?;
    ensure!(message.contains(&address), "{message}");
    refused(&other.path().join("data"), "no-such-host.invalid:1", "FS-1702").await?;
    site.still_processes().await
}

/// A mistyped path must not turn somebody's folder into a data folder.
#[tokio::test]
async fn a_foreign_folder_is_refused_and_left_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("thesis.txt"), "chapter 1")?;
    let message = refused(folder.path(), "127.0.0.1:0", "FS-1504").await?;
    ensure!(message.contains("thesis.txt"), "{message}");
    ensure!(files(folder.path())? == ["thesis.txt"], "something was written there");

    std::fs::remove_file(folder.path().join("thesis.txt"))?;
    std::fs::write(folder.path().join("FORMAT"), "another program's\n")?;
    refused(folder.path(), "127.0.0.1:0", "FS-1504").await?;
    ensure!(std::fs::read_to_string(folder.path().join("FORMAT"))? == "another program's\n", "it was changed");
    Ok(())
}

/// What a newer version wrote is not touched, and that version can go on with it.
#[tokio::test]
async fn the_folder_of_a_newer_version_is_refused_and_left_alone() -> Result<()> {
    let mut site = Site::new().await?;
    site.node.kill()?;
    let format = site.node.data_dir().join("FORMAT");
    let ours = std::fs::read_to_string(&format)?;
    let newer = ours.replace("format 2", "format 3");
    ensure!(newer != ours, "the format has another form: {ours}");
    std::fs::write(&format, &newer)?;
    refused(&site.node.data_dir(), "127.0.0.1:0", "FS-1505").await?;
    ensure!(std::fs::read_to_string(&format)? == newer, "it was changed");
    std::fs::write(&format, &ours)?;
    site.client = site.node.start().await?;
    site.still_processes().await
}

#[tokio::test]
async fn a_folder_that_cannot_be_one_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder")?;
    refused(&file, "127.0.0.1:0", "FS-1501").await?;
    refused(&file.join("below"), "127.0.0.1:0", "FS-1501").await?;
    Ok(())
}

/// Damage is told from emptiness: nothing starts anew over what cannot be read.
#[tokio::test]
async fn a_damaged_folder_is_refused_and_not_replaced() -> Result<()> {
    let mut site = Site::new().await?;
    site.node.kill()?;
    let current = site.node.data_dir().join("db/CURRENT");
    let ours = std::fs::read(&current)?;
    std::fs::write(&current, b"MANIFEST-999999\n")?;
    let output = start(&site.node.data_dir(), "127.0.0.1:0").await?;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{}: {message}", output.status);
    ensure!(message.contains("error FS-1506") || message.contains("error FS-1501"), "{message}");
    std::fs::write(&current, ours)?;
    site.client = site.node.start().await?;
    site.still_processes().await
}

#[tokio::test]
async fn a_client_without_a_server_says_where_it_looked() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // Bound and closed again: nobody listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let cli = Cli::new(&format!("http://{address}"), folder.path())?;
    for args in [&["list"][..], &["produce", "-n", "x", "-c", "x"], &["consume", "-n", "x"], &["delete", "-n", "x"]] {
        let message = cli.refuses(args, "FS-1704")?;
        ensure!(message.contains(&address.to_string()), "{message}");
    }
    Ok(())
}

/// Wrong usage is told apart from failure.
#[test]
fn wrong_usage_ends_with_two() -> Result<()> {
    for args in
        [&["client", "create"][..], &["no-such-verb"], &["standalone", "--workers", "0"], &["client", "produce"]]
    {
        let output = Command::new(binary::server()?).args(args).output()?;
        ensure!(output.status.code() == Some(2) && !output.stderr.is_empty(), "{args:?}: {output:?}");
    }
    let (folder, nowhere) = (tempfile::tempdir()?, "pulsar://127.0.0.1:1");
    let output = Command::new(binary::server()?)
        .args(["server", "--pulsar-url", nowhere, "--listen", "127.0.0.1:0", "--grpc-listen", "none", "--data-dir"])
        .arg(folder.path())
        .output()?;
    cli::complaint(output, "FS-1704").map(drop)
}

/// A server that must not come up; answers what it complains of.
async fn refused(data_dir: &Path, listen: &str, code: &str) -> Result<String> {
    let output = start(data_dir, listen).await?;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{}: {message}", output.status);
    ensure!(message.contains(&format!("error {code}: ")) && message.contains("\nadvice: "), "not {code}: {message}");
    Ok(message)
}

async fn start(data_dir: &Path, listen: &str) -> Result<Output> {
    let mut command = Command::new(binary::server()?);
    command
        .args(["standalone", "--listen", listen, "--grpc-listen", "127.0.0.1:0", "--data-dir"])
        .arg(data_dir)
        .env_remove("RUST_LOG");
    let running = tokio::task::spawn_blocking(move || command.output());
    Ok(within("a server that cannot start to end", running).await???)
}

fn files(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}
