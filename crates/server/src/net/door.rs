// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The thread at which connections arrive, and stay until the head of their first request is there.
//!
//! Whoever has asked nothing yet costs no more than a few bytes and a timer, and never the threads that answer requests: however
//! many connect, say nothing, or send half a head, those who are served do not wait behind them.

use std::io;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{FREE_HEAD, PREFACE, Watch};

/// The most headers of a head that is waited for. What has more is refused by who serves it.
const HEADERS: usize = 100;

/// Runs `arrivals` on a thread of its own. What is answered ends with it; when that is dropped, so is `arrivals`.
pub(super) fn open<F: Future<Output = ()>>(
    arrivals: impl FnOnce() -> F + Send + 'static,
) -> io::Result<impl Future<Output = ()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let dropped = CancellationToken::new();
    let (guard, (ended, end)) = (dropped.clone().drop_guard(), oneshot::channel::<()>());
    std::thread::Builder::new().name("door".into()).spawn(move || {
        let _ended = ended;
        runtime.block_on(async { dropped.run_until_cancelled(arrivals()).await });
    })?;
    Ok(async move {
        // Nothing is ever sent: it is dropped.
        let _ = end.await;
        drop(guard);
    })
}

/// What a connection has sent when it is worth serving: a whole head, or what will never be one. `None` if it ended before.
pub(super) async fn first_head(stream: &TcpStream, watch: &Watch) -> Option<Bytes> {
    let mut head = Vec::new();
    loop {
        stream.readable().await.ok()?;
        match read(stream, &mut head) {
            Ok(0) => return None,
            Ok(bytes) => {
                let came = &head[head.len() - bytes..];
                watch.received(came, Instant::now()).ok()?;
                if is_enough(&head, came) {
                    return Some(head.into());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}

/// Reads what is there, up to the size of a head that takes no memory of the budget.
fn read(stream: &TcpStream, head: &mut Vec<u8>) -> io::Result<usize> {
    let mut piece = [0; FREE_HEAD as usize];
    let bytes = stream.try_read(&mut piece[head.len()..])?;
    head.extend_from_slice(&piece[head.len()..][..bytes]);
    Ok(bytes)
}

/// Whether there is nothing more to wait for: the head is whole, is none, or is a large one. `came` is what has just come of it.
fn is_enough(head: &[u8], came: &[u8]) -> bool {
    if head.len() >= FREE_HEAD as usize {
        return true;
    }
    if PREFACE.starts_with(head) {
        return head.len() == PREFACE.len();
    }
    // Only the end of a line can end a head, and what is none shows at once.
    if head.len() > came.len() && !came.contains(&b'\n') {
        return false;
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    !matches!(httparse::Request::new(&mut headers).parse(head), Ok(httparse::Status::Partial))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// How many bytes of these are waited for, when they come in such pieces.
    fn waits_for(head: &[u8], piece: usize) -> Option<usize> {
        let ends = (1..=head.len()).filter(|end| end % piece == 0 || *end == head.len());
        let mut before = 0;
        ends.into_iter().find(|end| is_enough(&head[..*end], &head[std::mem::replace(&mut before, *end)..*end]))
    }

    #[test]
    fn a_head_is_waited_for_to_its_end_in_whatever_pieces_it_comes() {
        let head = b"PUT /api/v1/produce/t HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n";
        for piece in 1..=head.len() {
            assert_eq!(waits_for(head, piece), Some(head.len()));
        }
        assert_eq!(waits_for(&head[..head.len() - 1], 1), None);
        assert_eq!(waits_for(b"GET / HTTP/1.1\n\n", 1), Some(16));
        // With a part of its body.
        assert!(is_enough(b"PUT / HTTP/1.1\r\ncontent-length: 3\r\n\r\nab", b"ab\n"));
    }

    #[test]
    fn the_preface_of_http_2_is_a_head_and_a_method_that_begins_like_it_too() {
        for piece in 1..=PREFACE.len() {
            assert_eq!(waits_for(PREFACE, piece), Some(PREFACE.len()));
        }
        assert_eq!(waits_for(b"PRIDE / HTTP/1.1\r\n\r\n", 1), Some(20));
    }

    #[test]
    fn what_is_no_head_is_not_waited_for() {
        // The first bytes of TLS; a protocol of another kind; what has too many headers; and a large head.
        assert!(is_enough(b"\x16\x03\x01", b"\x16\x03\x01"));
        assert_eq!(waits_for(b"SSH-2.0-client\r\nGET / HTTP/1.1\r\n\r\n", 1), Some(16));
        let many = format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(HEADERS + 1));
        assert!(waits_for(many.as_bytes(), 7).is_some());
        let large = format!("GET / HTTP/1.1\r\na: {}", "b".repeat(FREE_HEAD as usize));
        assert_eq!(waits_for(large.as_bytes(), 1), Some(FREE_HEAD as usize));
    }
}
