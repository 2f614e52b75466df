// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Acknowledging, giving back, extending: what consumers say of the records that they hold.
//!
//! What is to become durable waits in the group's queue. Whoever has the group's turn to write takes all that waits along, in one
//! write, and answers all of it. What a write changes is known here at once; if the write fails the group is as after a restart:
//! at what is durable, with all leases ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::acks::AckWrite;
use fnstream_core::error::internal;
use fnstream_core::record::Position;
use fnstream_core::spec::check_name;
use fnstream_core::topic::Topic;
use fnstream_core::units::counted;
use fnstream_core::{Error, ErrorCode, Result};
use tokio::sync::oneshot;

use super::deliveries::Claim;
use super::group::{Group, State, no_group};
use super::receipt::Receipt;
use super::{LEASES, MOST_DELAY, check_acks};
use crate::app::ops::blocking;
use crate::app::records::Records;

/// The most receipts of one request.
const MOST_RECEIPTS: usize = 10_000;

/// What is said of records.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Settling {
    /// They are done with.
    Acknowledge,
    /// They are to be given again after a time.
    GiveBack(Duration),
    /// They take longer: their leases end after that time from now.
    Extend(Duration),
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// So many records were settled, or had been before.
    pub(crate) done: usize,
    /// The receipts of records that are not the consumer's any more.
    pub(crate) refused: Vec<String>,
}

impl Settled {
    /// What is wrong if some are not the consumer's any more.
    pub(crate) fn lost(&self) -> Option<Error> {
        let (lost, all) = (self.refused.len(), self.refused.len() + self.done);
        let message = || format!("the lease has ended on {lost} of {}", counted(all, "event"));
        (lost > 0).then(|| Error::new(ErrorCode::LeaseLost, message()))
    }
}

/// A change that waits to be written.
pub(super) struct Pending {
    change: Change,
    answer: oneshot::Sender<Result<Settled>>,
}

pub(super) enum Change {
    Settle(Vec<Receipt>, Settling),
    /// Records become dead letters, if all of them still are to.
    Bury {
        partition: u32,
        records: Vec<(Position, u32)>,
        most: Option<u32>,
        topic: Topic,
        frame: Bytes,
    },
}

impl Records {
    /// Settles records by their receipts. Those that are not the consumer's any more are named in the answer; all others are settled.
    pub(crate) async fn settle(
        self: &Arc<Self>,
        topic: &str,
        name: &str,
        receipts: &[String],
        settling: Settling,
    ) -> Result<Settled> {
        self.ops.check_open()?;
        let topic = self.named(topic)?;
        check_acks(&self.topics.clusters, &topic)?;
        check(name, receipts, settling)?;
        let receipts =
            receipts.iter().map(|text| text.parse().map_err(|()| not_one(text))).collect::<Result<Vec<_>>>()?;
        let group = self.acknowledging(&topic, name).await?.ok_or_else(|| no_group(&topic, name))?;
        if matches!(settling, Settling::Extend(_)) {
            let ends = self.ends(&group).await?;
            return Ok(self.apply(&group, &mut group.state.lock(), &ends, &receipts, settling, &mut BTreeSet::new()));
        }
        let settled = self.change(&group, Change::Settle(receipts, settling)).await?;
        if matches!(settling, Settling::GiveBack(_)) {
            self.bury_spent(&group, None).await?;
        }
        Ok(settled)
    }

    /// Makes a change and waits until it is durable. It is made also if the caller goes away.
    pub(super) async fn change(self: &Arc<Self>, group: &Arc<Group>, change: Change) -> Result<Settled> {
        let (answer, answered) = oneshot::channel();
        let (records, group) = (self.clone(), group.clone());
        self.ops
            .detached(|| async move {
                group.queue.lock().push(Pending { change, answer });
                let _turn = group.writing.lock().await;
                while records.write_queue(&group).await {}
                Ok(())
            })
            .await?;
        answered.await.map_err(|_| internal("a group forgot to answer a change"))?
    }

