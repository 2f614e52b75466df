// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The scenarios in the SDK's test kit.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use fnstream_sdk::testing::{Emitted, Harness};
use fnstream_sdk::{HeadersBuilder, Module, Record};
use serde::Deserialize;

use crate::Conformance;

/// A scenario, as `tests/sdk/README.md` describes it.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Scenario {
    name: String,
    #[serde(default)]
    config: BTreeMap<String, String>,
    outputs: Option<usize>,
    #[serde(default)]
    worlds: Vec<String>,
    /// This SDK has all that can be needed.
    #[serde(default, rename = "needs")]
    _needs: Vec<String>,
    init_fails: Option<String>,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Step {
    send: Option<Vec<Sample>>,
    source: u32,
    fails: Option<Fails>,
    watermark: Option<u64>,
    time: Option<i64>,
    checkpoint: bool,
    restart: bool,
    heartbeat: Option<bool>,
    custom: Option<String>,
    answers: Option<String>,
    exec: Option<String>,
    modules: BTreeMap<String, String>,
    stop: bool,
    emitted: Option<Vec<Sample>>,
    watermarks: Option<Vec<u64>>,
}

/// A record that is sent, or is to be emitted.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Sample {
    /// The value alone; `None` is a null value.
    Value(Option<String>),
    Whole(Whole),
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Whole {
    value: Option<String>,
    key: Option<String>,
    headers: BTreeMap<String, String>,
    time: i64,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Fails {
    Records(BTreeMap<usize, String>),
    Timers(BTreeMap<String, String>),
    Request(String),
}

/// A function under test, with what was seen of it.
struct Run {
    host: Harness<Conformance>,
    epoch: u64,
    watermarks: Vec<u64>,
}

fn text<E: ToString>(error: E) -> String {
    error.to_string()
}

fn same<T: PartialEq + std::fmt::Debug>(got: T, wanted: T) -> Result<(), String> {
    if got == wanted { Ok(()) } else { Err(format!("got {got:?}, not {wanted:?}")) }
}

fn contains(message: &str, wanted: &str) -> Result<(), String> {
    if message.contains(wanted) { Ok(()) } else { Err(format!("the reason '{message}' does not contain '{wanted}'")) }
}

impl Sample {
    fn whole(&self) -> Whole {
        match self {
            Sample::Value(value) => Whole { value: value.clone(), ..Whole::default() },
            Sample::Whole(whole) => whole.clone(),
        }
    }

    /// What was emitted, in the form of what it is to be compared with.
    fn like(wanted: Option<&Sample>, emitted: Emitted) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let value = emitted.value.map(text);
        let Some(Sample::Whole(_)) = wanted else { return Sample::Value(value) };
        let headers = emitted.headers.into_iter().map(|(name, value)| (name, text(value))).collect();
        Sample::Whole(Whole { value, key: emitted.key.map(text), headers, time: emitted.timestamp })
    }
}

impl Whole {
    fn headers(&self) -> HeadersBuilder {
        let mut headers = HeadersBuilder::new();
        self.headers.iter().for_each(|(name, value)| headers.push(name, value.as_bytes()).unwrap());
        headers
    }

    fn record<'a>(&'a self, source: u32, headers: &'a HeadersBuilder) -> Record<'a> {
        let record = self.value.as_ref().map_or(Record::null(), |value| Record::new(value.as_bytes()));
        let record = record.from_source(source).at(self.time).with_headers(headers.as_headers());
        self.key.as_ref().map_or(record, |key| record.with_key(key.as_bytes()))
    }
}

impl Scenario {
    fn run(&self) -> Result<(), String> {
        if !self.worlds.is_empty() && !self.worlds.iter().any(|world| world == "packed") {
            return Ok(());
        }
        let config: Vec<_> = self.config.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        let outputs: Vec<_> = (0..self.outputs.unwrap_or(1)).map(|index| format!("out-{index}")).collect();
        let names: Vec<_> = outputs.iter().map(String::as_str).collect();
        let made = Harness::with_outputs(&config, &names);
        let host = match (made, &self.init_fails) {
            (Ok(host), None) => host,
            (Err(error), Some(wanted)) => return contains(&error.to_string(), wanted),
            (Ok(_), Some(_)) => return Err("init does not fail".into()),
            (Err(error), None) => return Err(error.to_string()),
        };
        let mut run = Run { host, epoch: 0, watermarks: Vec::new() };
        self.steps.iter().enumerate().try_for_each(|(i, step)| run.step(step).map_err(|e| format!("step {i}: {e}")))
    }
}

