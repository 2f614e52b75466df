// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Dead letters of groups: records that were delivered as often as they may be.
//!
//! A dead letter is appended and its record acknowledged in one write, so it is there exactly once.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use fnstream_core::broker::PollLimit;
use fnstream_core::dead_letter::GroupDeadLetter;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::DEAD_LETTER_SUFFIX;
use fnstream_core::topic::Topic;
use fnstream_core::{ErrorCode, Result};
use fnstream_frame::{FrameBuilder, RecordRef};

use super::group::Group;
use super::settle::Change;
use crate::app::ops::blocking;
use crate::app::records::Records;

/// The most records that become dead letters in one write, and about their bytes.
const MOST: usize = 100;
const BYTES: usize = 1 << 20;

/// The topic of a group's dead letters: `TOPIC.GROUP.dlq`.
pub(super) fn dead_letter_topic(topic: &str, group: &str) -> Result<Topic> {
    let of: Topic = topic.parse()?;
    let letters = Topic::own(format!("{}.{group}{DEAD_LETTER_SUFFIX}", of.own_name()?));
    letters.check("topic")?;
    Ok(letters)
}

impl Records {
    /// Makes dead letters of the records that were delivered as often as they may be.
    pub(super) async fn bury_spent(self: &Arc<Self>, group: &Arc<Group>, most: Option<u32>) -> Result<()> {
        while let Some((partition, spent)) = self.spent(group, most) {
            let letters = dead_letter_topic(&group.topic.to_string(), &group.name)?;
            let Some((records, frame)) = self.letters(group, partition, spent).await? else { continue };
            self.ensure_topic(&letters).await?;
            let change = Change::Bury { partition, records, most, topic: letters, frame };
            // If one of them was acknowledged meanwhile none is buried, and the next round looks anew.
            let buried = self.change(group, change).await?.done;
            group.counts.dead_letters.fetch_add(buried as u64, Relaxed);
        }
        Ok(())
    }

    /// Records of one partition that are to become dead letters.
    fn spent(&self, group: &Group, most: Option<u32>) -> Option<(u32, Vec<(Position, u32)>)> {
        let now = self.clock.now();
        let mut state = group.state.lock();
        if state.is_deleted {
            return None;
        }
        state.partitions.iter_mut().find_map(|(partition, deliveries)| {
            deliveries.expire(now);
            let spent = deliveries.spent(most, MOST);
            (!spent.is_empty()).then_some((*partition, spent))
        })
    }

    /// Dead letters of some of these records, with those that they are of. None if retention was faster.
    async fn letters(
        &self,
        group: &Arc<Group>,
        partition: u32,
        spent: Vec<(Position, u32)>,
    ) -> Result<Option<(Vec<(Position, u32)>, Bytes)>> {
        let (topics, group, now_ms) = (self.topics.topics.clone(), group.clone(), self.clock.unix_ms());
        let meter = self.meter.clone();
        blocking(move || {
            let source = TopicPartition::new(group.topic.clone(), partition);
            let (mut frame, mut records, mut bytes) = (FrameBuilder::new(), Vec::new(), 0);
            for (position, deliveries) in spent {
                let read = topics.read(&source, position, PollLimit { records: 1, bytes: BYTES });
                let batch = match read {
                    Err(error) if error.code == ErrorCode::PositionDropped => {
                        let info = topics.describe(&group.topic)?;
                        let earliest =
                            info.partitions.iter().find(|of| of.partition == partition).map(|of| of.earliest);
                        let dropped = earliest.map(|earliest| group.state.lock().drop_below(partition, earliest));
                        meter.dropped_unread(dropped.unwrap_or_default());
                        continue;
                    }
                    read => read?,
                };
                let Some(record) = batch.as_ref().and_then(|batch| batch.record_at(position)) else { continue };
                let letter = GroupDeadLetter {
                    group: group.name.clone(),
                    source: source.clone(),
                    position,
                    deliveries,
                    failed_at_ms: now_ms,
                };
                let headers = letter.headers(record.headers)?;
                let letter = RecordRef { value: record.value, ..RecordRef::new(b"") };
                frame.push(letter.with_key(record.key).with_headers(headers.as_headers()).at(record.timestamp));
                records.push((position, deliveries));
                bytes += batch.as_ref().map_or(0, |batch| batch.bytes().len());
                if bytes >= BYTES {
                    break;
                }
            }
            Ok((!records.is_empty()).then(|| (records, frame.to_bytes().into())))
        })
        .await
    }
}
