// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The store and the engine that a function runs on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use fnstream_core::budget::Budget;
use fnstream_core::budget::guests::Guests;
use fnstream_core::clock::{Clock, SystemClock};
use fnstream_core::error::internal;
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::runtime::Runtime;
use fnstream_core::spec::{DesiredState, FunctionEntry, FunctionSpec};
use fnstream_core::topic::{Topic, TopicRef};
use fnstream_core::topics::Retention;
use fnstream_core::{Error, ErrorCode};
use fnstream_engine::{
    Backend, Engine, EngineConfig, EngineDeps, EpochBounds, FunctionState, FunctionStatus, StopMode,
};
use fnstream_server::{granted, memory};
use fnstream_store::{Durability, Store, StoreOptions};
use tempfile::TempDir;

use super::Args;
use super::bell::Bell;
use super::ending::{Ending, Endings};
use super::log::Stderr;
use super::spec::Described;
use crate::failure::Result;
use crate::interrupt;
use crate::local;

/// How long the end of the function may take; a call has less.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Host {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) endings: Arc<Endings>,
    /// The folder that is kept.
    pub(super) kept: Option<PathBuf>,
    /// Where the dead letters of this run begin, if the function keeps any.
    pub(super) letters: Option<(TopicPartition, Position)>,
    engine: Engine,
    entry: FunctionEntry,
    _temporary: Option<TempDir>,
}

impl Host {
    pub(super) fn open(described: &Described, args: &Args, bell: &Bell) -> Result<Self> {
        let (folder, temporary) = match &args.data_dir {
            Some(folder) => (folder.clone(), None),
            None => {
                let temporary = TempDir::with_prefix("function-stream-run-")?;
                interrupt::remove_at_end(temporary.path().to_owned())?;
                (temporary.path().join("data"), Some(temporary))
            }
        };
        let (clock, budget) = (Arc::new(SystemClock::new()), Budget::new(memory::usual()));
        let log = Arc::new(Stderr { verbose: args.verbose });
        let store = Store::open(
            &folder,
            StoreOptions {
                durability: if temporary.is_some() { Durability::Os } else { Durability::Group },
                block_cache_bytes: budget.cache(),
                write_buffer_bytes: budget.cache(),
                clock: clock.clone(),
                ..StoreOptions::default()
            },
        )?;
        let runtime = local::runtime(args.data_dir.as_deref(), log.clone())?;
        let program = runtime.load_within(&described.artifact, budget.compiling.limit())?;
        make_topics(&store, &described.spec)?;
        let entry = register(&store, described)?;
        // Looked at before the function goes on with what an earlier run has left: it may fail at that.
        let letters = described.spec.dead_letter_topic().map(|topic| letters(&store, topic)).transpose()?;
        let config = EngineConfig {
            guests: Guests::new(budget.guests.clone()),
            dirty_bytes: budget.cache(),
            cache_bytes: budget.cache(),
            ..EngineConfig::default()
        };
        let engine = Engine::start(config, EngineDeps { clock: clock.clone(), log })?;
        let endings = Arc::new(Endings::default());
        let backend = Backend {
            broker: Arc::new(Ending { broker: store.broker(), endings: endings.clone() }),
            committer: store.committer(),
            state_stores: store.state_stores(),
            epoch: EpochBounds::default(),
        };
        let host = Host {
            kept: args.data_dir.clone(),
            letters,
            entry: granted(&described.allowed, &entry)?,
            _temporary: temporary,
            store,
            clock,
            endings,
            engine,
        };
        host.engine.start_function(&host.entry, program, backend)?;
        host.engine.watch_function(host.entry.id, bell.waker());
        Ok(host)
    }

    pub(super) fn status(&self) -> FunctionStatus {
        let none = FunctionStatus { state: FunctionState::Starting, kind: "", tasks: Vec::new() };
        self.engine.status(self.entry.id).unwrap_or(none)
    }

    /// Where the function's tasks stand, as they have committed it.
    pub(super) fn standing(&self) -> Result<Positions> {
        let standing = self.store.tasks().progress(self.entry.id)?;
        Ok(standing.into_values().flat_map(|progress| progress.positions).collect())
    }

    /// Has the function finish what it began; what it does is committed then.
    pub(super) fn stop(&self) {
        let (tell, stopped) = sync_channel(1);
        // Nobody listens any more if it took too long.
        let done = Box::new(move |_| tell.try_send(()).unwrap_or_default());
        self.engine.stop_function(self.entry.id, StopMode::Drain, done);
        let _ = stopped.recv_timeout(PATIENCE);
    }

    pub(super) fn close(&self) -> Result {
        self.engine.shutdown(PATIENCE);
        Ok(self.store.close()?)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // After a failure: the engine's threads must not outlive the folder.
        self.engine.shutdown(Duration::from_secs(1));
    }
}

/// The partition of a topic that a run reads or writes: the one that the function names, or the only one.
pub(crate) fn partition(topic: &TopicRef) -> TopicPartition {
    TopicPartition::new(topic.topic.clone(), topic.partition().unwrap_or(0))
}

pub(crate) fn make_topics(store: &Store, spec: &FunctionSpec) -> Result {
    let named = spec.inputs.iter().flatten().chain(&spec.outputs);
    let named = named.map(|topic| (topic.topic.clone(), topic.partition().unwrap_or(0) + 1));
    for (topic, partitions) in named.chain(spec.dead_letter_topic().map(|topic| (topic, 1))) {
        ensure(store, &topic, partitions)?;
    }
    Ok(())
}

pub(crate) fn letters(store: &Store, topic: Topic) -> Result<(TopicPartition, Position)> {
    let end = store.topics().describe(&topic)?.partitions[0].end;
    Ok((TopicPartition::new(topic, 0), end))
}

fn ensure(store: &Store, topic: &Topic, partitions: u32) -> Result {
    match store.topics().create(topic, partitions, Retention::default()) {
        Err(error) if error.code == ErrorCode::TopicExists => Ok(()),
        made => Ok(made?),
    }
}

/// The function in the register of the folder: as it was, changed to what it is now, or new. It is not one that a server which is
/// started on the folder would run.
pub(crate) fn register(store: &Store, described: &Described) -> Result<FunctionEntry> {
    let (register, spec) = (store.metadata(), described.spec.clone());
    let _pin = store.artifacts().put(&described.artifact)?;
    let Some(entry) = register.get(&spec.name)? else { return Ok(register.create(spec, DesiredState::Stopped)?) };
    if entry.spec == spec {
        return Ok(entry);
    }
    if entry.spec.inputs != spec.inputs || entry.spec.selector != spec.selector {
        let message = format!(
            "the folder has a function '{}' with other inputs, to which its state belongs: choose another folder",
            spec.name
        );
        return Err(Error::new(ErrorCode::InvalidSpec, message).into());
    }
    if entry.desired == DesiredState::Running {
        let message = format!("function '{}' of the folder is a server's: stop it there first", spec.name);
        return Err(Error::new(ErrorCode::InvalidSpec, message).into());
    }
    register.update(spec, DesiredState::Stopped, entry.revision, None).map_err(|error| match error.code {
        ErrorCode::FunctionChanged => internal("the folder is locked, and was changed").into(),
        _ => error.into(),
    })
}
