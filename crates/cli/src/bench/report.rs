// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a bench prints: what was measured, how, and on what.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::machine::Machine;
use super::workload::{Verdict, Workload};
use super::{Args, Variant};
use crate::output::Listing;

/// The outcome of one run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    pub workload: String,
    pub variant: String,
    pub mode: &'static str,
    pub records: u64,
    pub record_size: usize,
    pub partitions: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zipf: Option<f64>,
    pub seed: u64,
    /// `None` on a server that is not ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The Kafka cluster whose topics they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_interval_ms: Option<u64>,
    /// The Pulsar cluster whose topics they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pulsar_url: Option<String>,
    /// Whether each record was an entry of its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unbatched: bool,
    pub seconds: f64,
    pub records_per_second: f64,
    /// CPU of the whole process: in that of the bench with its own share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_seconds_per_million: Option<f64>,
    /// Of a program's process, from its start until it said that it was ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_seconds: Option<f64>,
    /// The same until outputs were committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_output_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steady: Option<Steady>,
    /// From the kill of the program until an output of what was sent after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_seconds: Option<f64>,
    /// The most bytes of memory that the program's process had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    pub lost: u64,
    pub duplicated: u64,
    pub wrong: u64,
    /// Median of the machine's own small synced writes, in the same run and folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synced_write_micros: Option<f64>,
    pub machine: Machine,
    pub version: &'static str,
}

/// The second half of the records.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Steady {
    pub records_per_second: f64,
    pub cpu_seconds_per_million: f64,
}

/// Times from when a record was to be sent until it was read from the output, in microseconds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Latency {
    pub rate: f64,
    /// How many records were timed.
    pub records: u64,
    pub p50_micros: u64,
    pub p99_micros: u64,
    pub p999_micros: u64,
    pub max_micros: u64,
}

impl Latency {
    pub(super) fn of(histogram: &Histogram<u64>) -> Self {
        Latency {
            rate: 0.0,
            records: histogram.len(),
            p50_micros: histogram.value_at_quantile(0.5),
            p99_micros: histogram.value_at_quantile(0.99),
            p999_micros: histogram.value_at_quantile(0.999),
            max_micros: histogram.max(),
        }
    }
}

