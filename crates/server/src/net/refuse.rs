// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Answers that no handler gives: to a client for which there is no place, and to what is no request.
//!
//! HTTP/1 alone. What breaks HTTP/2 itself ends the stream or the connection, with a code of that protocol.

use axum::http::StatusCode;
use bytes::Bytes;
use fnstream_api::ErrorBody;
use fnstream_core::{Error, ErrorCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use super::head;

/// How long a refused client is heard out: one that is still sending when the connection closes sees no reason.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// The most that is heard of it.
const HEARD: u64 = 64 << 10;

/// Answers as HTTP/1 does, whatever is asked, and closes.
pub(super) async fn refuse(mut stream: TcpStream, error: &Error) {
    let told = async {
        // Clients don't understand an answer to what they have not asked yet.
        stream.peek(&mut [0]).await?;
        tell(&mut stream, error).await
    };
    // It may have gone away, or not listen.
    let _ = timeout(LINGER, told).await;
}

/// The same to one that has asked already.
pub(super) async fn answer(mut stream: TcpStream, error: &Error) {
    let _ = timeout(LINGER, tell(&mut stream, error)).await;
}

async fn tell(stream: &mut TcpStream, error: &Error) -> std::io::Result<u64> {
    stream.write_all(&in_bytes(error)).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(HEARD), &mut tokio::io::sink()).await
}

/// An answer that is the last of its connection.
fn in_bytes(error: &Error) -> Bytes {
    let body = serde_json::to_string(&ErrorBody::from(error)).unwrap_or_default();
    let status = StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let retry = error.code.retry_after().map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{retry}connection: close\r\n\r\n{body}"
    );
    answer.into()
}

/// What takes the place of an answer that hyper has written by itself, if these bytes are one.
///
/// hyper refuses what it cannot read as a request before anybody is asked, with a head alone. No answer of a handler looks like
/// that: its errors have a body.
pub(super) fn in_place_of(written: &[u8]) -> Option<Bytes> {
    let status = written.strip_prefix(b"HTTP/1.1 ").or_else(|| written.strip_prefix(b"HTTP/1.0 "))?.get(..3)?;
    let error = match status {
        b"400" => Error::new(ErrorCode::InvalidRequest, "what was sent is not a request of HTTP/1.1"),
        b"414" => Error::new(ErrorCode::TargetTooLong, "the path with its query has more than 65534 bytes"),
        b"431" => head::too_large(),
        _ => return None,
    };
    let own = std::str::from_utf8(written).ok().filter(|own| own.ends_with("\r\n\r\n"))?;
    // Of a head and what follows it, this is no line of the head alone.
    let is_bare =
        own.matches("\r\n\r\n").count() == 1 && own.lines().any(|line| line.eq_ignore_ascii_case("content-length: 0"));
    if !is_bare {
        return None;
    }
    Some(in_bytes(&error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OWN: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: Sun, 29 Nov 2026 20:00:00 GMT\r\n\r\n";

    #[test]
    fn an_error_without_a_body_is_not_of_a_handler() {
        let told = in_place_of(OWN.as_bytes()).unwrap();
        let (head, body) = std::str::from_utf8(&told).unwrap().split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n") && head.contains("\r\nconnection: close"), "{head}");
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
        let body: ErrorBody = serde_json::from_str(body).unwrap();
        assert_eq!(body.known_code(), Some(ErrorCode::InvalidRequest));
        for (status, code) in [("414 URI Too Long", "FS-1013"), ("431 Request Header Fields Too Large", "FS-1014")] {
            let told = in_place_of(OWN.replace("400 Bad Request", status).as_bytes()).unwrap();
            assert!(String::from_utf8_lossy(&told).contains(code), "{status}");
        }
        for other in [
            OWN.replace("400 Bad Request", "200 OK"),
            OWN.replace("content-length: 0", "content-length: 10"),
            format!("{OWN}{{}}"),
            format!("x{OWN}"),
            OWN[..OWN.len() - 2].to_owned(),
        ] {
            assert_eq!(in_place_of(other.as_bytes()), None, "{other}");
        }
    }
}
