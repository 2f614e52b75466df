// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A full disk: what cannot be written is refused, nothing that was acknowledged is lost, and the server goes on by itself
//! when there is space again.
//!
//! The disk is a small file system of its own where the test may mount one. Elsewhere it is the limit that the kernel puts
//! on the size of the server's files, which is no full disk to the store: then the codes are others.

mod small;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fnstream_api::{Client, ConsumeOptions, ProduceOptions, ReadFrom};
use fnstream_core::ErrorCode;
use fnstream_tests::cli::Cli;
use fnstream_tests::{PATIENCE, usage};

use super::site::{function, input, money, output};
use small::SmallDisk;

const NAME: &str = "enduring";
/// Bytes of an event beside its number.
const PADDING: usize = 32 << 10;
/// More events than fit.
const MOST: usize = 100_000;

/// What the producer knows: which events were acknowledged, in order.
#[derive(Default)]
struct Sent {
    next: usize,
    acknowledged: Vec<usize>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_full_disk_refuses_loses_nothing_and_heals() -> Result<()> {
    let mut disk = SmallDisk::new()?;
    let mut client = disk.start().await?;
    let archive = disk.folder().join("enduring.wasm");
    std::fs::write(&archive, money()?)?;
    client.create_function(NAME, &function(archive.to_str().context("an odd folder")?, NAME)).await?;
    let mut sent = Sent::default();
    for _ in 0..10 {
        ensure!(sent.send(&client).await?.is_none(), "refused with space left");
    }

    for round in 0..3 {
        disk.fill()?;
        let refused = until_refused(&client, &mut sent).await?;
        println!("round {round}: full after {} events, refused with {refused}", sent.acknowledged.len());
        let (codes, cli) = (disk.codes(), Cli::new(client.url(), disk.folder())?);
        ensure!(codes.iter().any(|code| refused == code.as_str()), "refused with {refused}");
        let lasting = codes.last().context("no code")?.as_str();
        cli.refuses(&["produce", "-n", &input(NAME), "-c", &event(usize::MAX)], lasting)?;
        let create = ["create", "-n", "late", "-a", "enduring.wasm", "-i", "late-input", "-o", "late-output"];
        cli.refuses(&create, lasting)?;
        ensure!(client.list_functions().await? == [NAME], "a refused create left its name");

        let begun = Instant::now();
        disk.free()?;
        until_accepted(&client, &mut sent).await?;
        println!("round {round}: goes on after {:?}", begun.elapsed());
        all_processed(&client, &sent).await?;
        let cli = Cli::new(client.url(), disk.folder())?;
        cli.prints(&create)?;
        cli.prints(&["delete", "-n", "late"])?;
    }

    client = disk.restart().await?;
    ensure!(sent.send(&client).await?.is_none(), "refused after a restart");
    all_processed(&client, &sent).await
}

impl Sent {
    /// Sends the next event; answers the code with which it was refused.
    async fn send(&mut self, client: &Client) -> Result<Option<String>> {
        let number = self.next;
        self.next += 1;
        match client.produce(&input(NAME), event(number), &ProduceOptions::default()).await {
            Ok(_) => {
                self.acknowledged.push(number);
                Ok(None)
            }
            Err(error) => {
                let status = ErrorCode::ALL.iter().find(|code| error.is(**code)).map(|code| code.http_status());
                ensure!(
                    matches!(error, fnstream_api::ClientError::Server { status: s, .. } if Some(s) == status),
                    "{error}"
                );
                Ok(Some(error.code().to_owned()))
            }
        }
    }
}

async fn until_refused(client: &Client, sent: &mut Sent) -> Result<String> {
    for _ in 0..MOST {
        if let Some(code) = sent.send(client).await? {
            return Ok(code);
        }
    }
    anyhow::bail!("the disk does not get full")
}

/// Tries again until an event is accepted, as a producer does.
async fn until_accepted(client: &Client, sent: &mut Sent) -> Result<()> {
    let begun = Instant::now();
    while let Some(code) = sent.send(client).await? {
        ensure!(begun.elapsed() < PATIENCE, "still refused with {code}, with space on the disk");
        // A producer's pause: nothing tells it when the server has noticed the space.
        usage::window(Duration::from_millis(100));
    }
    Ok(())
}

/// Waits for the last event's result, and checks that each acknowledged event has one, once and in order. One that was
/// refused may have been written all the same, since a producer only knows that it was not acknowledged.
async fn all_processed(client: &Client, sent: &Sent) -> Result<()> {
    let (mut at, mut seen) = ("0".to_owned(), Vec::new());
    let last = *sent.acknowledged.last().context("nothing was acknowledged")?;
    while seen.last() != Some(&last) {
        let from = Some(ReadFrom::Position(at));
        let options = ConsumeOptions { from, timeout: Some(PATIENCE), ..Default::default() };
        let event = client.consume(&output(NAME), &options).await?.context("acknowledged events are not processed")?;
        seen.push(number(&event.json).with_context(|| format!("an odd result: {:.60}", format!("{:?}", event.json)))?);
        at = event.next_position;
    }
    ensure!(seen.is_sorted_by(|a, b| a < b), "results out of order or twice: {seen:?}");
    let lost: Vec<_> = sent.acknowledged.iter().filter(|number| seen.binary_search(number).is_err()).collect();
    ensure!(lost.is_empty(), "lost: {lost:?}");
    Ok(())
}

/// An event that the function takes.
fn event(number: usize) -> String {
    // Does not compress to nothing: the digits follow no pattern that a window of the compressor sees.
    let mut state = number as u64 | 1;
    let padding: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + (state >> 59) as u8 % 26)
    })
    .take(PADDING)
    .collect();
    format!(r#"{{"name":"{number} {padding}","money":1}}"#)
}

/// The number in a result.
fn number(json: &[u8]) -> Option<usize> {
    let result: String = serde_json::from_slice(json).ok()?;
    let result: serde_json::Value = serde_json::from_str(&result).ok()?;
    (result["money"] == 2).then_some(())?;
    result["name"].as_str()?.split(' ').next()?.parse().ok()
}
