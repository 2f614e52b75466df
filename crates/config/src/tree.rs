// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A YAML or JSON document as a tree in which every key and value has its place.
//!
//! The tree knows nothing of what the keys mean. Whatever bytes are given, it is made in time and memory that their size
//! bounds: a text is at most [`MOST_BYTES`] long, at most [`MOST_DEPTH`] deep, and its aliases make at most [`MOST_NODES`]
//! values of it.

mod build;
mod scalar;

use crate::problem::{Place, Problem};

pub(crate) use scalar::{Scalar, Shape};

/// The longest text.
pub(crate) const MOST_BYTES: usize = 1 << 20;
/// The most lists and blocks that may lie in each other.
pub(crate) const MOST_DEPTH: usize = 64;
/// The most values of a text, those included that aliases repeat.
pub(crate) const MOST_NODES: usize = 100_000;

/// A value with its place. An alias is where it stands, what it stands for is where that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub place: Place,
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the text; no key twice.
    Block(Vec<(Key, Node)>),
}

/// A key of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub place: Place,
    pub name: String,
}

impl Node {
    /// Names its shape, with the article.
    pub(crate) fn shape(&self) -> &'static str {
        match &self.content {
            Content::Scalar(scalar) => scalar.shape().name(),
            Content::List(_) => "a list",
            Content::Block(_) => "a block",
        }
    }

    /// Reports whether nothing stands there.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if scalar.shape() == Shape::Null)
    }
}

/// The tree of a text that holds one document; nothing when it holds nothing.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Node>, Vec<Problem>> {
    let refused = |place, message: String| Err(vec![Problem::error(place, message)]);
    if bytes.len() > MOST_BYTES {
        return refused(Place::START, format!("the text has {} bytes, more than {MOST_BYTES}", bytes.len()));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return refused(Place::START, "the text is UTF-16, not UTF-8".to_owned());
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => {
            let (good, bad) = bytes.split_at(e.valid_up_to());
            let byte = bad.first().copied().unwrap_or_default();
            return refused(end_of(&String::from_utf8_lossy(good)), format!("the byte 0x{byte:02x} is not UTF-8"));
        }
    };
    build::build(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The place behind a text.
fn end_of(text: &str) -> Place {
    let line = text.matches('\n').count() + 1;
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Place { line: small(line), column: small(column) }
}

/// A number of lines or columns: a text of a MiB has no more than fit.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
