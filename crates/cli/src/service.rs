// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The one address of a server, at which it speaks REST and gRPC.

use fnstream_api::Client;

use crate::failure::{Failure, Result};

/// The variable that names the server.
const NAMED: &str = "FUNCTION_STREAM_URL";

/// The server that the environment names. A variable that is empty names none.
pub(crate) fn named() -> Option<String> {
    std::env::var(NAMED).ok().filter(|url| !url.is_empty())
}

/// The server that is named on the command line, in the environment, or by nobody.
pub(crate) fn url(given: Option<String>) -> String {
    given.or_else(named).unwrap_or_else(|| fnstream_api::DEFAULT_URL.to_owned())
}

/// The same server for gRPC, whose calls have no path below a host.
pub(crate) fn grpc_url(url: &str) -> Result<String> {
    let base = Client::new(url)?.url().to_owned();
    match base.trim_start_matches("http://").contains('/') {
        true => Err(Failure::Usage(format!(
            "gRPC is served at a host and a port, and '{base}' has a path: give --host and --port"
        ))),
        false => Ok(base),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_rest_is_that_of_grpc_unless_it_has_a_path() {
        for (url, grpc) in [("localhost:7300", "http://localhost:7300"), ("http://[::1]:1/", "http://[::1]:1")] {
            assert_eq!(grpc_url(url).unwrap(), grpc);
        }
        assert!(matches!(grpc_url("http://proxy/below"), Err(Failure::Usage(_))));
        assert!(grpc_url("https://example").is_err());
    }
}
