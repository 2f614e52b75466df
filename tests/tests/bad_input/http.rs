// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Requests byte by byte, so that what no well-behaved client would send is sent.

use anyhow::{Context, Result, ensure};
use fnstream_core::ErrorCode;
use fnstream_tests::within;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Sends a request with a body and its length, and reads the answer.
pub(crate) async fn send(url: &str, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Result<Answer> {
    let mut stream = connect(url).await?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for header in headers {
        head += &format!("{header}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).await?;
    answer(&mut stream).await.with_context(|| format!("{method} {path}"))
}

/// A connection to the server at `url`.
pub(crate) async fn connect(url: &str) -> Result<TcpStream> {
    let address = url.strip_prefix("http://").context("not a url of a test")?;
    Ok(TcpStream::connect(address).await?)
}

/// Reads an answer whose connection is closed after it.
pub(crate) async fn answer(stream: &mut TcpStream) -> Result<Answer> {
    let mut bytes = Vec::new();
    within("the answer's end", stream.read_to_end(&mut bytes)).await??;
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n").context("the answer has no end of headers")?;
    let head = std::str::from_utf8(&bytes[..at])?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("the answer has no status")?;
    Ok(Answer { status, body: bytes[at + 4..].to_vec() })
}

impl Answer {
    /// Checks that the request was refused with that code and its HTTP status; answers the message.
    pub(crate) fn refused(&self, code: ErrorCode) -> Result<String> {
        let shown = String::from_utf8_lossy(&self.body);
        let body: Value = serde_json::from_slice(&self.body).with_context(|| format!("not json: {shown}"))?;
        let field = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        ensure!(field("code") == code.as_str(), "not {code}: {} {shown}", self.status);
        ensure!(self.status == code.http_status(), "{code} with status {}: {shown}", self.status);
        // An advice may be of this very case.
        ensure!(!field("message").is_empty() && !field("advice").is_empty(), "a bare error: {shown}");
        Ok(field("message"))
    }
}
