// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Clusters: places where topics live.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorCode, Result};
use crate::spec::check_name;

/// A place where topics live: the server's own cluster, one that the server's configuration names, or the one at a list of
/// addresses.
///
/// Addresses are kept in one order and each of them once, so that the same addresses are the same cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cluster(Arc<str>);

/// The schemes of address lists, with the port that an address without one has; Apache Kafka has no such port.
const SCHEMES: [(&str, Option<u16>); 3] = [("kafka", None), ("pulsar", Some(6650)), ("pulsar+ssl", Some(6651))];

impl Cluster {
    /// The server's own: in standalone the embedded log.
    pub fn own() -> Cluster {
        Cluster::default()
    }

    /// The cluster at these addresses, each `host:port`. The scheme is `kafka`, `pulsar` or `pulsar+ssl`.
    pub fn at<'a>(scheme: &str, addresses: impl IntoIterator<Item = &'a str>) -> Result<Cluster> {
        let Some((_, port)) = SCHEMES.iter().find(|(known, _)| *known == scheme) else {
            let known: Vec<_> = SCHEMES.iter().map(|(name, _)| format!("{name}://")).collect();
            return Err(invalid(format_args!("'{}://' is none of {}", scheme.escape_debug(), known.join(", "))));
        };
        let mut list = addresses.into_iter().map(|text| address(text, *port)).collect::<Result<Vec<_>>>()?;
        if list.is_empty() {
            return Err(invalid(format_args!("'{scheme}://' is followed by no address")));
        }
        list.sort();
        list.dedup();
        Ok(Cluster(format!("{scheme}://{}", list.join(",")).into()))
    }

    /// Whether it is the server's own.
    pub fn is_own(&self) -> bool {
        self.0.is_empty()
    }

    /// Its name, or its addresses behind their scheme; empty for the server's own.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Cluster {
    type Err = Error;

    fn from_str(text: &str) -> Result<Cluster> {
        match text.split_once("://") {
            Some((scheme, addresses)) => Cluster::at(scheme, addresses.split(',')),
            None if text.is_empty() => Ok(Cluster::own()),
            None => {
                check_name("cluster", text)?;
                Ok(Cluster(text.into()))
            }
        }
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One address in the form that is compared.
fn address(text: &str, default_port: Option<u16>) -> Result<String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(invalid(format_args!("an address is empty")));
    }
    let bad = |why: &str| Err(invalid(format_args!("address '{}' {why}", text.escape_debug())));
    // An IPv6 address is in brackets and has colons of its own.
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port = match port.map(str::parse::<u16>) {
        Some(Ok(port)) if port > 0 => port,
        Some(_) => return bad("has a port that is not 1 to 65535"),
        None => match default_port {
            Some(port) => port,
            None => return bad("has no port: write host:port"),
        },
    };
    let (inner, is_v6) = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => (inner, true),
        None => (host, false),
    };
    let allowed = |c: char| match is_v6 {
        true => c.is_ascii_hexdigit() || matches!(c, ':' | '.'),
        false => c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'),
    };
    if inner.is_empty() {
        return bad("has no host");
    }
    if let Some(c) = inner.chars().find(|c| !allowed(*c)) {
        return bad(&format!("has a host that holds {c:?}"));
    }
    Ok(format!("{}:{port}", host.to_ascii_lowercase()))
}

fn invalid(why: fmt::Arguments<'_>) -> Error {
    Error::new(ErrorCode::InvalidName, format!("the addresses of a cluster: {why}"))
}
