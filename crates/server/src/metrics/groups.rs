// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The numbers of consumer groups with acknowledgement. There is a bounded number of such groups, and so of series.

use std::fmt::Error;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;

use super::scrape::{family, gauges};
use crate::app::GroupSample;

type Number = (&'static str, &'static str, fn(&GroupSample) -> u64);

const GAUGES: [Number; 3] = [
    ("fnstream_group_lag_records", "Records that a group has not acknowledged.", |group| group.lag),
    ("fnstream_group_leased_records", "Records that are leased to consumers of a group.", |group| group.leased),
    ("fnstream_group_returned_records", "Records that wait to be delivered again.", |group| group.returned),
];

const COUNTERS: [Number; 4] = [
    ("fnstream_group_records_delivered", "Records delivered to consumers of a group.", |group| group.delivered),
    ("fnstream_group_records_redelivered", "Those among them that were delivered before.", |group| {
        group.delivered_again
    }),
    ("fnstream_group_records_acknowledged", "Records that were acknowledged.", |group| group.acknowledged),
    ("fnstream_group_records_dead_lettered", "Records that went to a group's dead letters.", |group| {
        group.dead_letters
    }),
];

pub(super) fn encode(groups: &[GroupSample], to: &mut DescriptorEncoder) -> Result<(), Error> {
    let labels = |group| {
        let GroupSample { topic, group, .. }: &GroupSample = group;
        [("topic", topic.clone()), ("group", group.clone())]
    };
    for (name, help, number) in GAUGES {
        gauges(to, name, help, None, groups.iter().map(|group| (labels(group), number(group))))?;
    }
    for (name, help, number) in COUNTERS {
        let counters: Vec<_> = groups.iter().map(|group| (labels(group), ConstCounter::new(number(group)))).collect();
        family(to, name, help, None, counters.iter().map(|(labels, counter)| (labels.clone(), counter)))?;
    }
    Ok(())
}
