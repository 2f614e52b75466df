// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a description says of clusters.

use std::collections::BTreeMap;

use fnstream_core::spec::FunctionSpec;
use fnstream_core::topic::{Cluster, OWN_OPTIONS, PARTITION, SCHEMA, Topic, TopicRef};
use fnstream_core::{Error, ErrorCode, Result};

use super::Properties;

/// The cluster where a function commits: that of all of its outputs, its dead letters included.
pub(crate) fn home(spec: &FunctionSpec) -> Result<Cluster> {
    let outputs = spec.outputs.iter().map(|named| named.topic.clone()).chain(spec.dead_letter_topic());
    let mut outputs = outputs.collect::<Vec<Topic>>().into_iter();
    let Some(first) = outputs.next() else { return Ok(Cluster::own()) };
    match outputs.find(|topic| topic.cluster != first.cluster) {
        None => Ok(first.cluster),
        Some(other) => Err(Error::new(
            ErrorCode::SeveralHomes,
            format!("'{first}' and '{other}' are in two clusters, and no commit can reach both at once"),
        )),
    }
}

/// The properties with which a function reaches each cluster.
pub(super) fn properties(spec: &FunctionSpec) -> BTreeMap<Cluster, Properties> {
    let mut all: BTreeMap<Cluster, Properties> = BTreeMap::new();
    for named in spec.inputs.iter().flatten().chain(&spec.outputs) {
        let properties = named.options.iter().filter(|(name, _)| !OWN_OPTIONS.contains(&name.as_str()));
        all.entry(named.topic.cluster.clone())
            .or_default()
            .extend(properties.map(|(name, value)| (name.clone(), value.clone())));
    }
    all
}

/// Refuses options of the server's own topics that would have no effect, where these are a broker's.
pub(super) fn check_broker_options(spec: &FunctionSpec) -> Result<()> {
    let without_effect = |named: &&TopicRef| {
        named.topic.cluster.is_own() && named.options.keys().any(|name| !matches!(name.as_str(), PARTITION | SCHEMA))
    };
    let named: Vec<_> = spec.outputs.iter().filter(without_effect).map(|named| format!("'{named}'")).collect();
    if named.is_empty() {
        return Ok(());
    }
    let message = format!(
        "outputs of the server's own cluster take the option 'partition' alone, since all of them share a connection, whose properties are \
         settings of the server, but these have others: {}",
        named.join(", ")
    );
    Err(Error::new(ErrorCode::InvalidSpec, message))
}

/// Refuses options that would have no effect.
pub(super) fn check_options(spec: &FunctionSpec) -> Result<()> {
    let optional = |named: &&TopicRef| named.topic.cluster.is_own() && !named.options.is_empty();
    let with_options: Vec<_> = spec.inputs.iter().flatten().chain(&spec.outputs).filter(optional).collect();
    if with_options.is_empty() {
        return Ok(());
    }
    let named: Vec<_> = with_options.iter().map(|named| format!("'{named}'")).collect();
    let message = format!("topics of the embedded log take no options, but these have some: {}", named.join(", "));
    Err(Error::new(ErrorCode::InvalidSpec, message))
}
