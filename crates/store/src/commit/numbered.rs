// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Appends whose records are numbered: the producer's entry goes into the same write as the records that lack.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::Result;
use fnstream_core::producers::{Numbered, NumberedAppend, NumberedDone};

use super::group::{Answer, Group};
use crate::formats;
use crate::keys;
use crate::log::clients::parts;
use crate::log::cut::{Part, without_first};
use crate::log::partition::Topic;
use crate::log::producers::Producer;

/// A producer that sends what is there already is no longer silent: that is noted so often, in milliseconds.
const NOTED_EVERY_MS: u64 = 3_600_000;

/// An append of a producer that numbers its records.
pub(crate) struct NumberedJob {
    pub topic: Arc<Topic>,
    pub numbered: Numbered,
    /// The partition that was named.
    pub partition: Option<u32>,
    /// All records, for when only some of them lack.
    pub frame: Bytes,
    /// The same, cut for their partitions.
    pub parts: Vec<Part>,
    pub done: NumberedDone,
}

impl Group<'_> {
    pub(super) fn add_numbered(&mut self, job: NumberedJob) {
        let staged = self.stage_numbered(&job);
        self.answers.push(Answer::Numbered(job.done, staged));
    }

    /// Everything that can fail comes before the first thing that is put into the batch.
    fn stage_numbered(&mut self, job: &NumberedJob) -> Result<NumberedAppend> {
        let (topic, numbered) = (&job.topic, &job.numbered);
        job.parts.iter().try_for_each(|part| topic.partition(part.partition).map(drop))?;
        let key = keys::producer(topic.id, numbered.producer());
        let known = self.known_producer(&key)?;
        let (first, count) = (numbered.first(), job.parts.iter().map(Part::records).sum());
        let named = fnstream_core::topic::Topic::own(topic.name.clone());
        let duplicates = numbered.known(&named, count, known.as_ref().map(|known| known.next))?;
        let (is_new, now_ms) = (known.is_none(), self.store.options.clock.unix_ms());
        let mut producer = known.unwrap_or_default();
        if duplicates == count {
            let appended = producer.recall(first, count).unwrap_or_default();
            let next = producer.next;
            if !is_new && producer.at_ms.abs_diff(now_ms) >= NOTED_EVERY_MS {
                producer.at_ms = now_ms;
                self.put_producer(key, producer);
            }
            return Ok(NumberedAppend { appended, duplicates, next });
        }
        let lacking = match duplicates {
            0 => Cow::Borrowed(&job.parts[..]),
            some => Cow::Owned(parts(topic, job.partition, without_first(&job.frame, some)?)?),
        };
        let appended = lacking.iter().map(|part| (part.partition, self.place(topic, part), part.records())).collect();
        producer.took(first + u64::from(duplicates), count - duplicates, &appended, now_ms);
        let next = producer.next;
        self.put_producer(key, producer);
        if is_new {
            self.store.producers.grown.lock().insert(topic.id);
        }
        self.awaited = true;
        Ok(NumberedAppend { appended, duplicates, next })
    }

    /// The entry of a producer as this group has it so far.
    fn known_producer(&self, key: &[u8]) -> Result<Option<Producer>> {
        if let Some(staged) = self.producers.get(key) {
            return Ok(Some(staged.clone()));
        }
        self.db.get(keys::META, key)?.map(|value| formats::decode_producer(&value)).transpose()
    }

    fn put_producer(&mut self, key: Vec<u8>, producer: Producer) {
        self.batch.put_cf(self.db.family(keys::META), &key, formats::encode_producer(&producer));
        self.producers.insert(key, producer);
    }
}
