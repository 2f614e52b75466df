// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A group of one process: nobody else has to be found or reached.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Answered, Desk, Observed, PeerId, PeerReport, Peers, Question};
use crate::epoch::FunctionId;
use crate::error::{Error, ErrorCode, Result};
use crate::waker::Waker;

/// The only process.
#[derive(Default)]
pub struct Alone(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    desk: Option<Arc<dyn Desk>>,
    functions: Option<BTreeMap<FunctionId, Observed>>,
    watchers: Vec<Waker>,
}

impl Peers for Alone {
    fn me(&self) -> PeerId {
        PeerId("alone".into())
    }

    fn serve(&self, desk: Arc<dyn Desk>) {
        self.0.lock().desk = Some(desk);
    }

    fn publish(&self, functions: BTreeMap<FunctionId, Observed>) -> Result<()> {
        let watchers = {
            let mut inner = self.0.lock();
            inner.functions = Some(functions);
            inner.watchers.clone()
        };
        watchers.iter().for_each(Waker::wake);
        Ok(())
    }

    fn reports(&self) -> Result<Vec<PeerReport>> {
        let functions = self.0.lock().functions.clone();
        let report = |functions| PeerReport { peer: self.me(), address: String::new(), functions };
        Ok(functions.map(report).into_iter().collect())
    }

    fn ask(&self, peer: &PeerId, question: Question, done: Answered) {
        let desk = self.0.lock().desk.clone().filter(|_| *peer == self.me());
        match desk {
            Some(desk) => {
                let mut open = Open { peer: peer.clone(), done: Some(done) };
                let answer = Box::new(move |answer| {
                    if let Some(done) = open.done.take() {
                        done(answer);
                    }
                });
                desk.ask(question, answer);
            }
            None => done(Err(unreachable(peer))),
        }
    }

    fn watch(&self, waker: Waker) {
        self.0.lock().watchers.push(waker);
    }
}

/// A question that the desk has. Dropping it says that it will not be answered.
struct Open {
    peer: PeerId,
    done: Option<Answered>,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Err(unreachable(&self.peer)));
        }
    }
}

/// The answer when a process cannot be reached.
fn unreachable(peer: &PeerId) -> Error {
    Error::new(ErrorCode::PeerUnavailable, format!("the process '{}' of the server group cannot be reached", peer.0))
}
