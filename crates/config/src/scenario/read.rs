// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! From the tree of a file to its scenario.

use std::collections::BTreeMap;

use super::data::{Data, Sample, Stored};
use super::{Scenario, Step, What};
use crate::hint;
use crate::problem::{Place, Problem};
use crate::tree::{Content, Key, Node, Shape};

type Problems = Vec<Problem>;

const KEYS: &[&str] = &["name", "config", "start", "init-fails", "steps"];
const STEPS: &[&str] = &["send", "emitted", "watermark", "time", "restart", "state"];
/// What may stand beside the word of a step.
const BESIDE: &[(&str, &[&str])] = &[
    ("send", &["to", "fails"]),
    ("emitted", &["from"]),
    ("watermark", &["of", "fails"]),
    ("time", &["fails"]),
    ("restart", &[]),
    ("state", &[]),
];
const RECORD: &[&str] = &["value", "json", "hex", "key", "headers", "time"];
const FORMS: &[&str] = &["text", "json", "hex", "int64", "uint64", "float64"];

pub(super) fn scenario(root: &Node, problems: &mut Problems) -> Scenario {
    let mut scenario = Scenario { name: None, config: BTreeMap::new(), start: 0, init_fails: None, steps: Vec::new() };
    for (key, node) in block(root, "the file", problems) {
        match key.name.as_str() {
            "name" => scenario.name = text(node, problems),
            "config" => {
                for (key, node) in block(node, "'config'", problems) {
                    scenario.config.extend(text(node, problems).map(|text| (key.name.clone(), text)));
                }
            }
            "start" => scenario.start = number(node, problems).unwrap_or_default(),
            "init-fails" => scenario.init_fails = text(node, problems).map(|text| (node.place, text)),
            "steps" => {
                scenario.steps =
                    list(node, "'steps'", problems).iter().filter_map(|node| step(node, problems)).collect()
            }
            _ => unknown(key, KEYS, problems),
        }
    }
    if scenario.steps.is_empty() && scenario.init_fails.is_none() && problems.is_empty() {
        problems.push(Problem::error(root.place, "the scenario has no steps, and nothing is expected"));
    }
    scenario
}

fn step(node: &Node, problems: &mut Problems) -> Option<Step> {
    let entries = block(node, "a step", problems);
    let words: Vec<_> = entries.iter().filter(|(key, _)| STEPS.contains(&key.name.as_str())).collect();
    let [(word, value)] = &words[..] else {
        let message = match &words[..] {
            [] => "the step says nothing".to_owned(),
            [.., (last, _)] => format!("'{}' is a step of its own: begin it with '-'", last.name),
        };
        problems.push(Problem::error(node.place, message).hint(format!("steps: {}", STEPS.join(", "))));
        return None;
    };
    let beside = BESIDE.iter().find(|(of, _)| *of == word.name).map_or(&[][..], |(_, beside)| *beside);
    for (key, _) in entries.iter().filter(|(key, _)| key.name != word.name) {
        if !beside.contains(&key.name.as_str()) {
            unknown(key, beside, problems);
        }
    }
    let get = |name: &str| entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node);
    let topic = |name: &str, problems: &mut Problems| get(name).and_then(|node| text(node, problems));
    let what = match word.name.as_str() {
        "send" => What::Send {
            to: topic("to", problems),
            records: samples(value, problems),
            fails: get("fails").map(|node| failures(node, samples_of(value), problems)).unwrap_or_default(),
        },
        "emitted" => What::Emitted { from: topic("from", problems), records: samples(value, problems) },
        "watermark" => What::Watermark {
            of: topic("of", problems),
            at: number(value, problems)?,
            fails: get("fails").and_then(|node| Some((node.place, text(node, problems)?))),
        },
        "time" => What::Time {
            by: duration(value, problems)?,
            fails: get("fails").and_then(|node| Some((node.place, text(node, problems)?))),
        },
        "restart" => {
            let is_true = matches!(&value.content, Content::Scalar(scalar) if scalar.shape() == Shape::Bool(true));
            if !is_true {
                problems.push(Problem::error(value.place, "'restart' is 'true' or not there"));
            }
            What::Restart
        }
        _ => What::State(stores(value, problems)),
    };
    Some(Step { place: word.place, what })
}

