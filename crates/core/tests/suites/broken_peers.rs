// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Server groups that are broken on purpose.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::epoch::FunctionId;
use fnstream_core::peers::{Alone, Answered, Caller, Desk, Observed, PeerId, PeerReport, Peers, Question};
use fnstream_core::test_util::mem_peers::{MemPeerGroup, MemPeers};
use fnstream_core::test_util::suites::peers::{self, PeersHarness};
use fnstream_core::test_util::suites::{Check, run};
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;

use crate::rejects;

#[derive(Default)]
struct InMemory(MemPeerGroup);

impl PeersHarness for InMemory {
    fn join(&mut self, name: &str) -> Arc<dyn Peers> {
        self.0.join(name)
    }

    fn kill(&mut self, peer: &PeerId) {
        self.0.kill(peer);
    }
}

struct OfOne;

impl PeersHarness for OfOne {
    fn join(&mut self, _: &str) -> Arc<dyn Peers> {
        Arc::new(Alone::default())
    }

    fn kill(&mut self, _: &PeerId) {
        panic!("nobody is left to look");
    }
}

#[test]
fn groups_in_memory_keep_to_the_contract() {
    run(peers::CHECKS, || Box::new(InMemory::default()));
    run(peers::GROUP_CHECKS, || Box::new(InMemory::default()));
}

#[test]
fn a_group_of_one_keeps_to_the_contract() {
    run(peers::CHECKS, || Box::new(OfOne));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    KeepsTheFirstReport,
    AsksNotItself,
    ForgetsTheCaller,
    CutsQuestions,
    ForgetsCodes,
    AnswersForNobody,
    WaitsForTheForgetful,
    WakesOnce,
    WakesTheFirstWatcherOnly,
    SeesItselfOnly,
    ListsBackwards,
    RemembersTheDead,
    AsksEverybody,
    WaitsForTheDead,
}

const FAULTS: [(Fault, &str); 9] = [
    (Fault::KeepsTheFirstReport, "a_process_sees_what_it_said_last"),
    (Fault::AsksNotItself, "a_question_to_oneself_is_answered"),
    (Fault::ForgetsTheCaller, "a_question_reaches_the_desk_as_it_is"),
    (Fault::CutsQuestions, "a_question_reaches_the_desk_as_it_is"),
    (Fault::ForgetsCodes, "an_error_is_answered_as_it_is"),
    (Fault::AnswersForNobody, "who_takes_no_questions_cannot_be_reached"),
    (Fault::WaitsForTheForgetful, "a_desk_that_forgets_a_question_has_answered_it"),
    (Fault::WakesOnce, "every_change_wakes_every_watcher"),
    (Fault::WakesTheFirstWatcherOnly, "every_change_wakes_every_watcher"),
];

const GROUP_FAULTS: [(Fault, &str); 6] = [
    (Fault::SeesItselfOnly, "all_see_what_each_said_last"),
    (Fault::ListsBackwards, "all_see_what_each_said_last"),
    (Fault::RemembersTheDead, "who_is_gone_is_not_among_the_reports"),
    (Fault::AsksEverybody, "each_question_reaches_the_one_who_is_asked"),
    (Fault::WaitsForTheDead, "what_is_under_way_is_answered_when_its_process_goes"),
    (Fault::AnswersForNobody, "who_is_gone_cannot_be_reached"),
];

#[test]
fn every_broken_group_is_rejected() {
    let reject = |checks: &[Check<dyn PeersHarness>], faults: &[(Fault, &str)]| {
        rejects(checks, faults, |fault| {
            Box::new(Broken { sound: MemPeerGroup::default(), fault, dead: Arc::default() })
        });
    };
    reject(peers::CHECKS, &FAULTS);
    reject(peers::GROUP_CHECKS, &GROUP_FAULTS);
}

struct Broken {
    sound: MemPeerGroup,
    fault: Fault,
    dead: Arc<Mutex<Vec<PeerReport>>>,
}

impl PeersHarness for Broken {
    fn join(&mut self, name: &str) -> Arc<dyn Peers> {
        let sound = self.sound.join(name);
        Arc::new(BrokenPeers { sound, fault: self.fault, dead: self.dead.clone(), known: Mutex::default() })
    }

