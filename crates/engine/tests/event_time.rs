// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! In which order input groups are read, and what a function is told of time, in virtual time.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::broker::PollLimit;
use fnstream_core::clock::Clock;
use fnstream_core::delta::Write;
use fnstream_core::epoch::{FunctionId, TaskId};
use fnstream_core::function_log::ProcessLog;
use fnstream_core::runtime::Host;
use fnstream_core::spec::{
    DesiredState, ErrorAction, FunctionEntry, FunctionSpec, InputSelector, Watermark, WatermarkStrategy,
};
use fnstream_core::test_util::clock::ManualClock;
use fnstream_core::test_util::mem_broker::MemBroker;
use fnstream_core::test_util::mem_state::MemStateStores;
use fnstream_core::timer::{TimeDomain, Timer};
use fnstream_core::{Error, ErrorCode};
use fnstream_engine::native::{NativeProgram, Told};
use fnstream_engine::{Backend, Engine, EngineConfig, EngineDeps, EpochBounds, ManualDriver, StopMode, TaskState};
use fnstream_frame::RecordRef;

const ID: FunctionId = FunctionId(1);

/// One function, in virtual time.
struct World {
    broker: MemBroker,
    clock: Arc<ManualClock>,
    stores: Arc<MemStateStores>,
    entry: FunctionEntry,
    config: EngineConfig,
    epoch: EpochBounds,
    running: Option<(Engine, ManualDriver)>,
    lives: u32,
}

