// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a client is told for which there is no place.

use fnstream_api::ErrorBody;
use fnstream_core::{Error, ErrorCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

/// How long a refused client is heard out: one that is still sending when the connection closes sees no reason.
const LINGER: Duration = Duration::from_secs(1);

/// The most that is heard of it.
const HEARD: u64 = 64 << 10;

/// Answers as HTTP/1 does, whatever is asked, and closes.
pub(super) async fn refuse(mut stream: TcpStream, most: usize) {
    let error = Error::new(ErrorCode::ConnectionsFull, format!("all {most} connections of the server are taken"));
    let body = serde_json::to_string(&ErrorBody::from(&error)).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: 1\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let told = async {
        // Clients don't understand an answer to what they have not asked yet.
        stream.peek(&mut [0]).await?;
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(HEARD), &mut tokio::io::sink()).await
    };
    // It may have gone away, or not listen.
    let _ = timeout(LINGER, told).await;
}
