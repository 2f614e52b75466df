// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Ending a function in the middle of a call: at once, or after a time of grace; nothing is lost or doubled by it.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use fnstream_core::clock::SystemClock;
use fnstream_core::function_log::ProcessLog;
use fnstream_core::runtime::Program;
use fnstream_core::spec::{DesiredState, FunctionEntry};
use fnstream_core::test_util::mem_broker::MemBroker;
use fnstream_core::test_util::mem_state::MemStateStores;
use fnstream_core::test_util::waits::Waits;
use fnstream_core::{ErrorCode, Result};
use fnstream_engine::native::NativeProgram;
use fnstream_engine::{Backend, Engine, EngineConfig, EngineDeps, EpochBounds, Request, StopMode, Stopped};
use parking_lot::Mutex;

use crate::world::{ID, World as Manual, picky, spec};

/// How long a test waits for what must come.
const LONG: Duration = Duration::from_secs(60);

/// A program whose calls wait until they are let go or interrupted, and then emit their records. It tells when a call begins to
/// wait; interrupts do not reach a deaf one.
fn waits(entered: Sender<()>, let_go: Receiver<()>, deaf: bool) -> Arc<dyn Program> {
    let let_go = Mutex::new(let_go);
    Arc::new(Waits::new(move |interrupt| {
        entered.send(()).unwrap();
        let let_go = let_go.lock();
        while deaf || !interrupt.wait(Duration::from_millis(1)) {
            if let_go.recv_timeout(Duration::from_millis(1)).is_ok() {
                return Ok(());
            }
        }
        Err(interrupt.error().into())
    }))
}

struct World {
    broker: MemBroker,
    engine: Engine,
    backend: Backend,
    entered: Receiver<()>,
    let_go: Sender<()>,
    waits: Arc<dyn Program>,
}

impl World {
    fn new(grace: Duration, deaf: bool) -> Self {
        let broker = MemBroker::on_autopilot();
        for topic in ["in", "out", "f.dlq"] {
            broker.create_topic(topic, 1);
        }
        let client = broker.connect(0);
        let deps = EngineDeps { clock: Arc::new(SystemClock::new()), log: Arc::new(ProcessLog) };
        let engine = Engine::start(EngineConfig { workers: 2, grace, ..EngineConfig::default() }, deps).unwrap();
        let backend = Backend {
            broker: client.clone(),
            committer: client,
            state_stores: Arc::new(MemStateStores::new()),
            epoch: EpochBounds::default(),
        };
        let ((entered, enters), (let_go, goes)) = (mpsc::channel(), mpsc::channel());
        World { broker, engine, backend, entered: enters, let_go, waits: waits(entered, goes, deaf) }
    }

    fn start(&self, program: Arc<dyn Program>) {
        let entry = FunctionEntry { id: ID, revision: 1, desired: DesiredState::Running, created_ms: 0, spec: spec() };
        self.engine.start_function(&entry, program, self.backend.clone()).unwrap();
    }

    /// Starts the function, and is in the middle of its first call.
    fn in_a_call(&self) {
        self.start(self.waits.clone());
        self.broker.produce("in", b"k", b"a");
        self.entered.recv_timeout(LONG).unwrap();
    }

    fn stop(&self, mode: StopMode) -> Receiver<Stopped> {
        let (told, stopped) = mpsc::channel();
        self.engine.stop_function(ID, mode, Box::new(move |how| told.send(how).unwrap_or_default()));
        stopped
    }

    /// Runs the function as it should be, until so many records are there.
    fn outputs_of_a_good_one(&self, count: usize) -> Vec<Vec<u8>> {
        let program = NativeProgram::new(|| Box::new(|record, host| host.emit(record)));
        self.start(program);
        let until = Instant::now() + LONG;
        while self.broker.values("out", 0).len() < count {
            assert!(Instant::now() < until, "{:?}", self.engine.status(ID));
            std::thread::yield_now();
        }
        self.engine.shutdown(LONG);
        self.broker.values("out", 0).into_iter().map(|value| value.to_vec()).collect()
    }
}

#[test]
fn an_abort_interrupts_a_call_at_once() {
    // The grace plays no part.
    let world = World::new(LONG * 10, false);
    world.in_a_call();
    world.stop(StopMode::Abort).recv_timeout(LONG).unwrap();
    assert!(world.broker.values("out", 0).is_empty());
    world.broker.produce("in", b"k", b"b");
    assert_eq!(world.outputs_of_a_good_one(2), [b"a", b"b"]);
}