impl World {
    fn new(spec: FunctionSpec) -> World {
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
    fn start(&mut self, program: Arc<NativeProgram>) {
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
    fn settle(&self) {
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

    fn wait(&self, time: Duration) {
        self.clock.advance(time);
        self.settle();
    }

    fn produce(&self, topic: &str, value: &str, time: i64) {
        self.broker.produce_at(topic, b"k", value.as_bytes(), time);
    }

    fn outputs(&self) -> Vec<String> {
        let values = self.broker.values("out", 0);
        values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    fn state_of(&self, index: u32) -> TaskState {
        let status = self.running.as_ref().unwrap().0.status(ID).unwrap();
        status.tasks.iter().find(|task| task.index == index).unwrap().state
    }
}

fn groups(count: usize, selector: InputSelector) -> FunctionSpec {
    FunctionSpec {
        inputs: (0..count).map(|g| vec![format!("in{g}").into()]).collect(),
        selector,
        ..FunctionSpec::default()
    }
}

/// Says of each record which group it came from.
fn telling_groups() -> Arc<NativeProgram> {
    NativeProgram::new(|| Box::new(|record, host| host.emit(RecordRef::new(record.channel.to_string().as_bytes()))))
}

/// The groups in the order in which batches of them were read, when they have so many records each, in batches of 4.
fn order(selector: InputSelector, records: &[usize]) -> String {
    let mut world = World::new(groups(records.len(), selector));
    for (group, count) in records.iter().enumerate() {
        (0..*count).for_each(|_| world.produce(&format!("in{group}"), "x", 0));
    }
    world.start(telling_groups());
    world.settle();
    let outputs = world.outputs();
    assert_eq!(outputs.len(), records.iter().sum::<usize>(), "nothing is lost");
    outputs.chunk_by(|a, b| a == b).map(|run| format!("{}x{} ", run[0], run.len())).collect()
}

#[test]
fn round_robin_gives_each_group_its_turn() {
    assert_eq!(order(InputSelector::RoundRobin, &[12, 0, 4, 8]), "0x4 2x4 3x4 0x4 3x4 0x4 ");
}

#[test]
fn sequential_drains_a_group_before_the_next() {
    assert_eq!(order(InputSelector::Sequential, &[12, 0, 4, 8]), "0x12 2x4 3x8 ");
}

#[test]
fn priority_leaves_later_groups_waiting() {
    assert_eq!(order(InputSelector::Priority, &[12, 0, 4, 8]), "0x12 2x4 3x8 ");
    // What comes to an earlier group while a later one has a backlog goes first.
    let mut world = World::new(groups(2, InputSelector::Priority));
    world.epoch.records = 4;
    (0..40).for_each(|_| world.produce("in1", "x", 0));
    world.start(telling_groups());
    let (_, driver) = world.running.as_ref().unwrap();
    while world.outputs().len() < 8 {
        assert!(driver.run(0), "it idles");
        world.broker.commit_all();
    }
    (0..8).for_each(|_| world.produce("in0", "x", 0));
    world.settle();
    let outputs = world.outputs();
    let last_of_first = outputs.iter().rposition(|group| group == "0").unwrap();
    let before = outputs[..last_of_first].iter().filter(|group| *group == "1").count();
    assert!((8..=20).contains(&before), "{before} of 40 records of the second group came before the first group's");
    assert_eq!(outputs.len(), 48);
}

#[test]
fn groups_in_parallel_have_tasks_and_state_of_their_own() {
    let mut world = World::new(groups(3, InputSelector::GroupParallel));
    for group in 0..3 {
        (0..=group).for_each(|_| world.produce(&format!("in{group}"), "x", 0));
    }
    world.start(NativeProgram::new(|| {
        Box::new(|record, host| {
            let count = host.get(b"count")?.map_or(0, |v| v.len()) + 1;
            host.write(b"count", Write::Put(vec![0; count].into()))?;
            host.emit(RecordRef::new(format!("{}:{count}", record.channel).as_bytes()))
        })
    }));
    world.settle();
    let mut outputs = world.outputs();
    outputs.sort();
    assert_eq!(outputs, ["0:1", "1:1", "1:2", "2:1", "2:2", "2:3"], "no group sees another's state");
    assert_eq!(world.broker.tasks(ID).iter().map(|task| task.index).collect::<Vec<_>>(), [0, 1, 2]);
    for task in world.broker.tasks(ID) {
        assert_eq!(world.broker.progress(task).records_in, u64::from(task.index) + 1);
    }
}

#[test]
fn one_busy_group_among_sixty_four_loses_nothing_and_waits_for_nobody() {
    for selector in [InputSelector::RoundRobin, InputSelector::Sequential, InputSelector::Priority] {
        let mut world = World::new(groups(64, selector));
        (0..1_000).for_each(|_| world.produce("in37", "x", 0));
        world.start(telling_groups());
        let (_, driver) = world.running.as_ref().unwrap();
        let mut steps = 0;
        while world.outputs().len() < 1_000 {
            assert!(driver.ready() > 0, "it idles with {} records left", 1_000 - world.outputs().len());
            driver.run(0);
            world.broker.commit_all();
            steps += 1;
        }
        assert!(steps < 200, "{selector:?}: {steps} steps for 250 batches");
        // A record of any other group is not kept waiting either.
        world.settle();
        world.produce("in63", "x", 0);
        world.settle();
        assert_eq!(world.outputs().last().unwrap(), "63");
        assert_eq!(world.clock.unix_ms(), 0, "no time had to pass");
    }
}

/// Two inputs, bounded by 10 ms; the second is idle after a second.
fn timed() -> FunctionSpec {
    let bounded = |idle_timeout| Watermark {
        strategy: WatermarkStrategy::Bounded { delay: Duration::from_millis(10) },
        idle_timeout,
        max_ahead: None,
    };
    let watermarks = [("in0".into(), bounded(None)), ("in1".into(), bounded(Some(Duration::from_secs(1))))].into();
    FunctionSpec { watermarks, ..groups(2, InputSelector::RoundRobin) }
}

/// Sets a timer for each record, `time` after its own, and says what it is told.
fn timing(domain: TimeDomain, broken: &Arc<AtomicBool>) -> Arc<NativeProgram> {
    let broken = broken.clone();
    NativeProgram::with_time(move || {
        let broken = broken.clone();
        let process = move |record: RecordRef<'_>, host: &mut dyn Host| {
            let key = Bytes::copy_from_slice(record.bytes());
            match record.bytes().strip_prefix(b"no ") {
                Some(key) => host.delete_timer(domain, key),
                None => host.set_timer(Timer { domain, key, at_ms: record.timestamp }),
            }
        };
        let tell = move |told: Told<'_>, host: &mut dyn Host| {
            match told {
                Told::Watermark { group, watermark } => {
                    host.emit(RecordRef::new(format!("watermark {watermark} by {group}").as_bytes()))?;
                }
                Told::Timers(timers) => {
                    for timer in timers {
                        let line = format!("{} at {}", String::from_utf8_lossy(&timer.key), timer.at_ms);
                        host.emit(RecordRef::new(line.as_bytes()))?;
                    }
                }
            }
            match broken.load(Relaxed) {
                true => Err(Error::new(ErrorCode::GuestError, "broken")),
                false => Ok(()),
            }
        };
        (Box::new(process), Box::new(tell))
    })
}

#[test]
fn timers_fire_in_order_before_the_watermark_that_makes_them_due() {
    let mut world = World::new(timed());
    world.start(timing(TimeDomain::Event, &Arc::default()));
    for (value, time) in [("b", 20), ("a", 10), ("c", 95), ("moved", 30), ("moved", 25), ("gone", 15), ("no gone", 0)] {
        world.produce("in0", value, time);
    }
    world.settle();
    assert_eq!(world.outputs(), [""; 0], "the other input has no watermark");
    world.produce("in0", "late", 100);
    world.produce("in1", "d", 200);
    world.settle();
    assert_eq!(world.outputs(), ["a at 10", "b at 20", "moved at 25", "watermark 85 by 0", "watermark 90 by 0"]);
    world.produce("in0", "behind", 5);
    world.settle();
    assert_eq!(world.outputs()[5..], ["behind at 5"], "one behind the watermark fires at once");
}

#[test]
fn an_idle_input_lets_the_watermark_go_on_without_any_record() {
    let mut world = World::new(timed());
    world.start(timing(TimeDomain::Event, &Arc::default()));
    world.produce("in0", "a", 60);
    world.settle();
    world.wait(Duration::from_millis(999));
    assert_eq!(world.outputs(), [""; 0]);
    world.wait(Duration::from_millis(1));
    assert_eq!(world.outputs(), ["watermark 50 by 0"]);
    let progress = world.broker.progress(TaskId::new(ID, 0));
    // A new life knows what was told, and tells it only once.
    world.start(timing(TimeDomain::Event, &Arc::default()));
    world.wait(Duration::from_secs(5));
    assert_eq!(world.outputs(), ["watermark 50 by 0"]);
    assert_eq!(world.broker.progress(TaskId::new(ID, 0)).time, progress.time);
}

#[test]
fn a_timestamp_of_the_far_future_is_processed_and_makes_nothing_late() {
    let mut spec = timed();
    for rule in spec.watermarks.values_mut() {
        rule.max_ahead = Some(Duration::from_hours(1));
    }
    let mut world = World::new(spec);
    world.start(timing(TimeDomain::Event, &Arc::default()));
    let year_2250 = 8_836_000_000_000;
    for topic in ["in0", "in1"] {
        world.produce(topic, "future", year_2250);
        world.produce(topic, "hour", 3_600_000);
        world.produce(topic, "hour and a bit", 3_600_001);
    }
    world.settle();
    // One as far ahead as may be counts. Otherwise the timer of 2250 would have fired, and every later record be late.
    assert_eq!(world.outputs(), ["watermark 3599990 by 0"]);
    let ahead = |world: &World| world.running.as_ref().unwrap().0.meters().of("f").records_ahead.get();
    assert_eq!(ahead(&world), 4);
    world.start(timing(TimeDomain::Event, &Arc::default()));
    world.wait(Duration::from_millis(10));
    for topic in ["in0", "in1"] {
        world.produce(topic, "next", 3_600_010);
    }
    world.settle();
    assert_eq!(world.outputs()[1..], ["hour at 3600000", "watermark 3600000 by 0"], "the clock went on by 10 ms");
    assert_eq!(ahead(&world), 0, "each is counted once");
}

#[test]
fn timers_of_processing_time_wait_for_the_clock_alone_also_over_a_crash() {
    let mut world = World::new(groups(1, InputSelector::RoundRobin));
    world.start(timing(TimeDomain::Processing, &Arc::default()));
    world.produce("in0", "b", 3_000);
    world.produce("in0", "a", 1_000);
    world.settle();
    world.wait(Duration::from_millis(999));
    assert_eq!(world.outputs(), [""; 0]);
    world.wait(Duration::from_millis(1));
    assert_eq!(world.outputs(), ["a at 1000"]);
    world.start(timing(TimeDomain::Processing, &Arc::default()));
    world.settle();
    assert_eq!(world.outputs(), ["a at 1000"]);
    world.wait(Duration::from_secs(10));
    assert_eq!(world.outputs(), ["a at 1000", "b at 3000"]);
}

#[test]
fn what_cannot_be_told_is_tried_for_ever_and_takes_nothing_with_it() {
    let broken = Arc::new(AtomicBool::new(true));
    let mut world = World::new(timed());
    world.start(timing(TimeDomain::Event, &broken));
    world.produce("in1", "z", 1_000);
    for index in 0..8 {
        world.produce("in0", &index.to_string(), index);
    }
    world.produce("in0", "up", 500);
    for _ in 0..20 {
        world.wait(Duration::from_secs(31));
    }
    assert_eq!(world.outputs(), [""; 0]);
    assert_eq!(world.broker.values("f.dlq", 0).len(), 0, "no record is to blame");
    assert_eq!(world.broker.progress(TaskId::new(ID, 0)).records_in, 10, "what came before is committed");
    assert_eq!(world.state_of(0), TaskState::BackingOff);
    broken.store(false, Relaxed);
    world.wait(Duration::from_secs(31));
    let expected: Vec<_> = (0..8).map(|i| format!("{i} at {i}")).chain(["watermark 490 by 0".to_owned()]).collect();
    assert_eq!(world.outputs(), expected);
}

#[test]
fn a_policy_to_stop_stops_at_what_cannot_be_told() {
    let broken = Arc::new(AtomicBool::new(true));
    let mut spec = timed();
    spec.on_error.action = ErrorAction::Stop;
    let mut world = World::new(spec);
    world.start(timing(TimeDomain::Event, &broken));
    world.produce("in0", "a", 5);
    world.produce("in1", "b", 100);
    world.produce("in0", "up", 50);
    for _ in 0..5 {
        world.wait(Duration::from_secs(31));
    }
    assert_eq!(world.state_of(0), TaskState::Failed);
    broken.store(false, Relaxed);
    world.start(timing(TimeDomain::Event, &broken));
    world.settle();
    assert_eq!(world.outputs(), ["a at 5", "watermark 40 by 0"]);
}

#[test]
fn timers_that_set_themselves_again_do_not_keep_their_epoch_open_nor_input_out_for_ever() {
    let mut world = World::new(timed());
    world.start(NativeProgram::with_time(|| {
        let tell = |told: Told<'_>, host: &mut dyn Host| match told {
            Told::Watermark { .. } => Ok(()),
            Told::Timers(timers) => {
                for timer in timers.iter().filter(|timer| timer.at_ms < 5_000) {
                    host.set_timer(Timer { at_ms: timer.at_ms + 1, ..timer.clone() })?;
                    host.emit(RecordRef::new(b"x"))?;
                }
                Ok(())
            }
        };
        let process = |record: RecordRef<'_>, host: &mut dyn Host| {
            host.set_timer(Timer { domain: TimeDomain::Event, key: "k".into(), at_ms: record.timestamp.min(0) })
        };
        (Box::new(process), Box::new(tell))
    }));
    world.produce("in0", "a", 10_000);
    world.produce("in1", "a", 10_000);
    world.settle();
    assert_eq!(world.outputs().len(), 5_000);
}

