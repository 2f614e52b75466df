// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What groups have acknowledged: one value for each group and partition, rewritten by the thread that commits.
//!
//! A write is put together with whatever else waits there, dead letters included, so it is as atomic and as durable as an append.

use std::collections::HashMap;

use fnstream_core::Result;
use fnstream_core::acks::{AckDone, AckWrite, Acks, GroupAcknowledged};
use fnstream_core::spec::check_name;
use fnstream_core::topic::{self, Topic};

use super::clients::prepare;
use crate::commit::group::Job;
use crate::error::{corrupt, no_topic};
use crate::formats;
use crate::keys;
use crate::store::Store;

/// Entries of the family `meta` with their new values; `None` removes one.
pub(crate) type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The acknowledgements of the store's groups.
pub(crate) struct LogAcks(pub Store);

impl Acks for LogAcks {
    fn load(&self) -> Result<Vec<GroupAcknowledged>> {
        let store = self.0.inner();
        let names: HashMap<u32, _> =
            store.topics.all().into_iter().map(|topic| (topic.id, topic.name.clone())).collect();
        let db = store.db()?;
        let mut iterator = db.iterate(keys::META, keys::after_prefix(keys::ACKNOWLEDGED_PREFIX));
        iterator.seek(keys::ACKNOWLEDGED_PREFIX);
        let mut acknowledged = Vec::new();
        while let Some((key, value)) = iterator.item() {
            let malformed = || corrupt("the key of what a group has acknowledged is malformed");
            let id = keys::topic_of(key).ok_or_else(malformed)?;
            let (partition, group) = keys::cursor_parts(key).ok_or_else(malformed)?;
            // A topic that was deleted meanwhile took it along.
            if let Some(name) = names.get(&id) {
                acknowledged.push(GroupAcknowledged {
                    topic: topic::Topic::own(name.clone()),
                    incarnation: id.into(),
                    group: group.to_owned(),
                    partition,
                    acknowledged: formats::decode_acknowledged(value)?,
                });
            }
            iterator.next();
        }
        db.ended(&iterator)?;
        Ok(acknowledged)
    }

    fn incarnation(&self, topic: &Topic) -> Result<u64> {
        Ok(self.0.inner().topics.get(topic.own_name()?)?.id.into())
    }

    fn write(&self, topic: &Topic, incarnation: u64, write: AckWrite, done: AckDone) {
        match self.prepare(topic, incarnation, write) {
            Ok(prepared) => self.0.inner().queue.send(prepared(done)),
            Err(error) => done(Err(error)),
        }
    }
}

impl LogAcks {
    fn prepare(&self, topic: &Topic, incarnation: u64, write: AckWrite) -> Result<impl FnOnce(AckDone) -> Job + use<>> {
        let AckWrite { group, acknowledged, places, letters } = write;
        check_name("group", &group)?;
        let topic = self.0.inner().topics.get(topic.own_name()?)?;
        if u64::from(topic.id) != incarnation {
            return Err(no_topic(&topic.name));
        }
        let acknowledged = acknowledged.into_iter().map(|(partition, acknowledged)| {
            (keys::acknowledged(topic.id, partition, &group), acknowledged.as_ref().map(formats::encode_acknowledged))
        });
        let places = places.into_iter().map(|(partition, place)| {
            let place = place.map(|place| formats::encode_cursor(place.0 as u64));
            (keys::cursor(topic.id, partition, &group), place)
        });
        let changes = acknowledged.chain(places).collect();
        let letters = letters.map(|(to, frame)| prepare(&self.0, &to, None, frame)).transpose()?;
        Ok(move |done| Job::Acks { topic, changes, letters, done })
    }
}