impl Report {
    pub(super) fn new(args: &Args, workload: &Workload, variant: Variant) -> Self {
        let own = args.server.is_none();
        let name =
            |value: Option<clap::builder::PossibleValue>| value.map(|v| v.get_name().to_owned()).unwrap_or_default();
        Report {
            workload: name(args.workload.to_possible_value()),
            variant: variant.name(),
            mode: if args.rate.is_some() { "latency" } else { "throughput" },
            records: workload.records,
            record_size: workload.record_size,
            partitions: args.partitions(),
            keys: workload.keys,
            zipf: workload.zipf,
            seed: workload.seed,
            durability: own.then(|| name(args.durability.to_possible_value())),
            workers: None,
            server: args.server.clone(),
            bootstrap: None,
            commit_interval_ms: None,
            pulsar_url: None,
            unbatched: false,
            start_seconds: None,
            first_output_seconds: None,
            steady: None,
            restart_seconds: None,
            peak_memory: None,
            seconds: 0.0,
            records_per_second: 0.0,
            cpu_seconds_per_million: None,
            latency: None,
            lost: 0,
            duplicated: 0,
            wrong: 0,
            synced_write_micros: None,
            machine: Machine::here(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    pub(super) fn measured(&mut self, records: u64, took: Duration, cpu: Option<Duration>) {
        self.seconds = took.as_secs_f64();
        self.records_per_second = records as f64 / took.as_secs_f64();
        self.cpu_seconds_per_million = cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / records as f64);
    }

    pub(super) fn latency(&mut self, rate: f64, latency: Latency) {
        self.latency = Some(Latency { rate, ..latency });
    }

    pub(super) fn checked(&mut self, verdict: Verdict) {
        (self.lost, self.duplicated, self.wrong) = (verdict.lost, verdict.duplicated, verdict.wrong);
    }

    pub(super) fn is_wrong(&self) -> bool {
        self.lost + self.duplicated + self.wrong > 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} / {} / {}: {} records of {} B",
            self.workload, self.variant, self.mode, self.records, self.record_size
        )?;
        if let (Some(keys), Some(zipf)) = (self.keys, self.zipf) {
            write!(f, ", {keys} keys, zipf {zipf}")?;
        }
        writeln!(f, ", seed {}, {} partition(s)", self.seed, self.partitions)?;
        match &self.latency {
            None => writeln!(f, "  rate        {:.0} records/s in {:.2} s", self.records_per_second, self.seconds)?,
            Some(latency) => {
                writeln!(
                    f,
                    "  rate        {:.0} records/s asked, {:.0} done, in {:.2} s",
                    latency.rate, self.records_per_second, self.seconds
                )?;
                writeln!(
                    f,
                    "  latency     p50 {} us, p99 {} us, p99.9 {} us, max {} us",
                    latency.p50_micros, latency.p99_micros, latency.p999_micros, latency.max_micros
                )?;
            }
        }
        if let Some(cpu) = self.cpu_seconds_per_million {
            writeln!(f, "  cpu         {cpu:.3} s per million records")?;
        }
        if let Some(Steady { records_per_second, cpu_seconds_per_million }) = self.steady {
            let (rate, cpu) = (records_per_second, cpu_seconds_per_million);
            writeln!(f, "  steady      {rate:.0} records/s, cpu {cpu:.3} s per million records, in the second half")?;
        }
        if let Some(start) = self.start_seconds {
            write!(f, "  start       ready after {start:.2} s")?;
            match self.first_output_seconds {
                Some(first) => writeln!(f, ", first outputs after {first:.2} s")?,
                None => writeln!(f)?,
            }
        }
        if let Some(restart) = self.restart_seconds {
            writeln!(f, "  restart     next output {restart:.2} s after the program was killed")?;
        }
        if let Some(peak) = self.peak_memory {
            writeln!(f, "  memory      {:.0} MiB at most", peak as f64 / f64::from(1 << 20))?;
        }
        writeln!(f, "  checked     {} lost, {} duplicated, {} wrong", self.lost, self.duplicated, self.wrong)?;
        if let Some(durability) = &self.durability {
            write!(f, "  durability  {durability}")?;
            if let Some(micros) = self.synced_write_micros {
                write!(f, "; one small synced write takes {micros:.0} us here (median of 200)")?;
            }
            writeln!(f)?;
        }
        if let Some(server) = &self.server {
            writeln!(f, "  server      {server}")?;
        }
        if let (Some(bootstrap), Some(interval)) = (&self.bootstrap, self.commit_interval_ms) {
            writeln!(f, "  kafka       {bootstrap}, committed after {interval} ms at the latest")?;
        }
        if let Some(url) = &self.pulsar_url {
            let batches = if self.unbatched { "each record by itself" } else { "records in batches" };
            writeln!(f, "  pulsar      {url}, {batches}")?;
        }
        write!(
            f,
            "  on          {} cores, {}, {}; version {}",
            self.machine.cores, self.machine.cpu, self.machine.os, self.version
        )?;
        if let Some(workers) = self.workers {
            write!(f, ", {workers} workers")?;
        }
        writeln!(f)
    }
}

/// How the variants of a comparison relate to the first.
pub(super) fn ratios(reports: &[Report]) -> String {
    let mut table = Listing::new(["VARIANT", "RECORDS/S", "RATIO", "CPU S/M", "RATIO"]);
    let ratio = |value: f64, base: f64| if base > 0.0 { format!("{:.2}", value / base) } else { "-".into() };
    let Some(first) = reports.first() else { return String::new() };
    for report in reports {
        let cpu = report.cpu_seconds_per_million.unwrap_or_default();
        table.row([
            report.variant.clone(),
            format!("{:.0}", report.records_per_second),
            ratio(report.records_per_second, first.records_per_second),
            format!("{cpu:.3}"),
            ratio(cpu, first.cpu_seconds_per_million.unwrap_or_default()),
        ]);
    }
    table.to_string()
}
