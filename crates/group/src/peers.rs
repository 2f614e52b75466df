// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The processes of the group, as they say of themselves.
//!
//! Each has two records: its report, and a sign of life that it writes again and again. One whose signs stay away is gone. Questions go
//! straight from one process to the other, by an [`Exchange`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use fnstream_core::epoch::FunctionId;
use fnstream_core::error::internal;
use fnstream_core::peers::{Answered, Desk, Observed, PeerId, PeerReport, Peers, Question};
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;

use crate::log::{Log, Row};
use crate::table::{Rows, Table};

/// How often a process says that it lives.
const BEAT: Duration = Duration::from_secs(1);
/// How long a process that ends waits until it has said so.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often what nobody needs is dropped from a log that the broker does not compact, and the report is said again, so that it is not the
/// oldest for long.
const TIDY: Duration = Duration::from_secs(30);
/// What the keys begin with.
const REPORT: &str = "report/";
const ALIVE: &str = "alive/";
/// The first byte of each value.
const VERSION: u8 = 1;

/// Carries questions from process to process.
pub trait Exchange: Send + Sync {
    /// Asks the process at an address; does not block. An answer that does not come is [`ErrorCode::PeerUnavailable`].
    fn ask(&self, address: &str, peer: &PeerId, question: Question, done: Answered);
}

/// See the module.
pub struct GroupPeers {
    shared: Arc<Shared>,
    /// Dropped at the end.
    beats: Mutex<Option<Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    me: PeerId,
    address: String,
    table: Table<Said>,
    exchange: Arc<dyn Exchange>,
    silence: Duration,
    began: Instant,
    /// What it has said of itself last.
    own: Mutex<Option<(PeerReport, Vec<u8>)>>,
    desk: Mutex<Option<Arc<dyn Desk>>>,
    /// Questions that are not answered yet.
    open: Mutex<HashMap<u64, (PeerId, Answered)>>,
    last_question: AtomicU64,
}

/// What the processes have said.
struct Said {
    reports: BTreeMap<PeerId, PeerReport>,
    /// When each was heard of last, by this process's clock, and its address. Times in which this process did not hear itself, since the
    /// cluster was away, are taken out of it: the silence of others says nothing then.
    heard: HashMap<PeerId, (Instant, String)>,
    /// This process, once it has joined, and after how long without a word one is gone.
    me: Option<PeerId>,
    silence: Duration,
    /// What was there before this process came tells nothing of who lives.
    is_past: bool,
}

impl Rows for Said {
    fn take(&mut self, row: Row<'_>) {
        let Ok(key) = std::str::from_utf8(row.key) else { return };
        if let Some(peer) = key.strip_prefix(ALIVE) {
            let peer = PeerId(peer.into());
            match row.value {
                Some(_) if self.is_past => {}
                Some(value) => {
                    let address = String::from_utf8_lossy(value.get(1..).unwrap_or_default()).into_owned();
                    self.hear(peer, address, Instant::now());
                }
                None => _ = self.heard.remove(&peer),
            }
        } else if let Some(peer) = key.strip_prefix(REPORT) {
            let peer = PeerId(peer.into());
            let report = row.value.and_then(|value| serde_json::from_slice(value.strip_prefix(&[VERSION])?).ok());
            match report {
                Some(report) => _ = self.reports.insert(peer, report),
                None => _ = self.reports.remove(&peer),
            }
        }
    }
}

impl Said {
    fn new(silence: Duration) -> Said {
        Said { reports: BTreeMap::new(), heard: HashMap::new(), me: None, silence, is_past: true }
    }

    fn hear(&mut self, peer: PeerId, address: String, now: Instant) {
        if self.me.as_ref() == Some(&peer) {
            let deaf = now.saturating_duration_since(self.listening(now));
            if !deaf.is_zero() {
                self.heard.values_mut().for_each(|(heard, _)| *heard += deaf);
            }
        }
        self.heard.insert(peer, (now, address));
    }

    /// Up to when this process has heard what was said: it says something itself, and that comes back soon.
    fn listening(&self, now: Instant) -> Instant {
        let own = self.me.as_ref().and_then(|me| self.heard.get(me));
        own.map_or(now, |(heard, _)| now.min(*heard + self.silence / 2))
    }

    fn lives(&self, peer: &PeerId) -> bool {
        self.lives_at(peer, Instant::now())
    }

    fn lives_at(&self, peer: &PeerId, now: Instant) -> bool {
        let silent = |heard: Instant| self.listening(now).saturating_duration_since(heard);
        self.heard.get(peer).is_some_and(|(heard, _)| silent(*heard) < self.silence)
    }
}

