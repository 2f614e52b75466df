// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The record at which an instance ends without a word, by a trap or an exit, is known at once: an SDK keeps the index of the
//! record at hand where the host can read it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use fnstream_core::ErrorCode;
use fnstream_core::batch::Batch;
use fnstream_core::epoch::{Epoch, FunctionId};
use fnstream_core::function_log::ProcessLog;
use fnstream_core::runtime::{CallResult, Instance, InstanceSpec, Limits, Program, SharedHost};
use fnstream_core::spec::{DesiredState, ErrorPolicy, FunctionEntry, FunctionSpec};
use fnstream_core::test_util::clock::ManualClock;
use fnstream_core::test_util::mem_broker::MemBroker;
use fnstream_core::test_util::mem_state::MemStateStores;
use fnstream_core::timer::{TimeDomain, Timer};
use fnstream_engine::{Backend, Engine, EngineConfig, EngineDeps, EpochBounds};

use crate::artifacts;
use crate::task::{Task, batch};

const RECORDS: usize = 1_024;
const CULPRIT: usize = 700;

/// As many records as a batch has at most, one of which ends the instance.
fn values() -> Vec<&'static str> {
    let mut values = vec!["field"; RECORDS];
    values[CULPRIT] = "die";
    values
}

fn names_the_culprit(program: &Arc<dyn Program>, code: ErrorCode) {
    // Where nothing but the limit of a call ends an instance, that is soon.
    let limits = Limits { call_time: Duration::from_millis(300), ..Limits::default() };
    let start = || Task::limited(program, &BTreeMap::new(), 1, limits).unwrap();
    let mut task = start();
    task.instance.process(&batch(0, &["field", "field"])).unwrap();
    let failed = task.instance.process(&batch(0, &values())).unwrap_err();
    assert_eq!((failed.error.code, failed.record), (code, Some(CULPRIT as u32)));

    let mut task = start();
    task.instance.process(&batch(0, &["put on:b die"])).unwrap();
    let timer = |key: &'static str| Timer { domain: TimeDomain::Event, key: key.into(), at_ms: 1 };
    let failed = task.instance.on_timers(&[timer("a"), timer("b"), timer("c")]).unwrap_err();
    assert_eq!((failed.error.code, failed.record), (code, Some(1)));

    // No record is at hand between batches.
    let mut task = start();
    task.instance.process(&batch(0, &["field"])).unwrap();
    let failed = task.instance.custom(b"die").unwrap_err();
    assert_eq!((failed.error.code, failed.record), (code, None));
}

#[test]
fn a_trap_of_the_rust_sdk_names_its_record() {
    names_the_culprit(&artifacts::rust_packed(), ErrorCode::GuestTrap);
}

#[test]
fn a_loop_without_end_in_the_javascript_engine_names_its_record() {
    names_the_culprit(&artifacts::javascript(), ErrorCode::GuestTimeout);
}

#[test]
fn an_exit_of_the_go_sdk_names_its_record() {
    names_the_culprit(artifacts::go_packed(), ErrorCode::GuestExit);
}

/// The first failure names the record, the second finds it alone; one that names none is halved ten times.
#[test]
fn a_culprit_among_1024_records_costs_two_failed_calls() {
    let program = artifacts::rust_packed();
    assert_eq!(failed_calls(&program, true), 2);
    let halving = failed_calls(&program, false);
    assert!(halving >= 9, "only {halving} calls failed with nothing known of the record");
}

/// The calls that fail until the culprit is a dead letter and everything else is done.
fn failed_calls(program: &Arc<dyn Program>, named: bool) -> usize {
    let spec = FunctionSpec {
        name: "f".into(),
        artifact: "conformance".into(),
        inputs: vec![vec!["in".into()]],
        outputs: vec!["out".into()],
        replicas: 1,
        on_error: ErrorPolicy { retries: 0, ..ErrorPolicy::default() },
        ..FunctionSpec::default()
    };
    let broker = MemBroker::new();
    for topic in spec.topics() {
        broker.create_topic(&topic.name, 1);
    }
    for value in values() {
        broker.append("in", 0, value.as_bytes());
    }
    let (clock, client) = (Arc::new(ManualClock::new(0)), broker.connect(0));
    let deps = EngineDeps { clock: clock.clone(), log: Arc::new(ProcessLog) };
    let backend = Backend {
        broker: client.clone(),
        committer: client,
        state_stores: Arc::new(MemStateStores::new()),
        epoch: EpochBounds::default(),
    };
    let (engine, driver) = Engine::manual(EngineConfig::default(), deps);
    let entry = FunctionEntry { id: FunctionId(1), revision: 1, desired: DesiredState::Running, created_ms: 0, spec };
    let failed = Arc::new(AtomicUsize::new(0));
    engine
        .start_function(&entry, Arc::new(Watched { program: program.clone(), named, failed: failed.clone() }), backend)
        .unwrap();
    broker.assign_free(FunctionId(1), 0);
    let meter = engine.meters().of("f");
    for _ in 0..1_000 {
        while driver.ready() > 0 {
            driver.run(0);
        }
        if broker.commit_all() == 0 {
            clock.advance(Duration::from_millis(100));
        }
    }
    assert_eq!((meter.records_dead_lettered.get(), broker.values("out", 0).len()), (1, RECORDS - 1));
    failed.load(Relaxed)
}

/// A program whose failed calls are counted, and which may be kept from naming the record.
struct Watched {
    program: Arc<dyn Program>,
    named: bool,
    failed: Arc<AtomicUsize>,
}

impl Program for Watched {
    fn kind(&self) -> &'static str {
        self.program.kind()
    }

    fn instantiate(&self, spec: &InstanceSpec, host: SharedHost) -> CallResult<Box<dyn Instance>> {
        let instance = self.program.instantiate(spec, host)?;
        Ok(Box::new(WatchedInstance { instance, named: self.named, failed: self.failed.clone() }))
    }
}

struct WatchedInstance {
    instance: Box<dyn Instance>,
    named: bool,
    failed: Arc<AtomicUsize>,
}

impl Instance for WatchedInstance {
    fn init(&mut self) -> CallResult {
        self.instance.init()
    }

    fn process(&mut self, batch: &Batch) -> CallResult {
        self.instance.process(batch).map_err(|failure| {
            self.failed.fetch_add(1, Relaxed);
            if self.named { failure } else { failure.at_record(None) }
        })
    }

    fn process_watermark(&mut self, source: u32, watermark: u64) -> CallResult {
        self.instance.process_watermark(source, watermark)
    }

    fn take_checkpoint(&mut self, epoch: Epoch) -> CallResult {
        self.instance.take_checkpoint(epoch)
    }

    fn check_heartbeat(&mut self) -> CallResult<bool> {
        self.instance.check_heartbeat()
    }

    fn close(&mut self) -> CallResult {
        self.instance.close()
    }

    fn exec(&mut self, class_name: &str, modules: &[(String, Vec<u8>)]) -> CallResult {
        self.instance.exec(class_name, modules)
    }

    fn custom(&mut self, payload: &[u8]) -> CallResult<Vec<u8>> {
        self.instance.custom(payload)
    }

    fn memory_bytes(&self) -> usize {
        self.instance.memory_bytes()
    }
}
