// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What every [`Peers`] keeps to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::log::waker;
use super::{Check, checks, must};
use crate::epoch::FunctionId;
use crate::error::{Error, ErrorCode, Result};
use crate::peers::{Answered, Caller, Desk, Observed, PeerId, PeerReport, Peers, Question};

/// A fresh server group without processes.
pub trait PeersHarness {
    /// Starts a process.
    fn join(&mut self, name: &str) -> Arc<dyn Peers>;

    /// Kills a process, without a farewell.
    fn kill(&mut self, peer: &PeerId);

    /// How long to wait for what must come.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// The contract of [`Peers`], for groups of any size.
pub const CHECKS: &[Check<dyn PeersHarness>] = checks![
    a_process_sees_what_it_said_last,
    a_question_to_oneself_is_answered,
    a_question_reaches_the_desk_as_it_is,
    an_error_is_answered_as_it_is,
    who_takes_no_questions_cannot_be_reached,
    a_desk_that_forgets_a_question_has_answered_it,
    every_change_wakes_every_watcher,
];

/// The part of the contract that a group of one cannot show.
pub const GROUP_CHECKS: &[Check<dyn PeersHarness>] = checks![
    all_see_what_each_said_last,
    who_is_gone_is_not_among_the_reports,
    each_question_reaches_the_one_who_is_asked,
    what_is_under_way_is_answered_when_its_process_goes,
    who_is_gone_cannot_be_reached,
];

/// A desk that answers with what it was asked and by whom, forgets `forget`, fails at `fail` and keeps `keep`.
#[derive(Default)]
struct Echo {
    name: String,
    asked: Mutex<Vec<Question>>,
    kept: Mutex<Vec<Answered>>,
}

impl Echo {
    fn at(peers: &dyn Peers) -> Arc<Self> {
        let echo = Arc::new(Echo { name: peers.me().0.to_string(), ..Echo::default() });
        peers.serve(echo.clone());
        echo
    }
}

impl Desk for Echo {
    fn ask(&self, question: Question, done: Answered) {
        self.asked.lock().push(question.clone());
        match &question.body[..] {
            b"forget" => {}
            b"keep" => self.kept.lock().push(done),
            b"fail" => done(Err(Error::new(ErrorCode::FunctionStopped, "it does not run"))),
            body => done(Ok(Bytes::from([self.name.as_bytes(), b":", body].concat()))),
        }
    }
}

fn ask(from: &dyn Peers, to: &PeerId, body: &[u8]) -> Receiver<Result<Bytes>> {
    let (send, receive) = channel();
    let caller = Caller { name: Some("ann".to_owned()) };
    let question = Question { caller, body: Bytes::copy_from_slice(body) };
    from.ask(to, question, Box::new(move |answer| drop(send.send(answer))));
    receive
}

fn answer(harness: &dyn PeersHarness, receive: &Receiver<Result<Bytes>>) -> Result<Bytes> {
    receive.recv_timeout(harness.patience()).unwrap_or_else(|e| panic!("a question was not answered: {e}"))
}

fn unreachable(harness: &dyn PeersHarness, receive: &Receiver<Result<Bytes>>, what: &str) {
    let code = answer(harness, receive).err().map(|e| e.code);
    assert_eq!(code, Some(ErrorCode::PeerUnavailable), "{what}");
}

fn observed(revision: u64) -> BTreeMap<FunctionId, Observed> {
    let running = Observed { revision, running: true, failure: None };
    let failed = Observed::failed(revision, &Error::new(ErrorCode::GrantRefused, "not here"));
    [(FunctionId(1), running), (FunctionId(2), failed)].into()
}

/// Waits until the reports are as they must become.
fn until(harness: &dyn PeersHarness, peers: &dyn Peers, what: &str, wanted: impl Fn(&[PeerReport]) -> bool) {
    let (waker, woken) = waker();
    peers.watch(waker);
    loop {
        let reports = must("reading the reports", peers.reports());
        if wanted(&reports) {
            return;
        }
        assert!(woken.recv_timeout(harness.patience()).is_ok(), "{what}: {reports:?}");
    }
}

fn said(reports: &[PeerReport]) -> Vec<(PeerId, u64)> {
    let revision = |of: &PeerReport| of.functions.get(&FunctionId(1)).map_or(0, |observed| observed.revision);
    reports.iter().map(|of| (of.peer.clone(), revision(of))).collect()
}

fn a_process_sees_what_it_said_last(harness: &mut dyn PeersHarness) {
    let a = harness.join("a");
    assert_eq!(must("reading the reports", a.reports()), [], "before anything was said");
    for revision in [1, 2] {
        must("publishing", a.publish(observed(revision)));
        until(harness, &*a, "its own report", |reports| said(reports) == [(a.me(), revision)]);
    }
    let reports = must("reading the reports", a.reports());
    assert_eq!(reports[0].functions, observed(2), "a report is given as it was published");
}

fn a_question_to_oneself_is_answered(harness: &mut dyn PeersHarness) {
    let a = harness.join("a");
    let echo = Echo::at(&*a);
    let answered = must("asking", answer(harness, &ask(&*a, &a.me(), b"who")));
    assert_eq!(answered, [echo.name.as_bytes(), b":who"].concat());
}

fn a_question_reaches_the_desk_as_it_is(harness: &mut dyn PeersHarness) {
    let a = harness.join("a");
    let echo = Echo::at(&*a);
    for body in [&b""[..], b"\0\xff", &[7; 100_000]] {
        must("asking", answer(harness, &ask(&*a, &a.me(), body)));
    }
    let asked: Vec<_> = echo.asked.lock().iter().map(|of| (of.caller.name.clone(), of.body.to_vec())).collect();
    let from_ann = |body: &[u8]| (Some("ann".to_owned()), body.to_vec());
    assert!(asked == [from_ann(b""), from_ann(b"\0\xff"), from_ann(&[7; 100_000])], "{} questions", asked.len());
}

fn an_error_is_answered_as_it_is(harness: &mut dyn PeersHarness) {
    let a = harness.join("a");
    let _echo = Echo::at(&*a);
    let error = answer(harness, &ask(&*a, &a.me(), b"fail")).err();
    let told = error.map(|error| (error.code, error.message));
    assert_eq!(told, Some((ErrorCode::FunctionStopped, "it does not run".to_owned())));
}

fn who_takes_no_questions_cannot_be_reached(harness: &mut dyn PeersHarness) {
    let a = harness.join("a");
    unreachable(harness, &ask(&*a, &a.me(), b"x"), "a process without a desk");
    let _echo = Echo::at(&*a);
    unreachable(harness, &ask(&*a, &PeerId("nobody".into()), b"x"), "a process that never was");
}

fn a_desk_that_forgets_a_question_has_answered_it(harness: &mut dyn PeersHarness) {
    let a = harness.join("a");
    let _echo = Echo::at(&*a);
    unreachable(harness, &ask(&*a, &a.me(), b"forget"), "a question that is dropped");
}

fn every_change_wakes_every_watcher(harness: &mut dyn PeersHarness) {
    let a = harness.join("a");
    let watchers: [Receiver<()>; 2] = std::array::from_fn(|_| {
        let (waker, woken) = waker();
        a.watch(waker);
        woken
    });
    for revision in 1..=3 {
        must("publishing", a.publish(observed(revision)));
        for (i, woken) in watchers.iter().enumerate() {
            assert!(woken.recv_timeout(harness.patience()).is_ok(), "watcher {i} was not woken by report {revision}");
            while woken.try_recv().is_ok() {}
        }
    }
}

fn all_see_what_each_said_last(harness: &mut dyn PeersHarness) {
    let (b, a) = (harness.join("b"), harness.join("a"));
    must("publishing", b.publish(observed(5)));
    must("publishing", a.publish(observed(1)));
    must("publishing", a.publish(observed(2)));
    let expected = [(a.me(), 2), (b.me(), 5)];
    for peers in [&a, &b] {
        until(harness, &**peers, "the reports of both, by their ids", |reports| said(reports) == expected);
    }
    must("publishing", b.publish(BTreeMap::new()));
    until(harness, &*a, "a report that became empty", |reports| said(reports) == [(a.me(), 2), (b.me(), 0)]);
}

fn who_is_gone_is_not_among_the_reports(harness: &mut dyn PeersHarness) {
    let (a, b) = (harness.join("a"), harness.join("b"));
    must("publishing", a.publish(observed(1)));
    must("publishing", b.publish(observed(1)));
    until(harness, &*a, "both", |reports| reports.len() == 2);
    harness.kill(&b.me());
    until(harness, &*a, "one that is gone", |reports| said(reports) == [(a.me(), 1)]);
}

fn each_question_reaches_the_one_who_is_asked(harness: &mut dyn PeersHarness) {
    let (a, b) = (harness.join("a"), harness.join("b"));
    let echoes = [Echo::at(&*a), Echo::at(&*b)];
    for from in [&a, &b] {
        for to in [&a, &b] {
            let answered = must("asking", answer(harness, &ask(&**from, &to.me(), b"x")));
            assert_eq!(answered, [to.me().0.as_bytes(), b":x"].concat());
        }
    }
    assert!(echoes.iter().all(|echo| echo.asked.lock().len() == 2), "each question is asked once");
}

fn what_is_under_way_is_answered_when_its_process_goes(harness: &mut dyn PeersHarness) {
    let (a, b) = (harness.join("a"), harness.join("b"));
    let echo = Echo::at(&*b);
    let asked = ask(&*a, &b.me(), b"keep");
    while echo.kept.lock().is_empty() {
        std::thread::yield_now();
    }
    harness.kill(&b.me());
    unreachable(harness, &asked, "a process that went away");
    // What the dead still say is heard by nobody, and harms nobody.
    let kept = std::mem::take(&mut *echo.kept.lock());
    kept.into_iter().for_each(|done| done(Ok(Bytes::from_static(b"late"))));
    assert!(asked.try_recv().is_err(), "a question is answered once");
}

fn who_is_gone_cannot_be_reached(harness: &mut dyn PeersHarness) {
    let (a, b) = (harness.join("a"), harness.join("b"));
    let _echo = Echo::at(&*b);
    must("asking", answer(harness, &ask(&*a, &b.me(), b"x")));
    harness.kill(&b.me());
    unreachable(harness, &ask(&*a, &b.me(), b"x"), "a process that is gone");
}
