// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One picture of everything, and its families.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::Arc;
use std::time::Duration;

use fnstream_api::{FunctionStatus, TaskStatus};
use fnstream_core::ErrorCode;
use fnstream_core::topic::Cluster;
use fnstream_core::upkeep::Health;
use fnstream_engine::FunctionMeter;
use fnstream_kafka::Transactions;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Unit;

use super::{MemorySample, NetworkSample, ServerMeter};
use crate::app::GroupSample;

/// Everything that is exposed, at one moment.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub server: ServerMeter,
    pub network: NetworkSample,
    pub memory: MemorySample,
    pub uptime: Duration,
    pub unapplied_bytes: u64,
    pub log_lines_dropped: u64,
    /// Panics that were caught in this process.
    pub panics: u64,
    /// Requests that failed in it and were not to blame, by code.
    pub failed: Vec<(ErrorCode, u64)>,
    /// When the last backup was made, in milliseconds since the Unix epoch, 0 if there was none; if backups are made here.
    pub last_backup_ms: Option<i64>,
    pub store: Health,
    /// What was counted of functions, by name.
    pub meters: Vec<(Arc<str>, Arc<FunctionMeter>)>,
    /// How functions fare.
    pub functions: Vec<FunctionSample>,
    /// How groups fare that acknowledge.
    pub groups: Vec<GroupSample>,
    /// Transactions of clusters of Kafka.
    pub kafka: BTreeMap<Cluster, Transactions>,
}

/// How a function fares.
#[derive(Debug)]
pub(crate) struct FunctionSample {
    pub name: String,
    pub status: FunctionStatus,
    /// How many tasks are in each state.
    pub tasks: Vec<TaskStatus>,
    pub memory_bytes: u64,
    /// By topic.
    pub lag: BTreeMap<String, u64>,
    /// How many positions are between a place and the end, by topic and partition of other clusters.
    pub behind: Vec<(String, u32, u64)>,
}

const FUNCTION_STATES: [FunctionStatus; 6] = [
    FunctionStatus::Starting,
    FunctionStatus::Running,
    FunctionStatus::BackingOff,
    FunctionStatus::Stopping,
    FunctionStatus::Stopped,
    FunctionStatus::Failed,
];

/// A task that has ended is not a task any more.
const TASK_STATES: [TaskStatus; 6] = [
    TaskStatus::Opening,
    TaskStatus::Restoring,
    TaskStatus::Running,
    TaskStatus::BackingOff,
    TaskStatus::Draining,
    TaskStatus::Failed,
];

type Family<M> = (&'static str, &'static str, fn(&FunctionMeter) -> &M);

const COUNTERS: [Family<Counter>; 15] = [
    ("fnstream_function_records_in", "Records consumed and committed.", |meter| &meter.records_in),
    ("fnstream_function_records_out", "Records emitted and committed.", |meter| &meter.records_out),
    (
        "fnstream_function_records_failed",
        "Failed calls, of a record or of a batch that holds one at which the function fails.",
        |meter| &meter.records_failed,
    ),
    ("fnstream_function_records_dead_lettered", "Records that went to the dead letters.", |meter| {
        &meter.records_dead_lettered
    }),
    ("fnstream_function_records_replayed", "Dead letters that were replayed and processed.", |meter| {
        &meter.records_replayed
    }),
    ("fnstream_function_records_failed_again", "Dead letters that were replayed and failed again.", |meter| {
        &meter.records_failed_again
    }),
    ("fnstream_function_records_skipped", "Records that were given up and not kept.", |meter| &meter.records_skipped),
    (
        "fnstream_function_records_ahead",
        "Records whose timestamps were too far ahead of the clock to move the watermark.",
        |meter| &meter.records_ahead,
    ),
    (
        "fnstream_function_records_dropped_unread",
        "Records of an input that retention dropped before the function had consumed them.",
        |meter| &meter.records_dropped_unread,
    ),
    ("fnstream_function_timers_set_due", "Timers that timers have set for a time that had come already.", |meter| {
        &meter.timers_set_due
    }),
    (
        "fnstream_function_restarts",
        "Times that a task was opened again, or its instance replaced, after a failure.",
        |meter| &meter.restarts,
    ),
    ("fnstream_function_panics", "Steps of its tasks that panicked.", |meter| &meter.panics),
    ("fnstream_function_commits", "Epochs committed.", |meter| &meter.commits),
    (
        "fnstream_function_commits_fenced",
        "Epochs that were not committed, since another owner of the task was there.",
        |meter| &meter.commits_fenced,
    ),
    ("fnstream_function_restored_keys", "Keys of state that were read again when tasks were taken over.", |meter| {
        &meter.restored_keys
    }),
];

