// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Looking at groups, and moving or removing them: both those that acknowledge and those that have a place.

use std::collections::BTreeMap;
use std::sync::Arc;

use fnstream_api::function::total_lag;
use fnstream_api::{GroupDescription, GroupPartition, GroupReset, GroupSummary};
use fnstream_core::acks::AckWrite;
use fnstream_core::broker::PollLimit;
use fnstream_core::groups::GroupPlace;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::{Beginning, check_name};
use fnstream_core::topic::Topic;
use fnstream_core::topics::{PartitionInfo, TopicInfo, Topics};
use fnstream_core::{Error, ErrorCode, Result};

use super::deliveries::{Deliveries, MOST_OUT};
use super::group::{Group, no_group};
use super::letters::dead_letter_topic;
use crate::app::ops::blocking;
use crate::app::places::{check_embedded, first_since};
use crate::app::records::{Records, consume};
use crate::clusters::Clusters;

/// Where a group is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResetTo {
    /// At the oldest record.
    Earliest,
    /// Behind the newest one.
    Latest,
    /// At the first record of each partition that is of this time or later, in milliseconds since the Unix epoch.
    Time(i64),
    /// At a position, of one partition.
    Position(Position),
}

impl TryFrom<&GroupReset> for ResetTo {
    type Error = Error;

    fn try_from(reset: &GroupReset) -> Result<Self> {
        let invalid = |message: String| Err(Error::new(ErrorCode::InvalidRequest, message));
        match (&reset.to, &reset.position, reset.time_ms) {
            (Some(to), None, None) => match to.parse() {
                Ok(Beginning::Earliest) => Ok(ResetTo::Earliest),
                Ok(Beginning::Latest) => Ok(ResetTo::Latest),
                Ok(Beginning::Time(ms)) => Ok(ResetTo::Time(ms)),
                Err(why) => invalid(format!("'to': {why}")),
            },
            (None, Some(position), None) => match position.parse() {
                Ok(position) => Ok(ResetTo::Position(Position(position))),
                Err(_) => invalid("'position' is not a position".to_owned()),
            },
            (None, None, Some(time)) => Ok(ResetTo::Time(time)),
            _ => invalid("give one of 'to', 'position' and 'time_ms'".to_owned()),
        }
    }
}

/// All that is known of a topic's groups.
struct Seen {
    info: TopicInfo,
    places: Vec<GroupPlace>,
    acknowledging: Vec<Arc<Group>>,
}

impl Records {
    /// The groups of a topic, in order.
    pub(crate) async fn list_groups(self: &Arc<Self>, topic: &str) -> Result<Vec<GroupSummary>> {
        let seen = self.seen(topic).await?;
        let names = seen.places.iter().map(|place| place.group.clone());
        let mut names: Vec<_> = names.chain(seen.acknowledging.iter().map(|group| group.name.clone())).collect();
        names.sort();
        names.dedup();
        Ok(names
            .into_iter()
            .map(|name| {
                let partitions = seen.partitions(&name);
                GroupSummary {
                    acknowledges: seen.acknowledging.iter().any(|group| group.name == name),
                    lag: total_lag(partitions.iter().map(|of| of.lag)),
                    leased: partitions.iter().map(|of| of.leased).sum(),
                    returned: partitions.iter().map(|of| of.returned).sum(),
                    name,
                }
            })
            .collect())
    }

    /// What a group is and how it fares.
    pub(crate) async fn describe_group(self: &Arc<Self>, topic: &str, name: &str) -> Result<GroupDescription> {
        check_name("group", name)?;
        let seen = self.seen(topic).await?;
        if !seen.is_there(name) {
            return Err(no_group(&seen.info.topic, name));
        }
        let mut partitions = seen.partitions(name);
        let (topics, of) = (self.topics.topics.clone(), seen.info.topic.clone());
        let partitions = blocking(move || {
            for partition in partitions.iter_mut().filter(|partition| partition.lag != Some(0)) {
                partition.oldest_ms = oldest_ms(&*topics, &of, partition);
            }
            Ok(partitions)
        })
        .await?;
        Ok(GroupDescription {
            name: name.to_owned(),
            topic: seen.info.topic.to_string(),
            acknowledges: seen.acknowledging.iter().any(|group| group.name == name),
            lag: total_lag(partitions.iter().map(|of| of.lag)),
            most_unacknowledged: MOST_OUT as u64,
            dead_letter_topic: dead_letter_topic(topic, name).ok().map(|topic| topic.to_string()),
            partitions,
        })
    }

