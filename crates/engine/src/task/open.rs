// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Taking a task over: fence who had it before, recover its state, open its inputs.

use std::sync::Arc;

use fnstream_core::broker::Assignment;
use fnstream_core::error::{Error, ErrorCode, Result};
use fnstream_core::failpoint;
use fnstream_core::interrupt::Interrupt;
use fnstream_core::runtime::InstanceSpec;
use fnstream_core::state::Marker;
use fnstream_core::waker::Waker;
use parking_lot::Mutex;

use super::dead_letters::{self, DeadLetterReader};
use super::dirty::Dirty;
use super::dropped;
use super::env::TaskEnv;
use super::host::TaskHost;
use super::outbox::{Outbox, Output};
use super::ownership::Ownership;
use super::view::View;
use crate::state::{Layers, TaskBase};

/// The outcome of an attempt to take a task over.
pub(super) enum Opened {
    Owned(Box<Ownership>),
    /// An earlier ownership of the task still writes its store; the waker is called when it has ended.
    NotYet,
}

/// What is taken over.
pub(super) struct Place<'a> {
    pub(super) assignment: &'a Assignment,
    /// Retention has dropped what comes next in an input.
    pub(super) behind: bool,
}

/// Takes a task over. Restoring its state may take long: `view` shows how far it is, and it ends early when `is_cancelled`.
pub(super) fn take_over(
    env: &Arc<TaskEnv>,
    place: Place<'_>,
    waker: &Waker,
    view: &Mutex<View>,
    interrupt: &Interrupt,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Opened> {
    let Place { assignment, behind } = place;
    let core = &env.core;
    let backend = &env.backend;
    let base = core.bases.open(&backend.state_stores, assignment.task)?;
    let Some(claim) = base.claim(waker) else { return Ok(Opened::NotYet) };
    let mut layers = Layers::open(assignment.task, base.clone(), claim, core.cache.clone())?;
    let applied = base.store.marker()?;
    let acquired = backend.committer.acquire(assignment, applied.as_ref(), &mut |marker, delta| {
        if is_cancelled() {
            return Err(Error::new(ErrorCode::Cancelled, "the task is to end"));
        }
        view.lock().restored_one();
        env.meter.restored(delta.len(), delta.bytes());
        layers.replay(delta, marker)?;
        relieve(&mut layers, &base, core.config.dirty_keys)
    })?;
    layers.replayed(Marker { epoch: acquired.progress.epoch, log_end: acquired.log_end.clone() })?;
    failpoint!("engine.recovered");

    let dead_letters = dead_letters::partition(env, assignment.task.index)?;
    let known = &acquired.progress.positions;
    let mut unplaced = backend.broker.begin(assignment, known)?;
    let dead_letters_end = match dead_letters.as_ref().filter(|at| !known.contains_key(at)) {
        Some(at) => Some(DeadLetterReader::open(env, assignment, at, backend.broker.earliest(at)?, waker)?),
        None => None,
    };
    let mut from = acquired.progress.positions.clone();
    from.extend(unplaced.clone());
    if behind {
        dropped::go_on(env, assignment, (&mut from, &mut unplaced), view)?;
    }
    let source = match backend.broker.open_source(assignment, &from, waker.clone()) {
        Err(error) if matches!(error.code, ErrorCode::PositionDropped | ErrorCode::PositionUnknown) => {
            dropped::go_on(env, assignment, (&mut from, &mut unplaced), view)?;
            backend.broker.open_source(assignment, &from, waker.clone())?
        }
        opened => opened?,
    };
    let spec = env.spec();
    let host = Arc::new(Mutex::new(TaskHost::new(layers, outbox(env, assignment)?, spec.limits, interrupt)?));
    let mut own = Ownership {
        assignment: assignment.clone(),
        generation: acquired.generation,
        host,
        spec: instance_spec(env, assignment, interrupt, waker),
        source,
        polled: false,
        base,
        committed: acquired.progress,
        unplaced,
        dead_letters,
        dead_letters_end,
        dirty: Dirty::new(core.dirty.clone()),
        in_flight: None,
        refused: None,
    };
    own.account_dirty(env.now());
    Ok(Opened::Owned(Box::new(own)))
}

fn outbox(env: &TaskEnv, assignment: &Assignment) -> Result<Outbox> {
    let spec = env.spec();
    let broker = &*env.backend.broker;
    let outputs = spec.outputs.iter().map(|named| Output::of(broker, &named.topic, named.partition()));
    let outputs = outputs.collect::<Result<_>>()?;
    let dead_letters = spec.dead_letter_topic().map(|topic| Output::of(broker, &topic, None)).transpose()?;
    Ok(Outbox::new(outputs, dead_letters, assignment.task.index))
}

fn instance_spec(env: &TaskEnv, assignment: &Assignment, interrupt: &Interrupt, waker: &Waker) -> InstanceSpec {
    let spec = env.spec();
    InstanceSpec {
        id: env.entry.id,
        function: spec.name.clone(),
        revision: env.entry.revision,
        task_index: assignment.task.index,
        outputs: spec.outputs.iter().map(|output| output.topic.to_string()).collect(),
        config: spec.config.clone(),
        limits: spec.limits,
        env: spec.env.clone(),
        files: spec.files.clone(),
        interrupt: interrupt.clone(),
        memory: env.core.config.guests.open(waker.clone()),
    }
}

/// The most that is kept in memory of a replay.
const REPLAYED_BYTES: usize = 16 << 20;

/// Keeps the memory of a long replay bounded: what was read so far goes to the store before more is read.
fn relieve(layers: &mut Layers, base: &TaskBase, max_keys: usize) -> Result<()> {
    let (bytes, keys) = layers.dirty_size();
    if keys < max_keys && bytes < REPLAYED_BYTES {
        return Ok(());
    }
    let Some(applying) = layers.start_apply()? else { return Ok(()) };
    applying.run(&base.store);
    base.end_apply();
    drop(applying);
    layers.settle_apply().transpose().map(|_| ())
}
