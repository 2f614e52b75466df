// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The size of a request's head over HTTP/1.
//!
//! hyper refuses a head that has not ended when [`MOST_HEAD`] bytes of it have been read. One that ended in the same read may have been
//! larger, so whether it is refused would depend on the pieces in which it came. Here it is measured once more, when it is whole: what
//! is within the bound is never refused, and what is beyond it always is.

use axum::http::{Request, Version};
use fnstream_core::{Error, ErrorCode, Result};

use super::connection::MOST_HEAD;

/// Refuses a request whose head is too large.
pub(super) fn check<B>(request: &Request<B>) -> Result<()> {
    // HTTP/2 has a bound of its own.
    if request.version() > Version::HTTP_11 || bytes(request) <= MOST_HEAD {
        return Ok(());
    }
    Err(too_large())
}

/// The error of one whose head is too large.
pub(super) fn too_large() -> Error {
    Error::new(ErrorCode::HeadTooLarge, "the request's head has more than 100 headers or 384 KiB")
}

/// The bytes of a head as it is mostly written: one space between a header's name and its value, and none at their ends.
fn bytes<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let origin = uri.scheme_str().map_or(0, |scheme| scheme.len() + "://".len());
    let target = origin + uri.authority().map_or(0, |authority| authority.as_str().len()) + path;
    let first = request.method().as_str().len() + target + "  HTTP/1.1\r\n".len();
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    first + headers.sum::<usize>() + "\r\n".len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_as_many_bytes_as_are_written() {
        for (head, uri) in [
            (
                "PUT /api/v1/produce/t?key=a HTTP/1.1\r\nhost: localhost\r\nx-a: 1\r\nx-a: 2\r\n\r\n",
                "/api/v1/produce/t?key=a",
            ),
            ("PUT http://h:1/t HTTP/1.1\r\nhost: localhost\r\nx-a: 1\r\nx-a: 2\r\n\r\n", "http://h:1/t"),
        ] {
            let request = Request::put(uri).header("host", "localhost").header("x-a", "1").header("x-a", "2");
            assert_eq!(bytes(&request.body(()).unwrap()), head.len(), "{uri}");
        }
    }
}
