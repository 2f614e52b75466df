// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The world of one run: a broker, some processes with an engine each, and a random hand that does things to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fnstream_core::clock::Clock;
use fnstream_core::epoch::FunctionId;
use fnstream_core::function_log::ProcessLog;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::test_util::clock::ManualClock;
use fnstream_core::test_util::mem_broker::{MemBroker, Outcome};
use fnstream_core::test_util::mem_state::MemStateStores;
use fnstream_engine::{Backend, DeadLetterAction, Engine, EngineConfig, EngineDeps, EpochBounds, ManualDriver};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::functions::{self, ALL, RELAY, TALLY, WINDOW};

const PROCESSES: u32 = 3;
pub const KEYS: u64 = 7;
/// The relay's dead letters.
pub const LETTERS: &str = "relay.dlq";

/// What may go wrong in a run.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    pub commits: bool,
    pub moves: bool,
    pub crashes: bool,
    pub pauses: bool,
}

impl Faults {
    pub const NONE: Faults = Faults { commits: false, moves: false, crashes: false, pauses: false };
    pub const ALL: Faults = Faults { commits: true, moves: true, crashes: true, pauses: true };
}

/// A process: its disk outlives its engine.
struct Process {
    stores: Arc<MemStateStores>,
    running: Option<(Engine, ManualDriver)>,
}

pub struct World {
    rng: SmallRng,
    faults: Faults,
    pub broker: MemBroker,
    clock: Arc<ManualClock>,
    processes: BTreeMap<u32, Process>,
    /// What was produced, by key, in order.
    pub produced: BTreeMap<Vec<u8>, Vec<u64>>,
    /// The event time of each id.
    pub times: BTreeMap<u64, i64>,
    next_id: u64,
    config: EngineConfig,
    epoch: EpochBounds,
    fail_every: u64,
    /// The relay takes poison.
    mended: Arc<AtomicBool>,
    partitions: BTreeMap<&'static str, u32>,
}

impl World {
    pub fn partitions(&self, topic: &str) -> u32 {
        self.partitions[topic]
    }

