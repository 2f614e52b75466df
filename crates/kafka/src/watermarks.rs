// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Watermarks that functions emit: records of one compacted internal topic of the server, in the transactions of their epochs.
//!
//! ```text
//!  out-0         │ r │ r │ t │ r │ t │          r = record of the writer, t = a transaction's marker
//!                        ▲       ▲
//!  watermarks    said 50, ends {0: 2}   said 60, ends {0: 4}
//! ```
//!
//! What is said holds behind the writer's own records so far, whose ends are known when they are delivered, before the commit.
//! A reader follows the topic from its beginning, keeps for each topic what its tasks have said, and where the least of them rises
//! it notes the ends of all that was said until then: so the watermark comes after the records of every writer.
//!
//! Each task writes to keys by turns, so compaction leaves the last [`SLOTS`] of what it said. A reader that begins before them is
//! told the watermark of its place later than another one, and never a wrong one.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Weak};

use fnstream_core::epoch::TaskId;
use fnstream_core::record::TopicPartition;
use fnstream_core::topic::Topic;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::admin::POLICY;
use crate::feed::Feed;
use crate::ring::Ring;

/// What the topic has to be set to.
pub(crate) const SETTINGS: [(&str, &str); 1] = [(POLICY, "compact")];

/// How many of the things that a task said are kept.
const SLOTS: u64 = 256;
const VERSION: u8 = 1;

/// What a task says of one of its output topics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    pub task: TaskId,
    pub topic: Topic,
    /// How many tasks its function has.
    pub tasks: u32,
    pub watermark: u64,
    pub idle: bool,
    /// Behind the task's records in each partition.
    pub ends: BTreeMap<u32, i64>,
}

impl Said {
    /// The key and the value of the record of the task's `number`th.
    pub(crate) fn encode(&self, number: u64) -> Result<(Vec<u8>, Vec<u8>)> {
        let key = format!("{}\0{}\0{}\0{}", self.task, self.topic.cluster, self.topic.name, number % SLOTS);
        let value = postcard::to_extend(self, vec![VERSION]).map_err(|e| corrupt(&e))?;
        Ok((key.into_bytes(), value))
    }

    fn decode(bytes: &[u8]) -> Result<Said> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|e| corrupt(&e)),
            _ => Err(corrupt(&"a version that is not known")),
        }
    }
}

fn corrupt(why: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorCode::DataCorrupt, format!("a watermark: {why}"))
}

/// What was said so far of all topics.
pub(crate) struct Marks {
    /// Fills the ring.
    _feed: Arc<Feed>,
    ring: Arc<Ring>,
    wakers: Arc<Mutex<Vec<Weak<Waker>>>>,
    topics: Mutex<Topics>,
}

#[derive(Default)]
struct Topics {
    by_topic: HashMap<Topic, Standing>,
    /// Everything that was there when reading began was read.
    is_caught_up: bool,
}

/// What is known of one topic.
#[derive(Default)]
struct Standing {
    /// What each task has said, and how many tasks its function has.
    said: BTreeMap<TaskId, (u64, bool, u32)>,
    /// Behind all records of all that was said.
    ends: BTreeMap<u32, i64>,
    /// Where the topic's watermark has risen, and to what.
    risen: VecDeque<(u64, BTreeMap<u32, i64>)>,
}

impl Marks {
    pub(crate) fn follow(feed: Arc<Feed>, topic: &str, from: i64) -> Marks {
        let wakers: Arc<Mutex<Vec<Weak<Waker>>>> = Arc::default();
        let woken = wakers.clone();
        let wake = Waker::new(move || {
            woken.lock().retain(|waker| waker.upgrade().map(|waker| waker.wake()).is_some());
        });
        let at = TopicPartition::new(Topic::own(topic), 0);
        let ring = Arc::new(Ring::new((topic.to_owned(), 0), at, 0, from, wake));
        Marks { _feed: feed, ring, wakers, topics: Mutex::default() }
    }

    pub(crate) fn ring(&self) -> Arc<Ring> {
        self.ring.clone()
    }

