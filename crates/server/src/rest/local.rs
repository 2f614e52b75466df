// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Callers on the server's own machine, who may name its files.
//!
//! A proxy on the same machine asks on behalf of everybody. Most say so in a header, and a caller that says so itself loses
//! nothing but a right. One that says nothing looks like a caller on this machine: for it there is `service.local_paths`.

use std::net::SocketAddr;

use axum::http::HeaderMap;

use crate::app::App;
use crate::gate;

/// Headers by which proxies tell for whom they ask, in lower case. All that begin with `x-forwarded` are, too.
const OF_PROXIES: [&str; 10] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-host",
    "x-envoy-external-address",
    "true-client-ip",
    "cf-connecting-ip",
    "client-ip",
];

/// Whether a request comes from a caller on this machine. A page in a browser is none, whoever looks at it.
pub(super) fn is_local(app: &App, client: SocketAddr, headers: &HeaderMap) -> bool {
    app.config.local_paths
        && client.ip().to_canonical().is_loopback()
        && !came_through_a_proxy(headers)
        && !gate::is_of_browser(headers)
}

fn came_through_a_proxy(headers: &HeaderMap) -> bool {
    let names = headers.keys().map(|name| name.as_str());
    names.into_iter().any(|name| OF_PROXIES.contains(&name) || name.starts_with("x-forwarded"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_known_by_what_it_adds() {
        let with = |name: &'static str| {
            came_through_a_proxy(&[(name.parse().unwrap(), "x".parse().unwrap())].into_iter().collect())
        };
        for proxy in OF_PROXIES.into_iter().chain(["x-forwarded-for", "x-forwarded-proto", "X-Forwarded-Server"]) {
            assert!(with(proxy), "{proxy}");
        }
        for other in ["accept", "user-agent", "x-request-id", "connection"] {
            assert!(!with(other), "{other}");
        }
    }
}
