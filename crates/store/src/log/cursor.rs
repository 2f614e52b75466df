// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Cursors: how far a named group of consumers has got in a partition.
//!
//! A cursor is the position of the next record. It is durable when `set` returns, belongs to the topic's id, and goes
//! with the topic.

use fnstream_core::groups::GroupPlace;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::check_name;
use fnstream_core::{Error, ErrorCode, Result};
use rocksdb::WriteBatch;

use crate::error::corrupt;
use crate::formats;
use crate::inner::Inner;
use crate::keys;

impl Inner {
    pub(crate) fn cursor(&self, group: &str, at: &TopicPartition) -> Result<Option<Position>> {
        check_name("group", group)?;
        let topic = self.topics.get(at.topic.own_name()?)?;
        topic.partition(at.partition)?;
        let value = self.db()?.get(keys::META, &keys::cursor(topic.id, at.partition, group))?;
        value.map(|value| formats::decode_cursor(&value).map(|position| Position(position.into()))).transpose()
    }

    pub(crate) fn set_cursor(&self, group: &str, at: &TopicPartition, position: Position) -> Result<()> {
        check_name("group", group)?;
        self.topics.with(at.topic.own_name()?, |topic| {
            let end = topic.partition(at.partition)?.marks().end();
            if position > end {
                return Err(Error::new(
                    ErrorCode::PositionUnknown,
                    format!("{at} ends at {end}: the cursor of '{group}' cannot be at {position}"),
                ));
            }
            let db = self.db()?;
            let mut batch = WriteBatch::default();
            let key = keys::cursor(topic.id, at.partition, group);
            batch.put_cf(db.family(keys::META), key, formats::encode_cursor(position.0 as u64));
            db.write(batch, self.sync())
        })
    }

    pub(crate) fn cursors(&self, topic: &str) -> Result<Vec<GroupPlace>> {
        let topic = self.topics.get(topic)?;
        let range = keys::all_of(b"c", topic.id);
        let db = self.db()?;
        let mut iterator = db.iterate(keys::META, range.end);
        iterator.seek(range.start);
        let mut cursors = Vec::new();
        while let Some((key, value)) = iterator.item() {
            let (partition, group) =
                keys::cursor_parts(key).ok_or_else(|| corrupt("the key of a cursor is malformed"))?;
            let position = Position(formats::decode_cursor(value)?.into());
            cursors.push(GroupPlace { group: group.to_owned(), partition, position });
            iterator.next();
        }
        db.ended(&iterator)?;
        Ok(cursors)
    }
}
