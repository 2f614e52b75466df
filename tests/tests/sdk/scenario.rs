// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A scenario file, as `tests/sdk/README.md` describes it, and how it is carried out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use fnstream_core::runtime::{CallFailure, Program};
use serde::Deserialize;

use crate::record::Sample;
use crate::task::Task;
use crate::timers::TimeFailure;

/// A scenario.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Scenario {
    name: String,
    #[serde(default)]
    config: BTreeMap<String, String>,
    outputs: Option<u32>,
    /// The worlds that it is about; all when it says none.
    #[serde(default)]
    worlds: Vec<String>,
    /// What a program must have.
    #[serde(default)]
    needs: Vec<String>,
    init_fails: Option<String>,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Debug, Default, Deserialize)]
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

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Fails {
    Records(BTreeMap<usize, String>),
    Timers(BTreeMap<String, String>),
    Request(String),
}

/// A program in one world.
pub(crate) struct Subject<'a> {
    /// The program.
    pub program: &'a Arc<dyn Program>,
    /// The world's name.
    pub world: &'static str,
    /// What it lacks of that which scenarios need.
    pub lacks: &'a [String],
}

impl Scenario {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Scenario> {
        yaml_serde::from_str(&std::fs::read_to_string(path)?).with_context(|| format!("'{}'", path.display()))
    }

    /// Carries it out.
    pub(crate) fn run(&self, subject: &Subject<'_>) -> Result<()> {
        let is_about = self.worlds.is_empty() || self.worlds.iter().any(|world| world == subject.world);
        if !is_about || self.needs.iter().any(|need| subject.lacks.contains(need)) {
            return Ok(());
        }
        let about = || format!("{} ({})", self.name, subject.world);
        let started = Task::start(subject.program, &self.config, self.outputs.unwrap_or(1));
        if let Some(text) = &self.init_fails {
            let Err(failed) = started else { bail!("{}: init does not fail", about()) };
            return subject.reason(&failed, text).with_context(about);
        }
        let mut task = started.with_context(about)?;
        let mut seen = 0;
        for (i, step) in self.steps.iter().enumerate() {
            step.run(subject, &mut task, &mut seen).with_context(|| format!("{}, step {i}", about()))?;
        }
        Ok(())
    }
}

impl Subject<'_> {
    /// In the per-record world a reason cannot be told.
    fn reason(&self, failed: &CallFailure, text: &str) -> Result<()> {
        let told = &failed.error.message;
        ensure!(self.world != "packed" || told.contains(text), "the reason '{told}' does not contain '{text}'");
        Ok(())
    }
}

impl Step {
    fn run(&self, subject: &Subject<'_>, task: &mut Task, seen: &mut usize) -> Result<()> {
        if let Some(values) = &self.send {
            self.sent(subject, task.send(self.source, values)?)
        } else if let Some(watermark) = self.watermark {
            self.fired(subject, task.watermark(watermark)?)
        } else if let Some(now) = self.time {
            self.fired(subject, task.time(now)?)
        } else if self.checkpoint {
            Ok(task.checkpoint()?)
        } else if self.restart {
            Ok(task.restart()?)
        } else if let Some(well) = self.heartbeat {
            let answer = task.instance.check_heartbeat()?;
            ensure!(answer == well, "the heartbeat answers {answer}");
            if well { Ok(()) } else { Ok(task.restart()?) }
        } else if let Some(payload) = &self.custom {
            self.asked(subject, task, payload)
        } else if let Some(class) = &self.exec {
            let modules: Vec<_> =
                self.modules.iter().map(|(name, bytes)| (name.clone(), bytes.clone().into())).collect();
            Ok(task.instance.exec(class, &modules)?)
        } else if self.stop {
            Ok(task.stop()?)
        } else if let Some(wanted) = &self.emitted {
            let outside = task.outside.lock();
            let emitted = outside.of_first();
            let since = &emitted[*seen..];
            let got: Vec<_> = since.iter().enumerate().map(|(i, one)| Sample::like(wanted.get(i), one)).collect();
            ensure!(got == *wanted, "emitted {got:?}, not {wanted:?}");
            *seen = emitted.len();
            Ok(())
        } else if let Some(wanted) = &self.watermarks {
            let marks: Vec<_> = task.outside.lock().watermarks.iter().map(|(_, mark)| *mark).collect();
            ensure!(marks == *wanted, "emitted the watermarks {marks:?}, not {wanted:?}");
            Ok(())
        } else {
            bail!("the step says nothing")
        }
    }

    fn sent(&self, subject: &Subject<'_>, failures: Vec<(usize, CallFailure)>) -> Result<()> {
        let none = BTreeMap::new();
        let wanted = match &self.fails {
            Some(Fails::Records(wanted)) => wanted,
            Some(_) => bail!("'fails' of 'send' names records"),
            None => &none,
        };
        let failed: Vec<_> = failures.iter().map(|(index, _)| index).collect();
        ensure!(failed.iter().copied().eq(wanted.keys()), "records {failed:?} failed: {failures:?}");
        failures.iter().zip(wanted.values()).try_for_each(|((_, failed), text)| subject.reason(failed, text))
    }

    fn fired(&self, subject: &Subject<'_>, failure: Option<TimeFailure>) -> Result<()> {
        let wanted = match &self.fails {
            Some(Fails::Timers(wanted)) => wanted.first_key_value(),
            Some(_) => bail!("'fails' of a time names the key of a timer"),
            None => None,
        };
        match (failure, wanted) {
            (None, None) => Ok(()),
            (Some((Some(timer), failed)), Some((key, text))) if timer.key == key => subject.reason(&failed, text),
            (failure, wanted) => bail!("{failure:?} failed, not {wanted:?}"),
        }
    }

    fn asked(&self, subject: &Subject<'_>, task: &mut Task, payload: &str) -> Result<()> {
        let answer = task.instance.custom(payload.as_bytes());
        match (answer, &self.answers, &self.fails) {
            (Ok(answer), Some(wanted), _) => {
                ensure!(answer == wanted.as_bytes(), "answered '{}'", String::from_utf8_lossy(&answer));
                Ok(())
            }
            (Err(failed), None, Some(Fails::Request(text))) => {
                subject.reason(&failed, text)?;
                Ok(task.restart()?)
            }
            (answer, ..) => bail!("the request ended with {answer:?}"),
        }
    }
}
