// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Inputs that are patterns of topics: what they may be, and the topics that they stand for.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use fnstream_core::spec::FunctionSpec;
use fnstream_core::topic::{Cluster, SCHEMA, TOPICS_PATTERN, Topic, TopicRef};
use fnstream_core::topics::{TopicMatcher, Topics};
use fnstream_core::{Error, ErrorCode, Result};

use super::pulsar::SCHEMES;
use super::{Clusters, home};

/// The topics that the patterns of a function stand for, with the number of partitions of each.
pub(crate) type Found = BTreeMap<Topic, u32>;

impl Clusters {
    /// What tells which topics a pattern of a description stands for. Asks nobody.
    pub(crate) fn matcher(&self, spec: &FunctionSpec, pattern: &TopicRef) -> Result<TopicMatcher> {
        let topics: Arc<dyn Topics> = match pattern.topic.cluster.is_own() {
            true => self.own.topics.clone(),
            false => {
                let cluster = &pattern.topic.cluster;
                let properties = home::properties(spec).remove(cluster).unwrap_or_default();
                self.foreign.for_clients(cluster, &properties)?.topics
            }
        };
        topics.matcher(&pattern.topic)
    }

    /// The description with the topics that its patterns stand for now, in their place, and those topics. Blocks.
    pub(crate) fn expand(self: &Arc<Self>, spec: &FunctionSpec) -> Result<(FunctionSpec, Found)> {
        let (mut spec, mut found) = (spec.clone(), Found::new());
        if spec.patterns().next().is_none() {
            return Ok((spec, found));
        }
        let topics = self.topics_of(&spec);
        // A topic that is named as well is read once.
        let named = spec.inputs.iter().flatten().filter(|named| !named.is_pattern());
        let mut taken: HashSet<Topic> = named.map(|named| named.topic.clone()).collect();
        let mut inputs = Vec::new();
        for group in &spec.inputs {
            let mut of_group = Vec::new();
            for named in group {
                if !named.is_pattern() {
                    of_group.push(named.clone());
                    continue;
                }
                let watermark = spec.watermarks.remove(&named.topic);
                for (topic, partitions) in topics.matching(&named.topic)? {
                    if !taken.insert(topic.clone()) {
                        continue;
                    }
                    let mut options = named.options.clone();
                    // It is a name, and was found by a pattern.
                    options.insert(TOPICS_PATTERN.to_owned(), "false".to_owned());
                    spec.watermarks.extend(watermark.map(|watermark| (topic.clone(), watermark)));
                    found.insert(topic.clone(), partitions);
                    of_group.push(TopicRef { topic, options });
                }
            }
            inputs.push(of_group);
        }
        spec.inputs = inputs;
        Ok((spec, found))
    }

    /// Refuses patterns that cannot be read, and those that an output matches.
    pub(super) fn check_patterns(&self, spec: &FunctionSpec) -> Result<()> {
        for pattern in spec.patterns() {
            let matches = self.matcher(spec, pattern)?;
            let mut outputs = spec.outputs.iter().map(|output| output.topic.clone()).chain(spec.dead_letter_topic());
            if let Some(output) = outputs.find(|topic| matches(topic)) {
                let message = format!(
                    "'{output}' is an output, and matches the pattern '{}' of the inputs: the function would feed itself for ever",
                    pattern.topic
                );
                return Err(Error::new(ErrorCode::InvalidSpec, message));
            }
        }
        Ok(())
    }

    /// Refuses schemas of outputs that are not of Pulsar.
    pub(super) fn check_schemas(&self, spec: &FunctionSpec) -> Result<()> {
        let of_pulsar = |cluster: &Cluster| {
            let cluster = if cluster.is_own() { self.own.broker.as_ref() } else { Some(cluster) };
            cluster.is_some_and(|cluster| SCHEMES.iter().any(|scheme| cluster.as_str().starts_with(scheme)))
        };
        let given = |output: &&TopicRef| output.options.contains_key(SCHEMA);
        match spec.outputs.iter().filter(given).find(|output| !of_pulsar(&output.topic.cluster)) {
            None => Ok(()),
            Some(output) => {
                let message =
                    format!("output '{}' has the option '{SCHEMA}', which topics of Pulsar take", output.topic);
                Err(Error::new(ErrorCode::InvalidSpec, message))
            }
        }
    }
}

/// Whether a function reads a topic, by its name or by a pattern.
pub(crate) fn reads(clusters: &Clusters, spec: &FunctionSpec, topic: &Topic) -> bool {
    let matches = |pattern: &TopicRef| clusters.matcher(spec, pattern).is_ok_and(|matches| matches(topic));
    spec.inputs.iter().flatten().any(|named| match named.is_pattern() {
        true => named.topic.cluster == topic.cluster && matches(named),
        false => named.topic == *topic,
    })
}
