// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A scenario, carried out step by step.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use fnstream_config::Place;
use fnstream_config::scenario::{Sample, Scenario, Step, Stored, What};
use fnstream_core::function_log::{FunctionLog, LogLine, Speaker};
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::runtime::Program;
use fnstream_core::spec::FunctionSpec;
use fnstream_core::topic::{Topic, TopicRef};
use fnstream_frame::{FrameBuilder, HeadersBuilder, RecordRef};
use parking_lot::Mutex;

use super::clock::Stage;
use super::compare::{difference, text};
use super::host::Host;
use crate::failure::{Failure, Result};
use crate::output;
use crate::run::host::partition;
use crate::run::spec::{Described, hides_dead_letters};

/// What the function prints is shown as it comes.
#[derive(Default)]
pub(super) struct Log(Mutex<()>);

impl FunctionLog for Log {
    fn write(&self, line: LogLine<'_>) {
        if matches!(line.speaker, Speaker::Stdout | Speaker::Stderr) {
            let _whole = self.0.lock();
            output::complain(&format!("      | {}", line.text));
        }
    }
}

/// The function that scenarios are about.
pub(super) struct Subject {
    pub(super) artifact: Vec<u8>,
    pub(super) program: Arc<dyn Program>,
    pub(super) spec: FunctionSpec,
    pub(super) log: Arc<Log>,
}

impl Subject {
    /// Carries it out; answers what was not as it should be. `file` is what the scenario is called in messages.
    pub(super) fn carry_out(&self, scenario: &Scenario, file: &str) -> Result<Option<String>> {
        let mut spec = self.spec.clone();
        spec.config.extend(scenario.config.clone());
        let hides_dead_letters = hides_dead_letters(&mut spec)?;
        let allowed = spec.files.iter().map(|grant| grant.host.clone().into()).collect();
        let described = Described { artifact: self.artifact.clone(), spec, hides_dead_letters, allowed };
        let clock = Arc::new(Stage::new(scenario.start));
        let host = Host::start(&described, self.program.clone(), clock, self.log.clone())?;
        let mut carried = Carried { spec: &described.spec, host, read: BTreeMap::new() };
        let at = |place: Place, why: String| Some(format!("{file}:{place}: {why}"));
        carried.host.settle()?;
        if let Some((place, wanted)) = &scenario.init_fails {
            return Ok(match carried.host.trouble() {
                None => at(*place, format!("the function starts, and was to fail with '{wanted}'")),
                Some((error, _)) if error.message.contains(wanted) => None,
                Some((error, _)) => at(*place, format!("the reason has no '{wanted}': {error}")),
            });
        }
        if let Some((error, trace)) = carried.host.trouble() {
            return Ok(at(Place::START, format!("the function does not start: {error}{}", traced(trace.as_deref()))));
        }
        for step in &scenario.steps {
            let outcome = carried.step(step).unwrap_or_else(|failure| Err((step.place, failure.to_string())));
            if let Err((place, why)) = outcome {
                return Ok(at(place, why));
            }
        }
        Ok(None)
    }
}

/// A step's end: nothing, or what was not as it should be, and where that is said.
type Outcome = std::result::Result<(), (Place, String)>;

struct Carried<'a> {
    spec: &'a FunctionSpec,
    host: Host,
    /// Up to where each topic was looked at.
    read: BTreeMap<Topic, Position>,
}

