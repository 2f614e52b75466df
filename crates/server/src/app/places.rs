// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics in requests and answers, and places in them.

use fnstream_core::broker::PollLimit;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::topic::{Topic, TopicRef};
use fnstream_core::topics::{Topics, read_on};
use fnstream_core::{Error, ErrorCode, Result};

use crate::clusters::Clusters;

/// How much is read at once to find a time.
const READ: PollLimit = PollLimit { records: 10_000, bytes: 1 << 20 };

/// Refuses what is done with topics of the embedded log only. `what` says what it is, `instead` what serves for others.
pub(super) fn check_embedded(clusters: &Clusters, topic: &Topic, what: &str, instead: &str) -> Result<()> {
    if clusters.is_embedded(topic) {
        return Ok(());
    }
    let of = if topic.cluster.is_own() { "Apache Kafka" } else { "another cluster" };
    let message = format!("topic '{topic}' is of {of}, where {what}: {instead}");
    Err(Error::new(ErrorCode::OwnTopicsOnly, message))
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
