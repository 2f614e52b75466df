// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Bringing a world to rest.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fnstream_engine::DeadLetterAction;
use rand::RngExt;

use crate::functions::{ALL, RELAY};
use crate::world::{Faults, PROCESSES, World};

impl World {
    /// Mends the relay and has it replay all its dead letters.
    pub(crate) fn replay_dead_letters(&mut self) {
        self.chain.mended.store(true, Relaxed);
        let mut rounds = 0;
        while !self.dead_letters_are_done() {
            rounds += 1;
            assert!(rounds < 100, "dead letters are not replayed: {:?}", self.status());
            let until = self.dead_letter_ends();
            for process in self.processes.values() {
                let Some((engine, _)) = &process.running else { continue };
                let _ = engine.dead_letters(RELAY, &DeadLetterAction::Replay, &until, Box::new(|_| ()));
            }
            self.heal();
        }
    }

    /// Ends all faults and runs until nothing is left to do.
    pub(crate) fn heal(&mut self) {
        self.faults = Faults::NONE;
        self.restless.set(false);
        self.broker.set_away(false);
        for process in 0..PROCESSES {
            self.broker.resume(process);
        }
        let (mut quiet, mut rounds) = (0, 0);
        while quiet < 4 {
            while self.settle() {
                rounds += 1;
                assert!(rounds < 10_000, "the world does not come to rest: {:?}", self.status());
            }
            quiet = if self.is_done() { quiet + 1 } else { 0 };
            rounds += 1;
            assert!(rounds < 10_000, "the world does not come to rest: {:?}", self.status());
            // Timers, back-offs and bulk applies wait for time to pass; one may lead to the next.
            self.clock.advance(Duration::from_secs(31));
        }
        while self.settle() {}
    }

    /// Does once all that can be done without time; false when there was nothing.
    fn settle(&mut self) -> bool {
        let delivered = self.broker.deliver_all();
        let ran = self.run_all();
        let committed = self.broker.commit_all();
        self.broker.land_state(usize::MAX);
        for function in ALL {
            let holder = self.rng.random_range(0..PROCESSES);
            self.broker.assign_free(function, holder);
        }
        ran + committed > 0 || delivered
    }

    fn is_done(&self) -> bool {
        ALL.into_iter().flat_map(|function| self.inputs(function)).all(|(task, at)| {
            let end = self.broker.read(&at.topic.name, at.partition).last().map(|record| record.position.next());
            let place = self.broker.progress(task).positions.get(&at).copied();
            end.is_none_or(|end| place.unwrap_or_default() >= end)
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
}