#[test]
fn stopping_leaves_timers_and_watermarks_for_the_next_start() {
    let mut world = World::new(timed());
    world.start(timing(TimeDomain::Event, &Arc::default()));
    world.produce("in0", "a", 100);
    world.produce("in0", "b", 200);
    world.settle();
    world.running.as_ref().unwrap().0.stop_function(ID, StopMode::Drain, Box::new(|_| ()));
    world.settle();
    world.produce("in1", "c", 300);
    world.start(timing(TimeDomain::Event, &Arc::default()));
    world.settle();
    assert_eq!(world.outputs(), ["a at 100", "watermark 190 by 0"]);
}

#[test]
fn a_chain_hands_watermarks_on_between_records() {
    // The same topic is written with watermarks by another task: here by hand, as a committer would.
    let mut world = World::new(FunctionSpec { watermarks: BTreeMap::new(), ..groups(1, InputSelector::RoundRobin) });
    world.start(timing(TimeDomain::Event, &Arc::default()));
    world.produce("in0", "a", 5);
    world.settle();
    assert_eq!(world.outputs(), [""; 0], "timestamps say nothing here");
    world.broker.emit_watermark(TaskId::new(FunctionId(9), 0), "in0", 7);
    world.settle();
    assert_eq!(world.outputs(), ["a at 5", "watermark 7 by 0"]);
    assert_eq!(world.broker.values("in0", 0).len(), 1, "a watermark is no record");
}
