// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream bench`: throughput and latency of a named workload, checked record by record.
//!
//! **Throughput** (without `--rate`): the input topic is filled first, then the function is started, and the time is taken
//! until every output is committed. **Latency** (with `--rate`): records are sent at fixed times whatever happens to those
//! before (open loop), and a record's latency counts from the time at which it was *to be* sent, so that a stall is not
//! hidden by the records that it kept from being sent (no coordinated omission).
//!
//! After either the outputs are read and compared with what had to come: `lost` and `duplicated` are counted, and anything
//! but zero is a failure of the command, except where the variant promises less.
//!
//! Reading order: this file, [`workload`] (what the records are and what must come out), [`target`] (where it runs:
//! [`own`], [`remote`] or [`outside`], on [`kafka`] or [`pulsar`]), [`copy`], [`baselines`], [`throughput`], [`latency`], [`report`].

mod artifact;
mod baselines;
mod copy;
mod kafka;
mod latency;
mod machine;
mod native;
mod outside;
mod own;
mod pulsar;
mod remote;
mod report;
mod target;
mod throughput;
mod workload;

use std::path::PathBuf;

use clap::{ArgGroup, ValueEnum};
use fnstream_api::units::parse_size;
use fnstream_server::Durability;

use crate::failure::{Failure, Result};
use crate::output;
use crate::service;
use outside::OnCluster;
use report::Report;
use target::Target;
use workload::Workload;

