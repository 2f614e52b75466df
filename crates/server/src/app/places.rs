// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics as requests and descriptions name them, and places in them, in a server whose only cluster is the embedded log.

use fnstream_core::broker::PollLimit;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::FunctionSpec;
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

/// Refuses a description that names a topic which is not of the embedded log, or options, of which the embedded log has none.
pub(super) fn check(spec: &FunctionSpec) -> Result<()> {
    let elsewhere: Vec<_> = spec.topics().filter_map(|topic| topic.own_name().err()).map(|e| e.message).collect();
    if !elsewhere.is_empty() {
        return Err(Error::new(ErrorCode::ClusterUnknown, elsewhere.join("; ")));
    }
    let optional = |named: &&TopicRef| !named.options.is_empty();
    let with_options: Vec<_> = spec.inputs.iter().flatten().chain(&spec.outputs).filter(optional).collect();
    if with_options.is_empty() {
        return Ok(());
    }
    let named: Vec<_> = with_options.iter().map(|named| format!("'{named}'")).collect();
    let message = format!("topics of the embedded log take no options, but these have some: {}", named.join(", "));
    Err(Error::new(ErrorCode::InvalidSpec, message))
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

    fn spec(input: &str, output: &str) -> FunctionSpec {
        let (inputs, outputs) = (vec![vec![input.parse().unwrap()]], vec![output.parse().unwrap()]);
        FunctionSpec { name: "f".into(), inputs, outputs, ..FunctionSpec::default() }
    }

    #[test]
    fn every_topic_of_another_cluster_is_named() {
        check(&spec("t/n/in", "persistent://t/n/out")).unwrap();
        let error = check(&spec("in@prod", "out@kafka://h:1")).unwrap_err();
        assert_eq!(error.code, ErrorCode::ClusterUnknown);
        for topic in ["'in@prod' is of the cluster 'prod'", "'out@kafka://h:1'", "'f.dlq@kafka://h:1'"] {
            assert!(error.message.contains(topic), "{topic}: {error}");
        }
    }

    #[test]
    fn options_that_would_have_no_effect_are_refused() {
        let error = check(&spec("in?group_id=g", "out?partition=1")).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidSpec);
        assert!(error.message.ends_with("have some: 'in?group_id=g', 'out?partition=1'"), "{error}");
    }

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