const HISTOGRAMS: [Family<Histogram>; 3] = [
    ("fnstream_function_epoch", "From an epoch's first record until it was handed in.", |meter| &meter.epoch_seconds),
    ("fnstream_function_commit", "From handing an epoch in until it was durable.", |meter| &meter.commit_seconds),
    ("fnstream_function_call", "One call of the function.", |meter| &meter.call_seconds),
];

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let to = &mut encoder;
        self.server(to)?;
        self.network.encode(to)?;
        self.memory.encode(to)?;
        super::groups::encode(&self.groups, to)?;
        for (name, help, counter) in COUNTERS {
            let meters = self.meters.iter().map(|(function, meter)| ([("function", &**function)], counter(meter)));
            family(to, name, help, None, meters)?;
        }
        let restored = self.meters.iter();
        let restored = restored.map(|(function, meter)| ([("function", &**function)], &meter.restored_bytes));
        let help = "Bytes of state that were read again when tasks were taken over.";
        family(to, "fnstream_function_restored", help, Some(Unit::Bytes), restored)?;
        for (name, help, histogram) in HISTOGRAMS {
            let meters = self.meters.iter().map(|(function, meter)| ([("function", &**function)], histogram(meter)));
            family(to, name, help, Some(Unit::Seconds), meters)?;
        }
        self.states(to)?;
        super::kafka::encode(self, to)
    }
}

impl Scrape {
    fn server(&self, to: &mut DescriptorEncoder) -> Result<(), Error> {
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        single(to, "fnstream_build", "The running version.", None, &build)?;
        let uptime = ConstGauge::new(self.uptime.as_secs_f64());
        single(to, "fnstream_uptime", "Time since the server was started.", Some(Unit::Seconds), &uptime)?;
        let meter = &self.server;
        single(to, "fnstream_produced_records", "Records produced by clients.", None, &meter.produced_records)?;
        single(to, "fnstream_produced", "Their bytes.", Some(Unit::Bytes), &meter.produced_bytes)?;
        let help = "Records that retention dropped before a group of consumers took or acknowledged them.";
        single(to, "fnstream_group_records_dropped_unread", help, None, &meter.dropped_unread)?;
        let help = "From a produce request until its records were durable.";
        single(to, "fnstream_produce", help, Some(Unit::Seconds), &meter.produce_seconds)?;
        let unapplied = ConstGauge::new(self.unapplied_bytes);
        let help = "Committed state that is in memory and in the delta log, and not in the state store yet.";
        single(to, "fnstream_state_unapplied", help, Some(Unit::Bytes), &unapplied)?;
        let dropped = ConstCounter::new(self.log_lines_dropped);
        single(to, "fnstream_log_lines_dropped", "Lines that functions' logs could not keep.", None, &dropped)?;
        let panics = ConstCounter::new(self.panics);
        single(to, "fnstream_panics", "Panics in any part of the server, all of them caught.", None, &panics)?;
        let failed: Vec<_> = self.failed.iter().map(|(code, count)| (code, ConstCounter::new(*count))).collect();
        let failed = failed.iter().map(|(code, count)| ([("code", code.as_str())], count));
        family(to, "fnstream_requests_failed", "Requests that failed, not by their fault.", None, failed)?;
        if let Some(ms) = self.last_backup_ms {
            let help = "The moment of the last backup in seconds since the Unix epoch, 0 before the first.";
            let at = ConstGauge::new(ms as f64 / 1_000.0);
            single(to, "fnstream_backup_last_success_timestamp", help, Some(Unit::Seconds), &at)?;
        }
        self.store(to)
    }

