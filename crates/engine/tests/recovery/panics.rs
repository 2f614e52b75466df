// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A panic at any seam costs its task a wait and nothing else: nothing lost, nothing doubled, and the others go on.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::delta::Write;
use fnstream_core::epoch::{FunctionId, TaskId};
use fnstream_core::function_log::ProcessLog;
use fnstream_core::runtime::{Host, Program};
use fnstream_core::spec::{DesiredState, FunctionEntry, FunctionSpec, Watermark, WatermarkStrategy};
use fnstream_core::test_util::clock::ManualClock;
use fnstream_core::test_util::mem_broker::MemBroker;
use fnstream_core::test_util::mem_state::MemStateStores;
use fnstream_core::timer::{TimeDomain, Timer};
use fnstream_core::{Error, ErrorCode};
use fnstream_engine::native::{NativeProgram, Told};
use fnstream_engine::{Backend, Engine, EngineConfig, EngineDeps, EpochBounds, ManualDriver, TaskState, TaskStatus};
use fnstream_frame::RecordRef;

use crate::planted::{Bomb, Planted, SEAMS, backend};
use crate::world::spec;

const PLANTED: FunctionId = FunctionId(1);
const OTHER: FunctionId = FunctionId(2);

/// Two functions that read the same topic: what the one uses panics, what the other uses does not.
struct World {
    broker: MemBroker,
    clock: Arc<ManualClock>,
    bomb: Arc<Bomb>,
    engine: Engine,
    driver: ManualDriver,
}

/// Counts records of the same value, sets a timer for the first of each, and tells of all that. It fails once, as functions do, if
/// it is told to: at the second record that it is given, so that it has to go back for the first.
fn counting(fails: bool) -> Arc<dyn Program> {
    let given = Arc::new(AtomicU64::new(0));
    NativeProgram::with_time(move || {
        let given = given.clone();
        let process = Box::new(move |record: RecordRef<'_>, host: &mut dyn Host| {
            if given.fetch_add(1, Relaxed) == 1 && fails {
                return Err(Error::new(ErrorCode::GuestTrap, "the second one fails"));
            }
            let count = host.get(record.bytes())?.map_or(0, |count| count.len()) + 1;
            host.write(record.bytes(), Write::Put(Bytes::from(vec![b'1'; count])))?;
            let mut keys = 0;
            host.scan(b"", None, &mut |_, _| {
                keys += 1;
                std::ops::ControlFlow::Continue(())
            })?;
            if count == 1 {
                let key = Bytes::copy_from_slice(record.bytes());
                host.set_timer(Timer { domain: TimeDomain::Processing, key, at_ms: 500 })?;
            }
            host.emit(RecordRef::new(&[record.bytes(), count.to_string().as_bytes()].concat()))
        });
        let tell = Box::new(|told: Told<'_>, host: &mut dyn Host| match told {
            Told::Timers(timers) => timers.iter().try_for_each(|timer| host.emit(RecordRef::new(&timer.key))),
            Told::Watermark { .. } => Ok(()),
        });
        (process, tell)
    })
}

impl World {
    fn new() -> Self {
        let broker = MemBroker::new();
        for topic in ["in", "out", "other", "f.dlq", "g.dlq"] {
            broker.create_topic(topic, 1);
        }
        let (clock, bomb) = (Arc::new(ManualClock::new(0)), Arc::new(Bomb::default()));
        let deps = EngineDeps {
            clock: Arc::new(Planted(clock.clone(), bomb.clone())),
            log: Arc::new(Planted(ProcessLog, bomb.clone())),
        };
        let config = EngineConfig { dirty_keys: 1, ..EngineConfig::default() };
        let (engine, driver) = Engine::manual(config, deps);
        World { broker, clock, bomb, engine, driver }
    }

    fn start(&self) {
        let client = self.broker.connect(0);
        let stores = |stores| client.state_stores(stores);
        let plain = Backend {
            broker: client.clone(),
            committer: client.clone(),
            state_stores: stores(Arc::new(MemStateStores::new())),
            epoch: EpochBounds::default(),
        };
        let watermark = Watermark {
            idle_advance: None,
            strategy: WatermarkStrategy::Monotonic,
            idle_timeout: Some(Duration::from_secs(1)),
            max_ahead: None,
        };
        let watermarks = [("in".into(), watermark)].into();
        let planted = FunctionSpec { watermarks, ..spec() };
        let other = FunctionSpec { name: "g".into(), outputs: vec!["other".into()], ..spec() };
        let entry = |id, spec| FunctionEntry { id, revision: 1, desired: DesiredState::Running, created_ms: 0, spec };
        let program = Arc::new(Planted(counting(true), self.bomb.clone()));
        self.engine.start_function(&entry(PLANTED, planted), program, backend(&self.bomb, plain.clone())).unwrap();
        self.engine.start_function(&entry(OTHER, other), counting(false), plain).unwrap();
        for function in [PLANTED, OTHER] {
            self.broker.assign_free(function, 0);
        }
    }

