// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Inputs and outputs: from a text or a block for one kind of broker to a topic with its options.

use std::collections::BTreeMap;

use fnstream_core::Error;
use fnstream_core::topic::{
    Cluster, GROUP_ID, ON_LOST_POSITION, OutputSchema, PARTITION, SCHEMA, TOPICS_PATTERN, Topic, TopicRef,
};

use super::read::{blocks, watermark};
use super::{Connector, Input, Output};
use crate::hint::quoted;
use crate::problem::{Place, Problem};
use crate::read::Reader;
use crate::value::{At, Block, Value};

/// The inputs of a group, in either form.
pub(super) fn inputs(group: &Value, reader: &mut Reader) -> Vec<Input> {
    let list = match group {
        Value::List(list) => list,
        Value::Block(block) => block.list("inputs"),
        _ => &[],
    };
    let read = |input: &Block| {
        let (from, connector) = topic(input, false, reader);
        let key = if input.get(TOPICS_PATTERN).is_some() { TOPICS_PATTERN } else { "topic" };
        Input { from, connector, watermark: watermark(input, reader), place: input.place_of(key) }
    };
    blocks(list).map(read).collect()
}

pub(super) fn outputs(list: &[At<Value>], reader: &mut Reader) -> Vec<Output> {
    let read = |output: &Block| {
        let (to, connector) = topic(output, true, reader);
        Output { to, connector, place: output.place_of("topic") }
    };
    blocks(list).map(read).collect()
}

/// A topic; without a name if that could not be read.
fn topic(block: &Block, is_output: bool, reader: &mut Reader) -> (TopicRef, Connector) {
    let (topic, pattern) = (block.text("topic"), block.text(TOPICS_PATTERN));
    let name = pattern.or(topic).unwrap_or_default();
    match (topic, pattern) {
        (Some(_), Some(_)) => {
            let message = format!("'topic' and '{TOPICS_PATTERN}' are both given");
            reader.problems.push(Problem::error(block.place_of(TOPICS_PATTERN), message));
        }
        // One that could not be read was already reported.
        (None, None) if block.word == Some("pulsar") && !is_output && !is_told(reader) => {
            let message = format!("neither 'topic' nor '{TOPICS_PATTERN}' is given");
            reader.problems.push(Problem::error(block.place, message));
        }
        _ => {}
    }
    let (connector, cluster) = match block.word {
        Some("kafka") => (Connector::Kafka, kafka(block, reader)),
        Some("pulsar") => (Connector::Pulsar, pulsar(block, reader)),
        _ => {
            let read = name.parse().unwrap_or_else(|e: Error| {
                reader.problems.push(Problem::error(block.place_of("topic"), e.message));
                TopicRef::from("")
            });
            return (read, Connector::Named);
        }
    };
    let read = cluster.map(|cluster| {
        let topic = Topic { cluster, name: name.into() };
        TopicRef { topic, options: options(block, is_output) }
    });
    (read.unwrap_or_else(|| TopicRef::from("")), connector)
}

/// Whether something is wrong with the name of a topic.
fn is_told(reader: &Reader) -> bool {
    reader.problems.iter().any(|problem| problem.message.contains("topic"))
}

/// Keys that are options of Pulsar's client.
const PULSAR: [&str; 7] = [
    "initial_position",
    "compression",
    "admin_url",
    "auth_token",
    "auth_file",
    "tls_ca_file",
    "tls_hostname_verification",
];

fn options(block: &Block, is_output: bool) -> BTreeMap<String, String> {
    let named = ["group_id", "subscription"].into_iter();
    let group = named.filter_map(|name| Some((GROUP_ID.to_owned(), block.text(name)?.to_owned())));
    let partition = block.fitting::<u32>("partition").map(|number| (PARTITION.to_owned(), number.to_string()));
    let pattern = block.get(TOPICS_PATTERN).map(|_| (TOPICS_PATTERN.to_owned(), "true".to_owned()));
    // Of Pulsar's outputs alone it says more than that events are bytes.
    let schema = block.text(SCHEMA).filter(|_| block.word == Some("pulsar") && is_output);
    let schema = schema.map(|word| if word == "bytes" { "none" } else { word });
    let schema = schema.filter(|word| *word != OutputSchema::default().name());
    let schema = schema.map(|word| (SCHEMA.to_owned(), word.to_owned()));
    let lost = block.text(ON_LOST_POSITION).map(|way| (ON_LOST_POSITION.to_owned(), way.to_owned()));
    let of_pulsar = PULSAR.iter().filter_map(|name| {
        let value = match &block.get(name)?.value {
            Value::Text(text) => text.clone(),
            Value::Word(word) => (*word).to_owned(),
            Value::Bool(is) => is.to_string(),
            _ => return None,
        };
        Some(((*name).to_owned(), value))
    });
    group
        .chain(partition)
        .chain(pattern)
        .chain(schema)
        .chain(lost)
        .chain(of_pulsar)
        .chain(block.passed.iter().cloned())
        .collect()
}

/// None when it could not be read.
fn kafka(block: &Block, reader: &mut Reader) -> Option<Cluster> {
    let text = block.text("bootstrap_servers")?;
    let place = block.place_of("bootstrap_servers");
    let before = reader.problems.len();
    let servers: Vec<_> = text.split(',').map(str::trim).collect();
    for server in &servers {
        let good = server.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !good {
            let message = format!("'bootstrap_servers' holds {}, which is not host:port", quoted(server));
            reader.problems.push(Problem::error(place, message));
        }
    }
    if reader.problems.len() > before {
        return None;
    }
    Cluster::at("kafka", servers).map_err(|e| wrong("bootstrap_servers", &e, place, reader)).ok()
}

/// None when the address could not be read.
fn pulsar(block: &Block, reader: &mut Reader) -> Option<Cluster> {
    let url = block.text("service_url").unwrap_or("pulsar://localhost:6650");
    let place = block.place_of("service_url");
    if !url.starts_with("pulsar://") && !url.starts_with("pulsar+ssl://") {
        let message = format!("'service_url' is {}, not the address of a Pulsar broker", quoted(url));
        let problem = Problem::error(place, message);
        reader.problems.push(problem.hint("it looks like pulsar://localhost:6650 or pulsar+ssl://host:6651"));
        return None;
    }
    url.parse().map_err(|e: Error| wrong("service_url", &e, place, reader)).ok()
}

fn wrong(key: &str, error: &Error, place: Place, reader: &mut Reader) {
    reader.problems.push(Problem::error(place, format!("'{key}': {}", error.message)));
}
