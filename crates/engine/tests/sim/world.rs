// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The world of one run: a broker with its manners, and some processes with an engine each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::broker::PollLimit;
use fnstream_core::budget::Part;
use fnstream_core::budget::guests::Guests;
use fnstream_core::epoch::{FunctionId, TaskId};
use fnstream_core::function_log::ProcessLog;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::FunctionSpec;
use fnstream_core::test_util::clock::ManualClock;
use fnstream_core::test_util::mem_broker::{Manners, MemBroker};
use fnstream_core::test_util::mem_state::MemStateStores;
use fnstream_engine::{Backend, Engine, EngineConfig, EngineDeps, EpochBounds, ManualDriver};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::functions::{ALL, Chain, RELAY};
use crate::lifecycle;
use crate::planted::{self, Bomb, Planted};
use crate::restless::Restless;

pub(crate) const PROCESSES: u32 = 3;
pub(crate) const KEYS: u64 = 7;
/// The relay's dead letters.
pub(crate) const DEAD_LETTERS: &str = "relay.dlq";
/// The largest value that the broker takes where it has a limit.
pub(crate) const MAX_VALUE: usize = 200;

/// What may go wrong in a run, and which manners the broker has.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub commits: bool,
    pub moves: bool,
    pub crashes: bool,
    pub pauses: bool,
    /// Sources fetch ahead, and a process that connects does not know the topics yet.
    pub prefetch: bool,
    /// The relay emits records that the broker refuses for good, until it is mended.
    pub oversize: bool,
    /// Tasks are taken away in the middle of their restores.
    pub slow_restores: bool,
    /// Deltas are dropped behind what the state topics have.
    pub state_topics: bool,
    /// The broker cannot be reached for a while.
    pub away: bool,
    /// Retention drops what was consumed, and the gaps behind it.
    pub retention: bool,
    /// The relay has two input groups with tasks of their own.
    pub parallel: bool,
    /// Whatever a step of a task calls panics now and then.
    pub panics: bool,
}

impl Faults {
    pub(crate) const NONE: Faults = Faults {
        commits: false,
        moves: false,
        crashes: false,
        pauses: false,
        prefetch: false,
        oversize: false,
        slow_restores: false,
        state_topics: false,
        away: false,
        retention: false,
        parallel: false,
        panics: false,
    };
    pub(crate) const ALL: Faults = Faults { commits: true, moves: true, crashes: true, pauses: true, ..Faults::NONE };
}

/// A process: its disk outlives its engine.
pub(crate) struct Process {
    pub stores: Arc<MemStateStores>,
    pub running: Option<(Engine, ManualDriver)>,
    /// Requests that are not answered yet; those of a process that dies are nobody's any more.
    pub waiting: Arc<AtomicU64>,
}

/// A record as it was produced.
pub(crate) struct Produced {
    pub key: Bytes,
    pub value: Bytes,
}

pub(crate) struct World {
    pub rng: SmallRng,
    pub faults: Faults,
    pub broker: MemBroker,
    pub clock: Arc<ManualClock>,
    pub processes: BTreeMap<u32, Process>,
    /// What was produced, by key, in order.
    pub produced: BTreeMap<Vec<u8>, Vec<u64>>,
    /// The same by place: retention may have dropped it.
    pub originals: BTreeMap<(TopicPartition, Position), Produced>,
    /// The event time of each id.
    pub times: BTreeMap<u64, i64>,
    pub chain: Chain,
    next_id: u64,
    config: EngineConfig,
    epoch: EpochBounds,
    /// Takes tasks away in the middle of restores.
    pub restless: Arc<Restless>,
    /// Has seams panic.
    pub bomb: Arc<Bomb>,
    partitions: BTreeMap<&'static str, u32>,
}

impl World {
    pub(crate) fn partitions(&self, topic: &str) -> u32 {
        self.partitions[topic]
    }

    /// What a function is made of.
    pub(crate) fn spec(&self, function: FunctionId) -> FunctionSpec {
        self.chain.entry(function).spec
    }

    /// Each input partition of a function with the task that reads it.
    pub(crate) fn inputs(&self, function: FunctionId) -> Vec<(TaskId, TopicPartition)> {
        let spec = self.spec(function);
        let mut inputs = Vec::new();
        for (group, topics) in (0..).zip(&spec.inputs) {
            for input in topics {
                for partition in 0..self.partitions(&input.topic.name) {
                    let task = TaskId::new(function, spec.task_of(group, partition));
                    inputs.push((task, TopicPartition::new(input.topic.clone(), partition)));
                }
            }
        }
        inputs
    }

