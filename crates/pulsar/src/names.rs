// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Names of topics: as users write them, and in full as Pulsar has them.
//!
//! | written | in full |
//! | --- | --- |
//! | `orders` | `persistent://public/default/orders`, or in the namespace that the options name |
//! | `shop/eu/orders` | `persistent://shop/eu/orders` |
//! | `persistent://shop/eu/orders` | the same |

use fnstream_core::{Error, ErrorCode, Result};

const PERSISTENT: &str = "persistent://";
/// Before the number of a partition in the name of the topic that it is.
const PARTITION: &str = "-partition-";

/// The name in full of a topic; `namespace` is that of names that have none.
pub(crate) fn full(name: &str, namespace: &str) -> Result<String> {
    let invalid = |why: &str| {
        let message = format!("'{}' is no name of a topic of Pulsar: {why}", name.escape_debug());
        Error::new(ErrorCode::InvalidName, message)
    };
    let rest = match name.split_once("://") {
        Some(("persistent", rest)) => rest,
        Some(("non-persistent", _)) => return Err(invalid("what is not persistent cannot be read again")),
        Some(_) => return Err(invalid("it begins with 'persistent://', or has no such beginning")),
        None if !name.contains('/') => return checked(format!("{PERSISTENT}{namespace}/{name}"), name, &invalid),
        None => name,
    };
    let parts: Vec<_> = rest.split('/').collect();
    match parts[..] {
        [tenant, space, local] if !tenant.is_empty() && !space.is_empty() => {
            checked(format!("{PERSISTENT}{rest}"), local, &invalid)
        }
        _ => Err(invalid("it has the form topic, or tenant/namespace/topic")),
    }
}

fn checked(full: String, local: &str, invalid: &dyn Fn(&str) -> Error) -> Result<String> {
    if local.is_empty() {
        return Err(invalid("its last part is empty"));
    }
    if local.chars().any(char::is_control) {
        return Err(invalid("it has control characters"));
    }
    Ok(full)
}

/// The name of a partition, of a topic that has `count` of them; of one that is not partitioned (0) it is the topic.
pub(crate) fn partition(topic: &str, number: u32, count: u32) -> String {
    if count == 0 { topic.to_owned() } else { format!("{topic}{PARTITION}{number}") }
}

/// The topic whose partition this name is, and its number.
pub(crate) fn of_partition(name: &str) -> Option<(&str, u32)> {
    let (topic, number) = name.rsplit_once(PARTITION)?;
    Some((topic, number.parse().ok()?))
}

/// Tenant and namespace, and the rest of a name in full.
pub(crate) fn parts(full: &str) -> Option<(&str, &str)> {
    let rest = full.strip_prefix(PERSISTENT)?;
    let at = rest.match_indices('/').nth(1)?.0;
    Some((&rest[..at], &rest[at + 1..]))
}

/// As users write it.
pub(crate) fn short(full: &str, namespace: &str) -> String {
    match parts(full) {
        Some((of, local)) if of == namespace => local.to_owned(),
        Some((of, local)) => format!("{of}/{local}"),
        None => full.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_tenant_and_a_namespace() {
        for (name, wanted) in [
            ("orders", "persistent://public/default/orders"),
            ("shop/eu/orders", "persistent://shop/eu/orders"),
            ("persistent://shop/eu/orders", "persistent://shop/eu/orders"),
        ] {
            let full = full(name, "public/default").unwrap();
            assert_eq!(full, wanted);
            assert_eq!(super::full(&short(&full, "public/default"), "public/default").unwrap(), full);
        }
        for name in ["non-persistent://a/b/c", "http://a/b/c", "a/b", "a/b/c/d", "a/b/", "persistent://a/b", "//c", ""]
        {
            assert_eq!(full(name, "public/default").unwrap_err().code, ErrorCode::InvalidName, "{name}");
        }
    }

    #[test]
    fn a_partition_is_a_topic() {
        assert_eq!(partition("persistent://a/b/c", 3, 4), "persistent://a/b/c-partition-3");
        assert_eq!(partition("persistent://a/b/c", 0, 0), "persistent://a/b/c");
        assert_eq!(of_partition("persistent://a/b/c-partition-3"), Some(("persistent://a/b/c", 3)));
        assert_eq!(of_partition("persistent://a/b/c"), None);
    }
}