    /// Has a group go on elsewhere. What it had acknowledged, and its leases, are forgotten. A group that is not there is made, with a
    /// place.
    pub(crate) async fn reset_group(
        self: &Arc<Self>,
        topic: &str,
        name: &str,
        to: ResetTo,
        partition: Option<u32>,
    ) -> Result<GroupDescription> {
        check_name("group", name)?;
        check_moves(&self.topics.clusters, &self.named(topic)?)?;
        let seen = self.seen(topic).await?;
        let partitions = consume::named_partitions(&seen.info, partition)?;
        if matches!(to, ResetTo::Position(_)) && partitions.len() > 1 {
            let message = format!(
                "topic '{}' has {} partitions: a position needs one of them",
                seen.info.topic,
                partitions.len()
            );
            return Err(Error::new(ErrorCode::PartitionNeeded, message));
        }
        let (topics, info) = (self.topics.topics.clone(), seen.info.clone());
        let from = blocking(move || {
            let place = |of: &TopicPartition| Ok((of.partition, place(&*topics, &info, of, to)?));
            partitions.iter().map(place).collect::<Result<Vec<_>>>()
        })
        .await?;
        self.alone(seen.info.topic.clone(), name.to_owned(), move |records, topic, name| async move {
            match records.acknowledging(&topic, &name).await? {
                Some(group) => records.restart(&group, &from).await,
                None => {
                    let places = from.iter().map(|(partition, position)| (*partition, Some(*position))).collect();
                    records.move_places(&topic, name, places).await
                }
            }
        })
        .await?;
        self.describe_group(topic, name).await
    }

    /// Removes a group. Consumers that wait for it are refused; a new group of the name begins at the earliest record.
    pub(crate) async fn delete_group(self: &Arc<Self>, topic: &str, name: &str) -> Result<()> {
        check_name("group", name)?;
        check_moves(&self.topics.clusters, &self.named(topic)?)?;
        let seen = self.seen(topic).await?;
        if !seen.is_there(name) {
            return Err(no_group(&seen.info.topic, name));
        }
        let partitions: Vec<_> = seen.info.partitions.iter().map(|of| of.partition).collect();
        self.alone(seen.info.topic.clone(), name.to_owned(), move |records, topic, name| async move {
            let places = partitions.iter().map(|partition| (*partition, None)).collect();
            let Some(group) = records.acknowledging(&topic, &name).await? else {
                return records.move_places(&topic, name, places).await;
            };
            let _turn = group.writing.lock().await;
            let acknowledged = partitions.iter().map(|partition| (*partition, None)).collect();
            let write = AckWrite { group: name, acknowledged, places, letters: None };
            records.write_acks(&topic, group.incarnation, write).await?;
            records.table().await?.remove(&group);
            Ok(())
        })
        .await
    }

    /// Does something to a group that nobody else changes meanwhile, to its end.
    async fn alone<F>(
        self: &Arc<Self>,
        topic: Topic,
        name: String,
        change: impl FnOnce(Arc<Self>, Topic, String) -> F + Send + 'static,
    ) -> Result<()>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let records = self.clone();
        self.ops
            .detached(|| async move {
                let _turn = records.turns.lock((topic.to_string(), name.clone())).await;
                change(records.clone(), topic, name).await
            })
            .await
    }

    /// Begins another life of a group in some partitions.
    async fn restart(&self, group: &Arc<Group>, from: &[(u32, Position)]) -> Result<()> {
        // Nobody is being given what was read from the old place.
        let _no_take = group.taking.lock().await;
        let _turn = group.writing.lock().await;
        let before = group.state.lock().era;
        let era = self.new_era(before);
        group.state.lock().era = era;
        let stood = self.stand(group, from).await;
        if stood.is_err() {
            group.state.lock().era = before;
        }
        group.changed.notify_waiters();
        stood
    }

    async fn move_places(&self, topic: &Topic, group: String, places: Vec<(u32, Option<Position>)>) -> Result<()> {
        let (acks, of) = (self.leases.acks()?.clone(), topic.clone());
        let incarnation = blocking(move || acks.incarnation(&of)).await?;
        let write = AckWrite { group, places, ..AckWrite::default() };
        self.write_acks(topic, incarnation, write).await
    }

    async fn seen(self: &Arc<Self>, topic: &str) -> Result<Seen> {
        let topic = self.named(topic)?;
        let (topics, groups) = (self.topics.topics.clone(), self.topics.clusters.groups(&topic)?);
        if !self.topics.clusters.is_embedded(&topic) {
            let seen = move || {
                let (info, places) = (topics.describe(&topic)?, groups.places(&topic)?);
                Ok(Seen { info, places, acknowledging: Vec::new() })
            };
            return blocking(seen).await;
        }
        let (table, acks) = (self.table().await?, self.leases.acks()?.clone());
        blocking(move || {
            let (info, places, incarnation) =
                (topics.describe(&topic)?, groups.places(&topic)?, acks.incarnation(&topic)?);
            let mut acknowledging = table.all();
            acknowledging.retain(|group| group.topic == topic && group.incarnation == incarnation);
            Ok(Seen { info, places, acknowledging })
        })
        .await
    }
}