fn samples_of(node: &Node) -> usize {
    if let Content::List(list) = &node.content { list.len() } else { 0 }
}

fn samples(node: &Node, problems: &mut Problems) -> Vec<Sample> {
    list(node, "the records", problems).iter().map(|node| sample(node, problems)).collect()
}

fn sample(node: &Node, problems: &mut Problems) -> Sample {
    let mut sample = Sample { place: node.place, value: Data::Null, key: None, headers: None, time: None };
    let Content::Block(entries) = &node.content else {
        sample.value = data(node, problems);
        return sample;
    };
    let mut values = 0;
    for (key, node) in entries {
        match key.name.as_str() {
            "value" => (values, sample.value) = (values + 1, data(node, problems)),
            name @ ("json" | "hex") => (values, sample.value) = (values + 1, form(name, node, problems)),
            "key" => sample.key = Some(data(node, problems)),
            "time" => sample.time = number(node, problems),
            "headers" => {
                let headers = block(node, "'headers'", problems);
                sample.headers =
                    Some(headers.iter().map(|(key, node)| (key.name.clone(), data(node, problems))).collect());
            }
            _ => unknown(key, RECORD, problems),
        }
    }
    if values > 1 {
        problems.push(Problem::error(node.place, "a record has one of 'value', 'json' and 'hex'"));
    }
    sample
}

fn failures(node: &Node, records: usize, problems: &mut Problems) -> Vec<(Place, usize, String)> {
    let mut failures = Vec::new();
    for (key, node) in block(node, "'fails'", problems) {
        match key.name.parse::<usize>() {
            Ok(index) if index < records => failures.extend(text(node, problems).map(|text| (key.place, index, text))),
            _ => {
                let message =
                    format!("{} is the index of none of the records, which begin with 0", hint::quoted(&key.name));
                problems.push(Problem::error(key.place, message));
            }
        }
    }
    failures.sort_by_key(|(_, index, _)| *index);
    failures
}

fn stores(node: &Node, problems: &mut Problems) -> Vec<Stored> {
    let mut all = Vec::new();
    for (store, node) in block(node, "'state'", problems) {
        for (key, node) in block(node, "a store", problems) {
            let (store, value) = (store.name.clone(), data(node, problems));
            all.push(Stored { place: key.place, store, key: key.name.clone(), value });
        }
    }
    all
}

/// A text, a number or a boolean as it is written, nothing, or a block that says in which form it is.
fn data(node: &Node, problems: &mut Problems) -> Data {
    match &node.content {
        Content::Scalar(scalar) if scalar.shape() == Shape::Null => Data::Null,
        Content::Scalar(scalar) => Data::Bytes(scalar.text.clone().into_bytes()),
        Content::Block(entries) if entries.len() == 1 => form(&entries[0].0.name, &entries[0].1, problems),
        _ => wrong(node, "a text, or one of its forms", problems),
    }
}

