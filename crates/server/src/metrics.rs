// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the server counts, and how all that is counted looks to a monitoring system.
//!
//! A scrape is one picture: events are counted where they happen (here for the server as a whole, in the engine's
//! [`Meters`](fnstream_engine::Meters) for each function), states are looked up when somebody asks. Labels are the names of
//! functions and topics that exist, and words of ours, so there are no more series than what was created makes.
//! `docs/metrics.md` names all families, and `docs/kafka.md` those that are there only with Kafka; tests compare them with what is exposed.

mod groups;
mod kafka;
mod memory;
mod network;
mod scrape;

use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub(crate) use self::memory::MemorySample;
pub(crate) use self::network::NetworkSample;
pub(crate) use self::scrape::{FunctionSample, Scrape};

/// The upper bounds of the buckets of a produce request's time, in seconds.
const PRODUCE_BUCKETS: [f64; 10] = [0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5, 5.0];

/// What the server counts itself.
#[derive(Debug, Clone)]
pub(crate) struct ServerMeter {
    /// Records produced over its interface.
    produced_records: Counter,
    /// Their bytes.
    produced_bytes: Counter,
    /// Records that retention dropped before a group of consumers took or acknowledged them.
    dropped_unread: Counter,
    /// From the request until the answer.
    produce_seconds: Histogram,
}

impl ServerMeter {
    pub(crate) fn new() -> Self {
        ServerMeter {
            produced_records: Counter::default(),
            dropped_unread: Counter::default(),
            produced_bytes: Counter::default(),
            produce_seconds: Histogram::new(PRODUCE_BUCKETS),
        }
    }

    /// Retention dropped so many records before a group of consumers took or acknowledged them.
    pub(crate) fn dropped_unread(&self, records: u64) {
        self.dropped_unread.inc_by(records);
    }

    /// Records were produced: so many, of so many bytes with keys and headers.
    pub(crate) fn produced(&self, records: u64, bytes: u64, took: Duration) {
        self.produced_records.inc_by(records);
        self.produced_bytes.inc_by(bytes);
        self.produce_seconds.observe(took.as_secs_f64());
    }
}

/// The type of the text that [`text_of`] makes.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The picture as OpenMetrics text.
pub(crate) fn text_of(scrape: Scrape) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}