impl GroupPeers {
    /// Joins the group, by that log, as the process of that name, which its peers reach at `address`; one that says nothing for `silence` is taken for gone. Whoever
    /// had the name of this process before is gone. Blocks.
    pub fn join(
        log: Arc<dyn Log>,
        process: &str,
        address: &str,
        silence: Duration,
        exchange: Arc<dyn Exchange>,
    ) -> Result<GroupPeers> {
        let table = Table::open(log, process, Said::new(silence))?;
        let mut number = [0; 4];
        let filled = getrandom::fill(&mut number);
        filled.map_err(|e| internal(format!("no random number for a process: {e}")))?;
        let start: String = number.iter().map(|byte| format!("{byte:02x}")).collect();
        let before: Vec<PeerId> = {
            let said = table.rows();
            let own = format!("{process}-");
            let known = said.reports.keys().chain(said.heard.keys());
            known.filter(|peer| peer.0.starts_with(&own)).cloned().collect()
        };
        let me = PeerId(format!("{process}-{start}").into());
        table.change_rows(|said| (said.is_past, said.me) = (false, Some(me.clone())));
        let shared = Arc::new(Shared {
            me,
            address: address.to_owned(),
            table,
            exchange,
            silence,
            began: Instant::now(),
            own: Mutex::default(),
            desk: Mutex::default(),
            open: Mutex::default(),
            last_question: AtomicU64::new(0),
        });
        before.iter().for_each(|peer| shared.forget(peer));
        let (beats, received) = bounded(0);
        let beating = shared.clone();
        let thread = thread::Builder::new().name("peers".into()).spawn(move || beating.beat(&received));
        let thread = thread.map_err(|e| internal(format!("no thread for the peers: {e}")))?;
        Ok(GroupPeers { shared, beats: Mutex::new(Some(beats)), thread: Mutex::new(Some(thread)) })
    }
}

impl Shared {
    /// Says that it lives, and looks who does not, until it ends.
    fn beat(&self, ends: &Receiver<()>) {
        let mut tidied = Instant::now();
        loop {
            self.say(&format!("{ALIVE}{}", self.me.0), Some(&[&[VERSION], self.address.as_bytes()].concat()));
            self.bury();
            let is_tidied = !self.table.log().is_compacted() && tidied.elapsed() > TIDY;
            self.say_again(is_tidied);
            if is_tidied {
                self.table.drop_what_nobody_needs();
                tidied = Instant::now();
            }
            match ends.recv_timeout(BEAT) {
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) | Ok(()) => break,
            }
        }
        self.forget(&self.me);
        self.table.log().flush(FAREWELL);
    }

    fn say(&self, key: &str, value: Option<&[u8]>) {
        self.table.log().append(key.as_bytes(), value);
    }

    /// Others who took this process for gone have removed its report; or it is due.
    fn say_again(&self, is_due: bool) {
        let Some((report, value)) = self.own.lock().clone() else { return };
        if is_due || !self.table.rows().reports.contains_key(&self.me) {
            self.table.change_rows(|said| _ = said.reports.insert(self.me.clone(), report));
            self.say(&format!("{REPORT}{}", self.me.0), Some(&value));
        }
    }

    /// Removes what a process has said that is gone.
    fn forget(&self, peer: &PeerId) {
        for what in [REPORT, ALIVE] {
            self.say(&format!("{what}{}", peer.0), None);
        }
    }

    /// Answers for those that are gone.
    fn bury(&self) {
        let (gone, orphans): (BTreeSet<PeerId>, Vec<_>) = {
            let said = self.table.rows();
            let is_gone = |peer: &PeerId| *peer != self.me && !said.lives(peer);
            // Before that, whoever lives may not have been heard yet.
            let is_settled = self.began.elapsed() > 2 * self.silence;
            let reported = said.reports.keys().filter(|_| is_settled);
            let gone: BTreeSet<_> = said.heard.keys().chain(reported).filter(|peer| is_gone(peer)).cloned().collect();
            let orphans = self.open.lock().extract_if(|_, (peer, _)| is_gone(peer)).collect();
            (gone, orphans)
        };
        for (_, (peer, done)) in orphans {
            done(Err(unreachable(&peer)));
        }
        if gone.is_empty() {
            return;
        }
        for peer in &gone {
            tracing::warn!(peer = &*peer.0, "a process of the server group is not heard of any more");
            self.forget(peer);
        }
        self.table.change_rows(|said| {
            said.heard.retain(|peer, _| !gone.contains(peer));
            said.reports.retain(|peer, _| !gone.contains(peer));
        });
        self.table.wake();
    }

    fn answer(&self, number: u64, answer: Result<Bytes>) {
        let open = self.open.lock().remove(&number);
        if let Some((_, done)) = open {
            done(answer);
        }
    }
}

impl Peers for GroupPeers {
    fn me(&self) -> PeerId {
        self.shared.me.clone()
    }

    fn serve(&self, desk: Arc<dyn Desk>) {
        *self.shared.desk.lock() = Some(desk);
    }