/// Measure throughput, or with --rate latency, and check that nothing is lost or duplicated.
#[derive(clap::Args, Debug, Clone)]
#[command(group = ArgGroup::new("cluster").args(["bootstrap", "pulsar_url"]))]
pub(crate) struct Args {
    /// What the function does
    #[arg(long, value_enum, default_value_t = WorkloadArg::PassThrough)]
    workload: WorkloadArg,
    /// What does it
    #[arg(long, value_enum, default_value_t = Variant::Wasm, conflicts_with = "compare")]
    variant: Variant,
    /// Run all variants that fit the workload and print their ratios
    #[arg(long, conflicts_with_all = ["server", "rate", "cluster"])]
    compare: bool,
    /// Where the topics are
    #[arg(long, value_enum, default_value_t = Backend::Embedded)]
    backend: Backend,
    /// Address of the Kafka cluster in which the bench makes its topics
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["server", "workers", "epoch_records"])]
    bootstrap: Option<String>,
    /// Service URL of the Pulsar cluster in which the bench makes its topics, in namespaces of their own: pulsar://host:port, with
    /// commas between several host:port
    #[arg(long, value_name = "URL", conflicts_with_all = ["server", "workers", "epoch_records"])]
    pulsar_url: Option<String>,
    /// On Pulsar: where its REST interface is [default: http:// and port 8080 of the first host]
    #[arg(long, value_name = "URL", value_parser = pulsar::admin_url)]
    admin_url: Option<String>,
    /// On Pulsar: send each record by itself, not in batches; a Pulsar Function that is effectively once needs this
    #[arg(long)]
    unbatched: bool,
    /// On Kafka and Pulsar: the function-stream that is measured [default: this one]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// On Kafka and Pulsar: another program that is measured instead, such as a Kafka Streams job or a Pulsar Function (see
    /// benches/README.md)
    #[arg(long, value_name = "NAME=COMMAND", conflicts_with_all = ["variant", "program", "archive"])]
    peer: Option<String>,
    /// The plain copy of a bench on a cluster, which starts it
    #[arg(long, value_enum, value_name = "BACKEND", hide = true, exclusive = true)]
    copy_loop: Option<Backend>,
    /// Number of records [default: 1000000, or ten seconds' worth after the warm-up with --rate]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    records: Option<u64>,
    /// Bytes of each record's value
    #[arg(long, value_name = "SIZE", default_value = "100B", value_parser = parse_size)]
    record_size: u64,
    /// Number of keys of keyed-count [default: 1000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    keys: Option<u64>,
    /// Exponent of the distribution of keyed-count's keys; 0 makes all equally likely [default: 1.0]
    #[arg(long, value_name = "S")]
    zipf: Option<f64>,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Records per second, sent at fixed times: measures latency
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    /// Seconds at the beginning of a run with --rate whose records are not timed [default: 0, on Kafka and Pulsar 10]
    #[arg(long, value_name = "SECONDS", requires = "rate", value_parser = clap::value_parser!(u32).range(..=3600))]
    warm_up: Option<u32>,
    /// On Kafka and Pulsar: kill the program (SIGKILL) in the middle and start it again; measures the time to the next output
    #[arg(long, requires = "rate")]
    kill: bool,
    /// Partitions of the topics, and replicas of the function [default: 1, on Kafka and Pulsar 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    partitions: Option<u32>,
    /// Server to measure, through its REST interface; without a URL the one of $FUNCTION_STREAM_URL, or of this machine
    /// [default: one of its own in this process]
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["durability", "workers", "epoch_records", "dir", "cluster"])]
    server: Option<String>,
    /// When a commit counts as durable
    #[arg(long, value_enum, default_value_t = DurabilityArg::Group)]
    durability: DurabilityArg,
    /// Threads that run the function [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Most records of an epoch; small epochs are what a steady load below saturation makes [default: the engine's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    epoch_records: Option<u32>,
    /// Folder in which the temporary data folder is made; choose one on the disk that is to be measured
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// WebAssembly file to run [default: the workload's example beside the binary or in ./bin]
    #[arg(long, value_name = "FILE")]
    archive: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Whether a process is measured, on a cluster.
    fn is_outside(&self) -> bool {
        self.backend != Backend::Embedded
    }

    fn partitions(&self) -> u32 {
        self.partitions.unwrap_or(if self.is_outside() { 2 } else { 1 })
    }

    /// Seconds whose records are not timed: a virtual machine compiles meanwhile.
    fn warm_up(&self) -> u32 {
        self.warm_up.unwrap_or(if self.is_outside() { 10 } else { 0 })
    }

    fn check_backend(&self) -> Result {
        let clusters = [
            (Backend::Kafka, self.bootstrap.is_some(), "--bootstrap HOST:PORT"),
            (Backend::Pulsar, self.pulsar_url.is_some(), "--pulsar-url URL"),
        ];
        for (backend, is_given, flag) in clusters {
            if (self.backend == backend) != is_given {
                let why = format!("--backend {} and {flag} need each other", backend.name());
                return Err(Failure::Usage(why));
            }
        }
        // Said here and not to clap, which waives what a flag requires if another flag conflicts with that.
        if self.backend != Backend::Pulsar && (self.admin_url.is_some() || self.unbatched) {
            return Err(Failure::Usage("--admin-url and --unbatched need --backend pulsar".into()));
        }
        if !self.is_outside() && (self.program.is_some() || self.peer.is_some() || self.kill) {
            return Err(Failure::Usage("--program, --peer and --kill need --backend kafka or pulsar".into()));
        }
        Ok(())
    }
}

/// Where the topics are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// In the embedded log
    Embedded,
    /// In the Kafka cluster that --bootstrap names; the function is measured as a process of its own
    Kafka,
    /// In the Pulsar cluster that --pulsar-url names; the function, exactly once as always, is measured as a process of its own
    Pulsar,
}

impl Backend {
    fn name(self) -> String {
        self.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
    }
}

/// What the function does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WorkloadArg {
    /// Emits each record as it is
    PassThrough,
    /// Parses JSON, adds 1 to a number, writes JSON
    Money,
    /// Counts the records of each key in state and emits the count
    KeyedCount,
}

/// What does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Variant {
    /// The WebAssembly function
    Wasm,
    /// The same as a Rust closure in the same engine: what WebAssembly costs
    Native,
    /// No function and no engine, the records copied from topic to topic: what processing costs. On Kafka exactly once, on Pulsar at least
    /// once
    Copy,
    /// State written as one put per key and epoch: what lazily applied deltas gain
    PutPerKey,
    /// Outputs appended unsynced, without positions and state: what commits cost
    NoCommit,
}

