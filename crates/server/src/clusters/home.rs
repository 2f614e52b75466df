// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a description says of clusters.

use std::collections::BTreeMap;

use fnstream_core::spec::FunctionSpec;
use fnstream_core::topic::{Cluster, OWN_OPTIONS, PARTITION, SCHEMA, Topic, TopicRef};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_pulsar::{COMPRESSION, INITIAL_POSITION};

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

/// Refuses options of the topics of the server's own cluster that would have no effect, or that are wrong. `broker` is what else that
/// cluster is called.
pub(super) fn check_broker_options(spec: &FunctionSpec, broker: &Cluster) -> Result<()> {
    let is_pulsar = super::pulsar::SCHEMES.iter().any(|scheme| broker.as_str().starts_with(scheme));
    let of_outputs: &[&str] = if is_pulsar { &[PARTITION, SCHEMA, COMPRESSION] } else { &[PARTITION] };
    check_names("outputs", &spec.outputs, |name| of_outputs.contains(&name), of_outputs)?;
    if !is_pulsar {
        return Ok(());
    }
    let of_inputs = |name: &str| name == INITIAL_POSITION || OWN_OPTIONS.contains(&name);
    let told: Vec<_> = OWN_OPTIONS.into_iter().filter(|name| *name != SCHEMA).chain([INITIAL_POSITION]).collect();
    check_names("inputs", spec.inputs.iter().flatten(), of_inputs, &told)?;
    for named in spec.inputs.iter().flatten().chain(&spec.outputs) {
        let read = fnstream_pulsar::Properties::new(broker.as_str(), &named.options);
        read.map_err(|error| error.context(format_args!("'{named}'")))?;
    }
    Ok(())
}

/// Refuses topics of the server's own cluster with other options than those.
fn check_names<'a>(
    what: &str,
    named: impl IntoIterator<Item = &'a TopicRef>,
    takes: impl Fn(&str) -> bool,
    told: &[&str],
) -> Result<()> {
    let has_others = |named: &&TopicRef| named.topic.cluster.is_own() && !named.options.keys().all(|name| takes(name));
    let wrong: Vec<_> = named.into_iter().filter(has_others).map(|named| format!("'{named}'")).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let told: Vec<_> = told.iter().map(|name| format!("'{name}'")).collect();
    let message = format!(
        "{what} of the server's own cluster take no options but {}, since all of them share a connection, whose properties are settings of \
         the server, but these have others: {}",
        told.join(", "),
        wrong.join(", ")
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
