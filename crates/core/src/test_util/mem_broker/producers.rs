// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The broker as producers see it that number their records.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use fnstream_frame::{Frame, FrameBuilder};

use super::{MemBroker, State};
use crate::error::{Error, ErrorCode, Result};
use crate::producers::{Numbered, NumberedAppend, NumberedDone, ProducerPlace, Producers, REMEMBERED};
use crate::topic::Topic;
use crate::topics::Appended;

/// The producers by topic and name.
pub(super) type Known = BTreeMap<(Topic, Arc<str>), Producer>;

/// A producer of a topic.
#[derive(Default)]
pub(super) struct Producer {
    next: u64,
    /// First number, number of records and places of its last appends.
    recent: VecDeque<(u64, u32, Appended)>,
}

impl State {
    fn append_numbered(
        &mut self,
        topic: &Topic,
        numbered: &Numbered,
        partition: Option<u32>,
        bytes: &Bytes,
    ) -> Result<NumberedAppend> {
        self.ledger.topics.partitions(topic)?;
        let malformed = |e| Error::new(ErrorCode::InvalidRequest, format!("records to append: {e}"));
        let frame = Frame::parse(bytes).map_err(malformed)?;
        let key = (topic.clone(), numbered.producer().clone());
        let (first, count) = (numbered.first(), frame.len() as u32);
        let next = self.clients.producers.get(&key).map(|producer| producer.next);
        let duplicates = numbered.known(topic, count, next)?;
        if duplicates == count
            && let Some(producer) = self.clients.producers.get(&key)
        {
            let same = producer.recent.iter().find(|(of, records, _)| (*of, *records) == (first, count));
            let appended = same.map(|(.., appended)| appended.clone()).unwrap_or_default();
            return Ok(NumberedAppend { appended, duplicates, next: producer.next });
        }
        let mut lacking = FrameBuilder::new();
        lacking.extend(&frame, duplicates as usize..frame.len(), None);
        let appended = self.append(topic, partition, &lacking.to_bytes().into())?;
        let producer = self.clients.producers.entry(key).or_default();
        producer.next = first + u64::from(count);
        producer.recent.push_back((first + u64::from(duplicates), count - duplicates, appended.clone()));
        if producer.recent.len() > REMEMBERED {
            producer.recent.pop_front();
        }
        Ok(NumberedAppend { appended, duplicates, next: producer.next })
    }
}

impl Producers for MemBroker {
    fn append_numbered(
        &self,
        topic: &Topic,
        numbered: Numbered,
        partition: Option<u32>,
        frame: Bytes,
        done: NumberedDone,
    ) {
        let appended = self.shared.state.lock().append_numbered(topic, &numbered, partition, &frame);
        self.wake();
        done(appended);
    }

    fn producer(&self, topic: &Topic, producer: &str) -> Result<Option<ProducerPlace>> {
        let state = self.shared.state.lock();
        state.ledger.topics.partitions(topic)?;
        let known = state.clients.producers.get(&(topic.clone(), producer.into()));
        Ok(known.map(|producer| ProducerPlace { next: producer.next, at_ms: 0 }))
    }
}
