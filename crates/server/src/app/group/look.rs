// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What one request asks of brokers about many functions: of a cluster that is away it waits for one answer, not for one of each
//! partition.

use std::collections::BTreeSet;

use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::topic::Cluster;
use fnstream_core::topics::{Ahead, Topics};
use fnstream_core::{ErrorCode, Result};
use parking_lot::Mutex;

/// See the module. It blocks.
#[derive(Default)]
pub(in crate::app) struct Look(Mutex<Away>);

/// What did not answer.
#[derive(Default)]
struct Away {
    clusters: BTreeSet<Cluster>,
    commits: bool,
}

impl Look {
    /// How far it is from a place to the end of its partition, if its cluster says so.
    pub(in crate::app) fn ahead(&self, topics: &dyn Topics, at: &TopicPartition, from: Position) -> Option<Ahead> {
        if self.0.lock().clusters.contains(&at.topic.cluster) {
            return None;
        }
        let looked = topics.look(at, from);
        if is_away(&looked) {
            self.0.lock().clusters.insert(at.topic.cluster.clone());
        }
        looked.ok()
    }

    /// What tasks have committed, if that is told.
    pub(in crate::app) fn committed<T>(&self, ask: impl FnOnce() -> Result<T>) -> Option<T> {
        if self.0.lock().commits {
            return None;
        }
        let told = ask();
        if is_away(&told) {
            self.0.lock().commits = true;
        }
        told.ok()
    }
}

fn is_away<T>(told: &Result<T>) -> bool {
    matches!(told, Err(error) if error.code == ErrorCode::Unavailable)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use fnstream_core::Error;
    use fnstream_core::test_util::mem_broker::MemBroker;

    use super::*;

    #[test]
    fn what_does_not_answer_is_asked_once() {
        let (look, asked) = (Look::default(), Cell::new(0));
        let ask = |code| {
            look.committed(|| {
                asked.set(asked.get() + 1);
                Err::<(), _>(Error::new(code, "no"))
            })
        };
        for (code, times) in [(ErrorCode::DataCorrupt, 1), (ErrorCode::Unavailable, 2), (ErrorCode::DataCorrupt, 2)] {
            assert_eq!((ask(code), asked.get()), (None, times), "{code}");
        }
    }

    #[test]
    fn a_cluster_that_answers_is_asked_again() {
        let (look, broker) = (Look::default(), MemBroker::new());
        let at = TopicPartition::new("t", 0);
        assert_eq!(look.ahead(&broker, &at, Position::START), None);
        broker.create_topic("t", 1);
        let ahead = Ahead { end: Position::START, lag: Some(0) };
        assert_eq!(look.ahead(&broker, &at, Position::START), Some(ahead));
    }
}