    /// Writes what waits, and says whether there is more. The caller has the group's turn to write.
    async fn write_queue(&self, group: &Arc<Group>) -> bool {
        let pending = std::mem::take(&mut *group.queue.lock());
        if pending.is_empty() {
            return false;
        }
        let ends = match self.ends(group).await {
            Ok(ends) => ends,
            Err(error) => {
                pending.into_iter().for_each(|pending| drop(pending.answer.send(Err(error.clone()))));
                return false;
            }
        };
        let mut touched = BTreeSet::new();
        let mut answers = Vec::new();
        let mut letters = None;
        let mut left = Vec::new();
        let acknowledged: Vec<_> = {
            let mut state = group.state.lock();
            for Pending { change, answer } in pending {
                match change {
                    Change::Settle(receipts, settling) => {
                        let settled = self.apply(group, &mut state, &ends, &receipts, settling, &mut touched);
                        answers.push((answer, settled));
                    }
                    // One write appends to one topic once.
                    Change::Bury { .. } if letters.is_some() => left.push(Pending { change, answer }),
                    Change::Bury { partition, records, most, topic, frame } => {
                        let done = bury(&mut state, partition, &records, most);
                        if done > 0 {
                            state.frees = true;
                            touched.insert(partition);
                            letters = Some((topic, frame));
                        }
                        answers.push((answer, Settled { done, refused: Vec::new() }));
                    }
                }
            }
            let (now, unix_ms) = (self.clock.now(), self.clock.unix_ms());
            let of = |partition: &u32| Some((*partition, state.partitions.get(partition)?.acknowledged(now, unix_ms)));
            touched.iter().filter_map(of).collect()
        };
        let is_more = !left.is_empty();
        group.queue.lock().splice(0..0, left);
        let written = match acknowledged.is_empty() {
            true => Ok(()),
            false => {
                let acknowledged = acknowledged.iter().map(|(partition, of)| (*partition, Some(of.clone()))).collect();
                let write = AckWrite { group: group.name.clone(), acknowledged, places: Vec::new(), letters };
                self.write_acks(&group.topic, group.incarnation, write).await
            }
        };
        let (now, unix_ms) = (self.clock.now(), self.clock.unix_ms());
        let mut state = group.state.lock();
        match &written {
            Ok(()) => state.durable.extend(acknowledged),
            Err(_) => {
                for partition in touched {
                    if let Some(durable) = state.durable.get(&partition).cloned() {
                        state.put(partition, durable, now, unix_ms);
                    }
                }
            }
        }
        // After a write that failed everything is given again.
        let frees = std::mem::take(&mut state.frees) || written.is_err();
        drop(state);
        if frees {
            group.changed.notify_waiters();
        }
        for (answer, settled) in answers {
            drop(answer.send(written.clone().map(|()| settled)));
        }
        is_more
    }

    /// The ends of a group's partitions, to know a receipt of a record that there never was.
    async fn ends(&self, group: &Arc<Group>) -> Result<BTreeMap<u32, Position>> {
        let (topics, topic) = (self.topics.topics.clone(), group.topic.clone());
        let info = blocking(move || topics.describe(&topic)).await?;
        Ok(info.partitions.iter().map(|of| (of.partition, of.end)).collect())
    }

    /// Settles what is the consumer's.
    fn apply(
        &self,
        group: &Group,
        state: &mut State,
        ends: &BTreeMap<u32, Position>,
        receipts: &[Receipt],
        settling: Settling,
        touched: &mut BTreeSet<u32>,
    ) -> Settled {
        let now = self.clock.now();
        let mut settled = Settled::default();
        for receipt in receipts {
            let Receipt { era, partition, position, lease } = *receipt;
            let is_there = !state.is_deleted && ends.get(&partition).is_some_and(|end| position < *end);
            let deliveries = state.partitions.get_mut(&partition).filter(|_| is_there);
            let done = deliveries.is_some_and(|deliveries| {
                deliveries.expire(now);
                match (deliveries.claim(era, position, lease), settling) {
                    (Claim::Lost, _) => false,
                    (Claim::Done, settling) => matches!(settling, Settling::Acknowledge),
                    (Claim::Held | Claim::Nobodys, Settling::Acknowledge) => {
                        state.frees |= deliveries.is_full();
                        deliveries.acknowledge(position);
                        group.counts.acknowledged.fetch_add(1, Relaxed);
                        touched.insert(partition);
                        true
                    }
                    (Claim::Held | Claim::Nobodys, Settling::GiveBack(delay)) => {
                        state.frees = true;
                        deliveries.give_back(position, now.saturating_add(delay));
                        touched.insert(partition);
                        true
                    }
                    (Claim::Held | Claim::Nobodys, Settling::Extend(time)) => {
                        deliveries.extend(position, lease, now.saturating_add(time))
                    }
                }
            });
            match done {
                true => settled.done += 1,
                false => settled.refused.push(receipt.to_string()),
            }
        }
        settled
    }
}

/// Acknowledges records that become dead letters, all or none; answers how many.
fn bury(state: &mut State, partition: u32, records: &[(Position, u32)], most: Option<u32>) -> usize {
    if state.is_deleted {
        return 0;
    }
    let Some(deliveries) = state.partitions.get_mut(&partition) else { return 0 };
    let spent: BTreeMap<_, _> = deliveries.spent(most, usize::MAX).into_iter().collect();
    if !records.iter().all(|(position, count)| spent.get(position) == Some(count)) {
        return 0;
    }
    records.iter().for_each(|(position, _)| deliveries.acknowledge(*position));
    records.len()
}

fn check(name: &str, receipts: &[String], settling: Settling) -> Result<()> {
    check_name("group", name)?;
    let invalid = |message: String| Err(Error::new(ErrorCode::InvalidRequest, message));
    if receipts.is_empty() || receipts.len() > MOST_RECEIPTS {
        return invalid(format!("there are {} receipts, not 1 to {MOST_RECEIPTS}", receipts.len()));
    }
    match settling {
        Settling::GiveBack(delay) if delay > MOST_DELAY => {
            invalid(format!("the delay is {delay:?}, more than {MOST_DELAY:?}"))
        }
        Settling::Extend(time) if !LEASES.contains(&time) => invalid(lease_message(time)),
        _ => Ok(()),
    }
}

pub(super) fn lease_message(time: Duration) -> String {
    format!("the lease is {time:?}, not {:?} to {:?}", LEASES.start(), LEASES.end())
}

fn not_one(text: &str) -> Error {
    let shown: String = text.chars().take(60).collect();
    Error::new(ErrorCode::InvalidRequest, format!("'{}' is not a receipt", shown.escape_debug()))
}
