// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Pasts of tasks, and copies of them, that are broken on purpose.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::Result;
use fnstream_core::broker::Broker;
use fnstream_core::committer::Committer;
use fnstream_core::epoch::{Epoch, FunctionId, TaskId};
use fnstream_core::forks::Forks;
use fnstream_core::metadata::Metadata;
use fnstream_core::record::TopicPartition;
use fnstream_core::state::Visit;
use fnstream_core::tasks::{Standing, Tasks};
use fnstream_core::test_util::mem_broker::{MemBroker, MemForks};
use fnstream_core::test_util::suites::forks::{self, ForksHarness};
use fnstream_core::test_util::suites::log::{FUNCTION, LogHarness};
use fnstream_core::test_util::suites::tasks::{self, TasksHarness};
use fnstream_frame::RecordRef;
use parking_lot::Mutex;

use crate::mem_standing::MemStanding;
use crate::rejects;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    InventsTasks,
    ForgetsPositions,
    FencesNobody,
    ReadsBeforeFencing,
    FencesEverybody,
    LosesAnEpochAtFencing,
    PeeksBackwards,
    PeeksFromTheBeginning,
    PeeksAtOtherTasks,
    PeeksOn,
    ForksNothing,
    ForksItself,
    FencesAfterCopying,
    PlacesNothing,
    PlacesAnything,
    DiscardsNothing,
    ReusesIds,
    KeepsWhatNobodyClaimed,
}

const TASK_FAULTS: [(Fault, &str); 10] = [
    (Fault::InventsTasks, "a_function_that_never_ran_stands_nowhere"),
    (Fault::ForgetsPositions, "the_standing_counts_what_is_committed"),
    (Fault::FencesNobody, "nothing_that_was_made_before_fencing_is_committed_after"),
    (Fault::ReadsBeforeFencing, "what_is_under_way_counts_in_the_answer_or_never"),
    (Fault::FencesEverybody, "fencing_one_function_leaves_others_alone"),
    (Fault::LosesAnEpochAtFencing, "a_fenced_task_can_be_taken_over_from_where_it_stands"),
    (Fault::PeeksBackwards, "a_peek_shows_what_is_committed_in_order"),
    (Fault::PeeksAtOtherTasks, "a_peek_shows_what_is_committed_in_order"),
    (Fault::PeeksFromTheBeginning, "a_peek_begins_and_ends_where_it_is_to"),
    (Fault::PeeksOn, "a_peek_begins_and_ends_where_it_is_to"),
];

const FORK_FAULTS: [(Fault, &str); 10] = [
    (Fault::ForksNothing, "a_fork_has_what_its_function_has"),
    (Fault::FencesAfterCopying, "nothing_is_committed_between_fencing_and_copying"),
    (Fault::ForksItself, "a_fork_and_its_function_are_apart"),
    (Fault::ForksNothing, "a_task_goes_on_from_a_fork"),
    (Fault::PlacesNothing, "a_fork_can_be_placed_elsewhere_and_keeps_its_epochs"),
    (Fault::PlacesNothing, "a_function_begins_where_a_fork_of_none_was_placed"),
    (Fault::PlacesAnything, "a_claimed_fork_is_not_discarded_or_placed"),
    (Fault::DiscardsNothing, "a_discarded_fork_is_gone"),
    (Fault::ReusesIds, "ids_of_forks_are_never_given_again"),
    (Fault::KeepsWhatNobodyClaimed, "a_fork_that_nobody_claimed_is_gone_after_a_crash"),
];

#[test]
fn every_broken_past_is_rejected() {
    rejects(tasks::CHECKS, &TASK_FAULTS, |fault| Box::new(Broken::new(fault)));
}

#[test]
fn every_broken_fork_is_rejected() {
    rejects(forks::CHECKS, &FORK_FAULTS, |fault| Box::new(Broken::new(fault)));
}

struct Broken {
    sound: MemStanding,
    fault: Fault,
    /// The copy that was made last.
    before: Arc<Mutex<Option<FunctionId>>>,
}

impl Broken {
    fn new(fault: Fault) -> Self {
        Broken { sound: MemStanding::new(), fault, before: Arc::default() }
    }
}

impl LogHarness for Broken {
    fn broker(&self) -> Arc<dyn Broker> {
        self.sound.broker()
    }

    fn committer(&self) -> Arc<dyn Committer> {
        self.sound.committer()
    }

    fn create_topic(&self, topic: &str, partitions: u32) {
        self.sound.create_topic(topic, partitions);
    }

