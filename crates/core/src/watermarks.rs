// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Watermarks that functions emit, as records of an internal topic of a broker.
//!
//! What is said holds behind the writer's own records so far, whose ends are known when they are there. A reader follows the topic from
//! its beginning and keeps for each topic what its tasks have said ([`Heard`]). Where the least of them rises it notes the ends of all
//! that was said until then: so the watermark comes after the records of every writer.
//!
//! Each task writes to keys by turns, so compaction leaves the last [`SLOTS`] of what it said. A reader that begins before them is
//! told the watermark of its place later than another one, and never a wrong one.
//!
//! Ends are what the broker tells places by: offsets, or positions.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::epoch::TaskId;
use crate::record::TopicPartition;
use crate::topic::Topic;
use crate::{Error, ErrorCode, Result};

/// How many of the things that a task said are kept.
pub const SLOTS: u64 = 256;
const VERSION: u8 = 1;

/// What a task says of one of its output topics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said<E> {
    /// Who says it.
    pub task: TaskId,
    /// Of which topic.
    pub topic: Topic,
    /// How many tasks its function has.
    pub tasks: u32,
    /// Milliseconds since the Unix epoch.
    pub watermark: u64,
    /// Whether the task's inputs are silent.
    pub idle: bool,
    /// Behind the task's records in each partition.
    pub ends: BTreeMap<u32, E>,
}

impl<E: Serialize + DeserializeOwned> Said<E> {
    /// The key and the value of the record of the task's `number`th.
    pub fn encode(&self, number: u64) -> Result<(Vec<u8>, Vec<u8>)> {
        let key = format!("{}\0{}\0{}\0{}", self.task, self.topic.cluster, self.topic.name, number % SLOTS);
        let value = postcard::to_extend(self, vec![VERSION]).map_err(|e| corrupt(&e))?;
        Ok((key.into_bytes(), value))
    }

    /// What was said in a record of this value.
    pub fn decode(bytes: &[u8]) -> Result<Said<E>> {
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
#[derive(Debug)]
pub struct Heard<E> {
    by_topic: HashMap<Topic, Standing<E>>,
}

/// What is known of one topic.
#[derive(Debug)]
struct Standing<E> {
    /// What each task has said, and how many tasks its function has.
    said: BTreeMap<TaskId, (u64, bool, u32)>,
    /// Behind all records of all that was said.
    ends: BTreeMap<u32, E>,
    /// Where the topic's watermark has risen, and to what.
    risen: VecDeque<(u64, BTreeMap<u32, E>)>,
}

impl<E> Default for Heard<E> {
    fn default() -> Self {
        Heard { by_topic: HashMap::new() }
    }
}

impl<E> Default for Standing<E> {
    fn default() -> Self {
        Standing { said: BTreeMap::new(), ends: BTreeMap::new(), risen: VecDeque::new() }
    }
}

impl<E: Copy + Ord> Heard<E> {
    /// Takes in what a task has said.
    pub fn hear(&mut self, said: Said<E>) {
        let standing = self.by_topic.entry(said.topic).or_default();
        for (partition, end) in said.ends {
            let known = standing.ends.entry(partition).or_insert(end);
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

    /// The watermark that holds at a place.
    pub fn at(&self, of: &TopicPartition, place: E) -> Option<u64> {
        let risen = &self.by_topic.get(&of.topic)?.risen;
        let holds = |ends: &BTreeMap<u32, E>| ends.get(&of.partition).is_none_or(|end| *end <= place);
        risen.iter().rev().find(|(_, ends)| holds(ends)).map(|(watermark, _)| *watermark)
    }
}

impl<E> Standing<E> {
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
    use crate::epoch::FunctionId;

    fn said(index: u32, watermark: u64, idle: bool, ends: &[(u32, i64)]) -> Said<i64> {
        let task = TaskId::new(FunctionId(7), index);
        Said { task, topic: Topic::own("out"), tasks: 2, watermark, idle, ends: ends.iter().copied().collect() }
    }

    /// The bytes of version 1, as every later version must read them.
    #[test]
    fn version_1_stays_readable() {
        let golden = b"\x01\x07\x01\0\x03out\x02\x32\x01\x01\x02\x08";
        let said = said(1, 50, true, &[(2, 4)]);
        assert_eq!(said.encode(257).unwrap(), (b"7/1\0\0out\x001".to_vec(), golden.to_vec()));
        assert_eq!(Said::<i64>::decode(golden).unwrap(), said);
        assert_eq!(Said::<i64>::decode(b"\x02").unwrap_err().code, ErrorCode::DataCorrupt);
    }

    #[test]
    fn a_watermark_holds_behind_the_records_of_all_that_was_said() {
        let mut heard = Heard::default();
        heard.hear(said(0, 70, false, &[(0, 9)]));
        heard.hear(said(1, 50, false, &[(0, 3), (1, 4)]));
        let risen = &heard.by_topic[&Topic::own("out")].risen;
        assert_eq!(*risen, [(50, BTreeMap::from([(0, 9), (1, 4)]))], "not behind the records of the last one alone");
    }
}
