// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Bringing a task up: take it over, recover its state, open its inputs, start its instance.

use std::sync::Arc;

use fnstream_core::broker::Assignment;
use fnstream_core::error::{Error, Result};
use fnstream_core::failpoint;
use fnstream_core::record::Positions;
use fnstream_core::runtime::{CallResult, InstanceSpec};
use fnstream_core::state::Marker;
use fnstream_core::topic::Topic;
use fnstream_core::waker::Waker;
use parking_lot::Mutex;

use super::event_time::EventTime;
use super::host::TaskHost;
use super::letters;
use super::outbox::{Outbox, Output};
use super::running::{Parts, Running};
use super::turns::Turns;
use crate::engine::EngineCore;
use crate::function::Function;
use crate::state::{Layers, TaskBase};

/// What became of an attempt to open a task.
pub(super) enum Opened {
    Running(Box<Running>),
    /// An earlier ownership of the task still writes its store; the waker is called when it has ended.
    NotYet,
}

pub(super) fn open(function: &Arc<Function>, assignment: &Assignment, waker: &Waker) -> CallResult<Opened> {
    let engine = &function.engine;
    let base = engine.bases.open(assignment.task)?;
    let Some(claim) = base.claim(waker) else { return Ok(Opened::NotYet) };
    let mut layers = Layers::new(assignment.task, base.clone(), claim, engine.cache.clone());
    let applied = base.store.marker()?;
    let acquired = engine.deps.committer.acquire(assignment, applied.as_ref(), &mut |marker, delta| {
        layers.absorb(delta, marker);
        relieve(&mut layers, &base, engine.config.dirty_keys)
    })?;
    layers.set_marker(Marker { epoch: acquired.progress.epoch, log_end: acquired.log_end.clone() });
    failpoint!("engine.recovered");

    let known = &acquired.progress.positions;
    let mut unplaced = earliest(engine, assignment, known)?;
    unplaced.extend(letters::first_place(engine, function, assignment, known, waker)?);
    let mut from = acquired.progress.positions.clone();
    from.extend(unplaced.clone());
    let source = engine.deps.broker.open_source(assignment, &from, waker.clone())?;
    let spec = &function.entry.spec;
    let output = |topic: &Topic| {
        Ok::<_, Error>(Output { topic: topic.clone(), partitions: engine.deps.broker.partitions(topic)? })
    };
    let outputs = spec.outputs.iter().map(|named| output(&named.topic)).collect::<Result<_>>()?;
    let dead_letters = spec.dead_letter_topic().map(|topic| output(&topic)).transpose()?;
    let outbox = Outbox::new(outputs, dead_letters, assignment.task.index);
    let host = Arc::new(Mutex::new(TaskHost::new(layers, outbox, spec.limits)?));
    let instance_spec = InstanceSpec {
        id: function.entry.id,
        function: spec.name.clone(),
        revision: function.entry.revision,
        task_index: assignment.task.index,
        outputs: spec.outputs.iter().map(|output| output.topic.to_string()).collect(),
        config: spec.config.clone(),
        limits: spec.limits,
        env: spec.env.clone(),
        files: spec.files.clone(),
    };
    let mut instance = function.program.instantiate(&instance_spec, host.clone())?;
    instance.init()?;
    let dead_letters = letters::place(function, assignment.task.index)?;
    let turns = Turns::new(spec.selector, assignment.inputs.iter().map(|input| input.group));
    let now = engine.deps.clock.now();
    let event_time = EventTime::open(spec, &assignment.inputs, &acquired.progress.time, now)?;
    let parts = Parts {
        assignment: assignment.clone(),
        acquired,
        base,
        host,
        spec: instance_spec,
        instance,
        source,
        dead_letters,
        turns,
        event_time,
    };
    let mut running = Running::new(engine, parts);
    running.begin_at(unplaced);
    Ok(Opened::Running(Box::new(running)))
}

/// The earliest positions of the inputs that were never read.
fn earliest(engine: &EngineCore, assignment: &Assignment, known: &Positions) -> Result<Positions> {
    let unknown = assignment.inputs.iter().map(|input| &input.partition).filter(|at| !known.contains_key(at));
    unknown.map(|at| Ok((at.clone(), engine.deps.broker.earliest(at)?))).collect()
}

/// Keeps the memory of a long replay bounded: what was read so far goes to the store before more is read.
fn relieve(layers: &mut Layers, base: &TaskBase, max_keys: usize) -> Result<()> {
    if layers.dirty_size().1 < max_keys {
        return Ok(());
    }
    let Some(applying) = layers.start_apply()? else { return Ok(()) };
    applying.run(&base.store);
    base.end_apply();
    drop(applying);
    layers.settle_apply().transpose().map(|_| ())
}
