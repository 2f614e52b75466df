// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Random operations by a seed on the real host, for each language, beside a model of what must come of them.
//!
//! A round is a batch of records, each a list of commands of the conformance program; or a watermark, a moment, the end of an epoch,
//! the death of the instance. The model carries out the same commands on plain maps. After each round all that was emitted must be
//! what the model emitted, and exactly the records may have failed that fail in the model.
//!
//! `FNSTREAM_MODEL_ROUNDS` makes it longer, `FNSTREAM_SEED` repeats a run.

mod chance;
mod expected;
mod typed;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fnstream_core::runtime::{Limits, Program};
use fnstream_core::timer::TimeDomain;
use fnstream_tests::seed::{Seed, number};

use self::chance::{Chance, Round};
use self::expected::Expected;
use crate::artifacts;
use crate::task::Task;

const ROUNDS: usize = 400;

/// A function and its model.
struct Pair {
    task: Task,
    expected: Expected,
    epochs: u64,
}

impl Pair {
    fn play(&mut self, round: &Round) -> Result<()> {
        match round {
            Round::Send(records) => self.send(records)?,
            Round::Watermark(watermark) => {
                let failed = self.task.watermark(*watermark)?;
                ensure!(failed.is_none(), "{failed:?} failed");
                self.expected.watermark(*watermark);
            }
            Round::Time(now) => {
                let failed = self.task.time(*now)?;
                ensure!(failed.is_none(), "{failed:?} failed");
                self.expected.time(*now);
            }
            Round::Checkpoint => {
                self.forget();
                self.task.checkpoint()?;
                self.epochs += 1;
                self.expected.checkpoint(self.epochs);
            }
            Round::Restart => self.task.restart()?,
        }
        self.compare()
    }

    fn send(&mut self, records: &[String]) -> Result<()> {
        let failures = self.task.send(0, records)?;
        let wanted = self.expected.send(records);
        let failed: Vec<_> = failures.iter().map(|(index, _)| *index).collect();
        ensure!(failed.iter().eq(wanted.keys()), "{failures:?} failed, not {wanted:?}");
        for ((index, failure), reason) in failures.iter().zip(wanted.values()) {
            let told = &failure.error.message;
            ensure!(told.contains(reason), "record {index} failed for '{told}', not '{reason}'");
        }
        Ok(())
    }

    /// What was looked at.
    fn forget(&self) {
        let mut outside = self.task.outside.lock();
        outside.emitted.clear();
        outside.watermarks.clear();
    }

    fn compare(&self) -> Result<()> {
        let outside = self.task.outside.lock();
        let emitted: Vec<_> = outside.emitted.iter().map(|emitted| (emitted.target, emitted.text())).collect();
        let both = emitted.iter().zip(&self.expected.emitted).position(|(got, wanted)| got != wanted);
        if let Some(at) = both {
            let wanted = &self.expected.emitted[at];
            bail!("the {at}. that is emitted is {:?}, not {wanted:?}", emitted[at]);
        }
        let counts = (emitted.len(), self.expected.emitted.len());
        ensure!(counts.0 == counts.1, "{} are emitted, not {}", counts.0, counts.1);
        let told = (&outside.watermarks, &self.expected.watermarks);
        ensure!(told.0 == told.1, "the watermarks are {:?}, not {:?}", told.0, told.1);
        let timers: BTreeMap<_, _> = outside
            .timers
            .iter()
            .map(|((domain, key), at)| ((*domain, String::from_utf8_lossy(key).into_owned()), *at))
            .collect();
        ensure!(timers == self.expected.timers, "the timers are {timers:?}, not {:?}", self.expected.timers);
        Ok(())
    }
}

fn agrees(language: &str, program: &Arc<dyn Program>) -> Result<()> {
    let seed = Seed::of(&format!("the model of {language}"))?;
    let mut chance = Chance::new(seed.rng(0));
    // JavaScript is ended by nothing else.
    let limits = Limits { call_time: Duration::from_millis(500), ..Limits::default() };
    let mut pair =
        Pair { task: Task::limited(program, &BTreeMap::new(), 2, limits)?, expected: Expected::default(), epochs: 0 };
    for number in 0..number("FNSTREAM_MODEL_ROUNDS", ROUNDS)? {
        let round = chance.round();
        let about = || format!("seed {}, round {number}: {round:?}", seed.0);
        pair.play(&round).with_context(about)?;
    }
    // What must have happened for the run to say anything.
    let expected = &pair.expected;
    ensure!(expected.failed > 0 && expected.fired > 0, "{} failed, {} fired", expected.failed, expected.fired);
    fails_at_last(&mut pair)
}

/// A timer that fails stays set, and those before it have fired. Nothing goes on behind it, so it comes last.
fn fails_at_last(pair: &mut Pair) -> Result<()> {
    let now = 1_i64 << 40;
    // What fires may set timers that are due, too: they would come behind the one that fails.
    pair.play(&Round::Watermark(now.unsigned_abs() - 2))?;
    let set = format!("put on:bad fail too bad\ntimer event {now} bad\ntimer event {} well", now - 1);
    pair.play(&Round::Send(vec![set]))?;
    let failed = pair.task.watermark(now.unsigned_abs())?;
    let (timer, failure) = failed.context("the last timer does not fail")?;
    let key = timer.context("what fails is no timer")?.key;
    ensure!(key == "bad" && failure.error.message.contains("too bad"), "{key:?}: {failure:?}");
    ensure!(pair.task.outside.lock().timers.contains_key(&(TimeDomain::Event, key)), "the timer is gone");
    pair.expected.watermark(now.unsigned_abs() - 1);
    // The function is told of the watermark when all its timers have fired, which they never do.
    pair.expected.watermarks.pop();
    pair.compare()
}

#[test]
fn go_agrees_with_the_model() -> Result<()> {
    agrees("Go", artifacts::go_packed())
}

#[test]
fn rust_agrees_with_the_model() -> Result<()> {
    agrees("Rust", &artifacts::rust_packed())
}

#[test]
fn python_agrees_with_the_model() -> Result<()> {
    agrees("Python", &artifacts::python())
}

#[test]
fn javascript_agrees_with_the_model() -> Result<()> {
    agrees("JavaScript", &artifacts::javascript())
}