    pub fn new(seed: u64, faults: Faults) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let broker = if rng.random() { MemBroker::with_gaps() } else { MemBroker::new() };
        let partitions = ["in", "mid", "out", "windows", LETTERS].map(|topic| {
            let count = rng.random_range(1..4);
            broker.create_topic(topic, count);
            (topic, count)
        });
        let epoch = EpochBounds { records: rng.random_range(1..20), bytes: 1 << 16, age: Duration::from_secs(1) };
        let config = EngineConfig {
            batch: fnstream_core::broker::PollLimit { records: rng.random_range(1..8), bytes: 1 << 16 },
            dirty_keys: rng.random_range(1..12),
            cache_bytes: 1 << 14,
            ..EngineConfig::default()
        };
        let fail_every = if rng.random_bool(0.5) { rng.random_range(5..40) } else { 0 };
        let mut world = World {
            rng,
            faults,
            broker,
            clock: Arc::new(ManualClock::new(0)),
            processes: BTreeMap::new(),
            produced: BTreeMap::new(),
            times: BTreeMap::new(),
            next_id: 0,
            config,
            epoch,
            fail_every,
            mended: Arc::default(),
            partitions: partitions.into_iter().collect(),
        };
        for process in 0..PROCESSES {
            world.start(process);
        }
        world
    }

    /// Random steps.
    pub fn live(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
    }

    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..15 => self.produce(),
            15..65 => self.run_one(),
            65..80 => self.resolve(),
            80..86 => self.assign(),
            86..88 => self.pass_time(),
            88..89 => self.mended.store(self.rng.random_bool(0.3), Relaxed),
            89..90 => self.order_letters(),
            90..92 if self.faults.moves => self.move_one(),
            92..93 if self.faults.moves => self.broker.compact(),
            93..95 if self.faults.crashes => self.crash(),
            95..98 if self.faults.pauses => self.pause(),
            98..100 if self.faults.pauses => self.resume(),
            _ => self.run_one(),
        }
    }

    fn produce(&mut self) {
        let key = format!("k{}", self.rng.random_range(0..KEYS)).into_bytes();
        let id = self.next_id;
        self.next_id += 1;
        // Mostly in order.
        let time = id as i64 * 10 + self.rng.random_range(0..200);
        self.broker.produce_at("in", &key, id.to_string().as_bytes(), time);
        self.times.insert(id, time);
        self.produced.entry(key).or_default().push(id);
    }

    fn run_one(&mut self) {
        let process = self.rng.random_range(0..PROCESSES);
        let choice = self.rng.random::<u32>() as usize;
        let Some((_, driver)) = self.processes.get(&process).and_then(|p| p.running.as_ref()) else { return };
        let ready = driver.ready();
        if ready > 0 {
            driver.run(choice % ready);
        }
    }

    fn resolve(&mut self) {
        let pending = self.broker.pending_commits();
        if pending.is_empty() {
            return;
        }
        let process = pending[self.rng.random_range(0..pending.len())].process;
        let outcome = if self.faults.commits && self.rng.random_bool(0.4) {
            Outcome::ALL[self.rng.random_range(0..Outcome::ALL.len())]
        } else {
            Outcome::Commit
        };
        let count = self.rng.random_range(1..3);
        for resolved in self.broker.resolve_together(process, count, outcome) {
            // A broker that fences the holder has given the task away.
            if outcome == Outcome::Fenced && self.broker.holder(resolved.task) == Some(process) {
                self.broker.lose(resolved.task);
            }
        }
    }

    fn assign(&mut self) {
        let function = ALL[self.rng.random_range(0..ALL.len())];
        let members = self.broker.members(function);
        let free: Vec<_> =
            self.broker.tasks(function).into_iter().filter(|t| self.broker.holder(*t).is_none()).collect();
        if !members.is_empty() && !free.is_empty() {
            let task = free[self.rng.random_range(0..free.len())];
            self.broker.assign(task, members[self.rng.random_range(0..members.len())]);
        }
    }

    fn pass_time(&mut self) {
        let by = Duration::from_millis(self.rng.random_range(1..20_000));
        self.clock.advance(by);
    }

    fn move_one(&mut self) {
        let tasks: Vec<_> = ALL.into_iter().flat_map(|f| self.broker.tasks(f)).collect();
        let held: Vec<_> = tasks.into_iter().filter(|t| self.broker.holder(*t).is_some()).collect();
        if held.is_empty() {
            return;
        }
        let task = held[self.rng.random_range(0..held.len())];
        if self.rng.random_bool(0.7) {
            self.broker.revoke(task);
        } else {
            self.broker.lose(task);
        }
    }

    fn crash(&mut self) {
        let process = self.rng.random_range(0..PROCESSES);
        let survive = self.rng.random::<bool>();
        self.broker.crash(process, |_| survive);
        if let Some(p) = self.processes.get_mut(&process) {
            p.running = None;
            match self.rng.random_range(0..3) {
                0 => p.stores.lose_all(),
                1 => p.stores.lose_unsynced(|_, count| self.rng.random_range(0..=count)),
                _ => p.stores.sync(),
            }
        }
        self.start(process);
    }

    fn pause(&mut self) {
        let process = self.rng.random_range(0..PROCESSES);
        self.broker.pause(process);
        // The broker notices and gives its tasks away; the sleeper does not know.
        for task in ALL.into_iter().flat_map(|f| self.broker.tasks(f)) {
            if self.broker.holder(task) == Some(process) && self.rng.random_bool(0.7) {
                self.broker.lose(task);
            }
        }
    }

    fn resume(&mut self) {
        let process = self.rng.random_range(0..PROCESSES);
        self.broker.resume(process);
    }

    fn start(&mut self, number: u32) {
        let client = self.broker.connect(number);
        let process = self
            .processes
            .entry(number)
            .or_insert_with(|| Process { stores: Arc::new(MemStateStores::new()), running: None });
        let deps = EngineDeps { clock: self.clock.clone(), log: Arc::new(ProcessLog) };
        let backend = Backend {
            broker: client.clone(),
            committer: client,
            state_stores: process.stores.clone(),
            epoch: self.epoch,
        };
        let (engine, driver) = Engine::manual(self.config.clone(), deps);
        let start = |id: FunctionId, name, input, output, program| {
            let entry = functions::entry(id, name, input, output);
            engine.start_function(&entry, program, backend.clone()).unwrap();
        };
        start(RELAY, "relay", "in", "mid", functions::relay(self.fail_every, &self.mended));
        start(TALLY, "tally", "mid", "out", functions::tally());
        start(WINDOW, "window", "out", "windows", functions::window(self.fail_every));
        process.running = Some((engine, driver));
    }

    /// Has the relay replay its dead letters, or try another program on them, which must leave no trace.
    fn order_letters(&mut self) {
        let action = match self.rng.random_bool(0.7) {
            true => DeadLetterAction::Replay,
            false => DeadLetterAction::Try(functions::relay(2, &self.mended)),
        };
        let until = self.letter_ends();
        let process = self.rng.random_range(0..PROCESSES);
        if let Some((engine, _)) = self.processes.get(&process).and_then(|p| p.running.as_ref()) {
            // Refused when the process has no task now, or its broker is asleep.
            let _ = engine.dead_letters(RELAY, &action, &until, Box::new(|_| ()));
        }
    }

    fn letter_ends(&self) -> BTreeMap<u32, Position> {
        let end = |p| self.broker.read(LETTERS, p).last().map_or(Position::START, |record| record.position.next());
        (0..self.partitions(LETTERS)).map(|p| (p, end(p))).collect()
    }

    /// Whether every dead letter was replayed.
    pub fn letters_are_done(&self) -> bool {
        let ends = self.letter_ends();
        self.broker.tasks(RELAY).into_iter().all(|task| {
            let p = task.index % self.partitions(LETTERS);
            let place = self.broker.progress(task).positions.get(&TopicPartition::new(LETTERS, p)).copied();
            place.unwrap_or_default() >= ends[&p]
        })
    }

    /// Mends the relay and has it replay all its dead letters.
    pub fn replay_letters(&mut self) {
        self.mended.store(true, Relaxed);
        let mut rounds = 0;
        while !self.letters_are_done() {
            rounds += 1;
            assert!(rounds < 100, "dead letters are not replayed: {:?}", self.status());
            let until = self.letter_ends();
            for process in self.processes.values() {
                let Some((engine, _)) = &process.running else { continue };
                let _ = engine.dead_letters(RELAY, &DeadLetterAction::Replay, &until, Box::new(|_| ()));
            }
            self.heal();
        }
    }

    /// Ends all faults and runs until nothing is left to do.
    pub fn heal(&mut self) {
        self.faults = Faults::NONE;
        for process in 0..PROCESSES {
            self.broker.resume(process);
        }
        let mut quiet = 0;
        let mut rounds = 0;
        while quiet < 3 {
            rounds += 1;
            assert!(rounds < 10_000, "the world does not come to rest: {:?}", self.status());
            let ran = self.run_all();
            let committed = self.broker.commit_all();
            for function in ALL {
                let holder = self.rng.random_range(0..PROCESSES);
                self.broker.assign_free(function, holder);
            }
            if ran == 0 && committed == 0 {
                quiet += 1;
                // Back-offs and bulk applies wait for time to pass.
                self.clock.advance(Duration::from_secs(31));
            } else if self.is_done() {
                // Heartbeats go on for ever.
                quiet += 1;
            } else {
                quiet = 0;
            }
        }
    }

    fn is_done(&self) -> bool {
        [("in", RELAY), ("mid", TALLY), ("out", WINDOW)].into_iter().all(|(topic, function)| {
            self.broker.tasks(function).into_iter().all(|task| {
                let end = self.broker.read(topic, task.index).last().map(|record| record.position.next());
                let place = self.broker.progress(task).positions.get(&TopicPartition::new(topic, task.index)).copied();
                end.is_none_or(|end| place.unwrap_or_default() >= end)
            })
        })
    }

    fn run_all(&mut self) -> usize {
        let mut ran = 0;
        for process in self.processes.values() {
            let Some((_, driver)) = &process.running else { continue };
            while driver.ready() > 0 {
                driver.run(0);
                ran += 1;
                assert!(ran < 1_000_000, "a task runs for ever");
            }
        }
        ran
    }

    fn status(&self) -> Vec<String> {
        let engines = self.processes.values().filter_map(|p| p.running.as_ref());
        engines
            .flat_map(|(engine, _)| ALL.map(|f| format!("{:?}", engine.status(f))))
            .chain([format!("time {:?}", self.clock.now())])
            .collect()
    }
}