    fn publish(&self, functions: BTreeMap<FunctionId, Observed>) -> Result<()> {
        let shared = &self.shared;
        let report = PeerReport { peer: shared.me.clone(), address: shared.address.clone(), functions };
        let mut value = vec![VERSION];
        serde_json::to_writer(&mut value, &report).map_err(|e| internal(format!("a report to the peers: {e}")))?;
        // What a process says of itself it knows at once.
        *shared.own.lock() = Some((report.clone(), value.clone()));
        shared.table.change_rows(|said| _ = said.reports.insert(shared.me.clone(), report));
        shared.say(&format!("{REPORT}{}", shared.me.0), Some(&value));
        shared.table.wake();
        Ok(())
    }

    fn reports(&self) -> Result<Vec<PeerReport>> {
        let Shared { me, table, .. } = &*self.shared;
        let said = table.rows();
        let alive = |(peer, _): &(&PeerId, &PeerReport)| *peer == me || said.lives(peer);
        Ok(said.reports.iter().filter(alive).map(|(_, report)| report.clone()).collect())
    }

    fn ask(&self, peer: &PeerId, question: Question, done: Answered) {
        let shared = &self.shared;
        if *peer == shared.me {
            let Some(desk) = shared.desk.lock().clone() else { return done(Err(unreachable(peer))) };
            let open = Open::new(shared, peer, done);
            return desk.ask(question, Box::new(move |answer| open.answer(answer)));
        }
        let address = {
            let said = shared.table.rows();
            let heard = said.heard.get(peer).filter(|_| said.lives(peer));
            heard.map(|(_, address)| address.clone())
        };
        let Some(address) = address else { return done(Err(unreachable(peer))) };
        let open = Open::new(shared, peer, done);
        shared.exchange.ask(&address, peer, question, Box::new(move |answer| open.answer(answer)));
    }

    fn watch(&self, waker: Waker) {
        self.shared.table.watch(waker);
    }
}

impl GroupPeers {
    /// The processes of the group that are heard of, this one included.
    pub fn alive(&self) -> Vec<PeerId> {
        let Shared { me, table, .. } = &*self.shared;
        let said = table.rows();
        let others = said.heard.keys().filter(|peer| *peer != me && said.lives(peer));
        others.chain([me]).cloned().collect()
    }

    /// Says farewell: from then on others know that this process is gone. Blocks for a moment.
    pub fn leave(&self) {
        drop(self.beats.lock().take());
        if let Some(thread) = self.thread.lock().take() {
            // It has panicked: that was told.
            drop(thread.join());
        }
    }

    /// The desk that questions from outside go to; none before it serves.
    pub fn desk(&self) -> Option<Arc<dyn Desk>> {
        self.shared.desk.lock().clone()
    }
}

impl Drop for GroupPeers {
    fn drop(&mut self) {
        self.leave();
    }
}

impl std::fmt::Debug for GroupPeers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupPeers").field("me", &self.shared.me).finish_non_exhaustive()
    }
}

/// A question that somebody has. Dropping it says that it will not be answered.
struct Open {
    shared: Arc<Shared>,
    number: u64,
    peer: PeerId,
}

impl Open {
    fn new(shared: &Arc<Shared>, peer: &PeerId, done: Answered) -> Open {
        let number = shared.last_question.fetch_add(1, Ordering::Relaxed);
        shared.open.lock().insert(number, (peer.clone(), done));
        Open { shared: shared.clone(), number, peer: peer.clone() }
    }

    fn answer(&self, answer: Result<Bytes>) {
        self.shared.answer(self.number, answer);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.answer(self.number, Err(unreachable(&self.peer)));
    }
}

/// The answer when a process cannot be reached.
fn unreachable(peer: &PeerId) -> Error {
    Error::new(ErrorCode::PeerUnavailable, format!("the process '{}' of the server group cannot be reached", peer.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_hear_himself_takes_nobody_for_gone() {
        const SILENCE: Duration = Duration::from_secs(10);
        let id = |name: &str| PeerId(name.into());
        let (me, other, dead) = (id("me"), id("other"), id("dead"));
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut said = Said { me: Some(me.clone()), ..Said::new(SILENCE) };
        let living = |said: &Said, now| [&other, &dead].map(|peer| said.lives_at(peer, at(now)));
        for peer in [&dead, &me, &other] {
            said.hear(peer.clone(), String::new(), at(0));
        }
        said.hear(me.clone(), String::new(), at(4));
        assert_eq!(living(&said, 9), [true, true]);
        // The cluster is away for long.
        assert_eq!(living(&said, 1_000), [true, true]);
        // It is back, and some of those that were silent speak again.
        said.hear(me.clone(), String::new(), at(1_001));
        assert_eq!(living(&said, 1_001), [true, true]);
        said.hear(other.clone(), String::new(), at(1_002));
        said.hear(me.clone(), String::new(), at(1_003));
        assert_eq!(living(&said, 1_001 + 10), [true, false]);
        // Nobody speaks but this process.
        said.hear(me, String::new(), at(1_007));
        assert_eq!(living(&said, 1_012), [false, false]);
    }
}