impl Carried<'_> {
    fn step(&mut self, step: &Step) -> Result<Outcome> {
        Ok(match &step.what {
            What::Send { to, records, fails } => self.send(step.place, to.as_deref(), records, fails)?,
            What::Emitted { from, records } => {
                let topic = match self.topic(from.as_deref(), false) {
                    Ok(topic) => topic.topic.clone(),
                    Err(why) => return Ok(Err((step.place, why))),
                };
                let emitted = self.host.emitted(&topic, self.read.entry(topic.clone()).or_default())?;
                match difference(records, &emitted) {
                    None => Ok(()),
                    Some(told) => {
                        Err((step.place, format!("what was emitted to '{topic}' is not what was expected\n{told}")))
                    }
                }
            }
            What::Watermark { of, at, fails } => {
                let inputs: Vec<_> = match of {
                    None => self.spec.inputs.iter().flatten().map(partition).collect(),
                    Some(name) => match self.topic(Some(name), true) {
                        Ok(topic) => vec![partition(topic)],
                        Err(why) => return Ok(Err((step.place, why))),
                    },
                };
                inputs.iter().for_each(|input| self.host.watermark(input, *at));
                self.host.settle()?;
                self.passed(step.place, fails.as_ref())
            }
            What::Time { by, fails } => {
                self.host.clock.advance(*by);
                self.host.settle()?;
                self.passed(step.place, fails.as_ref())
            }
            What::Restart => {
                self.host.restart()?;
                self.host.settle()?;
                self.passed(step.place, None)
            }
            What::State(wanted) => self.state(wanted)?,
        })
    }

    /// The topic of that name, or the first.
    fn topic(&self, name: Option<&str>, is_input: bool) -> std::result::Result<&TopicRef, String> {
        let all: Vec<&TopicRef> =
            if is_input { self.spec.inputs.iter().flatten().collect() } else { self.spec.outputs.iter().collect() };
        let what = if is_input { "input" } else { "output" };
        let found = match name {
            None => all.first(),
            Some(name) => all.iter().find(|topic| topic.topic.to_string() == name),
        };
        found.copied().ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|topic| topic.topic.to_string()).collect();
            format!("'{}' is no {what} of the function, which has '{}'", name.unwrap_or_default(), names.join("', '"))
        })
    }

    fn send(
        &mut self,
        place: Place,
        to: Option<&str>,
        records: &[Sample],
        fails: &[(Place, usize, String)],
    ) -> Result<Outcome> {
        let at = match self.topic(to, true) {
            Ok(topic) => partition(topic),
            Err(why) => return Ok(Err((place, why))),
        };
        let (first, frame) = (self.host.end(&at), self.packed(records)?);
        self.host.send(&at, frame)?;
        self.host.settle()?;
        self.failed(&at, first, records, fails)
    }

    fn packed(&self, records: &[Sample]) -> Result<FrameBuilder> {
        let mut frame = FrameBuilder::new();
        for sample in records {
            let mut headers = HeadersBuilder::new();
            for (name, value) in sample.headers.iter().flatten() {
                let pushed = headers.push(name, &value.bytes().unwrap_or_default());
                pushed.map_err(|e| Failure::Usage(format!("{}: '{name}' is not a header: {e}", sample.place)))?;
            }
            let (value, key) = (sample.value.bytes(), sample.key.as_ref().and_then(|key| key.bytes()));
            let record = value.as_deref().map_or_else(RecordRef::null, RecordRef::new);
            let record = record.with_key(key.as_deref()).with_headers(headers.as_headers());
            frame.push(record.at(sample.time.unwrap_or_else(|| self.host.now_ms())));
        }
        Ok(frame)
    }

    /// Compares the records that were given up with those that were to be.
    fn failed(
        &mut self,
        at: &TopicPartition,
        first: u128,
        records: &[Sample],
        wanted: &[(Place, usize, String)],
    ) -> Result<Outcome> {
        let mut letters = self.host.failed()?;
        for (place, index, text) in wanted {
            let position = Position(first + *index as u128);
            let stopped = || self.host.trouble().filter(|_| self.spec.dead_letter_topic().is_none());
            let Some(found) = letters.iter().position(|letter| letter.source == *at && letter.position == position)
            else {
                match stopped() {
                    Some((error, _)) if error.message.contains(text) => return Ok(Ok(())),
                    _ => return Ok(Err((*place, format!("record {index} does not fail")))),
                }
            };
            let letter = letters.remove(found);
            if !letter.message.contains(text) {
                let why = format!("the reason has no '{text}': {} {}", letter.code, letter.message);
                return Ok(Err((*place, why + &traced(letter.backtrace.as_deref()))));
            }
        }
        let Some(letter) = letters.first() else {
            return Ok(self.passed(records.first().map_or(Place::START, |r| r.place), None));
        };
        let index = letter.position.0.saturating_sub(first);
        let sample = usize::try_from(index).ok().and_then(|index| records.get(index));
        let place = sample.map_or(Place::START, |sample| sample.place);
        let trace = traced(letter.backtrace.as_deref());
        Ok(Err((place, format!("record {index} failed: {} {}{trace}", letter.code, letter.message))))
    }

    /// Reports whether the function goes on, or fails as it was to.
    fn passed(&self, place: Place, fails: Option<&(Place, String)>) -> Outcome {
        match (self.host.trouble(), fails) {
            (None, None) => Ok(()),
            (None, Some((place, wanted))) => {
                Err((*place, format!("nothing fails, and something was to fail with '{wanted}'")))
            }
            (Some((error, _)), Some((_, wanted))) if error.message.contains(wanted) => Ok(()),
            (Some((error, trace)), Some((place, wanted))) => {
                Err((*place, format!("the reason has no '{wanted}': {error}{}", traced(trace.as_deref()))))
            }
            (Some((error, trace)), None) => {
                Err((place, format!("the function does not go on: {error}{}", traced(trace.as_deref()))))
            }
        }
    }

    fn state(&self, wanted: &[Stored]) -> Result<Outcome> {
        let entries = self.host.state()?;
        for stored in wanted {
            let of_store = || entries.iter().filter(|(store, ..)| *store == stored.store);
            let last = format!("/{}", stored.key);
            let exact = of_store().find(|(_, key, _)| *key == stored.key);
            let by_end: Vec<_> = of_store().filter(|(_, key, _)| key.ends_with(&last)).collect();
            if exact.is_none() && by_end.len() > 1 {
                let keys: Vec<_> = by_end.iter().map(|(_, key, _)| key.as_str()).collect();
                let why = format!("'{}' may be each of '{}': write the whole key", stored.key, keys.join("', '"));
                return Ok(Err((stored.place, why)));
            }
            let found = exact.or(by_end.first().copied()).map(|(.., value)| value.as_slice());
            if !stored.value.is(found) {
                let name = format!("'{}' of the store '{}'", stored.key, stored.store);
                let mut why = match found {
                    None => format!("{name} is not there"),
                    Some(value) => format!("{name} is {}", text(Some(value))),
                };
                let wanted = stored.value.bytes();
                let _ = match wanted {
                    None => write!(why, ", and was not to be there"),
                    Some(wanted) => write!(why, ", not {}", text(Some(&wanted))),
                };
                if found.is_none() {
                    let keys: Vec<_> = of_store().take(20).map(|(_, key, _)| key.as_str()).collect();
                    let _ = write!(why, "\nkeys of the store: {}", keys.join(", "));
                }
                return Ok(Err((stored.place, why)));
            }
        }
        Ok(Ok(()))
    }
}

/// A traceback below its message.
fn traced(trace: Option<&str>) -> String {
    trace.map_or_else(String::new, |trace| format!("\n{trace}"))
}
