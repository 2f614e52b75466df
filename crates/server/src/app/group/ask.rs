// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What processes of a group ask each other, as it travels.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fnstream_core::epoch::FunctionId;
use fnstream_core::error::internal;
use fnstream_core::peers::PeerId;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::{ErrorCode, Result};
use fnstream_engine::{DeadLetterReport, TriedDeadLetter};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::logs::Reading;

/// A question. What is answered is said with each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::app) enum Ask {
    /// How these functions fare there, given by id and name: a [`super::Part`] for each that runs.
    Status(BTreeMap<FunctionId, String>),
    /// A request of the user's own form to the instance of a task; the [`Payload`] that it answers, or nothing when the task does
    /// not run there.
    Custom {
        /// The function.
        function: FunctionId,
        /// The task.
        task: u32,
        /// The request.
        payload: Payload,
    },
    /// Code or modules for the instances of all tasks that run there; how many these are.
    Exec {
        /// The function.
        function: FunctionId,
        /// What is to be run of it.
        class_name: String,
        /// The modules by name.
        modules: Vec<(String, Payload)>,
    },
    /// Something to be done with dead letters by the tasks that run there; a [`Report`], or nothing when none does.
    DeadLetters {
        /// The function.
        function: FunctionId,
        /// What is to be done.
        action: Action,
        /// Up to which position of each partition of their topic.
        until: BTreeMap<u32, Position>,
    },
    /// The log of a function as it is kept there: a page.
    Logs {
        /// The function.
        name: String,
        /// What of it.
        reading: Reading,
        /// How long to wait for the next line, in milliseconds, when there is none.
        wait_ms: Option<u64>,
    },
    /// Keep a function from running, until the asker releases it or is gone; nothing, when none of its tasks runs.
    Hold {
        /// The function.
        name: String,
        /// The asker.
        by: PeerId,
    },
    /// Let it run.
    Release {
        /// The function.
        name: String,
        /// The asker.
        by: PeerId,
    },
    /// The next keys of a task's state with their values: [`super::seen::Seen`], or nothing when the task does not run there.
    Peek {
        /// The function.
        function: FunctionId,
        /// The task.
        task: u32,
        /// The first key.
        start: Payload,
    },
    /// Start it anew, if it should run.
    Again(String),
}

/// What is to be done with dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::app) enum Action {
    /// They are processed again.
    Replay,
    /// They are passed over.
    Drop,
    /// Those at these positions are passed over, the others move to the end.
    DropOnly(BTreeSet<Position>),
    /// The artifact of this digest is tried on them.
    Try(String),
}

/// Bytes, which travel as base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::app) struct Payload(pub(in crate::app) Vec<u8>);

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(Payload).map_err(serde::de::Error::custom)
    }
}

/// What came of an order about dead letters in one process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::app) struct Report {
    replayed: u64,
    failed_again: u64,
    dropped: u64,
    #[serde(default)]
    moved: u64,
    unfinished_tasks: u32,
    tried: Vec<Tried>,
}

/// What a tried artifact made of one dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Tried {
    at: (TopicPartition, Position),
    source: (TopicPartition, Position),
    /// How many records it emitted, or the code and the message of its failure.
    outcome: std::result::Result<u64, (String, String)>,
}

impl From<DeadLetterReport> for Report {
    fn from(report: DeadLetterReport) -> Self {
        let tried = |tried: TriedDeadLetter| Tried {
            at: tried.at,
            source: tried.source,
            outcome: tried.outcome.map_err(|(code, message)| (code.as_str().to_owned(), message)),
        };
        Report {
            replayed: report.replayed,
            failed_again: report.failed_again,
            dropped: report.dropped,
            moved: report.moved,
            unfinished_tasks: report.unfinished_tasks,
            tried: report.tried.into_iter().map(tried).collect(),
        }
    }
}

impl Report {
    /// Adds it to what came of the order in other processes.
    pub(in crate::app) fn add_to(self, whole: &mut DeadLetterReport) {
        whole.replayed += self.replayed;
        whole.failed_again += self.failed_again;
        whole.dropped += self.dropped;
        whole.moved += self.moved;
        whole.unfinished_tasks += self.unfinished_tasks;
        whole.tried.extend(self.tried.into_iter().map(|tried| TriedDeadLetter {
            at: tried.at,
            source: tried.source,
            outcome: tried.outcome.map_err(|(code, message)| (known(&code), message)),
        }));
    }
}

/// The code of that text; a process of another version may have others.
pub(in crate::app) fn known(code: &str) -> ErrorCode {
    ErrorCode::ALL.iter().copied().find(|known| known.as_str() == code).unwrap_or(ErrorCode::Internal)
}

/// A question or an answer as it travels.
pub(super) fn encode(what: &impl Serialize) -> Result<Bytes> {
    serde_json::to_vec(what).map(Bytes::from).map_err(|e| internal(format!("a question to a peer: {e}")))
}

/// The same, read.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| internal(format!("a peer said what is not understood here: {e}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_travel_as_they_are() {
        let ask = Ask::Exec {
            function: FunctionId(3),
            class_name: "C".into(),
            modules: vec![("m".into(), Payload(vec![0, 255])), ("n".into(), Payload(Vec::new()))],
        };
        let read: Ask = decode(&encode(&ask).unwrap()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{ask:?}"));
        let until = BTreeMap::from([(1, Position(u128::MAX))]);
        let ask = Ask::DeadLetters { function: FunctionId(3), action: Action::Try("ab".into()), until };
        let read: Ask = decode(&encode(&ask).unwrap()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{ask:?}"));
    }

    #[test]
    fn reports_of_several_processes_add_up() {
        let at = |position| (TopicPartition::new("t", 0), Position(position));
        let failed = Err((ErrorCode::GuestError, "boom".to_owned()));
        let tried = |outcome| TriedDeadLetter { at: at(1), source: at(2), outcome };
        let part =
            DeadLetterReport { replayed: 2, tried: vec![tried(failed), tried(Ok(3))], ..DeadLetterReport::default() };
        let mut whole = DeadLetterReport { replayed: 1, unfinished_tasks: 1, ..DeadLetterReport::default() };
        let sent: Report = decode(&encode(&Report::from(part)).unwrap()).unwrap();
        sent.add_to(&mut whole);
        assert_eq!((whole.replayed, whole.unfinished_tasks, whole.tried.len()), (3, 1, 2));
        assert_eq!(whole.tried[0].outcome, Err((ErrorCode::GuestError, "boom".to_owned())));
    }
}
