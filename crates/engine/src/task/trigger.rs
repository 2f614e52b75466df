// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One event through a function, aside: on a copy of a task's state, by an instance of its own, with nothing kept.
//!
//! The task itself takes no part in it, so it may run, rest, be stopped or stuck: neither its positions nor its state nor its counters
//! change, and it waits for nothing.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::batch::Batch;
use fnstream_core::broker::Broker;
use fnstream_core::delta::{Delta, Write};
use fnstream_core::epoch::{OutboxBatch, TaskId};
use fnstream_core::error::{Result, internal};
use fnstream_core::interrupt::Interrupt;
use fnstream_core::runtime::{CallFailure, CallResult, InstanceSpec, Program};
use fnstream_core::spec::FunctionEntry;
use fnstream_core::state::{Marker, StateStore, StateStores, Unfinished, Visit};
use fnstream_core::waker::Waker;
use parking_lot::Mutex;

use super::host::TaskHost;
use super::outbox::{Outbox, Output};
use crate::config::EngineConfig;
use crate::state::{Bases, Layers, ReadCache};

/// A copy of a task's committed state.
pub type StateCopy = BTreeMap<Bytes, Bytes>;

/// What a function is given aside.
pub struct Trigger<'a> {
    /// The function, with the folders that it is granted. Its id is what the log of the call is told.
    pub entry: &'a FunctionEntry,
    /// Its program.
    pub program: &'a dyn Program,
    /// Knows its outputs.
    pub broker: &'a dyn Broker,
    /// The index of the task that would process the event.
    pub task: u32,
    /// What the task has committed.
    pub state: StateCopy,
    /// The event alone, on the channel of its input group.
    pub event: &'a Batch,
    /// Ends the call.
    pub interrupt: Interrupt,
}

/// What became of it.
#[derive(Debug)]
pub struct Triggered {
    /// How the call ended; nothing is emitted or written by one that failed.
    pub outcome: Result<(), CallFailure>,
    /// What it would emit, by output and partition.
    pub emitted: Vec<OutboxBatch>,
    /// The keys of its state that it would write, by its start included, and those of which it would leave nothing.
    pub changed: BTreeMap<Bytes, Change>,
}

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It has another value, or the same anew.
    Put,
    /// It had a value, and has none.
    Delete,
}

/// Calls a new instance with the event. Blocks, for as long as the function's limits allow.
pub(crate) fn trigger(config: &EngineConfig, given: Trigger<'_>) -> Result<Triggered> {
    let Trigger { entry, program, broker, task, state, event, interrupt } = given;
    let (spec, id) = (&entry.spec, TaskId::new(entry.id, task));
    let state = Arc::new(CopiedStore(state));
    let stores: Arc<dyn StateStores> = Arc::new(Copied(state.clone()));
    let base = Arc::<Bases>::default().open(&stores, id)?;
    let claim = base.claim(&Waker::noop()).ok_or_else(|| internal("a copy of state is somebody else's"))?;
    let mut layers = Layers::open(id, base, claim, Arc::new(ReadCache::new(0)))?;
    layers.replayed(Marker::default())?;
    let outputs = spec.outputs.iter().map(|named| Output::of(broker, &named.topic, named.partition()));
    let outputs = outputs.collect::<Result<_>>()?;
    let outbox = Outbox::new(outputs, None, task);
    let host = Arc::new(Mutex::new(TaskHost::new(layers, outbox, spec.limits, &interrupt)?));
    let memory = config.guests.open({
        let interrupt = interrupt.clone();
        // Whoever needs the memory more than this has it.
        Waker::new(move || interrupt.set())
    });
    let instance = InstanceSpec {
        id: entry.id,
        function: spec.name.clone(),
        revision: entry.revision,
        task_index: task,
        outputs: spec.outputs.iter().map(|output| output.topic.to_string()).collect(),
        config: spec.config.clone(),
        limits: spec.limits,
        env: spec.env.clone(),
        files: spec.files.clone(),
        interrupt,
        memory,
    };
    let call = || -> CallResult {
        host.lock().begin_call(1);
        let mut instance = program.instantiate(&instance, host.clone())?;
        instance.init()?;
        host.lock().begin_call(1);
        instance.process(event)
    };
    let outcome = call();
    let mut host = host.lock();
    if outcome.is_err() {
        host.clear();
    }
    let (emitted, written) = (host.outbox.take(), host.freeze());
    Ok(Triggered { outcome, emitted, changed: state.changed(&written) })
}

/// The only store that there is.
struct Copied(Arc<CopiedStore>);

impl StateStores for Copied {
    fn open(&self, _: TaskId) -> Result<Arc<dyn StateStore>> {
        Ok(self.0.clone())
    }
}

struct CopiedStore(StateCopy);

impl CopiedStore {
    /// What a delta changes.
    fn changed(&self, delta: &Delta) -> BTreeMap<Bytes, Change> {
        let in_ranges = delta.ranges().iter().flat_map(|range| {
            let end = range.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            self.0.range::<[u8], _>((Bound::Included(&range.start[..]), end)).map(|(key, _)| key)
        });
        let mut changed: BTreeMap<_, _> = in_ranges.map(|key| (key.clone(), Change::Delete)).collect();
        for (key, write) in delta.entries() {
            match write {
                Write::Delete if !self.0.contains_key(key) => changed.remove(key),
                Write::Delete => changed.insert(key.clone(), Change::Delete),
                Write::Put(_) | Write::Merge(_) => changed.insert(key.clone(), Change::Put),
            };
        }
        changed
    }
}

impl StateStore for CopiedStore {
    fn marker(&self) -> Result<Option<Marker>> {
        Ok(None)
    }

    fn unfinished(&self) -> Result<Option<Unfinished>> {
        Ok(None)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        if matches!(end, Bound::Excluded(end) if end <= start) {
            return Ok(());
        }
        for (key, value) in self.0.range::<[u8], _>((Bound::Included(start), end)) {
            if visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, _: &Delta, _: &Marker) -> Result<()> {
        Err(internal("a copy of state is not written to"))
    }
}
