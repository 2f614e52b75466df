// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! From the values of a function's file to its types. What could not be read is the default here; it has been told.

use std::collections::BTreeMap;

use fnstream_core::spec::{ErrorAction, ErrorPolicy, FileGrant, InputSelector, Limits, Watermark, WatermarkStrategy};
use fnstream_core::topic::Topic;

use super::places::Places;
use super::{Connector, FunctionConfig, FunctionKind, Input, Kafka, Output, Pulsar};
use crate::hint::quoted;
use crate::problem::{Place, Problem};
use crate::read::Reader;
use crate::value::{At, Block, Value};

/// The function, as far as its file could be read.
pub(super) fn function(block: &Block, reader: &mut Reader) -> FunctionConfig {
    let selector = block.text("input-selector").unwrap_or_default();
    FunctionConfig {
        name: block.text("name").unwrap_or_default().to_owned(),
        kind: if block.text("type") == Some("python") { FunctionKind::Python } else { FunctionKind::Processor },
        inputs: block.list("input-groups").iter().map(|group| inputs(&group.value, reader)).collect(),
        selector: InputSelector::ALL.into_iter().find(|known| known.name() == selector).unwrap_or_default(),
        outputs: blocks(block.list("outputs"))
            .map(|output| Output { to: connector(output, reader), place: output.place_of("topic") })
            .collect(),
        init_config: texts(block, "init_config"),
        replicas: block.fitting("replicas").unwrap_or(1),
        limits: block.block("limits").map_or_else(Limits::default, limits),
        on_error: on_error(block, reader),
        env: texts(block, "env"),
        files: grants(block).map(grant).collect(),
        places: Places::of(block),
    }
}

/// The inputs of a group, in either form.
fn inputs(group: &Value, reader: &mut Reader) -> Vec<Input> {
    let list = match group {
        Value::List(list) => list,
        Value::Block(block) => block.list("inputs"),
        _ => &[],
    };
    blocks(list)
        .map(|input| Input {
            from: connector(input, reader),
            watermark: watermark(input, reader),
            place: input.place_of("topic"),
        })
        .collect()
}

fn connector(block: &Block, reader: &mut Reader) -> Connector {
    let text = |name: &str| block.text(name).map(str::to_owned);
    let topic = text("topic").unwrap_or_default();
    match block.word {
        Some("kafka") => Connector::Kafka(Kafka {
            bootstrap_servers: servers(block, reader),
            topic,
            group_id: text("group_id"),
            partition: block.fitting("partition"),
            client: block.passed.iter().cloned().collect(),
        }),
        Some("pulsar") => {
            let service_url = text("service_url");
            if let Some(url) = service_url.as_ref().filter(|url| !is_pulsar(url)) {
                let message = format!("'service_url' is {}, not the address of a Pulsar broker", quoted(url));
                let problem = Problem::error(block.place_of("service_url"), message);
                reader.problems.push(problem.hint("it looks like pulsar://localhost:6650 or pulsar+ssl://host:6651"));
            }
            Connector::Pulsar(Pulsar { service_url, topic, subscription: text("subscription") })
        }
        _ => Connector::Log { topic },
    }
}

fn is_pulsar(url: &str) -> bool {
    let host = url.strip_prefix("pulsar://").or_else(|| url.strip_prefix("pulsar+ssl://"));
    host.is_some_and(|host| !host.is_empty() && !host.starts_with([':', '/']))
}

fn servers(block: &Block, reader: &mut Reader) -> Vec<String> {
    let Some(text) = block.text("bootstrap_servers") else { return Vec::new() };
    let servers: Vec<_> = text.split(',').map(str::trim).collect();
    for server in &servers {
        let good = server.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !good {
            let message = format!("'bootstrap_servers' holds {}, which is not host:port", quoted(server));
            reader.problems.push(Problem::error(block.place_of("bootstrap_servers"), message));
        }
    }
    servers.into_iter().map(str::to_owned).collect()
}

