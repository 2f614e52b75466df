// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The random hand that does things to a world.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fnstream_core::record::Position;
use fnstream_core::test_util::mem_broker::Outcome;
use fnstream_engine::{DeadLetterAction, Request};
use rand::RngExt;

use crate::functions::{ALL, RELAY, relay};
use crate::world::{PROCESSES, Process, World};

impl World {
    /// Random steps.
    pub(crate) fn live(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
    }

    fn step(&mut self) {
        if self.step_of_manners() {
            return;
        }
        match self.rng.random_range(0..100) {
            0..15 => self.produce(),
            15..65 => self.run_one(),
            65..80 => self.resolve(),
            80..86 => self.assign(),
            86..88 => self.pass_time(),
            88..89 => self.chain.mended.store(self.rng.random_bool(0.3), Relaxed),
            89..90 if self.rng.random() => self.order_dead_letters(),
            89..90 => self.ask(),
            90..92 if self.faults.moves => self.move_one(),
            92..93 if self.faults.moves => self.broker.compact(),
            93..95 if self.faults.crashes => self.crash(),
            95..98 if self.faults.pauses => self.pause(),
            98..100 if self.faults.pauses => self.resume(),
            _ => self.run_one(),
        }
    }

    /// What only a broker of certain manners does; `false` when it did nothing, so that worlds without them go on as they
    /// would.
    fn step_of_manners(&mut self) -> bool {
        let faults = self.faults;
        if faults.prefetch && self.rng.random_bool(0.15) {
            self.deliver();
            return true;
        }
        if faults.state_topics && self.rng.random_bool(0.05) {
            self.broker.land_state(self.rng.random_range(1..10));
            return true;
        }
        if faults.away && self.rng.random_bool(if self.broker.is_away() { 0.1 } else { 0.01 }) {
            self.broker.set_away(!self.broker.is_away());
            return true;
        }
        if faults.retention && self.rng.random_bool(0.03) {
            self.drop_consumed();
            return true;
        }
        // Nobody but the engines does anything to a broker that is away.
        if self.broker.is_away() {
            match self.rng.random_bool(0.9) {
                true => self.run_one(),
                false => self.pass_time(),
            }
            return true;
        }
        false
    }

    fn deliver(&mut self) {
        let sources = self.broker.undelivered();
        if !sources.is_empty() {
            let source = sources[self.rng.random_range(0..sources.len())];
            self.broker.deliver(source, self.rng.random_range(1..5));
        }
    }

    /// Retention drops records of an input that were consumed, with the gap before the next one.
    fn drop_consumed(&mut self) {
        let inputs = self.inputs(RELAY);
        let (task, at) = &inputs[self.rng.random_range(0..inputs.len())];
        if let Some(place) = self.broker.progress(*task).positions.get(at) {
            let kept = self.broker.read(&at.topic.name, at.partition).into_iter().map(|record| record.position);
            let next = kept.filter(|position| position >= place).min().unwrap_or(Position(u128::MAX));
            self.broker.drop_before(&at.topic.name, at.partition, next);
        }
    }

    fn run_one(&mut self) {
        let process = self.rng.random_range(0..PROCESSES);
        let choice = self.rng.random::<u32>() as usize;
        let Some((_, driver)) = self.processes.get(&process).and_then(|p| p.running.as_ref()) else { return };
        let ready = driver.ready();
        if ready > 0 {
            let run = || driver.run(choice % ready);
            if self.faults.panics {
                self.bomb.armed(run)
            } else {
                run()
            };
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
        self.broker.resolve_together(process, count, outcome);
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
        match self.rng.random_range(0..10) {
            0..7 => self.broker.revoke(task),
            7 => self.broker.fence(task),
            _ => self.broker.lose(task),
        }
    }

    fn crash(&mut self) {
        let process = self.rng.random_range(0..PROCESSES);
        let survive = self.rng.random::<bool>();
        self.broker.crash(process, |_| survive);
        if let Some(p) = self.processes.get_mut(&process) {
            p.running = None;
            p.waiting = Arc::default();
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

    /// Has the relay replay its dead letters, or move them all to the end since none of those that are to be dropped is there, or
    /// try another program on them, which must leave no trace.
    fn order_dead_letters(&mut self) {
        let action = match self.rng.random_range(0..10) {
            0..5 => DeadLetterAction::Replay,
            5..7 => DeadLetterAction::DropOnly(Arc::default()),
            _ => DeadLetterAction::Try(relay(2, false, self.chain.mended.clone())),
        };
        let until = self.dead_letter_ends();
        let process = self.rng.random_range(0..PROCESSES);
        if let Some((engine, _)) = self.processes.get(&process).and_then(|p| p.running.as_ref()) {
            // Refused when the process has no task now, or its broker is asleep.
            let _ = engine.dead_letters(RELAY, &action, &until, Box::new(|_| ()));
        }
    }

    /// Asks some task something, which must be answered, if only by saying that it does not run.
    fn ask(&mut self) {
        let process = self.rng.random_range(0..PROCESSES);
        let function = ALL[self.rng.random_range(0..ALL.len())];
        let Some(Process { running: Some((engine, _)), waiting, .. }) = self.processes.get(&process) else { return };
        for task in engine.tasks(function) {
            let waiting = waiting.clone();
            waiting.fetch_add(1, Relaxed);
            let done = Box::new(move |_| _ = waiting.fetch_sub(1, Relaxed));
            engine.request(function, task, Request::Custom(b"well?".to_vec()), Duration::from_secs(3600), done);
        }
    }
}
