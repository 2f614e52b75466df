// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Addresses of services and brokers, and names of topics.

use std::fmt;

use crate::error::{Error, Result};

/// `pulsar://host:port,host:port` or `pulsar+ssl://…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceUrl {
    pub(crate) tls: bool,
    pub(crate) hosts: Vec<Host>,
}

/// One host to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl ServiceUrl {
    pub(crate) fn parse(text: &str) -> Result<ServiceUrl> {
        let invalid = |what: &str| Error::InvalidUrl(format!("{what}: {text}"));
        let (tls, rest) = match (text.strip_prefix("pulsar://"), text.strip_prefix("pulsar+ssl://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(invalid("it begins with neither pulsar:// nor pulsar+ssl://")),
        };
        let default_port = if tls { 6651 } else { 6650 };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let hosts = rest.split(',').map(|host| Host::parse(host, default_port)).collect::<Option<Vec<_>>>();
        Ok(ServiceUrl { tls, hosts: hosts.ok_or_else(|| invalid("it has a host that is none"))? })
    }
}

impl Host {
    fn parse(text: &str, default_port: u16) -> Option<Host> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (name, port) = rest.split_once(']')?;
                (name, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None => default_port,
        };
        let plain = !name.is_empty() && !name.contains(['/', '@', '?', '#', ' ', '[', ']']);
        plain.then(|| Host { name: name.to_owned(), port })
    }
}

/// The full name of a topic: `orders` is `persistent://public/default/orders`, `a/b/orders` is
/// `persistent://a/b/orders`.
pub(crate) fn topic_name(text: &str) -> Result<String> {
    let invalid = || Error::InvalidTopicName(text.to_owned());
    let (domain, rest) = match text.split_once("://") {
        Some((domain @ ("persistent" | "non-persistent"), rest)) => (Some(domain), rest),
        Some(_) => return Err(invalid()),
        None => (None, text),
    };
    if rest.split('/').any(str::is_empty) {
        return Err(invalid());
    }
    match (domain, rest.split('/').count()) {
        (None, 1) => Ok(format!("persistent://public/default/{rest}")),
        // Four parts are a name of the first version: with a cluster.
        (domain, 3 | 4) => Ok(format!("{}://{rest}", domain.unwrap_or("persistent"))),
        _ => Err(invalid()),
    }
}

/// The name of a partition of a topic.
pub(crate) fn partition_name(topic: &str, partition: u32) -> String {
    format!("{topic}-partition-{partition}")
}

/// The partition that a name names; -1 if it names a topic without partitions, or one with partitions as a whole.
pub(crate) fn partition_of(topic: &str) -> i32 {
    topic.rsplit_once("-partition-").and_then(|(_, number)| number.parse::<u16>().ok()).map_or(-1, i32::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> (bool, Vec<String>) {
        let url = ServiceUrl::parse(text).unwrap();
        (url.tls, url.hosts.iter().map(Host::to_string).collect())
    }

    #[test]
    fn a_service_has_one_host_or_more() {
        assert_eq!(hosts("pulsar://h1:6650,h2"), (false, vec!["h1:6650".into(), "h2:6650".into()]));
        assert_eq!(hosts("pulsar+ssl://h/"), (true, vec!["h:6651".into()]));
        assert_eq!(hosts("pulsar://[::1]:7,[::2]"), (false, vec!["[::1]:7".into(), "[::2]:6650".into()]));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "h:6650",
            "http://h",
            "pulsar://",
            "pulsar://h:x",
            "pulsar://h:0",
            "pulsar://h,",
            "pulsar://h/x",
            "pulsar://[::1",
            "pulsar://u@h",
            "pulsar://h:70000",
        ] {
            assert!(matches!(ServiceUrl::parse(text), Err(Error::InvalidUrl(_))), "{text}");
        }
    }

    #[test]
    fn names_of_topics_are_completed() {
        for (text, full) in [
            ("t", "persistent://public/default/t"),
            ("a/b/t", "persistent://a/b/t"),
            ("non-persistent://a/b/t", "non-persistent://a/b/t"),
            ("persistent://a/c/b/t", "persistent://a/c/b/t"),
        ] {
            assert_eq!(topic_name(text).unwrap(), full);
        }
        for text in ["", "a/b", "http://a/b/c", "persistent://t", "a//t", "persistent://a/b/"] {
            assert!(topic_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_partition_is_told_by_its_name() {
        assert_eq!(partition_of(&partition_name("persistent://a/b/t", 3)), 3);
        assert_eq!(partition_of("persistent://a/b/t"), -1);
        assert_eq!(partition_of("persistent://a/b/t-partition-x"), -1);
    }
}