    /// Where the dead letters of a task of the relay are.
    pub(crate) fn dead_letters_of(&self, task: TaskId) -> TopicPartition {
        TopicPartition::new(
            DEAD_LETTERS,
            FunctionSpec::dead_letter_partition(task.index, self.partitions(DEAD_LETTERS)),
        )
    }

    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let gaps = rng.random();
        let broker = MemBroker::with(Manners {
            gaps,
            prefetch: faults.prefetch,
            max_value: faults.oversize.then_some(MAX_VALUE),
            state_topic: faults.state_topics,
            stale_lookups: if faults.prefetch { 2 } else { 0 },
            strict_restores: faults.slow_restores,
        });
        let partitions = ["in", "mid", "out", "windows", DEAD_LETTERS, "side"].map(|topic| {
            let count = rng.random_range(1..4);
            broker.create_topic(topic, count);
            (topic, count)
        });
        let epoch = EpochBounds { records: rng.random_range(1..20), bytes: 1 << 16, age: Duration::from_secs(1) };
        let config = EngineConfig {
            batch: PollLimit { records: rng.random_range(1..8), bytes: 1 << 16 },
            dirty_keys: rng.random_range(1..12),
            cache_bytes: 1 << 14,
            rest_bytes: if rng.random_bool(0.5) { 0 } else { usize::MAX },
            rest_after: Duration::from_millis(rng.random_range(1..100)),
            ..EngineConfig::default()
        };
        let fail_every = if rng.random_bool(0.5) { rng.random_range(5..40) } else { 0 };
        let chain = Chain {
            fail_every,
            oversize: faults.oversize,
            parallel: faults.parallel,
            mended: Arc::default(),
            lives: Arc::default(),
        };
        let restless = Arc::new(Restless::new(seed, broker.clone()));
        let hand = restless.clone();
        broker.on_replay(move |task| hand.interrupt(task));
        let mut world = World {
            rng,
            faults,
            broker,
            clock: Arc::new(ManualClock::new(0)),
            processes: BTreeMap::new(),
            produced: BTreeMap::new(),
            originals: BTreeMap::new(),
            times: BTreeMap::new(),
            chain,
            next_id: 0,
            config,
            epoch,
            restless,
            bomb: Bomb::by_chance(seed, 150),
            partitions: partitions.into_iter().collect(),
        };
        world.restless.set(faults.slow_restores);
        for process in 0..PROCESSES {
            world.start(process);
        }
        world
    }

    pub(crate) fn produce(&mut self) {
        let chosen = self.rng.random_range(0..KEYS);
        let key = format!("k{chosen}").into_bytes();
        let id = self.next_id;
        self.next_id += 1;
        // Mostly in order.
        let time = id as i64 * 10 + self.rng.random_range(0..200);
        // A key has one topic: else there is no order to be kept.
        let topic = if self.chain.parallel && chosen % 2 == 1 { "side" } else { "in" };
        let value = id.to_string().into_bytes();
        let position = self.broker.produce_at(topic, &key, &value, time);
        let partition = fnstream_core::record::partition_for_key(&key, self.partitions(topic));
        let original = Produced { key: key.clone().into(), value: value.into() };
        self.originals.insert((TopicPartition::new(topic, partition), position), original);
        self.times.insert(id, time);
        self.produced.entry(key).or_default().push(id);
    }

    /// Starts a process on the disk that it has.
    pub(crate) fn start(&mut self, number: u32) {
        let client = self.broker.connect(number);
        let process = self.processes.entry(number).or_insert_with(|| Process {
            stores: Arc::new(MemStateStores::new()),
            running: None,
            waiting: Arc::default(),
        });
        let bomb = &self.bomb;
        let deps = EngineDeps {
            clock: Arc::new(Planted(self.clock.clone(), bomb.clone())),
            log: Arc::new(Planted(ProcessLog, bomb.clone())),
        };
        let backend = Backend {
            broker: client.clone(),
            committer: client.clone(),
            state_stores: client.state_stores(process.stores.clone()),
            epoch: self.epoch,
        };
        let backend = planted::backend(bomb, backend);
        // Too little for all that its instances would like.
        let guests = Guests::new(Part::new("guests", "functions' memories", 5 * lifecycle::BORN));
        let (engine, driver) = Engine::manual(EngineConfig { guests, ..self.config.clone() }, deps);
        for function in ALL {
            let program = Arc::new(Planted(self.chain.program(function), bomb.clone()));
            let entry = self.chain.entry(function);
            engine.start_function(&entry, program, backend.clone()).unwrap();
        }
        process.running = Some((engine, driver));
    }

    /// Where the dead letters end.
    pub(crate) fn dead_letter_ends(&self) -> BTreeMap<u32, Position> {
        let end = |p| self.broker.read(DEAD_LETTERS, p).last().map_or(Position::START, |record| record.position.next());
        (0..self.partitions(DEAD_LETTERS)).map(|p| (p, end(p))).collect()
    }

    /// Whether every dead letter was replayed.
    pub(crate) fn dead_letters_are_done(&self) -> bool {
        let ends = self.dead_letter_ends();
        self.broker.tasks(RELAY).into_iter().all(|task| {
            let at = self.dead_letters_of(task);
            let place = self.broker.progress(task).positions.get(&at).copied();
            place.unwrap_or_default() >= ends[&at.partition]
        })
    }

    pub(crate) fn status(&self) -> Vec<String> {
        let engines = self.processes.values().filter_map(|p| p.running.as_ref());
        engines
            .flat_map(|(engine, _)| ALL.map(|f| format!("{:?}", engine.status(f))))
            .chain(ALL.into_iter().flat_map(|function| self.broker.tasks(function)).map(|task| {
                let (holder, revoking) = (self.broker.holder(task), self.broker.is_being_revoked(task));
                format!("task {task} is held by {holder:?}, revoking: {revoking}")
            }))
            .chain([format!("time {:?}", fnstream_core::clock::Clock::now(&*self.clock))])
            .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The hand holds the broker that holds the hand.
        self.broker.on_replay(|_| ());
    }
}
