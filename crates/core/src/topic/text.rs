// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The text form: `NAME[@CLUSTER][?key=value&key=value]`.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::name::check_option;
use super::{Cluster, Topic, TopicRef};
use crate::error::{Error, ErrorCode, Result};

/// Reads a reference. The name may be one that no topic has: a description reports this together with its other problems.
pub(super) fn parse(text: &str) -> Result<TopicRef> {
    let (place, options) = match text.split_once('?') {
        Some((place, options)) => (place, Some(options)),
        None => (text, None),
    };
    let (name, cluster) = match place.split_once('@') {
        Some((_, "")) => return Err(malformed(text, format_args!("names no cluster after '@'"))),
        Some((name, cluster)) => (name, cluster),
        None => (place, ""),
    };
    if name.is_empty() && !text.is_empty() {
        return Err(malformed(text, format_args!("names no topic before '@' or '?'")));
    }
    let name = decode(text, name)?.into();
    let cluster: Cluster = decode(text, cluster)?.parse().map_err(|e: Error| e.context(quoted(text)))?;
    let options = options.map_or_else(|| Ok(BTreeMap::new()), |options| parse_options(text, options))?;
    Ok(TopicRef { topic: Topic { cluster, name }, options })
}

fn parse_options(text: &str, list: &str) -> Result<BTreeMap<String, String>> {
    let mut options = BTreeMap::new();
    for (number, option) in (1..).zip(list.split('&')) {
        let Some((name, value)) = option.split_once('=') else {
            // It may be the end of a secret that holds an ampersand.
            let why = "is not written as name=value; '%26' stands for '&' in a value";
            return Err(malformed(text, format_args!("has an option, number {number}, that {why}")));
        };
        let (name, value) = (decode(text, name)?, decode(text, value)?);
        check_option(&name).map_err(|e| e.context(quoted(text)))?;
        if options.contains_key(&name) {
            return Err(malformed(text, format_args!("gives the option '{name}' twice")));
        }
        options.insert(name, value);
    }
    Ok(options)
}

pub(super) fn write_topic(topic: &Topic, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    encode(&topic.name, &['@', '?'], f)?;
    if !topic.cluster.is_own() {
        f.write_char('@')?;
        encode(topic.cluster.as_str(), &['?'], f)?;
    }
    Ok(())
}

pub(super) fn write_options<'a>(
    options: impl IntoIterator<Item = (&'a str, &'a str)>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    for (number, (name, value)) in options.into_iter().enumerate() {
        f.write_char(if number == 0 { '?' } else { '&' })?;
        encode(name, &['=', '&'], f)?;
        f.write_char('=')?;
        encode(value, &['&'], f)?;
    }
    Ok(())
}

/// What is wrong with a text, which is quoted before it.
pub(super) fn malformed(text: &str, why: fmt::Arguments<'_>) -> Error {
    Error::new(ErrorCode::InvalidName, format!("{} {why}", quoted(text)))
}

/// Options may hold secrets, which are for nobody's eyes.
fn quoted(text: &str) -> String {
    match text.split_once('?') {
        Some((place, _)) => format!("topic '{}?…'", place.escape_debug()),
        None => format!("topic '{}'", text.escape_debug()),
    }
}

/// Writes a part: what separates parts, and what does not show on a line, as `%` and hexadecimal digits.
fn encode(part: &str, separators: &[char], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for c in part.chars() {
        if c == '%' || separators.contains(&c) || c.is_control() || c.is_whitespace() {
            let mut bytes = [0; 4];
            c.encode_utf8(&mut bytes).bytes().try_for_each(|byte| write!(f, "%{byte:02X}"))?;
        } else {
            f.write_char(c)?;
        }
    }
    Ok(())
}

/// Reads a part; `text` is the whole, for the message.
fn decode(text: &str, part: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = rest.split_at_checked(2).and_then(|(digits, after)| {
            rest = after;
            Some(hex(digits[0])? << 4 | hex(digits[1])?)
        });
        let Some(byte) = digits else {
            return Err(malformed(
                text,
                format_args!("has a '%' that no two hexadecimal digits follow: '%25' stands for '%'"),
            ));
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).map_err(|_| malformed(text, format_args!("holds '%' with bytes that are not UTF-8")))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
