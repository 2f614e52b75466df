// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam to the other processes of a server group.
//!
//! What a request needs of a task that runs elsewhere (its instance, its dead letters, its log, its state as it stands there)
//! is asked of the process that runs it; so every process answers every request.

mod alone;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::epoch::FunctionId;
use crate::error::{Error, Result};
use crate::waker::Waker;

pub use alone::Alone;

/// A process of the group; one that is started anew has another id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId(pub Arc<str>);

/// The one who asked for something, whichever process was asked first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Caller {
    /// The name under which the caller was let in; none when nobody asks for names.
    pub name: Option<String>,
}

/// What a process says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerReport {
    /// The process.
    pub peer: PeerId,
    /// Where its peers reach it.
    pub address: String,
    /// What it has made of each function that it knows of, by id.
    pub functions: BTreeMap<FunctionId, Observed>,
}

/// How far a process has followed the register with one function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// The revision that it acted upon.
    pub revision: u64,
    /// Whether the function runs there, or is about to.
    pub running: bool,
    /// Why it does not run although it should: the code and what happened.
    pub failure: Option<(String, String)>,
}

/// A question to a process, in the form that the application gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// On whose behalf it is asked.
    pub caller: Caller,
    /// The question itself.
    pub body: Bytes,
}

/// Called exactly once with the answer, from any thread; it does not block.
pub type Answered = Box<dyn FnOnce(Result<Bytes>) + Send>;

/// Answers the questions of peers.
pub trait Desk: Send + Sync {
    /// Answers a question when it can; does not block.
    fn ask(&self, question: Question, done: Answered);
}

/// The processes of the group, this one included.
///
/// Contract:
/// - **Reports**: what a process published last is what every process sees of it, soon. The reports are in the order of their
///   ids and hold one of this process once it has published any. A process that ended, or that nobody hears of any more, is
///   not among them.
/// - **Watch**: after a report came, changed or went, each watcher is woken at least once; several changes may share a wake-up.
/// - **Questions** reach the desk of the named process with their caller and their bytes as they are, at most once, and are
///   answered exactly once: with the desk's own answer, errors with their code and message included, or with
///   [`crate::ErrorCode::PeerUnavailable`] when the process cannot be reached or goes away before it has answered. In the last case
///   it is not known whether it did what it was asked.
/// - Questions to oneself are answered like those to others.
///
/// No method blocks.
pub trait Peers: Send + Sync {
    /// This process.
    fn me(&self) -> PeerId;

    /// Takes questions from now on; before, they are answered as if the process could not be reached.
    fn serve(&self, desk: Arc<dyn Desk>);

    /// Says what this process has made of the register, in place of what it said before.
    fn publish(&self, functions: BTreeMap<FunctionId, Observed>) -> Result<()>;

    /// What the processes of the group say of themselves.
    fn reports(&self) -> Result<Vec<PeerReport>>;

    /// Asks a process something.
    fn ask(&self, peer: &PeerId, question: Question, done: Answered);

    /// Wakes the waker after each change of the reports from now on.
    fn watch(&self, waker: Waker);
}

impl Observed {
    /// A function that could not be started.
    pub fn failed(revision: u64, error: &Error) -> Self {
        let failure = Some((error.code.as_str().to_owned(), error.message.clone()));
        Observed { revision, running: false, failure }
    }
}
