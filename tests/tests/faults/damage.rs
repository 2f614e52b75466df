// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A sorted file that was damaged: the server finds it by itself, and tells everybody whom it concerns.

use anyhow::{Context, Result, ensure};
use fnstream_core::ErrorCode;
use fnstream_tests::seed::Seed;
use fnstream_tests::within;

use super::site::{Site, get, metric, produce};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_nobody_reads_is_found_and_told() -> Result<()> {
    let mut site = Site::new("group", Seed::of("damage")?).await?;
    // Enough that a start does not read all of it.
    let client = site.node.finder().alive().await?.client;
    for number in 0..8 {
        ensure!(produce(&client, number).await?.is_none(), "refused");
    }
    // A start writes what the log has to sorted files.
    site.node.kill()?;
    site.node.start().await?;
    site.node.kill()?;
    let db = site.node.data_dir().join("db");
    let mut sorted: Vec<_> = std::fs::read_dir(&db)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    sorted.retain(|path| path.extension().is_some_and(|ending| ending == "sst"));
    let largest = sorted.into_iter().max_by_key(|path| std::fs::metadata(path).map_or(0, |file| file.len()));
    let largest = largest.context("there are no sorted files")?;
    let mut bytes = std::fs::read(&largest)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&largest, bytes)?;

    let client = site.node.start().await?;
    let name = largest.file_name().and_then(|name| name.to_str()).context("an odd name")?;
    let line = site.node.server()?.logged(&["the database is damaged", name]).await?;
    ensure!(line.contains("ERROR"), "{line}");
    let (mut finder, life) = (site.node.finder(), site.node.finder().alive().await?);
    let told = async {
        loop {
            let (status, body) = get(&client, "/readyz").await?;
            if !body.contains(ErrorCode::NotReady.as_str()) {
                return anyhow::Ok((status, body));
            }
            finder.pause(&life).await?;
        }
    };
    let (status, body) = within("the functions to be started", told).await??;
    ensure!(status == 500 && body.contains("FS-1506") && body.contains(name), "/readyz answers {status}: {body}");
    ensure!(metric(&client, "fnstream_store_damages").await? >= 1, "no damage was counted");
    ensure!(metric(&client, "fnstream_store_scrubbed_bytes_total").await? > 0, "nothing was read");
    let described = client.describe_function("first").await?;
    let error = described.error.context("the function says nothing")?;
    ensure!(error.code == "FS-1506", "the function says {error:?}");
    Ok(())
}