#[test]
fn an_orderly_end_interrupts_a_call_after_its_grace_and_not_before() {
    let grace = Duration::from_millis(300);
    let world = World::new(grace, false);
    world.in_a_call();
    let begun = Instant::now();
    world.stop(StopMode::Drain).recv_timeout(LONG).unwrap();
    assert!(begun.elapsed() >= grace);
    assert!(world.broker.values("out", 0).is_empty());
    assert_eq!(world.outputs_of_a_good_one(1), [b"a"]);
}

#[test]
fn a_call_that_ends_within_its_grace_is_committed() {
    let world = World::new(LONG, false);
    world.in_a_call();
    let stopped = world.stop(StopMode::Drain);
    world.let_go.send(()).unwrap();
    stopped.recv_timeout(LONG).unwrap();
    assert_eq!(world.broker.values("out", 0), [b"a"[..].to_vec()]);
    world.broker.produce("in", b"k", b"b");
    assert_eq!(world.outputs_of_a_good_one(2), [b"a", b"b"], "it is not done again");
}

#[test]
fn a_shutdown_takes_no_longer_than_the_grace() {
    let world = World::new(Duration::from_millis(50), false);
    world.in_a_call();
    let begun = Instant::now();
    world.engine.shutdown(LONG);
    assert!(begun.elapsed() < LONG / 2);
}

#[test]
fn a_request_that_is_interrupted_says_so() {
    let world = World::new(LONG, false);
    world.start(world.waits.clone());
    let (told, answer) = mpsc::channel();
    let done = Box::new(move |answer: Result<Vec<u8>>| drop(told.send(answer.map_err(|e| e.code))));
    let until = Instant::now() + LONG;
    while world.engine.tasks(ID).is_empty() {
        assert!(Instant::now() < until);
        std::thread::yield_now();
    }
    world.engine.request(ID, 0, Request::Custom(b"x".to_vec()), LONG, done);
    world.entered.recv_timeout(LONG).unwrap();
    world.stop(StopMode::Abort).recv_timeout(LONG).unwrap();
    assert_eq!(answer.recv_timeout(LONG).unwrap(), Err(ErrorCode::Interrupted));
}

#[test]
fn one_that_cannot_be_interrupted_is_abandoned_and_its_tasks_taken_over() {
    let world = World::new(Duration::from_millis(1), true);
    world.in_a_call();
    let stopped = world.stop(StopMode::Abort);
    drop(world.engine.abandon(ID));
    assert!(world.engine.status(ID).is_none());
    let program = NativeProgram::new(|| Box::new(|record, host| host.emit(record)));
    world.start(program);
    world.broker.produce("in", b"k", b"b");
    let until = Instant::now() + LONG;
    while world.broker.values("out", 0).len() < 2 {
        assert!(Instant::now() < until, "{:?}", world.engine.status(ID));
        std::thread::yield_now();
    }
    assert!(stopped.recv_timeout(LONG).is_err(), "nobody is told");
    // Its thread is not waited for either.
    let begun = Instant::now();
    world.engine.shutdown(Duration::from_millis(100));
    assert!(begun.elapsed() < LONG);
    // It comes back from what it waited for, and is nobody's any more.
    for _ in 0..2 {
        world.let_go.send(()).unwrap();
    }
    assert_eq!(world.broker.values("out", 0), [b"a"[..].to_vec(), b"b"[..].to_vec()]);
}

#[test]
fn a_request_that_was_not_begun_in_time_is_not_carried_out() {
    let world = Manual::new(fnstream_core::spec::FunctionSpec {
        on_error: fnstream_core::spec::ErrorPolicy {
            retries: 100,
            backoff: Duration::from_millis(20),
            ..Default::default()
        },
        ..spec()
    });
    world.start(picky);
    world.produce(&["x"]);
    world.settle_now();
    // It waits before it tries the record again.
    let answers = Arc::new(Mutex::new(Vec::new()));
    for most in [Duration::ZERO, LONG * 1000] {
        let answers = answers.clone();
        let done = Box::new(move |answer: Result<Vec<u8>>| answers.lock().push(answer.map_err(|e| e.code)));
        world.engine.request(ID, 0, Request::Custom(b"q".to_vec()), most, done);
    }
    world.settle();
    assert_eq!(*answers.lock(), [Err(ErrorCode::FunctionBusy), Ok(b"q".to_vec())]);
}
