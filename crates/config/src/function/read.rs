// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! From the values of a function's file to its types. What could not be read gets its default; it was already reported.

use std::collections::BTreeMap;

use fnstream_core::Error;
use fnstream_core::spec::{
    Beginning, ErrorAction, ErrorPolicy, FileGrant, InputSelector, Limits, Watermark, WatermarkStrategy,
};
use fnstream_core::topic::Topic;

use super::places::Places;
use super::{FunctionConfig, FunctionKind, topics};
use crate::hint::quoted;
use crate::problem::{Place, Problem};
use crate::read::Reader;
use crate::value::{At, Block, Value};

/// The function, as far as its file could be read.
pub(super) fn function(block: &Block, reader: &mut Reader) -> FunctionConfig {
    let selector = block.text("input-selector").unwrap_or_default();
    FunctionConfig {
        name: block.text("name").unwrap_or_default().to_owned(),
        archive: block.text("archive").map(str::to_owned),
        kind: if block.text("type") == Some("python") { FunctionKind::Python } else { FunctionKind::Processor },
        inputs: block.list("input-groups").iter().map(|group| topics::inputs(&group.value, reader)).collect(),
        selector: InputSelector::ALL.into_iter().find(|known| known.name() == selector).unwrap_or_default(),
        from: beginning(block, reader),
        outputs: topics::outputs(block.list("outputs"), reader),
        init_config: texts(block, "init_config"),
        replicas: block.fitting("replicas").unwrap_or(1),
        no_join: block.is("no-join"),
        limits: block.block("limits").map_or_else(Limits::default, limits),
        on_error: on_error(block, reader),
        env: texts(block, "env"),
        files: grants(block).map(grant).collect(),
        places: Places::of(block),
    }
}

fn beginning(block: &Block, reader: &mut Reader) -> Beginning {
    let text = block.text("from").unwrap_or("earliest");
    let refused = |why: String| reader.problems.push(Problem::error(block.place_of("from"), format!("'from': {why}")));
    text.parse::<Beginning>().map_err(refused).unwrap_or_default()
}

pub(super) fn watermark(input: &Block, reader: &mut Reader) -> Watermark {
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
    let idle_timeout = block.and_then(|block| block.duration("idle-timeout"));
    if let (Some(block), None) = (block.filter(|block| block.get("idle-advance").is_some()), idle_timeout) {
        let problem = Problem::error(block.place_of("idle-advance"), "'idle-advance' is given, but no 'idle-timeout'");
        reader.problems.push(problem.hint("it says after which time without an event an input is idle"));
    }
    Watermark {
        strategy,
        idle_timeout,
        // Without the time it has no meaning, which was just reported.
        idle_advance: block.filter(|_| idle_timeout.is_some()).and_then(|block| block.duration("idle-advance")),
        // Where nothing uses it, that was just reported.
        max_ahead: block.filter(|_| strategy != WatermarkStrategy::None).and_then(|block| block.duration("max-ahead")),
    }
}

fn bounded_without_delay(place: Place, is_block: bool, reader: &mut Reader) {
    let here = |problem: &Problem| problem.message.contains("watermark.delay");
    // One that could not be read was already reported.
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
        _ => ErrorAction::DeadLetter { topic: topic.and_then(|text| dead_letter_topic(text, block, reader)) },
    };
    let Some(block) = block else { return ErrorPolicy { action, ..default } };
    ErrorPolicy {
        action,
        retries: block.fitting("retries").unwrap_or(default.retries),
        backoff: block.duration("backoff").unwrap_or(default.backoff),
        max_backoff: block.duration("max-backoff").unwrap_or(default.max_backoff),
    }
}

fn dead_letter_topic(text: &str, block: Option<&Block>, reader: &mut Reader) -> Option<Topic> {
    let place = block.map(|block| block.place_of("dead-letter-topic"))?;
    text.parse().map_err(|e: Error| reader.problems.push(Problem::error(place, e.message))).ok()
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

pub(super) fn blocks(list: &[At<Value>]) -> impl Iterator<Item = &Block> {
    list.iter().filter_map(|at| match &at.value {
        Value::Block(block) => Some(block),
        _ => None,
    })
}
