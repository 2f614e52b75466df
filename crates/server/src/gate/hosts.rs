// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The names of this server.
//!
//! A page of `http://evil.example:7300` whose name is made to lead to this machine (DNS rebinding) is of the same origin as what
//! it asks: only the name tells it. So a name has to be known. An address cannot be made to lead elsewhere.

use std::net::IpAddr;

use fnstream_core::{Error, ErrorCode, Result};

/// Where Linux says what the machine is called.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

#[derive(Debug)]
pub(super) struct Hosts {
    any: bool,
    /// Other machines reach it, by whatever address the networks between have made of its own.
    beyond: bool,
    names: Vec<String>,
}

impl Hosts {
    pub(super) fn new(allowed: &[String], listen: &str, address: IpAddr) -> Result<Self> {
        let beyond = !address.is_loopback();
        let mut hosts = Hosts { any: false, beyond, names: Vec::new() };
        for text in allowed {
            match parse(text) {
                _ if text == "*" => hosts.any = true,
                Some((name, None)) => hosts.names.push(name),
                _ => {
                    let message = format!(
                        "service.allowed_hosts: '{}' is not the name of a host, without a port",
                        text.escape_debug()
                    );
                    return Err(Error::new(ErrorCode::InvalidConfig, message));
                }
            }
        }
        hosts.names.extend(parse(listen).map(|(name, _)| name));
        hosts.names.push(address.to_canonical().to_string());
        if beyond {
            let machine = std::fs::read_to_string(HOSTNAME).ok();
            hosts.names.extend(machine.and_then(|name| parse(name.trim())).map(|(name, _)| name));
        }
        Ok(hosts)
    }

    /// Whether a host, with or without a port, is this server.
    pub(super) fn allow(&self, host: &str) -> bool {
        let Some((name, _)) = parse(host) else { return false };
        let is_own = match name.parse::<IpAddr>() {
            Ok(address) => self.beyond || address.is_loopback(),
            Err(_) => name == "localhost" || name.ends_with(".localhost"),
        };
        self.any || is_own || self.names.contains(&name)
    }
}

/// The name in its one form, and the port: of an address of IPv6 without its brackets.
fn parse(host: &str) -> Option<(String, Option<u16>)> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (address, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        // An address of IPv6 may come without brackets where no port can follow.
        None if host.matches(':').count() > 1 => (host, None),
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let port = port.filter(|port| !port.is_empty()).map(str::parse).transpose().ok()?;
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let name = name.parse::<IpAddr>().map_or(name, |address| address.to_canonical().to_string());
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'));
    (is_name && !name.is_empty()).then_some((name, port))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hosts(allowed: &[&str], listen: &str, address: &str) -> Hosts {
        let allowed: Vec<_> = allowed.iter().map(|name| (*name).to_owned()).collect();
        Hosts::new(&allowed, listen, address.parse().unwrap()).unwrap()
    }

    #[test]
    fn on_this_machine_only_its_own_names_are_known() {
        let hosts = hosts(&["Console.Example."], "localhost:7300", "127.0.0.1");
        for own in [
            "localhost",
            "localhost:7300",
            "LOCALHOST:1",
            "localhost.",
            "app.localhost:7300",
            "127.0.0.1:7300",
            "127.9.9.9",
            "[::1]:7300",
            "[::1]",
            "[::ffff:127.0.0.1]:7300",
            "console.example:443",
            "console.example.",
        ] {
            assert!(hosts.allow(own), "{own}");
        }
        for foreign in [
            "evil.example",
            "evil.example:7300",
            "localhost.evil.example",
            "evillocalhost",
            "127.0.0.1.evil.example",
            "10.0.0.5:7300",
            "0.0.0.0:7300",
            "[fe80::1]:7300",
            "localhost:x",
            "localhost:7300:7300@evil.example",
            "[::1",
            "[::1]x",
            "a@localhost",
            "local host",
            "sub.console.example",
            "",
        ] {
            assert!(!hosts.allow(foreign), "{foreign}");
        }
    }

    #[test]
    fn beyond_this_machine_it_has_its_addresses_and_the_name_it_listens_at() {
        let hosts = hosts(&[], "streams.internal:7300", "10.0.0.5");
        for own in ["streams.internal:7300", "10.0.0.5:7300", "192.168.1.1", "localhost:7300", "[2001:db8::1]:7300"] {
            assert!(hosts.allow(own), "{own}");
        }
        assert!(!hosts.allow("evil.example:7300"));
        if let Ok(name) = std::fs::read_to_string(HOSTNAME) {
            assert!(hosts.allow(&format!("{}:7300", name.trim())), "{name}");
        }
    }

    #[test]
    fn any_name_may_be_allowed_and_no_port() {
        assert!(hosts(&["*"], ":7300", "0.0.0.0").allow("evil.example"));
        for bad in ["a:80", "http://a", "", "a b", "*.example"] {
            let error = Hosts::new(&[bad.to_owned()], "localhost:1", [127, 0, 0, 1].into()).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidConfig, "{bad}");
            assert!(error.message.contains(&format!("'{bad}'")), "{error}");
        }
    }
}
