// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Patterns of topics: a regular expression for the last part of their names, within one namespace.
//!
//! | written | stands for |
//! | --- | --- |
//! | `orders-.*` | the topics of `public/default`, or of the namespace that the options name, whose names begin so |
//! | `shop/eu/orders-.*` | the same of `shop/eu` |
//! | `persistent://shop/eu/orders-.*` | the same |
//!
//! The whole name has to match. A topic with partitions is one topic. What Pulsar or the server keeps for itself never matches.

use fnstream_core::spec::check_name;
use fnstream_core::{Error, ErrorCode, Result};
use regex::{Regex, RegexBuilder};

use crate::names;
use crate::options::Options;

/// How much memory an expression may take.
const MOST_BYTES: usize = 1 << 20;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    /// Tenant and namespace.
    pub namespace: String,
    local: Regex,
    /// Whether the namespace is the one that the server keeps for itself.
    is_internal: bool,
}

impl Pattern {
    /// Reads a pattern.
    pub(crate) fn new(text: &str, options: &Options) -> Result<Pattern> {
        let invalid = |why: &str| {
            let message = format!("'{}' is no pattern of topics: {why}", text.escape_debug());
            Error::new(ErrorCode::InvalidSpec, message)
        };
        let rest = match text.split_once("://") {
            Some(("persistent", rest)) => rest,
            Some(_) => return Err(invalid("it begins with 'persistent://', or has no such beginning")),
            None => text,
        };
        // The expression may hold slashes of its own.
        let parts: Vec<_> = rest.splitn(3, '/').collect();
        let (namespace, local) = match parts[..] {
            [local] if rest == text => (options.namespace.clone(), local),
            [tenant, space, local] => {
                for part in [tenant, space] {
                    let plain = check_name("tenant or namespace", part);
                    plain.map_err(|e| invalid(&format!("it is for one namespace: {}", e.message)))?;
                }
                (format!("{tenant}/{space}"), local)
            }
            _ => return Err(invalid("it has the form expression, or tenant/namespace/expression")),
        };
        if local.is_empty() {
            return Err(invalid("its expression is empty"));
        }
        // By itself first: a group that is closed too often must not end the one that is put around it.
        let alone = RegexBuilder::new(local).size_limit(MOST_BYTES).build();
        let whole = alone.and_then(|_| RegexBuilder::new(&format!("^(?:{local})$")).size_limit(MOST_BYTES).build());
        let local = whole.map_err(|e| invalid(&reason(&e)))?;
        let is_internal = namespace == options.internal;
        Ok(Pattern { namespace, local, is_internal })
    }

    /// Whether a topic matches, by its name in full.
    pub(crate) fn matches(&self, full: &str) -> bool {
        names::parts(full).is_some_and(|(namespace, local)| {
            namespace == self.namespace && !self.is_internal && !local.starts_with("__") && self.local.is_match(local)
        })
    }
}

/// Why an expression cannot be read, on one line.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fnstream_core::topic::Cluster;

    use super::*;
    use crate::options::Properties;

    fn read(text: &str) -> Result<Pattern> {
        let options = Options {
            cluster: Cluster::own(),
            properties: Properties::new("pulsar://h:6650", &BTreeMap::new()).unwrap(),
            server: "server".into(),
            process: String::new(),
            is_shared: false,
            incarnation: String::new(),
            namespace: "public/default".into(),
            internal: "public/own".into(),
        };
        Pattern::new(text, &options)
    }

    #[test]
    fn the_whole_name_matches_within_one_namespace() {
        for (pattern, topic, wanted) in [
            ("orders-.*", "persistent://public/default/orders-eu", true),
            ("orders-.*", "persistent://public/default/my-orders-eu", false),
            ("orders-.*", "persistent://shop/eu/orders-eu", false),
            ("shop/eu/orders-.*", "persistent://shop/eu/orders-1", true),
            ("persistent://shop/eu/a|b", "persistent://shop/eu/b", true),
            ("shop/eu/a|b", "persistent://shop/eu/bc", false),
            ("shop/eu/[^/]+", "persistent://shop/eu/x", true),
            ("shop/eu/(?i)ORDERS", "persistent://shop/eu/orders", true),
            (".*", "persistent://public/default/__change_events", false),
            ("public/own/.*", "persistent://public/own/server.log", false),
        ] {
            assert_eq!(read(pattern).unwrap().matches(topic), wanted, "{pattern} {topic}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        for (pattern, why) in [
            ("orders-(", "unclosed group"),
            ("a)(?:b", "unopened group"),
            ("(?=a)b", "look-around"),
            ("shop/.*/orders", "it is for one namespace: tenant or namespace name '.*' holds '*'"),
            ("shop/orders", "it has the form expression, or tenant/namespace/expression"),
            ("shop/eu/", "its expression is empty"),
            ("non-persistent://a/b/c", "it begins with 'persistent://'"),
            ("(a{1000}){1000}", "size limit"),
        ] {
            let error = read(pattern).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidSpec);
            assert!(error.message.contains(why) && !error.message.contains('\n'), "{pattern}: {error}");
        }
    }
}