    /// Has a waker called when something was said, for as long as it is held.
    pub(crate) fn register(&self, waker: &Arc<Waker>) {
        self.wakers.lock().push(Arc::downgrade(waker));
    }

    /// Takes in what came. Answers whether what was there at the beginning has been read.
    pub(crate) fn advance(&self) -> Result<bool> {
        let mut topics = self.topics.lock();
        let has_room = self.ring.with(|state| {
            while let Some(message) = state.pop_if(|_| true) {
                if let Some(value) = message.value() {
                    topics.hear(Said::decode(value)?);
                }
            }
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            topics.is_caught_up |= state.end.is_some();
            Ok(state.resume_if_empty())
        })?;
        if has_room {
            self._feed.resume(&self.ring);
        }
        Ok(topics.is_caught_up)
    }

    /// The watermark that holds at an offset.
    pub(crate) fn at(&self, of: &TopicPartition, offset: i64) -> Option<u64> {
        let topics = self.topics.lock();
        let risen = &topics.by_topic.get(&of.topic)?.risen;
        let holds = |ends: &BTreeMap<u32, i64>| ends.get(&of.partition).is_none_or(|end| *end <= offset);
        risen.iter().rev().find(|(_, ends)| holds(ends)).map(|(watermark, _)| *watermark)
    }
}

impl Topics {
    fn hear(&mut self, said: Said) {
        let standing = self.by_topic.entry(said.topic).or_default();
        for (partition, end) in said.ends {
            let known = standing.ends.entry(partition).or_default();
            *known = end.max(*known);
        }
        let before = standing.said.get(&said.task).map_or(0, |(watermark, ..)| *watermark);
        standing.said.insert(said.task, (said.watermark.max(before), said.idle, said.tasks));
        let watermark = standing.watermark();
        if standing.risen.back().map_or(0, |(last, _)| *last) < watermark {
            standing.risen.push_back((watermark, standing.ends.clone()));
            if standing.risen.len() as u64 > SLOTS {
                standing.risen.pop_front();
            }
        }
    }
}

impl Standing {
    /// The least of the tasks that are not idle, where one that has said nothing has 0; of idle ones the greatest.
    fn watermark(&self) -> u64 {
        let heard = |task: &TaskId| self.said.keys().filter(|other| other.function == task.function).count() as u32;
        let is_silent = self.said.iter().any(|(task, (.., tasks))| heard(task) < *tasks);
        let active = self.said.values().filter(|(_, idle, _)| !idle).map(|(watermark, ..)| *watermark).min();
        match active {
            _ if is_silent => 0,
            Some(least) => least,
            None => self.said.values().map(|(watermark, ..)| *watermark).max().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fnstream_core::epoch::FunctionId;

    fn said(index: u32, watermark: u64, idle: bool, ends: &[(u32, i64)]) -> Said {
        let task = TaskId::new(FunctionId(7), index);
        Said { task, topic: Topic::own("out"), tasks: 2, watermark, idle, ends: ends.iter().copied().collect() }
    }

    /// The bytes of version 1, as every later version must read them.
    #[test]
    fn version_1_stays_readable() {
        let golden = b"\x01\x07\x01\0\x03out\x02\x32\x01\x01\x02\x08";
        let said = said(1, 50, true, &[(2, 4)]);
        assert_eq!(said.encode(257).unwrap(), (b"7/1\0\0out\x001".to_vec(), golden.to_vec()));
        assert_eq!(Said::decode(golden).unwrap(), said);
        assert_eq!(Said::decode(b"\x02").unwrap_err().code, ErrorCode::DataCorrupt);
    }

    #[test]
    fn a_watermark_holds_behind_the_records_of_all_that_was_said() {
        let mut topics = Topics::default();
        topics.hear(said(0, 70, false, &[(0, 9)]));
        topics.hear(said(1, 50, false, &[(0, 3), (1, 4)]));
        let risen = &topics.by_topic[&Topic::own("out")].risen;
        assert_eq!(*risen, [(50, BTreeMap::from([(0, 9), (1, 4)]))], "not behind the records of the last one alone");
    }
}