/// Refuses to move a group whose places others may use.
fn check_moves(clusters: &Clusters, topic: &Topic) -> Result<()> {
    check_embedded(clusters, topic, "groups are not moved or deleted from here", "use the tools of the cluster")
}

impl Seen {
    fn is_there(&self, name: &str) -> bool {
        self.places.iter().any(|place| place.group == name) || self.acknowledging.iter().any(|group| group.name == name)
    }

    fn partitions(&self, name: &str) -> Vec<GroupPartition> {
        let group = self.acknowledging.iter().find(|group| group.name == name);
        let places = self.places.iter().filter(|place| place.group == name);
        let places: BTreeMap<_, _> = places.map(|place| (place.partition, place.position)).collect();
        let partition = |of: &PartitionInfo| {
            let state = group.map(|group| group.state.lock());
            let deliveries = state.as_ref().and_then(|state| state.partitions.get(&of.partition));
            let position = deliveries.map(Deliveries::committed).or(places.get(&of.partition).copied());
            let position = position.unwrap_or(of.earliest);
            let lag = match &state {
                Some(state) => Some(state.lag(of.partition, of.earliest, of.end)),
                None if position >= of.end => Some(0),
                // Positions that are wider are those of Pulsar, whose difference says nothing.
                None => u64::try_from(of.end.0).ok().map(|end| end.saturating_sub(position.0 as u64)),
            };
            GroupPartition {
                partition: of.partition,
                position: position.to_string(),
                end: of.end.to_string(),
                lag,
                leased: deliveries.map_or(0, |deliveries| deliveries.leased() as u64),
                returned: deliveries.map_or(0, |deliveries| deliveries.returned() as u64),
                oldest_ms: None,
                is_full: deliveries.is_some_and(Deliveries::is_full),
            }
        };
        self.info.partitions.iter().map(partition).collect()
    }
}

/// The time of the oldest record that a group has not acknowledged.
fn oldest_ms(topics: &dyn Topics, topic: &Topic, of: &GroupPartition) -> Option<i64> {
    let position = Position(of.position.parse().ok()?);
    let partition = TopicPartition::new(topic.clone(), of.partition);
    let batch = topics.read(&partition, position, PollLimit { records: 1, bytes: 1 }).ok()??;
    Some(batch.frame().record(0).timestamp)
}

fn place(topics: &dyn Topics, info: &TopicInfo, at: &TopicPartition, to: ResetTo) -> Result<Position> {
    let of = info.partitions.iter().find(|of| of.partition == at.partition);
    let (earliest, end) = of.map_or((Position::START, Position::START), |of| (of.earliest, of.end));
    match to {
        ResetTo::Earliest => Ok(earliest),
        ResetTo::Latest => Ok(end),
        ResetTo::Position(position) if position < earliest => {
            Err(Error::new(ErrorCode::PositionDropped, format!("{at} begins at {earliest}, after {position}")))
        }
        ResetTo::Position(position) if position > end => {
            Err(Error::new(ErrorCode::PositionUnknown, format!("{at} ends at {end}, before position {position}")))
        }
        ResetTo::Position(position) => Ok(position),
        ResetTo::Time(time) => first_since(topics, at, earliest, time),
    }
}