impl Variant {
    fn name(self) -> String {
        self.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
    }
}

/// When an event or a commit counts as durable.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DurabilityArg {
    /// One synced write for each commit
    Sync,
    /// One synced write for all commits that wait
    Group,
    /// When the operating system has it: survives a crash of the process, not of the machine
    Os,
}

impl From<DurabilityArg> for Durability {
    fn from(arg: DurabilityArg) -> Self {
        match arg {
            DurabilityArg::Sync => Durability::Sync,
            DurabilityArg::Group => Durability::Group,
            DurabilityArg::Os => Durability::Os,
        }
    }
}

pub(crate) fn run(args: Args) -> Result {
    match args.copy_loop {
        None => {}
        Some(Backend::Kafka) => return kafka::copy::run(),
        Some(Backend::Pulsar) => return pulsar::copy::run(),
        Some(Backend::Embedded) => return Err(Failure::Usage("the embedded log is copied by the bench itself".into())),
    }
    args.check_backend()?;
    let workload = Workload::new(&args)?;
    let variants = match args.compare {
        true => variants_of(args.workload),
        false => vec![args.variant],
    };
    if args.variant == Variant::PutPerKey && args.workload != WorkloadArg::KeyedCount {
        return Err(Failure::Usage(
            "--variant put-per-key needs --workload keyed-count: the others have no state".into(),
        ));
    }
    if args.server.is_some() && args.variant != Variant::Wasm {
        return Err(Failure::Usage("--variant needs a server of the bench's own: leave out --server".into()));
    }
    let mut reports = Vec::new();
    for variant in variants {
        let report = measure(&args, &workload, variant)?;
        if !args.json {
            output::line(report.to_string())?;
        }
        reports.push(report);
    }
    if args.json {
        let json = if args.compare { serde_json::json!(reports) } else { serde_json::json!(reports[0]) };
        output::line(format!("{json:#}"))?;
    } else if args.compare {
        output::line(report::ratios(&reports))?;
    }
    match reports.iter().find(|report| report.is_wrong()) {
        Some(wrong) => {
            Err(Failure::Plain(format!("variant {} did not deliver each record exactly once", wrong.variant)))
        }
        None => Ok(()),
    }
}

fn variants_of(workload: WorkloadArg) -> Vec<Variant> {
    let mut variants = vec![Variant::Wasm, Variant::Native, Variant::Copy];
    if workload == WorkloadArg::KeyedCount {
        variants.extend([Variant::PutPerKey, Variant::NoCommit]);
    }
    variants
}

fn measure(args: &Args, workload: &Workload, variant: Variant) -> Result<Report> {
    let mut report = Report::new(args, workload, variant);
    let mut target: Box<dyn Target> = match (&args.bootstrap, &args.pulsar_url, &args.server) {
        (Some(bootstrap), _, _) => {
            let open = |report: &mut Report| kafka::open(args, bootstrap, report);
            Box::new(OnCluster::open(args, variant, &mut report, open)?)
        }
        (None, Some(url), _) => {
            let open = |report: &mut Report| pulsar::open(args, url, report);
            Box::new(OnCluster::open(args, variant, &mut report, open)?)
        }
        (None, None, Some(url)) => {
            let given = Some(url.clone()).filter(|url| !url.is_empty());
            Box::new(remote::Remote::open(&service::url(given), args)?)
        }
        (None, None, None) => Box::new(own::Own::open(args, variant, &mut report)?),
    };
    let ran = match args.rate {
        Some(rate) => latency::run(&mut *target, workload, rate, args.kill, &mut report),
        None => throughput::run(&mut *target, workload, &mut report),
    };
    let finished = target.finish();
    ran.and(finished).map(|()| report)
}
