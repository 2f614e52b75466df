// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions on Kafka. Without any there are no such families.

use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Unit;

use super::Scrape;
use super::scrape::gauges;

pub(super) fn encode(scrape: &Scrape, to: &mut DescriptorEncoder) -> Result<(), Error> {
    if scrape.kafka.is_empty() {
        return Ok(());
    }
    let help = "Transactions by their outcome.";
    let mut encoder = to.encode_descriptor("fnstream_kafka_transactions", help, None, MetricType::Counter)?;
    for (cluster, of) in &scrape.kafka {
        let outcomes =
            [("committed", of.committed), ("aborted", of.aborted), ("fenced", of.fenced), ("unknown", of.unknown)];
        for (outcome, count) in outcomes {
            let labels = [("cluster", cluster.as_str()), ("outcome", outcome)];
            ConstCounter::new(count).encode(encoder.encode_family(&labels)?)?;
        }
    }
    let help = "The time that committed transactions took.";
    let unit = Some(&Unit::Seconds);
    let mut encoder = to.encode_descriptor("fnstream_kafka_transaction", help, unit, MetricType::Counter)?;
    for (cluster, of) in &scrape.kafka {
        let labels = [("cluster", cluster.as_str())];
        ConstCounter::new(of.time.as_secs_f64()).encode(encoder.encode_family(&labels)?)?;
    }
    let help = "How often the tasks of the server group were shared out anew, as this process was told.";
    let mut encoder = to.encode_descriptor("fnstream_kafka_rebalances", help, None, MetricType::Counter)?;
    for (cluster, of) in &scrape.kafka {
        ConstCounter::new(of.rebalances).encode(encoder.encode_family(&[("cluster", cluster.as_str())])?)?;
    }
    let behind = scrape.functions.iter().flat_map(|function| {
        function.behind.iter().map(|(topic, partition, behind)| {
            let labels =
                [("function", function.name.clone()), ("topic", topic.clone()), ("partition", partition.to_string())];
            (labels, *behind)
        })
    });
    let help = "Positions between the place of a running function in a partition and its end.";
    gauges(to, "fnstream_kafka_partition_lag", help, None, behind)
}
