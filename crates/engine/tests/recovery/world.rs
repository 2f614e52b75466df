// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One engine with one function on a [`Fake`].

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::dead_letter::DeadLetter;
use fnstream_core::epoch::FunctionId;
use fnstream_core::function_log::ProcessLog;
use fnstream_core::runtime::Host;
use fnstream_core::spec::{DesiredState, FunctionEntry, FunctionSpec};
use fnstream_core::test_util::clock::ManualClock;
use fnstream_core::test_util::mem_broker::MemBroker;
use fnstream_core::test_util::mem_state::MemStateStores;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::native::NativeProgram;
use fnstream_engine::{Backend, Engine, EngineConfig, EngineDeps, EpochBounds, ManualDriver, TaskStatus};
use fnstream_frame::{Headers, RecordRef};

use crate::fake::{Fake, FakeBroker};

pub(crate) const ID: FunctionId = FunctionId(1);

pub(crate) struct World {
    pub(crate) broker: MemBroker,
    pub(crate) fake: Arc<Fake>,
    pub(crate) engine: Engine,
    pub(crate) driver: Arc<ManualDriver>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) stores: Arc<MemStateStores>,
    spec: FunctionSpec,
}

/// A function `f` from `in` to `out`.
pub(crate) fn spec() -> FunctionSpec {
    FunctionSpec {
        name: "f".into(),
        artifact: "native".into(),
        inputs: vec![vec!["in".into()]],
        outputs: vec!["out".into()],
        replicas: 1,
        ..FunctionSpec::default()
    }
}

/// Passes records on, and fails at those that begin with an x.
pub(crate) fn picky(record: RecordRef<'_>, host: &mut dyn Host) -> Result<()> {
    host.emit(record.on(0))?;
    match record.bytes().starts_with(b"x") {
        true => Err(Error::new(ErrorCode::GuestTrap, "it does not like it")),
        false => Ok(()),
    }
}

impl World {
    /// A world with the function's topics, of one partition each, in which nothing runs yet.
    pub(crate) fn new(spec: FunctionSpec) -> World {
        spec.validate().unwrap();
        let broker = MemBroker::new();
        for topic in spec.topics() {
            broker.create_topic(&topic.name, 1);
        }
        Self::over(spec, broker)
    }

    pub(crate) fn over(spec: FunctionSpec, broker: MemBroker) -> World {
        Self::with(spec, broker, EngineConfig::default())
    }

    pub(crate) fn with(spec: FunctionSpec, broker: MemBroker, config: EngineConfig) -> World {
        let clock = Arc::new(ManualClock::new(0));
        let deps = EngineDeps { clock: clock.clone(), log: Arc::new(ProcessLog) };
        let (engine, driver) = Engine::manual(config, deps);
        let fake = Fake::new(broker.connect(0));
        let stores = Arc::new(MemStateStores::new());
        World { broker, fake, engine, driver: Arc::new(driver), clock, stores, spec }
    }

    pub(crate) fn start(
        &self,
        function: impl Fn(RecordRef<'_>, &mut dyn Host) -> Result<()> + Send + Sync + Clone + 'static,
    ) {
        let program = NativeProgram::new(move || {
            let function = function.clone();
            Box::new(move |record, host| function(record, host))
        });
        let spec = self.spec.clone();
        let entry = FunctionEntry { id: ID, revision: 7, desired: DesiredState::Running, created_ms: 0, spec };
        self.engine.start_function(&entry, program, self.backend()).unwrap();
        self.broker.assign_free(ID, 0);
    }

    pub(crate) fn backend(&self) -> Backend {
        Backend {
            broker: Arc::new(FakeBroker(self.fake.clone())),
            committer: self.fake.clone(),
            state_stores: self.stores.clone(),
            epoch: EpochBounds::default(),
        }
    }

    pub(crate) fn produce(&self, values: &[&str]) {
        for value in values {
            self.broker.produce("in", b"k", value.as_bytes());
        }
    }

    /// Runs what is ready, without committing anything.
    pub(crate) fn run(&self) -> usize {
        let mut ran = 0;
        while self.driver.ready() > 0 {
            self.driver.run(0);
            ran += 1;
            assert!(ran < 100_000, "a task runs for ever");
        }
        ran
    }

    /// Runs and commits until there is nothing left to do now.
    pub(crate) fn settle_now(&self) {
        while self.run() + self.broker.commit_all() > 0 {}
    }

    /// The same, and lets time pass until nothing comes of that either.
    pub(crate) fn settle(&self) {
        for _ in 0..100 {
            self.settle_now();
            self.clock.advance(Duration::from_millis(500));
        }
        self.settle_now();
    }

    pub(crate) fn outputs(&self) -> String {
        let values = self.broker.values("out", 0);
        values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect::<Vec<_>>().join(" ")
    }

    /// Value and code of each dead letter.
    pub(crate) fn dead_letters(&self) -> Vec<(String, String)> {
        let records = self.broker.read("f.dlq", 0);
        let read = |record: &fnstream_core::test_util::mem_broker::StoredRecord| {
            let code = DeadLetter::read(Headers::parse(&record.headers).unwrap()).unwrap().code;
            (String::from_utf8_lossy(record.bytes()).into_owned(), code)
        };
        records.iter().map(read).collect()
    }

    pub(crate) fn task(&self) -> TaskStatus {
        self.engine.status(ID).unwrap().tasks[0].clone()
    }
}
