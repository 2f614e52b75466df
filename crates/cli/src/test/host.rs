// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The function of a scenario, on the engine and the store that `run` and the server have, in time that the scenario moves.
//!
//! The engine has no threads here: [`Host::settle`] runs what is ready until nothing is, so that what a step does is done when the
//! next one begins.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::Error;
use fnstream_core::broker::PollLimit;
use fnstream_core::clock::Clock;
use fnstream_core::dead_letter::DeadLetter;
use fnstream_core::epoch::TaskId;
use fnstream_core::function_log::FunctionLog;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::runtime::Program;
use fnstream_core::spec::FunctionEntry;
use fnstream_core::state_key::prefix_end;
use fnstream_core::timer::TIMERS_PREFIX;
use fnstream_core::topic::Topic;
use fnstream_engine::{
    Backend, Engine, EngineConfig, EngineDeps, EpochBounds, FunctionState, FunctionStatus, ManualDriver, StopMode,
};
use fnstream_frame::{FrameBuilder, HeadersBuilder, RecordRef, RecordView};
use fnstream_server::state_key;
use fnstream_store::{Durability, Store, StoreOptions};
use parking_lot::Mutex;
use tempfile::TempDir;

use super::clock::Stage;
use super::waiting::{Counting, Ringing, UnderWay};
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::run::ending::{Ending, Endings};
use crate::run::host::{letters, make_topics, partition, register};
use crate::run::place;
use crate::run::spec::Described;

/// Steps of the engine that one step of a scenario may take.
const MOST_STEPS: usize = 1_000_000;

/// How often a function is tried again at a failure that no record is to blame for.
const MOST_RETRIES: u32 = 5;

/// How long something that is under way may take by the real clock.
const PATIENCE: Duration = Duration::from_secs(60);

const LIMIT: PollLimit = PollLimit { records: 65_536, bytes: 64 << 20 };

/// An event of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Emitted {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) time: i64,
}

impl Emitted {
    pub(crate) fn of(record: &RecordView<'_>) -> Self {
        Emitted {
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
            time: record.timestamp,
        }
    }

    /// Adds it to a frame.
    pub(crate) fn push(&self, frame: &mut FrameBuilder) -> Result {
        let mut headers = HeadersBuilder::new();
        for (name, value) in &self.headers {
            headers.push(name, value).map_err(|e| Failure::Plain(format!("'{name}' is not a header: {e}")))?;
        }
        let record = self.value.as_deref().map_or_else(RecordRef::null, RecordRef::new);
        frame.push(record.with_key(self.key.as_deref()).with_headers(headers.as_headers()).at(self.time));
        Ok(())
    }
}

/// An entry of the state: its store, its key as it is shown, the last part of it, and what it holds.
pub(super) type Entry = (String, String, Vec<u8>);

/// See the module.
pub(super) struct Host {
    engine: Engine,
    driver: ManualDriver,
    pub(super) clock: Arc<Stage>,
    store: Store,
    endings: Arc<Endings>,
    under_way: UnderWay,
    entry: FunctionEntry,
    program: Arc<dyn Program>,
    /// Where the inputs end.
    ends: Vec<(TopicPartition, u128)>,
    letters: Option<(TopicPartition, Position)>,
    _folder: TempDir,
}

impl Host {
    pub(super) fn start(
        described: &Described,
        program: Arc<dyn Program>,
        clock: Arc<Stage>,
        log: Arc<dyn FunctionLog>,
    ) -> Result<Self> {
        let folder = TempDir::with_prefix("function-stream-test-")?;
        interrupt::remove_at_end(folder.path().to_owned())?;
        let options = StoreOptions { durability: Durability::Os, clock: clock.clone(), ..StoreOptions::default() };
        let store = Store::open(&folder.path().join("data"), options)?;
        make_topics(&store, &described.spec)?;
        let entry = register(&store, described)?;
        let entry = fnstream_server::granted(&described.allowed, &entry)?;
        let letters = described.spec.dead_letter_topic().map(|topic| letters(&store, topic)).transpose()?;
        let inputs = described.spec.inputs.iter().flatten();
        let ends = inputs.map(|topic| (partition(topic), 0)).collect();
        let (engine, driver) = Engine::manual(EngineConfig::default(), EngineDeps { clock: clock.clone(), log });
        let (endings, under_way) = (Arc::default(), UnderWay::default());
        let host =
            Host { engine, driver, clock, store, endings, under_way, entry, program, ends, letters, _folder: folder };
        host.go()?;
        Ok(host)
    }

    fn go(&self) -> Result {
        let ringing = Ringing { broker: self.store.broker(), bell: self.under_way.bell.clone() };
        let committer = Counting { committer: self.store.committer(), under_way: self.under_way.clone() };
        let backend = Backend {
            broker: Arc::new(Ending { broker: Arc::new(ringing), endings: self.endings.clone() }),
            committer: Arc::new(committer),
            state_stores: self.store.state_stores(),
            epoch: EpochBounds::default(),
        };
        Ok(self.engine.start_function(&self.entry, self.program.clone(), backend)?)
    }

    pub(super) fn status(&self) -> FunctionStatus {
        let none = FunctionStatus { state: FunctionState::Starting, kind: "", tasks: Vec::new() };
        self.engine.status(self.entry.id).unwrap_or(none)
    }

