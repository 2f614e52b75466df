// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Bodies of a gibibyte: refused while they come, and never held in memory.

use anyhow::{Context, Result, ensure};
use fnstream_core::ErrorCode;
use fnstream_tests::usage;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::http::{self, Answer};
use super::site::Site;

const GIBIBYTE: usize = 1 << 30;
const CHUNK: usize = 1 << 20;
/// What refusing may add to the server's memory: what it accepts, twice, and room for the connection.
const MEMORY: u64 = 64 << 20;

/// How a form begins whose archive never ends.
const FORM: &str = "--edge\r\ncontent-disposition: form-data; name=\"archive\"; filename=\"a.wasm\"\r\n\r\n";

/// How a body says how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Announced,
    Chunked,
}

#[tokio::test]
async fn a_body_of_a_gibibyte_is_refused_and_not_kept() -> Result<()> {
    let site = Site::new().await?;
    let pid = site.node.server()?.pid();
    let before = usage::memory(pid)?.resident;
    for (method, path, begin) in [
        ("PUT", "/api/v1/produce/huge", ""),
        ("POST", "/api/v1/function/huge", ""),
        ("POST", "/api/v1/artifacts", ""),
        ("POST", "/api/v1/function/huge", FORM),
    ] {
        for length in [Length::Announced, Length::Chunked] {
            let form = if begin.is_empty() { "" } else { ", form" };
            let what = format!("{method} {path}, {length:?}{form}");
            let answer = send(site.client.url(), method, path, begin, length).await.context(what.clone())?;
            answer.refused(ErrorCode::BodyTooLarge).context(what.clone())?;
            let after = usage::memory(pid)?.peak;
            println!("{what}: memory from {:.0} to at most {:.0} MiB", usage::mib(before), usage::mib(after));
            ensure!(after < before + MEMORY, "{what}: memory grew from {before} to {after}");
        }
    }
    site.is_free("huge").await?;
    let topics = site.client.list_topics().await?;
    ensure!(!topics.contains(&"huge".to_owned()), "a refused event made a topic");
    site.still_processes().await
}

/// The command line says the same of a large event and of a large archive.
#[tokio::test]
async fn the_command_line_is_refused_too() -> Result<()> {
    let site = Site::new().await?;
    let path = site.file("huge", b"")?;
    // A sparse file: it takes no disk.
    std::fs::File::options().write(true).open(&path)?.set_len(300 << 20)?;
    site.cli.refuses(&["create", "-n", "huge", "-a", &path, "-i", "i", "-o", "o"], "FS-1003")?;
    site.is_free("huge").await?;
    site.still_processes().await
}

/// Sends a body, with a beginning of its own, for as long as the server reads it.
async fn send(url: &str, method: &str, path: &str, begin: &str, length: Length) -> Result<Answer> {
    let mut stream = http::connect(url).await?;
    let size = match length {
        Length::Announced => format!("content-length: {}", begin.len() + GIBIBYTE),
        Length::Chunked => "transfer-encoding: chunked".to_owned(),
    };
    let kind = if begin.is_empty() { "application/octet-stream" } else { "multipart/form-data; boundary=edge" };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {kind}\r\n{size}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    // A server that has answered may stop reading: then its answer is there, and the rest needs not be sent.
    if let Err(error) = body(&mut stream, begin.as_bytes(), length).await {
        println!("the server stopped reading: {error}");
    }
    http::answer(&mut stream).await
}

async fn body(stream: &mut TcpStream, begin: &[u8], length: Length) -> std::io::Result<()> {
    let chunk = vec![b'x'; CHUNK];
    for bytes in std::iter::once(begin).chain(std::iter::repeat_n(&chunk[..], GIBIBYTE / CHUNK)) {
        match length {
            Length::Announced => stream.write_all(bytes).await?,
            // One of no bytes would end the body.
            Length::Chunked if bytes.is_empty() => {}
            Length::Chunked => {
                stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
                stream.write_all(bytes).await?;
                stream.write_all(b"\r\n").await?;
            }
        }
    }
    if length == Length::Chunked {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    Ok(())
}
