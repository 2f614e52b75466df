// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream standalone`: a server that needs no other service.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use fnstream_api::units::{parse_duration, parse_size};
use fnstream_server::{Durability, Retention, Server, ServerConfig, Signals};

use crate::failure::{Failure, Result};
use crate::logging;

/// Run a server with a log of its own: needs no other service.
#[derive(clap::Args)]
pub struct Args {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, env = "LISTEN_ADDR", default_value = fnstream_api::DEFAULT_ADDRESS, value_name = "ADDR")]
    listen: String,
    /// Address to listen on for gRPC, in the same form; 'none' for no gRPC
    #[arg(long, env = "GRPC_LISTEN_ADDR", default_value = fnstream_api::grpc::DEFAULT_GRPC_ADDRESS, value_name = "ADDR")]
    grpc_listen: String,
    /// Where events, state and artifacts are kept [default: $FUNCTION_STREAM_HOME/data, or ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// When an event or a commit counts as durable
    #[arg(long, value_enum, default_value_t = DurabilityArg::Group)]
    durability: DurabilityArg,
    /// Threads that run functions [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Drop events older than this, such as 7d [default: keep them]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    retention: Option<Duration>,
    /// Drop the oldest events of a partition as long as this much is left, such as 10GiB [default: keep them]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    retention_bytes: Option<u64>,
    /// Folder from which clients of other machines, and SQL statements, may name files by their paths; may be repeated
    #[arg(long = "allow-archive-dir", value_name = "DIR")]
    archive_dirs: Vec<PathBuf>,
    /// Folder that functions may be granted to read with --files, with those in it; may be repeated
    #[arg(long = "allow-files-dir", value_name = "DIR")]
    files_dirs: Vec<PathBuf>,
    /// Largest body of a produce request
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = parse_size)]
    max_produce_size: u64,
    /// Largest artifact
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = parse_size)]
    max_artifact_size: u64,
    /// Keys of committed state that a task keeps in memory before they are written in bulk
    #[arg(long, value_name = "N", hide = true)]
    state_dirty_keys: Option<usize>,
    /// What to log: error, warn, info, debug, trace, or a filter as in RUST_LOG, which goes before it
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
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

pub fn run(args: Args) -> Result {
    logging::init(&args.log_level)?;
    let config = config(args);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ran = runtime.block_on(async {
        let signals = Signals::register()?;
        let server = Server::start(config).await?;
        server.run_until_signal(signals).await.map_err(Failure::from)
    });
    // A blocking call that hangs, on a disk that does not answer, must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(5));
    ran
}

fn config(args: Args) -> ServerConfig {
    let home = std::env::var_os("FUNCTION_STREAM_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let data_dir = args.data_dir.unwrap_or_else(|| home.unwrap_or_default().join("data"));
    let mut config = ServerConfig::new(data_dir);
    config.listen = args.listen;
    config.grpc_listen = (args.grpc_listen != "none").then_some(args.grpc_listen);
    config.durability = args.durability.into();
    config.workers = args.workers.map(usize::from);
    config.state_dirty_keys = args.state_dirty_keys;
    config.retention = Retention { max_age: args.retention, max_bytes: args.retention_bytes };
    config.archive_dirs = args.archive_dirs;
    config.files_dirs = args.files_dirs;
    config.max_produce_bytes = usize::try_from(args.max_produce_size).unwrap_or(usize::MAX);
    config.max_artifact_bytes = usize::try_from(args.max_artifact_size).unwrap_or(usize::MAX);
    config
}
