// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The names that topics and their options may have.

use crate::error::{Error, ErrorCode, Result};
use crate::spec::{MAX_NAME, check_name};

/// Checks a topic's name: like that of a function, or of Apache Pulsar's form, `tenant/namespace/topic` behind
/// `persistent://`, `non-persistent://` or nothing, where each part is like the name of a function. So no name has a part
/// that could lead out of a folder.
pub fn check_topic_name(what: &str, name: &str) -> Result<()> {
    let invalid = |why: String| Err(Error::new(ErrorCode::InvalidName, format!("{what} name {why}")));
    if !name.contains('/') {
        return check_name(what, name);
    }
    if name.len() > MAX_NAME {
        return invalid(format!("has {} bytes, more than {MAX_NAME}", name.len()));
    }
    let path = match name.split_once("://") {
        Some(("persistent" | "non-persistent", path)) => path,
        Some((domain, _)) => {
            let domain = domain.escape_debug();
            return invalid(format!(
                "begins with '{domain}://', which is neither 'persistent://' nor 'non-persistent://'"
            ));
        }
        None => name,
    };
    let parts: Vec<_> = path.split('/').collect();
    if parts.len() != 3 {
        let (name, count) = (name.escape_debug(), parts.len());
        return invalid(format!("'{name}' has {count} parts with '/' between them, not tenant/namespace/topic"));
    }
    parts.iter().try_for_each(|part| check_name(&format!("a part of {what} '{}': its", name.escape_debug()), part))
}

/// Checks the form of a pattern of names. What it means, the place of the topics knows.
pub(super) fn check_pattern(what: &str, pattern: &str) -> Result<()> {
    let invalid = |why: String| Err(Error::new(ErrorCode::InvalidName, format!("the pattern of {what} {why}")));
    match pattern.chars().find(|c| c.is_control()) {
        _ if pattern.is_empty() => invalid("is empty".to_owned()),
        _ if pattern.len() > MAX_NAME => invalid(format!("has {} bytes, more than {MAX_NAME}", pattern.len())),
        Some(bad) => invalid(format!("'{}' holds {bad:?}", pattern.escape_debug())),
        None => Ok(()),
    }
}

/// Checks the name of an option: what a client's property may be called.
pub(super) fn check_option(name: &str) -> Result<()> {
    let invalid = |why: String| Err(Error::new(ErrorCode::InvalidName, format!("the name of a topic's option {why}")));
    if name.is_empty() || name.len() > MAX_NAME {
        return invalid(format!("has {} bytes, not 1 to {MAX_NAME}", name.len()));
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        Some(bad) => invalid(format!("'{}' holds {bad:?}", name.escape_debug())),
        None => Ok(()),
    }
}