    fn kill(&mut self, peer: &PeerId) {
        if self.fault == Fault::RemembersTheDead {
            let reports = self.sound.join("witness").reports().unwrap_or_default();
            self.dead.lock().extend(reports.into_iter().filter(|report| report.peer == *peer));
        }
        // Who waits for the dead does not hear of a death.
        if self.fault != Fault::WaitsForTheDead {
            self.sound.kill(peer);
        }
    }

    fn patience(&self) -> Duration {
        // There are no threads that could wake or answer later.
        Duration::ZERO
    }
}

struct BrokenPeers {
    sound: Arc<MemPeers>,
    fault: Fault,
    dead: Arc<Mutex<Vec<PeerReport>>>,
    known: Mutex<Known>,
}

/// What a fault needs to remember.
#[derive(Default)]
struct Known {
    first: Option<BTreeMap<FunctionId, Observed>>,
    watchers: usize,
}

/// A desk behind which questions that nobody answers wait for ever.
struct Forgetful(Arc<dyn Desk>, Arc<Mutex<Vec<Answered>>>);

impl Desk for Forgetful {
    fn ask(&self, question: Question, done: Answered) {
        let forgets = question.body == "forget";
        if forgets {
            self.1.lock().push(done);
        } else {
            self.0.ask(question, done);
        }
    }
}

impl Peers for BrokenPeers {
    fn me(&self) -> PeerId {
        self.sound.me()
    }

    fn serve(&self, desk: Arc<dyn Desk>) {
        let desk = match self.fault {
            Fault::WaitsForTheForgetful => Arc::new(Forgetful(desk, Arc::default())),
            _ => desk,
        };
        self.sound.serve(desk);
    }

    fn publish(&self, functions: BTreeMap<FunctionId, Observed>) -> Result<()> {
        let first = self.known.lock().first.get_or_insert_with(|| functions.clone()).clone();
        self.sound.publish(if self.fault == Fault::KeepsTheFirstReport { first } else { functions })
    }

    fn reports(&self) -> Result<Vec<PeerReport>> {
        let mut reports = self.sound.reports()?;
        match self.fault {
            Fault::SeesItselfOnly => reports.retain(|report| report.peer == self.me()),
            Fault::ListsBackwards => reports.reverse(),
            _ => reports.extend(self.dead.lock().iter().cloned()),
        }
        Ok(reports)
    }

    fn ask(&self, peer: &PeerId, mut question: Question, done: Answered) {
        match self.fault {
            Fault::AsksNotItself if *peer == self.me() => {
                return done(Err(Error::new(ErrorCode::PeerUnavailable, "that is me")));
            }
            Fault::ForgetsTheCaller => question.caller = Caller::default(),
            Fault::CutsQuestions => question.body.truncate(1000),
            Fault::AsksEverybody => {
                for report in ["a", "b"].map(|name| PeerId(name.into())).iter().filter(|other| *other != peer) {
                    self.sound.ask(report, question.clone(), Box::new(|_| ()));
                }
            }
            _ => {}
        }
        let fault = self.fault;
        self.sound.ask(
            peer,
            question,
            Box::new(move |answer| {
                done(match (fault, answer) {
                    (Fault::ForgetsCodes, Err(error)) => Err(fnstream_core::error::internal(error.message)),
                    (Fault::AnswersForNobody, Err(error)) if error.code == ErrorCode::PeerUnavailable => {
                        Ok(Bytes::new())
                    }
                    (_, answer) => answer,
                });
            }),
        );
    }

    fn watch(&self, waker: Waker) {
        let mut known = self.known.lock();
        known.watchers += 1;
        match self.fault {
            Fault::WakesTheFirstWatcherOnly if known.watchers > 1 => {}
            Fault::WakesOnce => {
                let waker = Mutex::new(Some(waker));
                self.sound.watch(Waker::new(move || {
                    if let Some(waker) = waker.lock().take() {
                        waker.wake();
                    }
                }));
            }
            _ => self.sound.watch(waker),
        }
    }
}
