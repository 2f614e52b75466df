// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Groups of consumers: what a group has taken and nobody has accepted yet.
//!
//! The place of a group is its cursor, which is moved durably before the records are given. A claim is in memory only: it
//! ends with the process, and then its records were given.

use std::collections::HashMap;

use fnstream_core::Result;
use fnstream_core::broker::PollLimit;
use fnstream_core::groups::{Claim, GroupPlace, Groups, Taken, Taking};
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::topic::Topic;
use fnstream_core::topics::read_on;
use fnstream_core::waker::Waker;

use super::read::Reading;
use crate::store::Store;

/// The open claims of a store, by topic and group.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    open: HashMap<(Topic, String), Open>,
    last: u64,
}

#[derive(Debug)]
struct Open {
    claim: Claim,
    /// Where the group stood, once the records are taken; also if retention had dropped that: whoever takes after a consumer that
    /// went away is told.
    before: Option<(TopicPartition, Position)>,
    /// Who was refused meanwhile.
    refused: Vec<Waker>,
}

impl Claims {
    /// Opens a claim, or has the waker called when the one that is open ends.
    fn begin(&mut self, key: (Topic, String), free: Waker) -> Option<Claim> {
        if let Some(open) = self.open.get_mut(&key) {
            open.refused.push(free);
            return None;
        }
        self.last += 1;
        let claim = Claim(self.last);
        self.open.insert(key, Open { claim, before: None, refused: Vec::new() });
        Some(claim)
    }

    fn key_of(&self, claim: Claim) -> Option<(Topic, String)> {
        self.open.iter().find(|(_, open)| open.claim == claim).map(|(key, _)| key.clone())
    }
}

/// The groups of consumers of the store's log.
pub(crate) struct LogGroups(pub Store);

impl Groups for LogGroups {
    fn take(&self, group: &str, partitions: &[TopicPartition], limit: PollLimit, free: Waker) -> Result<Taking> {
        let Some(first) = partitions.first() else { return Ok(Taking::Nothing) };
        let claims = &self.0.inner().claims;
        let Some(claim) = claims.lock().begin((first.topic.clone(), group.to_owned()), free) else {
            return Ok(Taking::Busy);
        };
        // Nobody else of the group reads or moves its cursors while the claim is open.
        let taken = self.take_first(group, partitions, limit, claim);
        if !matches!(taken, Ok(Taking::Taken(_))) {
            self.close(claim);
        }
        taken
    }

    fn accept(&self, claim: Claim) {
        self.close(claim);
    }

    fn put_back(&self, claim: Claim) -> Result<()> {
        let before = {
            let mut claims = self.0.inner().claims.lock();
            let key = claims.key_of(claim);
            key.and_then(|key| Some((key.1.clone(), claims.open.get_mut(&key)?.before.take()?)))
        };
        let put = before.map(|(group, (at, position))| self.0.inner().set_cursor(&group, &at, position));
        self.close(claim);
        put.unwrap_or(Ok(()))
    }

    fn places(&self, topic: &Topic) -> Result<Vec<GroupPlace>> {
        self.0.inner().cursors(topic.own_name()?)
    }
}

impl LogGroups {
    fn take_first(&self, group: &str, partitions: &[TopicPartition], limit: PollLimit, claim: Claim) -> Result<Taking> {
        let store = self.0.inner();
        for at in partitions {
            let topic = store.topics.get(at.topic.own_name()?)?;
            let earliest = || Ok(topic.partition(at.partition)?.marks().earliest());
            let before = store.cursor(group, at)?.map_or_else(earliest, Ok)?;
            let db = &*store.db()?;
            let reading = Reading { db, topic: &topic, partition: at, group: 0 };
            let (read, skipped_from) = read_on(before, earliest, |from| reading.read(from, limit))?;
            let Some((batch, next)) = read.and_then(|batch| batch.end().map(|next| (batch, next))) else { continue };
            store.set_cursor(group, at, next)?;
            if let Some(open) = store.claims.lock().open.values_mut().find(|open| open.claim == claim) {
                open.before = Some((at.clone(), before));
            }
            return Ok(Taking::Taken(Taken { batch, next, skipped_from, claim }));
        }
        Ok(Taking::Nothing)
    }

    /// Ends a claim, if it is open.
    fn close(&self, claim: Claim) {
        let ended = {
            let mut claims = self.0.inner().claims.lock();
            claims.key_of(claim).and_then(|key| claims.open.remove(&key))
        };
        ended.into_iter().flat_map(|open| open.refused).for_each(|waker| waker.wake());
    }
}