    fn store(&self, to: &mut DescriptorEncoder) -> Result<(), Error> {
        let Health { is_recovering, failures, recoveries, damages, scrubbed_bytes } = self.store;
        let recovering = ConstGauge::new(u64::from(is_recovering));
        let help = "Whether the store takes no writes because of an error of the disk.";
        single(to, "fnstream_store_recovering", help, None, &recovering)?;
        let failures = ConstCounter::new(failures);
        let help = "Errors of the disk after which the store took no writes.";
        single(to, "fnstream_store_failures", help, None, &failures)?;
        let recoveries = ConstCounter::new(recoveries);
        single(to, "fnstream_store_recoveries", "Times that the store was opened anew after one.", None, &recoveries)?;
        let damages = ConstGauge::new(damages);
        let help = "Damaged places of the data folder that were found.";
        single(to, "fnstream_store_damages", help, None, &damages)?;
        let scrubbed = ConstCounter::new(scrubbed_bytes);
        let help = "What was read to look for damage.";
        single(to, "fnstream_store_scrubbed", help, Some(Unit::Bytes), &scrubbed)
    }

    fn states(&self, to: &mut DescriptorEncoder) -> Result<(), Error> {
        let all = &self.functions;
        let count = |status| all.iter().filter(|function| function.status == status).count() as u64;
        let functions = FUNCTION_STATES.iter().map(|state| ([("state", state.as_str())], count(*state)));
        gauges(to, "fnstream_functions", "Functions by state.", None, functions)?;
        let tasks = all.iter().flat_map(|function| {
            TASK_STATES.iter().map(|state| {
                let count = function.tasks.iter().filter(|task| *task == state).count() as u64;
                ([("function", function.name.as_str()), ("state", state.as_str())], count)
            })
        });
        gauges(to, "fnstream_function_tasks", "Tasks of a function by state.", None, tasks)?;
        let memory = all.iter().map(|function| ([("function", function.name.as_str())], function.memory_bytes));
        let help = "Linear memory of a function's instances.";
        gauges(to, "fnstream_function_memory", help, Some(Unit::Bytes), memory)?;
        let lag = all.iter().flat_map(|function| {
            let labels = |topic| [("function", function.name.as_str()), ("topic", topic)];
            function.lag.iter().map(move |(topic, lag)| (labels(topic.as_str()), *lag))
        });
        let help = "Records of an input that a running function has not committed yet.";
        gauges(to, "fnstream_function_lag_records", help, None, lag)
    }
}

pub(super) fn single(
    to: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    unit: Option<Unit>,
    metric: &impl EncodeMetric,
) -> Result<(), Error> {
    metric.encode(to.encode_descriptor(name, help, unit.as_ref(), metric.metric_type())?)
}

pub(super) fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
    to: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    unit: Option<Unit>,
    values: impl Iterator<Item = (L, V)>,
) -> Result<(), Error> {
    let mut encoder = to.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
    for (labels, value) in values {
        encoder.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}

/// The metrics of a family; the family is told even when there is none.
pub(super) fn family<'a, L: EncodeLabelSet, M: EncodeMetric + TypedMetric + 'a>(
    to: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    unit: Option<Unit>,
    metrics: impl Iterator<Item = (L, &'a M)>,
) -> Result<(), Error> {
    let mut encoder = to.encode_descriptor(name, help, unit.as_ref(), M::TYPE)?;
    for (labels, metric) in metrics {
        metric.encode(encoder.encode_family(&labels)?)?;
    }
    Ok(())
}
