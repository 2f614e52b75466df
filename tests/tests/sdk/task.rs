// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One task of a function as the engine runs it: batches, epochs, and a new instance from the last checkpoint when something
//! fails, unless it has undone that. A record that fails is left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use fnstream_core::batch::{Batch, BatchPositions};
use fnstream_core::epoch::Epoch;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::runtime::{CallFailure, CallResult, Instance, InstanceSpec, Limits, Program, SharedHost};
use fnstream_core::timer::Timer;
use fnstream_frame::{FrameBuilder, RecordRef};
use parking_lot::Mutex;

use crate::host::Outside;
use crate::record::Sample;
use crate::timers::Times;

/// A task with its instance.
pub(crate) struct Task {
    program: Arc<dyn Program>,
    spec: InstanceSpec,
    /// What is outside now.
    pub outside: Arc<Mutex<Outside>>,
    checkpoint: Outside,
    epoch: u64,
    /// The inputs since the checkpoint.
    pub(crate) journal: Vec<Input>,
    /// What is known of time.
    pub(crate) times: Times,
    /// The instance that is alive.
    pub instance: Box<dyn Instance>,
}

/// What an instance was given.
#[derive(Clone)]
pub(crate) enum Input {
    Batch(u32, Vec<Sample>),
    Watermark(u64),
    Timers(Vec<Timer>),
}

impl Task {
    /// A task with a new instance; fails when its init does.
    pub(crate) fn start(
        program: &Arc<dyn Program>,
        config: &BTreeMap<String, String>,
        outputs: u32,
    ) -> CallResult<Task> {
        Task::limited(program, config, outputs, Limits::default())
    }

    /// The same with other limits.
    pub(crate) fn limited(
        program: &Arc<dyn Program>,
        config: &BTreeMap<String, String>,
        outputs: u32,
        limits: Limits,
    ) -> CallResult<Task> {
        let spec = InstanceSpec {
            function: "conformance".into(),
            outputs: (0..outputs).map(|i| format!("out-{i}")).collect(),
            config: config.clone(),
            limits,
            ..InstanceSpec::default()
        };
        let outside = Arc::new(Mutex::new(Outside::new(outputs)));
        let instance = live(program, &spec, outside.clone())?;
        let checkpoint = outside.lock().clone();
        let (journal, times) = (Vec::new(), Times::default());
        Ok(Task { program: program.clone(), spec, outside, checkpoint, epoch: 0, journal, times, instance })
    }

    /// Gives records to the function in one batch, then fires what is due; answers which failed, and why. No timer may fail.
    pub(crate) fn send<V>(&mut self, source: u32, values: &[V]) -> CallResult<Vec<(usize, CallFailure)>>
    where
        V: Clone + Into<Sample>,
    {
        let mut failures = Vec::new();
        let values: Vec<_> = values.iter().map(|value| value.clone().into()).collect();
        // A timer that failed before.
        self.advance_well()?;
        self.part(source, &values, 0, &mut failures)?;
        self.advance_well()?;
        Ok(failures)
    }

    fn part(
        &mut self,
        source: u32,
        values: &[Sample],
        base: usize,
        failures: &mut Vec<(usize, CallFailure)>,
    ) -> CallResult {
        if values.is_empty() {
            return Ok(());
        }
        let Err(failed) = self.instance.process(&packed(source, values)) else {
            self.journal.push(Input::Batch(source, values.to_vec()));
            return Ok(());
        };
        if let (true, Some(index)) = (failed.undone, failed.record) {
            let at = index as usize;
            self.journal.push(Input::Batch(source, values[..at].to_vec()));
            failures.push((base + at, failed));
            return self.part(source, &values[at + 1..], base + at + 1, failures);
        }
        self.restart()?;
        match failed.record.map(|index| index as usize) {
            None if values.len() > 1 => {
                let (first, rest) = values.split_at(values.len() / 2);
                self.part(source, first, base, failures)?;
                self.part(source, rest, base + first.len(), failures)
            }
            index => {
                let at = index.unwrap_or(0);
                self.part(source, &values[..at], base, failures)?;
                failures.push((base + at, failed));
                self.part(source, &values[at + 1..], base + at + 1, failures)
            }
        }
    }

    /// Ends the epoch.
    pub(crate) fn checkpoint(&mut self) -> CallResult {
        self.instance.take_checkpoint(Epoch(self.epoch + 1))?;
        self.epoch += 1;
        self.commit();
        self.advance_well()
    }

    /// Ends the epoch and the function.
    pub(crate) fn stop(&mut self) -> CallResult {
        self.checkpoint()?;
        self.instance.close()?;
        self.commit();
        Ok(())
    }

    fn commit(&mut self) {
        self.checkpoint = self.outside.lock().clone();
        self.journal.clear();
    }

    /// Another program takes the place of this one.
    pub(crate) fn replace(&mut self, program: &Arc<dyn Program>) -> CallResult {
        self.program = program.clone();
        self.restart()
    }

    /// A new instance as of the last checkpoint, given the inputs since then.
    pub(crate) fn restart(&mut self) -> CallResult {
        *self.outside.lock() = self.checkpoint.clone();
        self.instance = live(&self.program, &self.spec, self.outside.clone())?;
        for input in self.journal.clone() {
            match input {
                Input::Batch(source, values) => self.instance.process(&packed(source, &values))?,
                Input::Watermark(watermark) => self.instance.process_watermark(0, watermark)?,
                Input::Timers(due) => self.on_timers(&due)?,
            }
        }
        Ok(())
    }
}

fn live(program: &Arc<dyn Program>, spec: &InstanceSpec, outside: SharedHost) -> CallResult<Box<dyn Instance>> {
    let mut instance = program.instantiate(spec, outside)?;
    instance.init()?;
    Ok(instance)
}

/// Records of an input group.
pub(crate) fn batch<S: AsRef<[u8]>>(source: u32, values: &[S]) -> Batch {
    records(values.iter().map(|value| RecordRef::new(value.as_ref()).on(source)))
}

/// Records of an input group, as a scenario has them.
fn packed(source: u32, samples: &[Sample]) -> Batch {
    let mut frame = FrameBuilder::new();
    samples.iter().for_each(|sample| sample.packed(source, |record| frame.push(record)));
    in_batch(frame)
}

fn records<'a>(records: impl Iterator<Item = RecordRef<'a>>) -> Batch {
    let mut frame = FrameBuilder::new();
    records.for_each(|record| frame.push(record));
    in_batch(frame)
}

fn in_batch(frame: FrameBuilder) -> Batch {
    let positions = BatchPositions::Contiguous(Position::START);
    Batch::new(TopicPartition::new("in", 0), positions, frame.to_bytes().into()).unwrap()
}