    /// What is the matter, if the function does not go on: it failed for good, or fails again and again.
    pub(super) fn trouble(&self) -> Option<(Error, Option<String>)> {
        let status = self.status();
        if !matches!(status.state, FunctionState::Failed | FunctionState::BackingOff) {
            return None;
        }
        let error = status.tasks.into_iter().find_map(|task| task.last_error)?;
        Some((Error::new(error.code, error.message), error.backtrace))
    }

    /// Runs until nothing is left to do now.
    pub(super) fn settle(&self) -> Result {
        let (mut steps, mut retries) = (0, 0);
        loop {
            retries += u32::from(self.driver.ready() > 0 && self.status().state == FunctionState::BackingOff);
            while self.driver.ready() > 0 {
                self.driver.run(0);
                steps += 1;
                if steps > MOST_STEPS {
                    return Err(Failure::Plain(
                        "the function does not come to rest: its timers set each other".to_owned(),
                    ));
                }
            }
            if !self.under_way.is_nothing() {
                self.wait()?;
                continue;
            }
            if self.driver.ready() > 0 {
                continue;
            }
            let status = self.status();
            match status.state {
                FunctionState::Failed => return Ok(()),
                FunctionState::BackingOff if retries >= MOST_RETRIES => return Ok(()),
                FunctionState::BackingOff => match self.driver.next_alarm() {
                    Some(then) if then > self.clock.now() => self.clock.skip_to(then),
                    // Of a task that is no more, such as one before a restart, or of one that is just waking.
                    _ => self.wait()?,
                },
                _ if self.ends.iter().any(|(at, end)| place(&status, at) < *end) => self.wait()?,
                _ => return Ok(()),
            }
        }
    }

    fn wait(&self) -> Result {
        if self.driver.ready() > 0 || self.under_way.bell.wait_for(PATIENCE) {
            return Ok(());
        }
        Err(Failure::Plain(format!("nothing happened for {} s", PATIENCE.as_secs())))
    }

    /// Appends records to an input, as one batch.
    pub(super) fn send(&mut self, at: &TopicPartition, records: FrameBuilder) -> Result {
        let count = records.len() as u128;
        let (failed, under_way) = (Arc::new(Mutex::new(None)), self.under_way.clone());
        under_way.begin();
        let done = {
            let failed = failed.clone();
            Box::new(move |appended: fnstream_core::Result<_>| {
                *failed.lock() = appended.err();
                under_way.end();
            })
        };
        self.store.topics().append(&at.topic, Some(at.partition), records.to_bytes().into(), done);
        if let Some((_, end)) = self.ends.iter_mut().find(|(of, _)| of == at) {
            *end += count;
        }
        while !self.under_way.is_nothing() {
            self.wait()?;
        }
        match failed.lock().take() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Where an input ends.
    pub(super) fn end(&self, at: &TopicPartition) -> u128 {
        self.ends.iter().find(|(of, _)| of == at).map_or(0, |(_, end)| *end)
    }

    pub(super) fn watermark(&self, at: &TopicPartition, watermark: u64) {
        self.endings.reach(at, watermark);
    }

    /// Ends the instance, and starts another one.
    pub(super) fn restart(&self) -> Result {
        let under_way = self.under_way.clone();
        under_way.begin();
        self.engine.stop_function(self.entry.id, StopMode::Abort, Box::new(move |_| under_way.end()));
        while !self.under_way.is_nothing() {
            if !self.driver.run(0) {
                self.wait()?;
            }
        }
        self.go()
    }

    /// The events of a topic from a place on; moves it to their end.
    pub(super) fn emitted(&self, topic: &Topic, from: &mut Position) -> Result<Vec<Emitted>> {
        let (mut all, topics) = (Vec::new(), self.store.topics());
        let at = TopicPartition::new(topic.clone(), 0);
        while let Some(batch) = topics.read(&at, *from, LIMIT)? {
            all.extend(batch.iter().map(|(_, record)| Emitted::of(&record)));
            *from = batch.end().unwrap_or(*from);
        }
        Ok(all)
    }

    /// The records that were given up since this was last asked.
    pub(super) fn failed(&mut self) -> Result<Vec<DeadLetter>> {
        let Some((at, from)) = &mut self.letters else { return Ok(Vec::new()) };
        let (mut all, topics) = (Vec::new(), self.store.topics());
        while let Some(batch) = topics.read(at, *from, LIMIT)? {
            all.extend(batch.iter().filter_map(|(_, record)| DeadLetter::read(record.headers)));
            *from = batch.end().unwrap_or(*from);
        }
        Ok(all)
    }

    /// What the function has committed to its stores.
    pub(super) fn state(&self) -> Result<Vec<Entry>> {
        let mut all = Vec::new();
        let start = prefix_end(&TIMERS_PREFIX).unwrap_or_default();
        for index in self.store.tasks().progress(self.entry.id)?.into_keys() {
            self.store.tasks().peek(TaskId::new(self.entry.id, index), &start, &mut |key, value| {
                if let Some((store, key)) = state_key(key) {
                    all.push((store, key, value.to_vec()));
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(all)
    }

    /// The machine's time.
    pub(super) fn now_ms(&self) -> i64 {
        self.clock.unix_ms()
    }
}