fn form(name: &str, node: &Node, problems: &mut Problems) -> Data {
    match name {
        "text" => text(node, problems).map_or(Data::Null, |text| Data::Bytes(text.into_bytes())),
        "json" => Data::Json(json(node)),
        "hex" => match text(node, problems).map(|text| hex(&text)) {
            Some(Some(bytes)) => Data::Bytes(bytes),
            Some(None) => wrong(node, "an even number of hexadecimal digits", problems),
            None => Data::Null,
        },
        // The bytes of typed states, in which the order of bytes is that of the numbers.
        "int64" => number::<i64>(node, problems)
            .map_or(Data::Null, |number| Data::Bytes((number as u64 ^ (1 << 63)).to_be_bytes().to_vec())),
        "uint64" => {
            number::<u64>(node, problems).map_or(Data::Null, |number| Data::Bytes(number.to_be_bytes().to_vec()))
        }
        "float64" => number::<f64>(node, problems).map_or(Data::Null, |number| {
            let bits = number.to_bits();
            let ordered = if number.is_sign_negative() { !bits } else { bits ^ (1 << 63) };
            Data::Bytes(ordered.to_be_bytes().to_vec())
        }),
        _ => {
            let problem = Problem::error(node.place, format!("{} is no form of a value", hint::quoted(name)));
            problems.push(match hint::of(name, FORMS) {
                Some(hint) => problem.hint(hint),
                None => problem,
            });
            Data::Null
        }
    }
}

/// What YAML says, as JSON.
fn json(node: &Node) -> serde_json::Value {
    match &node.content {
        Content::List(list) => list.iter().map(json).collect(),
        Content::Block(entries) => entries.iter().map(|(key, node)| (key.name.clone(), json(node))).collect(),
        Content::Scalar(scalar) => match scalar.shape() {
            Shape::Null => serde_json::Value::Null,
            Shape::Bool(is) => is.into(),
            Shape::Whole | Shape::Number => {
                serde_json::from_str(&scalar.text).unwrap_or_else(|_| scalar.text.clone().into())
            }
            Shape::Text => scalar.text.clone().into(),
        },
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.is_ascii() && text.len().is_multiple_of(2);
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    digits.then(|| (0..text.len()).step_by(2).map(byte).collect())?
}

fn block<'a>(node: &'a Node, what: &str, problems: &mut Problems) -> &'a [(Key, Node)] {
    match &node.content {
        Content::Block(entries) => entries,
        _ => {
            problems.push(Problem::error(node.place, format!("{what} is {}, not a block of keys", node.shape())));
            &[]
        }
    }
}

fn list<'a>(node: &'a Node, what: &str, problems: &mut Problems) -> &'a [Node] {
    match &node.content {
        Content::List(list) => list,
        _ => {
            problems.push(Problem::error(node.place, format!("{what}: {}, not a list", node.shape())));
            &[]
        }
    }
}

fn text(node: &Node, problems: &mut Problems) -> Option<String> {
    match &node.content {
        Content::Scalar(scalar) if scalar.shape() != Shape::Null => Some(scalar.text.clone()),
        _ => {
            problems.push(Problem::error(node.place, format!("{}, not a text", node.shape())));
            None
        }
    }
}

fn number<N: std::str::FromStr>(node: &Node, problems: &mut Problems) -> Option<N> {
    let parsed = match &node.content {
        Content::Scalar(scalar) => scalar.text.parse().ok(),
        _ => None,
    };
    if parsed.is_none() {
        problems.push(Problem::error(node.place, format!("{}, not a number that fits here", node.shape())));
    }
    parsed
}

/// A whole number with its unit.
fn duration(node: &Node, problems: &mut Problems) -> Option<u64> {
    let parsed = match &node.content {
        Content::Scalar(scalar) => fnstream_core::units::parse_duration(&scalar.text).ok(),
        _ => None,
    };
    if parsed.is_none() {
        let message = format!("{}, not a duration such as 500ms or 10s", node.shape());
        problems.push(Problem::error(node.place, message));
    }
    Some(u64::try_from(parsed?.as_millis()).unwrap_or(u64::MAX))
}

fn wrong(node: &Node, wanted: &str, problems: &mut Problems) -> Data {
    problems.push(Problem::error(node.place, format!("{}, not {wanted}", node.shape())));
    Data::Null
}

fn unknown(key: &Key, known: &[&str], problems: &mut Problems) {
    let problem = Problem::error(key.place, format!("unknown key {}", hint::quoted(&key.name)));
    problems.push(match hint::of(&key.name, known) {
        Some(hint) => problem.hint(hint),
        None => problem,
    });
}