    fn settle_now(&self) {
        let mut ran = 0;
        loop {
            let before = ran;
            while self.driver.ready() > 0 {
                self.bomb.armed(|| self.driver.run(0));
                ran += 1;
                assert!(ran < 100_000, "a task runs for ever");
            }
            if ran == before && self.broker.commit_all() == 0 {
                return;
            }
        }
    }

    fn settle(&self, seconds: u64) {
        for _ in 0..2 * seconds {
            self.settle_now();
            self.clock.advance(Duration::from_millis(500));
        }
        self.settle_now();
    }

    fn values(&self, topic: &str) -> Vec<String> {
        let mut values: Vec<_> =
            self.broker.values(topic, 0).iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect();
        values.sort();
        values
    }

    fn produce(&self, values: &[&str]) {
        for value in values {
            self.broker.produce_at("in", b"k", value.as_bytes(), 1_000);
        }
    }

    fn task(&self, function: FunctionId) -> TaskStatus {
        self.engine.status(function).unwrap().tasks[0].clone()
    }
}

#[test]
fn wherever_a_panic_is_planted_nothing_is_lost_or_doubled_and_the_others_go_on() {
    for seam in SEAMS {
        let mut blown = 0;
        for nth in 1..=6 {
            let world = World::new();
            world.bomb.plant(seam, nth);
            if seam == "log.write" {
                // Something has to be told.
                world.bomb.plant("source.poll", 3);
            }
            world.start();
            world.produce(&["a", "b", "a"]);
            world.settle(20);
            world.produce(&["a"]);
            world.settle(20);
            let context = format!("{seam} at passing {nth}: {:?}", world.task(PLANTED));
            let all = ["a", "a1", "a2", "a3", "b", "b1"];
            assert_eq!(world.values("out"), all, "{context}");
            assert_eq!(world.values("other"), all, "{context}");
            let state = world.broker.state(TaskId::new(PLANTED, 0));
            assert_eq!(state.len(), 2, "{context}");
            let task = world.task(PLANTED);
            assert_eq!(task.state, TaskState::Running, "{context}");
            blown += world.bomb.blown().get(seam).copied().unwrap_or_default();
            assert!(world.values("f.dlq").is_empty(), "no record is to blame: {context}");
        }
        assert!(blown > 0, "{seam} was never passed");
    }
}

#[test]
fn a_panic_is_told_with_its_place_counted_and_waited_for_longer_each_time() {
    let world = World::new();
    for (seam, nth) in [("source.poll", 1), ("clock.unix_ms", 1_000_000)] {
        world.bomb.plant(seam, nth);
    }
    world.start();
    world.produce(&["a"]);
    world.settle_now();
    let task = world.task(PLANTED);
    let error = task.last_error.unwrap();
    assert_eq!((task.state, error.code), (TaskState::BackingOff, ErrorCode::Panicked));
    assert!(error.message.contains("planted.rs:") && error.message.ends_with("planted in source.poll"), "{error:?}");
    assert_eq!(world.engine.meters().get("f").unwrap().panics.get(), 1);
    assert_eq!(world.engine.meters().get("g").unwrap().panics.get(), 0);
    assert_eq!(world.task(OTHER).state, TaskState::Running);
    // Again and again, for an hour: at first often, then twice a minute.
    let mut tries = Vec::new();
    for _ in 0..60 {
        for _ in 0..60 {
            world.bomb.plant("source.poll", 1);
            world.settle_now();
            world.clock.advance(Duration::from_secs(1));
        }
        tries.push(world.task(PLANTED).restarts);
    }
    let in_minute = |minute: usize| tries[minute] - tries[minute - 1];
    assert!(tries[0] > 5, "{tries:?}");
    assert!((1..=3).contains(&in_minute(30)) && (1..=3).contains(&in_minute(59)), "{tries:?}");
    world.bomb.plant("source.poll", u32::MAX);
    world.settle(40);
    assert_eq!(world.task(PLANTED).state, TaskState::Running);
    assert_eq!(world.values("out"), ["a", "a1"]);
}
