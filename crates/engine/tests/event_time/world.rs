// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One function and everything that it needs.

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::broker::PollLimit;
use fnstream_core::epoch::FunctionId;
use fnstream_core::function_log::ProcessLog;
use fnstream_core::spec::{DesiredState, FunctionEntry, FunctionSpec, InputSelector};
use fnstream_core::test_util::clock::ManualClock;
use fnstream_core::test_util::mem_broker::MemBroker;
use fnstream_core::test_util::mem_state::MemStateStores;
use fnstream_engine::native::NativeProgram;
use fnstream_engine::{Backend, Engine, EngineConfig, EngineDeps, EpochBounds, ManualDriver, TaskState};

pub(crate) const ID: FunctionId = FunctionId(1);

/// One function, in virtual time.
pub(crate) struct World {
    pub broker: MemBroker,
    pub clock: Arc<ManualClock>,
    pub stores: Arc<MemStateStores>,
    pub entry: FunctionEntry,
    pub config: EngineConfig,
    pub epoch: EpochBounds,
    pub running: Option<(Engine, ManualDriver)>,
    pub lives: u32,
}

impl World {
    pub(crate) fn new(spec: FunctionSpec) -> World {
        let spec = FunctionSpec {
            name: "f".into(),
            artifact: "native".into(),
            outputs: vec!["out".into()],
            replicas: 1,
            ..spec
        };
        spec.validate().unwrap();
        let broker = MemBroker::new();
        for topic in spec.topics() {
            broker.create_topic(&topic.name, 1);
        }
        let batch = PollLimit { records: 4, bytes: 1 << 20 };
        World {
            broker,
            clock: Arc::new(ManualClock::new(0)),
            stores: Arc::new(MemStateStores::new()),
            entry: FunctionEntry { id: ID, revision: 1, desired: DesiredState::Running, created_ms: 0, spec },
            config: EngineConfig { batch, ..EngineConfig::default() },
            epoch: EpochBounds::default(),
            running: None,
            lives: 0,
        }
    }

    /// Starts a process that runs the function; one that runs is killed.
    pub(crate) fn start(&mut self, program: Arc<NativeProgram>) {
        self.running = None;
        if self.lives > 0 {
            self.broker.crash(0, |_| true);
        }
        self.lives += 1;
        let client = self.broker.connect(0);
        let deps = EngineDeps { clock: self.clock.clone(), log: Arc::new(ProcessLog) };
        let backend =
            Backend { broker: client.clone(), committer: client, state_stores: self.stores.clone(), epoch: self.epoch };
        let (engine, driver) = Engine::manual(self.config.clone(), deps);
        engine.start_function(&self.entry, program, backend).unwrap();
        self.broker.assign_free(ID, 0);
        self.running = Some((engine, driver));
    }

    /// Runs until nothing is left to do now.
    pub(crate) fn settle(&self) {
        let (_, driver) = self.running.as_ref().unwrap();
        let mut ran = 0;
        loop {
            while driver.ready() > 0 {
                driver.run(0);
                ran += 1;
                assert!(ran < 100_000, "a task runs for ever");
            }
            if self.broker.commit_all() == 0 {
                return;
            }
        }
    }

    pub(crate) fn wait(&self, time: Duration) {
        self.clock.advance(time);
        self.settle();
    }

    pub(crate) fn produce(&self, topic: &str, value: &str, time: i64) {
        self.broker.produce_at(topic, b"k", value.as_bytes(), time);
    }

    pub(crate) fn outputs(&self) -> Vec<String> {
        let values = self.broker.values("out", 0);
        values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    pub(crate) fn state_of(&self, index: u32) -> TaskState {
        let status = self.running.as_ref().unwrap().0.status(ID).unwrap();
        status.tasks.iter().find(|task| task.index == index).unwrap().state
    }
}

pub(crate) fn groups(count: usize, selector: InputSelector) -> FunctionSpec {
    FunctionSpec {
        inputs: (0..count).map(|g| vec![format!("in{g}").into()]).collect(),
        selector,
        ..FunctionSpec::default()
    }
}