impl Run {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        if let Some(values) = &step.send {
            self.send(step, values)
        } else if let Some(watermark) = step.watermark {
            let fired = self.host.process_watermark(0, watermark);
            Self::fired(fired, step)
        } else if let Some(now) = step.time {
            let fired = self.host.advance_time(now);
            Self::fired(fired, step)
        } else if step.checkpoint {
            self.epoch += 1;
            self.host.take_checkpoint(self.epoch).map_err(text)
        } else if step.restart {
            self.host.restart().map_err(text)
        } else if let Some(well) = step.heartbeat {
            same(self.host.check_heartbeat().map_err(text)?, well)
        } else if let Some(payload) = &step.custom {
            match (self.host.custom(payload.as_bytes()), &step.answers, &step.fails) {
                (Ok(answer), Some(wanted), _) => same(String::from_utf8_lossy(&answer).as_ref(), wanted),
                (Err(error), None, Some(Fails::Request(wanted))) => contains(&error.to_string(), wanted),
                (answer, ..) => Err(format!("the request ended with {answer:?}")),
            }
        } else if let Some(class) = &step.exec {
            let modules = step.modules.iter();
            let modules = modules.map(|(name, bytes)| Module { name: name.clone(), bytes: bytes.clone().into_bytes() });
            self.host.exec(class, modules.collect()).map_err(text)
        } else if step.stop {
            self.epoch += 1;
            self.host.stop(self.epoch).map_err(text)
        } else if let Some(wanted) = &step.emitted {
            let output = self.host.take_output().into_iter().filter(|emitted| emitted.target == 0);
            let output: Vec<_> = output.enumerate().map(|(i, one)| Sample::like(wanted.get(i), one)).collect();
            same(&output, wanted)
        } else if let Some(wanted) = &step.watermarks {
            self.watermarks.extend(self.host.take_watermarks().into_iter().map(|(_, watermark)| watermark));
            same(&self.watermarks, wanted)
        } else {
            Err("the step says nothing".into())
        }
    }

    /// Sends records in one batch, of which the kit leaves to the test what comes behind one that fails.
    fn send(&mut self, step: &Step, values: &[Sample]) -> Result<(), String> {
        let none = BTreeMap::new();
        let wanted = match &step.fails {
            None => &none,
            Some(Fails::Records(wanted)) => wanted,
            Some(other) => return Err(format!("{other:?} names no records")),
        };
        let wholes: Vec<_> = values.iter().map(Sample::whole).collect();
        let headers: Vec<_> = wholes.iter().map(Whole::headers).collect();
        let records: Vec<_> = wholes.iter().zip(&headers).map(|(whole, h)| whole.record(step.source, h)).collect();
        let (mut begin, mut failed) = (0, Vec::new());
        while let Err(failure) = self.host.process(&records[begin..]) {
            let index = begin + failure.record.ok_or_else(|| format!("no record failed: {}", failure.message))?;
            contains(&failure.message, wanted.get(&index).ok_or_else(|| format!("{index}: {}", failure.message))?)?;
            failed.push(index);
            begin = index + 1;
        }
        same(failed, wanted.keys().copied().collect())
    }

    fn fired(fired: Result<(), fnstream_sdk::Error>, step: &Step) -> Result<(), String> {
        match (fired, &step.fails) {
            (Ok(()), None) => Ok(()),
            (Err(error), Some(Fails::Timers(wanted))) => {
                let (key, reason) = wanted.first_key_value().unwrap();
                contains(&error.to_string(), &format!("the timer '{key}' of "))?;
                contains(&error.to_string(), reason)
            }
            (fired, wanted) => Err(format!("{fired:?}, and not {wanted:?}")),
        }
    }
}

#[test]
fn the_test_kit_keeps_all_scenarios() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "only {} scenarios", files.len());
    let problems: Vec<_> = files
        .iter()
        .filter_map(|file| {
            let scenario: Scenario = yaml_serde::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
            scenario.run().err().map(|problem| format!("{} ({}): {problem}", scenario.name, file.display()))
        })
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
