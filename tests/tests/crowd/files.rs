// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Few open files: the store has what it needs, and clients what is left.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fnstream_api::{Client, ConsumeOptions, ProduceOptions};
use fnstream_tests::node::Node;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{binary, usage, within};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The limit of open files that many systems have when nothing is said.
const FILES: usize = 1024;

/// Clients of each sort: more than there may be files.
const CLIENTS: usize = 1_050;

async fn connect(client: &Client, says: &str) -> Result<TcpStream> {
    let address = client.url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await?;
    // It may have been refused already.
    let _ = stream.write_all(says.as_bytes()).await;
    Ok(stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn more_clients_than_files_take_nothing_from_the_store() -> Result<()> {
    let options = ServerOptions::new(binary::server()?).after(format!("ulimit -n {FILES}"));
    let mut node = Node::new(options)?;
    let client = node.start().await?;
    let produce =
        async |topic: &str, bytes: usize| client.produce(topic, vec![b'y'; bytes], &ProduceOptions::default()).await;
    produce("t", 10).await?;
    let mut crowd = Vec::new();
    for i in 0..CLIENTS {
        let says = format!("GET /api/v1/consume/idle{}?group=g HTTP/1.1\r\nhost: localhost\r\n\r\n", i % 50);
        crowd.push(connect(&client, &says).await?);
        crowd.push(connect(&client, "").await?);
    }
    node.server()?.logged(&["WARN", "all connections are taken"]).await?;
    // Enough that the store has to open files.
    for _ in 0..40 {
        produce("bulk", 4 << 20).await?;
    }
    for path in ["/healthz", "/readyz"] {
        let answer = reqwest::get(format!("{}{path}", client.url())).await?;
        ensure!(answer.status() == 200, "{path} answers {}", answer.status());
    }
    let told = node.server()?.lines().iter().filter(|line| line.contains("all connections are taken")).count();
    ensure!(told == 1, "it was told {told} times");
    drop(crowd);
    produce("idle0", 10).await?;
    let options = ConsumeOptions { timeout: Some(fnstream_tests::PATIENCE), ..ConsumeOptions::default() };
    client.consume("idle0", &options).await?.context("it is gone")?;
    let (status, _) = node.terminate().await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_a_free_file_closes_new_connections_and_does_not_spin() -> Result<()> {
    let mut node = Node::new(ServerOptions::new(binary::server()?))?;
    let client = node.start().await?;
    client.produce("t", "x", &ProduceOptions::default()).await?;
    let pid = node.server()?.pid();
    let files = || -> Result<Vec<u64>> {
        let names = std::fs::read_dir(format!("/proc/{pid}/fd"))?;
        names.map(|name| Ok(name?.file_name().to_string_lossy().parse()?)).collect()
    };
    let limit = |most| {
        let pid = Pid::from_raw(pid as i32);
        let limits = Rlimit { current: Some(most), maximum: None };
        prlimit(
            pid,
            Resource::Nofile,
            Rlimit { maximum: rustix::process::getrlimit(Resource::Nofile).maximum, ..limits },
        )
    };
    let most = files()?.into_iter().max().context("it has no file open")? + 1;
    let before = limit(most)?;
    // What it has closed since its start leaves numbers free.
    let mut kept = Vec::new();
    for _ in files()?.len()..most as usize {
        kept.push(connect(&client, "").await?);
    }
    let taken = async {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        while files()?.len() < most as usize {
            looks.tick().await;
        }
        anyhow::Ok(())
    };
    within("all numbers to be taken", taken).await??;
    for _ in 0..20 {
        let mut stream = connect(&client, "").await?;
        // Closed, or cut off.
        let read = within("the connection to be closed", stream.read(&mut [0; 16])).await?;
        ensure!(matches!(read, Ok(0) | Err(_)), "it was served");
    }
    let begun = usage::cpu(pid)?;
    usage::window(Duration::from_secs(1));
    let used = usage::cpu(pid)? - begun;
    ensure!(used < Duration::from_millis(500), "it used {used:?} of a second");
    client.produce("t", "x", &ProduceOptions::default()).await.context("on the connection that there was before")?;
    limit(before.current.context("there was no limit")?)?;
    let answer = reqwest::get(format!("{}/healthz", client.url())).await?;
    ensure!(answer.status() == 200);
    Ok(())
}