fn watermark(input: &Block, reader: &mut Reader) -> Watermark {
    let Some(At { place, value }) = input.get("watermark") else { return Watermark::default() };
    let (word, block) = match value {
        Value::Word(word) => (*word, None),
        Value::Block(block) => (block.text("strategy").unwrap_or_default(), Some(block)),
        _ => return Watermark::default(),
    };
    let delay = block.and_then(|block| block.duration("delay"));
    let given = block.is_some_and(|block| block.get("delay").is_some());
    if word == "bounded" && delay.is_none() {
        bounded_without_delay(*place, block.is_some(), reader);
    }
    if let (true, Some(block), "none" | "monotonic") = (given, block, word) {
        let message = format!("'delay' is given, but the strategy is '{word}'");
        reader.problems.push(Problem::error(block.place_of("delay"), message).hint("'bounded' takes a delay"));
    }
    let strategy = match (word, delay) {
        ("monotonic", _) => WatermarkStrategy::Monotonic,
        ("bounded", Some(delay)) => WatermarkStrategy::Bounded { delay },
        _ => WatermarkStrategy::None,
    };
    if let (Some(block), "none") = (block.filter(|block| block.get("max-ahead").is_some()), word) {
        let message = "'max-ahead' is given, but the strategy is 'none'";
        let problem = Problem::error(block.place_of("max-ahead"), message);
        reader.problems.push(problem.hint("it bounds the timestamps that 'monotonic' and 'bounded' use"));
    }
    Watermark {
        strategy,
        idle_timeout: block.and_then(|block| block.duration("idle-timeout")),
        max_ahead: block.and_then(|block| block.duration("max-ahead")),
    }
}

fn bounded_without_delay(place: Place, is_block: bool, reader: &mut Reader) {
    let here = |problem: &Problem| problem.message.contains("watermark.delay");
    // One that could not be read has been told.
    if !reader.problems.iter().any(here) {
        let problem = Problem::error(place, "a watermark that is 'bounded' needs a delay");
        let hint = if is_block { "add 'delay: 5s'" } else { "write {strategy: bounded, delay: 5s}" };
        reader.problems.push(problem.hint(hint));
    }
}

fn limits(block: &Block) -> Limits {
    let default = Limits::default();
    Limits {
        memory: block.fitting("memory").unwrap_or(default.memory),
        call_time: block.duration("call-time").unwrap_or(default.call_time),
        start_time: block.duration("start-time").unwrap_or(default.start_time),
        record_bytes: block.fitting("record").unwrap_or(default.record_bytes),
        records_per_input: block.number("records-per-input").unwrap_or(default.records_per_input),
        state_bytes: block.number("state"),
    }
}

fn on_error(function: &Block, reader: &mut Reader) -> ErrorPolicy {
    let default = ErrorPolicy::default();
    let block = function.block("on-error");
    let word = function.text("on-error").or_else(|| block.and_then(|block| block.text("action")));
    let topic = block.and_then(|block| block.text("dead-letter-topic"));
    if let (Some(block), Some(word @ ("skip" | "stop")), Some(topic)) = (block, word, topic) {
        let message = format!("'dead-letter-topic' is {}, but the action is '{word}'", quoted(topic));
        let problem = Problem::error(block.place_of("dead-letter-topic"), message);
        reader.problems.push(problem.hint("'dead-letter' takes a topic"));
    }
    let action = match word {
        Some("skip") => ErrorAction::Skip,
        Some("stop") => ErrorAction::Stop,
        _ => ErrorAction::DeadLetter { topic: topic.map(Topic::from) },
    };
    let Some(block) = block else { return ErrorPolicy { action, ..default } };
    ErrorPolicy {
        action,
        retries: block.fitting("retries").unwrap_or(default.retries),
        backoff: block.duration("backoff").unwrap_or(default.backoff),
        max_backoff: block.duration("max-backoff").unwrap_or(default.max_backoff),
    }
}

/// The granted folders; one that names none has been told.
pub(super) fn grants(function: &Block) -> impl Iterator<Item = &Block> {
    blocks(function.list("files")).filter(|grant| grant.get("host").is_some())
}

fn grant(block: &Block) -> FileGrant {
    let host = block.text("host").unwrap_or_default().to_owned();
    FileGrant { guest: block.text("guest").map_or_else(|| host.clone(), str::to_owned), host }
}

fn texts(block: &Block, name: &str) -> BTreeMap<String, String> {
    block.texts(name).iter().map(|(name, text)| (name.value.clone(), text.clone())).collect()
}

fn blocks(list: &[At<Value>]) -> impl Iterator<Item = &Block> {
    list.iter().filter_map(|at| match &at.value {
        Value::Block(block) => Some(block),
        _ => None,
    })
}
