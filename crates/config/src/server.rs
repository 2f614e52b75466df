// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The server's settings, and where each came from.
//!
//! ```text
//! default (defaults.yaml)  <  file  <  environment variable  <  flag  <  RUST_LOG, for the log's level alone
//! ```
//!
//! A list is one value: who gives it gives all of it. Paths that a flag gives are the shell's; relative ones of the file and
//! of variables are under the home folder.

mod effective;
pub(crate) mod keys;
mod layers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::problem::{Problem, Problems};

pub use effective::{Bound, Effective, Origin, Setting};
pub use keys::GRPC_LISTEN;

/// The defaults as a commented file.
pub const SERVER_DEFAULTS: &str = include_str!("server/defaults.yaml");

/// The sources of settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sources<'a> {
    /// The name and the bytes of the file.
    pub file: Option<(&'a str, &'a [u8])>,
    /// Environment variables; those that are no settings are passed over.
    pub variables: &'a [(String, String)],
    /// Flags that were given, each with its values: see [`Flag`].
    pub flags: &'a [Flag],
    /// The folder that relative paths are under, except those of flags.
    pub home: Option<&'a Path>,
}

/// A flag that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The setting that it sets, such as `service.port`.
    pub path: &'static str,
    /// Its values: one, unless the setting is a list.
    pub values: Vec<String>,
}

/// The settings of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// The address of the gRPC interface, `host:port`; there is none when it is not set.
    pub grpc_listen: Option<String>,
    /// Threads that run functions, if a number was given.
    pub workers: Option<u16>,
    /// Threads that run functions for each core, when no number was given.
    pub worker_multiplier: u16,
    /// The functions that a start holds back.
    pub safe_start: SafeStartSetting,
    /// Names by which clients may call the server.
    pub allowed_hosts: Vec<String>,
    /// Sites whose pages may use the server.
    pub allowed_origins: Vec<String>,
    /// Whether clients on this machine may name any artifact by its path.
    pub local_paths: bool,
    /// The address of the REST interface, `host:port`.
    pub rest_listen: String,
    /// How many clients there may be, and how long each may take.
    pub network: NetworkSettings,
    /// Bytes of memory in all, if a size was given.
    pub memory: Option<u64>,
    /// The largest body of a produce request, in bytes.
    pub max_produce_bytes: u64,
    /// The largest artifact, in bytes.
    pub max_artifact_bytes: u64,
    /// The settings of the log.
    pub logging: LoggingSettings,
    /// The folder for everything that is kept.
    pub data_dir: PathBuf,
    /// Whether the group of the folder may read it.
    pub group_reads: bool,
    /// The point at which something counts as durable.
    pub durability: DurabilitySetting,
    /// Keys of committed state that a task keeps in memory, if a number was given.
    pub dirty_keys: Option<u64>,
    /// The longest that the store tries to recover from an error of the disk, if there is a limit.
    pub recovery_timeout: Option<Duration>,
    /// How many bytes a second are read to look for damage, if any are.
    pub scrub_rate: Option<u64>,
    /// Topics drop what is older.
    pub retention_age: Option<Duration>,
    /// Topics drop the oldest as long as this many bytes are left.
    pub retention_bytes: Option<u64>,
    /// For whom topics are made that are not there.
    pub auto_create: AutoCreateSetting,
    /// Topics that are made in Kafka; and the group of processes there, for whoever is one of them.
    pub kafka: KafkaSettings,
    /// The same of Pulsar.
    pub pulsar: PulsarSettings,
    /// Folders that artifacts may be named in.
    pub archive_dirs: Vec<PathBuf>,
    /// Folders that functions may be granted.
    pub files_dirs: Vec<PathBuf>,
    /// Folders that backups may be made in.
    pub backup_dirs: Vec<PathBuf>,
    /// The folder for compiled code; none is kept when it is not set.
    pub cache_dir: Option<PathBuf>,
    /// The most bytes of compiled code.
    pub cache_bytes: u64,
    /// The folder with engines for functions given as source, before those that came with the program.
    pub engines_dir: Option<PathBuf>,
    /// The file of the Python engine.
    pub python_engine: Option<PathBuf>,
    /// The most processor time that compiling an artifact takes.
    pub compile_time: Duration,
}

/// The settings of topics in Kafka, and of a group of processes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// The addresses of the cluster.
    pub bootstrap: String,
    /// The group's name.
    pub group: String,
    /// Where the others reach this process, if that is given.
    pub advertised: Option<String>,
    /// The silence after which a process has lost its tasks.
    pub session_timeout: Duration,
    /// How many copies topics have that are made in Kafka, if a number was given.
    pub replication: Option<u16>,
    /// How many partitions topics have that are made in Kafka, if a number was given.
    pub partitions: Option<u32>,
    /// Properties of the client: `name=value` each.
    pub properties: Vec<String>,
}

/// The settings of topics in Pulsar, and of a group of processes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulsarSettings {
    /// The addresses of the cluster.
    pub service_url: String,
    /// The group's name.
    pub group: String,
    /// Where the others reach this process, if that is given.
    pub advertised: Option<String>,
    /// The silence after which a process is shown as gone.
    pub session_timeout: Duration,
    /// Tenant and namespace of topics that name none.
    pub namespace: String,
    /// Tenant and namespace of what the group keeps for itself.
    pub internal_namespace: String,
    /// How many partitions topics have that are made in Pulsar, if a number was given.
    pub partitions: Option<u32>,
    /// Options of the client: `name=value` each.
    pub properties: Vec<String>,
}

/// The settings of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Connections, if a number was given.
    pub max_connections: Option<u32>,
    /// Clients that wait, if a number was given.
    pub max_waiting: Option<u32>,
    /// The longest that a head may take.
    pub head_timeout: Duration,
    /// The longest without progress of a body.
    pub body_timeout: Duration,
    /// The longest without progress of reading an answer.
    pub answer_timeout: Duration,
    /// The longest that a connection may be idle.
    pub idle_timeout: Duration,
}

/// The settings of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggingSettings {
    /// A level or a filter.
    pub level: String,
    /// The form of an event.
    pub format: LogFormat,
    /// The file, or standard error.
    pub file: Option<PathBuf>,
    /// The most bytes of a file.
    pub max_file_bytes: u64,
    /// The most files.
    pub max_files: u32,
}

/// The functions that a start holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SafeStartSetting {
    /// Those that were to start each time, if the server died again and again soon after its start.
    Auto,
    /// All.
    Always,
    /// None.
    Never,
}

/// For whom topics are made that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoCreateSetting {
    /// Everybody.
    On,
    /// Functions.
    Functions,
    /// Nobody.
    Off,
}

/// The form of an event in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for each.
    Text,
    /// Some lines for each.
    Pretty,
    /// A JSON object for each.
    Json,
}

/// The point at which an event or a commit counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurabilitySetting {
    /// One synced write for each commit.
    Sync,
    /// One synced write for all commits that wait.
    Group,
    /// As soon as the operating system has it.
    Os,
}

/// The settings that come of all sources, with the origin of each, and notes on what has no effect. All that is wrong in
/// any of the sources is reported at once.
pub fn server_config(sources: &Sources<'_>) -> Result<(ServerSettings, Effective, Vec<Problem>), Problems> {
    layers::merge(sources)
}

/// Reads a server's file alone, as it would be with no variables and flags.
pub fn parse_server_config(bytes: &[u8]) -> Result<(ServerSettings, Vec<Problem>), Problems> {
    let (settings, _, notes) = server_config(&Sources { file: Some(("", bytes)), ..Sources::default() })?;
    Ok((settings, notes))
}

#[cfg(test)]
mod tests;
