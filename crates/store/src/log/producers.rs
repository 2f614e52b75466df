// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Producers that number their records.
//!
//! The entry of a producer and topic has the number that its next record has and where its last appends went. It is written in
//! the same write as the records, so it says of each number whether its record is there, also after a crash. The committer
//! reads it from the database for each append: nothing of it is kept in memory.
//!
//! An entry goes with its topic. Apart from that it is forgotten when the producer was silent for
//! [`StoreOptions::producers_max_age`](crate::StoreOptions), or when its topic has more than
//! [`StoreOptions::producers_max_count`](crate::StoreOptions) and all others have spoken since.

use std::collections::HashSet;

use bytes::Bytes;
use fnstream_core::Result;
use fnstream_core::producers::{Numbered, NumberedDone, ProducerPlace, Producers, REMEMBERED};
use fnstream_core::record::Position;
use fnstream_core::spec::check_name;
use fnstream_core::topic::Topic;
use fnstream_core::topics::Appended;
use parking_lot::Mutex;
use rocksdb::WriteBatch;
use serde::{Deserialize, Serialize};

use super::clients::prepare;
use crate::commit::group::Job;
use crate::commit::numbered::NumberedJob;
use crate::db::Sync;
use crate::formats;
use crate::inner::Inner;
use crate::keys;
use crate::store::Store;

/// All producers are looked through so often, in milliseconds. Those of a topic that has a new one are at each upkeep.
const LOOK_EVERY_MS: u64 = 3_600_000;

/// So many are forgotten in one write, so that no commit waits long.
const FORGOTTEN_AT_ONCE: usize = 1_000;

/// A producer of a topic, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Producer {
    /// The number of its next record.
    pub next: u64,
    /// When it last sent something.
    pub at_ms: i64,
    /// Its last appends, the latest one last.
    pub recent: Vec<Recent>,
}

/// An append of a producer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recent {
    /// The number of its first record.
    pub first: u64,
    /// How many records it had.
    pub count: u32,
    /// Partition, position of the first and number of each run.
    pub runs: Vec<(u32, u64, u32)>,
}

impl Producer {
    /// Notes an append.
    pub(crate) fn took(&mut self, first: u64, count: u32, appended: &Appended, now_ms: i64) {
        // Positions of this log are numbers of 64 bits.
        let runs = appended.iter().map(|(partition, at, count)| (*partition, at.0 as u64, *count)).collect();
        self.recent.push(Recent { first, count, runs });
        self.recent.drain(..self.recent.len().saturating_sub(REMEMBERED));
        (self.next, self.at_ms) = (first + u64::from(count), now_ms);
    }

    /// Where the records of an append went that is remembered.
    pub(crate) fn recall(&self, first: u64, count: u32) -> Option<Appended> {
        let same = self.recent.iter().find(|recent| (recent.first, recent.count) == (first, count))?;
        Some(same.runs.iter().map(|(partition, at, count)| (*partition, Position((*at).into()), *count)).collect())
    }
}

/// What is known of producers beside the database.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// Topics that have got new producers since.
    pub(crate) grown: Mutex<HashSet<u32>>,
    /// When all were looked through.
    at_ms: Mutex<Option<i64>>,
}

/// The producers of the store's topics.
pub(crate) struct LogProducers(pub Store);

impl Producers for LogProducers {
    fn append_numbered(
        &self,
        topic: &Topic,
        numbered: Numbered,
        partition: Option<u32>,
        frame: Bytes,
        done: NumberedDone,
    ) {
        match prepare(&self.0, topic, partition, frame.clone()) {
            Ok((topic, parts)) => {
                let job = NumberedJob { topic, numbered, partition, frame, parts, done };
                self.0.inner().queue.send(Job::Numbered(Box::new(job)));
            }
            Err(e) => done(Err(e)),
        }
    }

    fn producer(&self, topic: &Topic, producer: &str) -> Result<Option<ProducerPlace>> {
        check_name("producer", producer)?;
        let store = self.0.inner();
        let topic = store.topics.get(topic.own_name()?)?;
        let value = store.db()?.get(keys::META, &keys::producer(topic.id, producer))?;
        let known = value.map(|value| formats::decode_producer(&value)).transpose()?;
        Ok(known.map(|known| ProducerPlace { next: known.next, at_ms: known.at_ms }))
    }
}

impl Inner {
    /// Forgets producers that were silent for long, or are too many; answers how many. Most calls look at few of them.
    pub(crate) fn forget_producers(&self, now_ms: i64) -> Result<u64> {
        let is_due = self.producers.at_ms.lock().is_none_or(|last| last.abs_diff(now_ms) >= LOOK_EVERY_MS);
        let grown = std::mem::take(&mut *self.producers.grown.lock());
        let mut forgotten = 0;
        for topic in self.topics.all() {
            if is_due || grown.contains(&topic.id) {
                forgotten += self.forget_producers_of(topic.id, now_ms)?;
            }
        }
        if is_due {
            *self.producers.at_ms.lock() = Some(now_ms);
        }
        Ok(forgotten)
    }

    fn forget_producers_of(&self, topic: u32, now_ms: i64) -> Result<u64> {
        let (range, db) = (keys::all_of(b"s", topic), self.db()?);
        let mut iterator = db.iterate(keys::META, range.end);
        iterator.seek(range.start);
        let mut all = Vec::new();
        while let Some((key, value)) = iterator.item() {
            all.push((formats::decode_producer(value)?.at_ms, key.to_vec()));
            iterator.next();
        }
        db.ended(&iterator)?;
        drop(iterator);
        all.sort_unstable();
        let too_many = all.len().saturating_sub(self.options.producers_max_count);
        let max_age = i128::try_from(self.options.producers_max_age.as_millis()).unwrap_or(i128::MAX);
        let too_old = all.iter().take_while(|(at_ms, _)| i128::from(now_ms) - i128::from(*at_ms) > max_age).count();
        all.truncate(too_many.max(too_old));
        for some in all.chunks(FORGOTTEN_AT_ONCE) {
            self.forget(some)?;
        }
        Ok(all.len() as u64)
    }

    /// Removes those that have not said anything since.
    fn forget(&self, silent: &[(i64, Vec<u8>)]) -> Result<()> {
        // Held so that no group is being written that has something of theirs.
        let _no_group = self.ledger.lock();
        let db = self.db()?;
        let mut batch = WriteBatch::default();
        for (at_ms, key) in silent {
            let Some(value) = db.get(keys::META, key)? else { continue };
            if formats::decode_producer(&value)?.at_ms == *at_ms {
                batch.delete_cf(db.family(keys::META), key);
            }
        }
        db.write(batch, Sync::No)
    }
}
