// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics as requests and descriptions name them, and places in them, in a server whose only cluster is the embedded log.

use fnstream_core::broker::PollLimit;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::topic::{Topic, TopicRef};
use fnstream_core::topics::{Topics, read_on};
use fnstream_core::{Error, ErrorCode, Result};

/// How much is read at once to find a time.
const READ: PollLimit = PollLimit { records: 10_000, bytes: 1 << 20 };

/// The name of the topic that a request means by this text.
pub(super) fn named(text: &str) -> Result<String> {
    let topic: Topic = text.parse()?;
    topic.check("topic")?;
    topic.own_name().map(str::to_owned)
}

/// Topics in their text form, with commas between them.
pub(super) fn joined(topics: &[TopicRef]) -> String {
    topics.iter().map(TopicRef::to_string).collect::<Vec<_>>().join(", ")
}

/// The position of the oldest record of a partition; the end when there is none.
pub(super) fn earliest(topics: &dyn Topics, at: &TopicPartition) -> Result<Position> {
    let info = topics.describe(&at.topic)?;
    let of = info.partitions.iter().find(|of| of.partition == at.partition);
    let missing = || Error::new(ErrorCode::PartitionNotFound, format!("there is no {at}"));
    of.map(|of| of.earliest).ok_or_else(missing)
}

/// The first record from a position on whose timestamp is not before a time; the end when there is none. Timestamps are in no order,
/// so all are read until one fits.
pub(super) fn first_since(topics: &dyn Topics, at: &TopicPartition, from: Position, ms: i64) -> Result<Position> {
    let mut next = from;
    loop {
        let read = |from| Ok((from, topics.read(at, from, READ)?));
        let ((reached, batch), _) = read_on(next, || earliest(topics, at), read)?;
        let Some(batch) = batch else { return Ok(reached) };
        if let Some((position, _)) = batch.iter().find(|(_, record)| record.timestamp >= ms) {
            return Ok(position);
        }
        next = batch.end().unwrap_or(reached.next());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_a_topic_by_its_text() {
        assert_eq!(named("persistent://t/n/x").unwrap(), "persistent://t/n/x");
        for (text, code) in [
            ("in@prod", ErrorCode::ClusterUnknown),
            ("in?x=1", ErrorCode::InvalidName),
            ("../in", ErrorCode::InvalidName),
            ("t/../in", ErrorCode::InvalidName),
            ("t/n/%2e%2e", ErrorCode::InvalidName),
            ("", ErrorCode::InvalidName),
        ] {
            assert_eq!(named(text).unwrap_err().code, code, "{text}");
        }
    }
}
