// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A server group in memory, whose processes a test kills.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::epoch::FunctionId;
use crate::error::{Error, ErrorCode, Result};
use crate::peers::{Answered, Desk, Observed, PeerId, PeerReport, Peers, Question};
use crate::waker::Waker;

/// The group. Clones are the same group.
#[derive(Clone, Default)]
pub struct MemPeerGroup(Arc<Mutex<Group>>);

#[derive(Default)]
struct Group {
    members: BTreeMap<PeerId, Member>,
    watchers: Vec<(PeerId, Waker)>,
    /// Questions that are not answered yet, with the process that was asked.
    open: HashMap<u64, (PeerId, Answered)>,
    last_question: u64,
}

#[derive(Default)]
struct Member {
    desk: Option<Arc<dyn Desk>>,
    functions: Option<BTreeMap<FunctionId, Observed>>,
}

/// A process of the group.
pub struct MemPeers {
    group: MemPeerGroup,
    me: PeerId,
}

impl MemPeerGroup {
    /// Adds a process.
    pub fn join(&self, name: &str) -> Arc<MemPeers> {
        let me = PeerId(name.into());
        self.0.lock().members.insert(me.clone(), Member::default());
        Arc::new(MemPeers { group: self.clone(), me })
    }

    /// Kills a process: its report goes, and what it was asked and has not answered is answered for it.
    pub fn kill(&self, peer: &PeerId) {
        let (member, unanswered) = {
            let mut group = self.0.lock();
            group.watchers.retain(|(watcher, _)| watcher != peer);
            let member = group.members.remove(peer);
            let unanswered: Vec<_> = group.open.extract_if(|_, (asked, _)| asked == peer).collect();
            (member, unanswered)
        };
        // Without the lock: whoever is answered may ask the next question.
        drop(member);
        unanswered.into_iter().for_each(|(_, (_, done))| done(Err(gone(peer))));
        self.wake();
    }

    fn wake(&self) {
        let watchers: Vec<_> = self.0.lock().watchers.iter().map(|(_, waker)| waker.clone()).collect();
        watchers.iter().for_each(Waker::wake);
    }

    fn answer(&self, number: u64, answer: Result<bytes::Bytes>) {
        let open = self.0.lock().open.remove(&number);
        if let Some((_, done)) = open {
            done(answer);
        }
    }
}

impl Peers for MemPeers {
    fn me(&self) -> PeerId {
        self.me.clone()
    }

    fn serve(&self, desk: Arc<dyn Desk>) {
        if let Some(member) = self.group.0.lock().members.get_mut(&self.me) {
            member.desk = Some(desk);
        }
    }

    fn publish(&self, functions: BTreeMap<FunctionId, Observed>) -> Result<()> {
        self.group.0.lock().members.get_mut(&self.me).ok_or_else(|| gone(&self.me))?.functions = Some(functions);
        self.group.wake();
        Ok(())
    }

    fn reports(&self) -> Result<Vec<PeerReport>> {
        let group = self.group.0.lock();
        let report = |(peer, member): (&PeerId, &Member)| {
            let functions = member.functions.clone()?;
            Some(PeerReport { peer: peer.clone(), address: format!("memory:{}", peer.0), functions })
        };
        Ok(group.members.iter().filter_map(report).collect())
    }

    fn ask(&self, peer: &PeerId, question: Question, done: Answered) {
        let desk = {
            let mut group = self.group.0.lock();
            let asker_lives = group.members.contains_key(&self.me);
            match group.members.get(peer).and_then(|member| member.desk.clone()).filter(|_| asker_lives) {
                Some(desk) => {
                    group.last_question += 1;
                    let number = group.last_question;
                    group.open.insert(number, (peer.clone(), done));
                    Ok((desk, number))
                }
                None => Err(done),
            }
        };
        match desk {
            Ok((desk, number)) => {
                let open = Open { group: self.group.clone(), number, peer: peer.clone() };
                desk.ask(question, Box::new(move |answer| open.group.answer(open.number, answer)));
            }
            Err(done) => done(Err(gone(peer))),
        }
    }

    fn watch(&self, waker: Waker) {
        self.group.0.lock().watchers.push((self.me.clone(), waker));
    }
}

/// A question that a desk has. Dropping it says that it will not be answered.
struct Open {
    group: MemPeerGroup,
    number: u64,
    peer: PeerId,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.group.answer(self.number, Err(gone(&self.peer)));
    }
}

fn gone(peer: &PeerId) -> Error {
    Error::new(ErrorCode::PeerUnavailable, format!("the process '{}' cannot be reached", peer.0))
}