    fn append(&self, at: &TopicPartition, records: &[RecordRef<'_>]) {
        self.sound.append(at, records);
    }

    fn read_all(&self, at: &TopicPartition) -> Vec<Vec<u8>> {
        self.sound.read_all(at)
    }

    fn settle(&self) {
        self.sound.settle();
    }

    fn reopen(&mut self) {
        match self.fault {
            Fault::KeepsWhatNobodyClaimed => self.sound.log.reopen(),
            _ => self.sound.reopen(),
        }
    }

    fn patience(&self) -> Duration {
        Duration::ZERO
    }
}

impl TasksHarness for Broken {
    fn tasks(&self) -> Arc<dyn Tasks> {
        Arc::new(BrokenTasks { sound: self.sound.tasks(), broker: self.sound.log.broker.clone(), fault: self.fault })
    }
}

impl ForksHarness for Broken {
    fn forks(&self) -> Arc<dyn Forks> {
        let (sound, broker) = (self.sound.forks.clone(), self.sound.log.broker.clone());
        Arc::new(BrokenForks { sound, broker, fault: self.fault, before: self.before.clone() })
    }

    fn metadata(&self) -> Arc<dyn Metadata> {
        self.sound.metadata()
    }

    fn assign(&self, function: FunctionId) {
        self.sound.assign(function);
    }
}

struct BrokenTasks {
    sound: Arc<dyn Tasks>,
    broker: MemBroker,
    fault: Fault,
}

impl Tasks for BrokenTasks {
    fn fence(&self, function: FunctionId) -> Result<Standing> {
        match self.fault {
            Fault::FencesNobody => self.sound.progress(function),
            Fault::ReadsBeforeFencing => {
                let standing = self.sound.progress(function)?;
                self.broker.commit_all();
                self.sound.fence(function)?;
                Ok(standing)
            }
            Fault::FencesEverybody => {
                self.sound.fence(FUNCTION)?;
                self.sound.fence(function)
            }
            Fault::LosesAnEpochAtFencing => {
                let mut standing = self.sound.fence(function)?;
                standing.values_mut().for_each(|progress| progress.epoch = Epoch(progress.epoch.0.saturating_sub(1)));
                Ok(standing)
            }
            _ => {
                self.sound.fence(function)?;
                self.progress(function)
            }
        }
    }

    fn progress(&self, function: FunctionId) -> Result<Standing> {
        let mut standing = self.sound.progress(function)?;
        match self.fault {
            Fault::InventsTasks => drop(standing.entry(0).or_default()),
            Fault::ForgetsPositions => standing.values_mut().for_each(|progress| progress.positions.clear()),
            _ => {}
        }
        Ok(standing)
    }

    fn peek(&self, task: TaskId, start: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        match self.fault {
            Fault::PeeksFromTheBeginning => self.sound.peek(task, b"", visit),
            Fault::PeeksAtOtherTasks => self.sound.peek(TaskId::new(task.function, 0), start, visit),
            Fault::PeeksOn => self.sound.peek(task, start, &mut |key, value| {
                let _ = visit(key, value);
                ControlFlow::Continue(())
            }),
            Fault::PeeksBackwards => {
                let mut pairs = Vec::new();
                self.sound.peek(task, start, &mut |key, value| {
                    pairs.push((key.to_vec(), value.to_vec()));
                    ControlFlow::Continue(())
                })?;
                for (key, value) in pairs.iter().rev() {
                    if visit(key, value).is_break() {
                        break;
                    }
                }
                Ok(())
            }
            _ => self.sound.peek(task, start, visit),
        }
    }
}

struct BrokenForks {
    sound: Arc<MemForks>,
    broker: MemBroker,
    fault: Fault,
    before: Arc<Mutex<Option<FunctionId>>>,
}

impl Forks for BrokenForks {
    fn fork(&self, from: FunctionId) -> Result<FunctionId> {
        match self.fault {
            // Of a function that there is not.
            Fault::ForksNothing => self.sound.fork(FunctionId(u32::MAX)),
            Fault::ForksItself => Ok(from),
            Fault::ReusesIds => Ok(FunctionId(3)),
            Fault::FencesAfterCopying => {
                self.broker.commit_all();
                let copy = self.sound.fork(from)?;
                match self.before.lock().replace(copy) {
                    Some(before) => self.sound.fork(before),
                    None => Ok(copy),
                }
            }
            _ => self.sound.fork(from),
        }
    }

    fn place(&self, fork: FunctionId, standing: &Standing) -> Result<()> {
        match self.fault {
            Fault::PlacesNothing => Ok(()),
            Fault::PlacesAnything => self.sound.place(fork, standing).or(Ok(())),
            _ => self.sound.place(fork, standing),
        }
    }

    fn discard(&self, fork: FunctionId) -> Result<()> {
        match self.fault {
            Fault::DiscardsNothing => Ok(()),
            _ => self.sound.discard(fork),
        }
    }
}
