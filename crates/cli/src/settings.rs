// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The settings of a server: flags, the environment and the file, read for [`fnstream_config::server_config`].
//!
//! ```text
//! FUNCTION_STREAM_HOME    root of relative paths; the working folder when it is not set
//! --config FILE, FUNCTION_STREAM_CONF    the file, or a folder that has config.yaml or conf/config.yaml
//! otherwise conf/config.yaml under the home folder, if it is there
//! ```

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use fnstream_api::units::{parse_duration, parse_size};
use fnstream_config::server::{
    AutoCreateSetting, DurabilitySetting, Effective, Flag, GRPC_LISTEN, NetworkSettings, SafeStartSetting,
    ServerSettings, Sources, server_config,
};
use fnstream_core::dir::Access;
use fnstream_core::{Error, ErrorCode};
use fnstream_runtime::{Compiling, Engines, Language};
use fnstream_server::{AutoCreate, Durability, KafkaConfig, Network, PulsarConfig, Retention, SafeStart, ServerConfig};

use crate::failure::{Failure, Result};

/// The settings that can be given as flags. Each goes before its environment variable, the file and the default.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Configuration file, or a folder with config.yaml or conf/config.yaml in it
    /// [default: conf/config.yaml under $FUNCTION_STREAM_HOME or here, if it is there]
    #[arg(long, env = "FUNCTION_STREAM_CONF", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on, or $LISTEN_ADDR; port 0 takes a free one [default: localhost:7300]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Address to serve gRPC on besides, or $GRPC_LISTEN_ADDR; with 'none' only that of REST serves it [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    grpc_listen: Option<String>,
    /// Where events, state and artifacts are kept [default: $FUNCTION_STREAM_HOME/data, or ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// When an event or a commit counts as durable: at a synced write of its own (sync), at one for all that wait (group),
    /// when the operating system has it (os) [default: group]
    #[arg(long, value_name = "WHEN", value_parser = ["sync", "group", "os"])]
    durability: Option<String>,
    /// Threads that run functions [default: one per core]
    #[arg(long, value_name = "N", value_parser = whole::<1, 1024>)]
    workers: Option<String>,
    /// Memory of the server in all, at least 384MiB [default: three quarters of its control group's limit, or half of the
    /// machine's memory if that is less]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<String>,
    /// Whether functions are held back at the start: those that were to start each time, after the server died three
    /// times in a row soon after its start (auto), all (always), none (never) [default: auto]
    #[arg(long, value_name = "WHEN", value_parser = ["auto", "always", "never"])]
    safe_start: Option<String>,
    /// Drop events older than this, such as 7d [default: keep them]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    retention: Option<String>,
    /// Drop the oldest events of a partition as long as this much is left, such as 10GiB [default: keep them]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    retention_bytes: Option<String>,
    /// Name by which clients may also call the server, without a port; '*' is any; may be repeated
    #[arg(long = "allow-host", value_name = "HOST")]
    allowed_hosts: Vec<String>,
    /// Site whose pages may use the server from a browser, such as `https://console.example.com`; may be repeated
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    allowed_origins: Vec<String>,
    /// Folder from which all clients, and SQL statements, may name files by their paths; may be repeated
    #[arg(long = "allow-archive-dir", value_name = "DIR")]
    archive_dirs: Vec<String>,
    /// Folder that functions may be granted to read with --files, with those in it; may be repeated
    #[arg(long = "allow-files-dir", value_name = "DIR")]
    files_dirs: Vec<String>,
    /// Folder in which all clients may have backups made, with those in it; may be repeated
    #[arg(long = "allow-backup-dir", value_name = "DIR")]
    backup_dirs: Vec<String>,
    /// Largest body of a produce request [default: 16MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_produce_size: Option<String>,
    /// Largest artifact [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_artifact_size: Option<String>,
    /// Keys of committed state that a task keeps in memory before they are written in bulk
    #[arg(long, value_name = "N", hide = true, value_parser = whole::<1, { u32::MAX as u64 }>)]
    state_dirty_keys: Option<String>,
    /// What to log: error, warn, info, debug, trace, or a filter as in RUST_LOG, which goes before it [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

// Wrong flags are wrong usage, found before anything else; the values themselves are read with all other settings.

type Checked = std::result::Result<String, String>;

fn duration(text: &str) -> Checked {
    parse_duration(text).map(|_| text.to_owned())
}

fn size(text: &str) -> Checked {
    parse_size(text).map(|_| text.to_owned())
}

fn whole<const LEAST: u64, const MOST: u64>(text: &str) -> Checked {
    match text.parse::<u64>() {
        Ok(number) if (LEAST..=MOST).contains(&number) => Ok(text.to_owned()),
        _ => Err(format!("'{}' is not a whole number of {LEAST} to {MOST}", text.escape_debug())),
    }
}

/// The settings and what is to be said about them.
pub(crate) struct Loaded {
    /// As types.
    pub settings: ServerSettings,
    /// With their origins.
    pub effective: Effective,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// A line for each setting without effect.
    pub notes: Vec<String>,
}

/// Reads all of them; a problem of any is a failure that tells of all.
pub(crate) fn load(args: &Args) -> Result<Loaded> {
    load_with(args, Vec::new())
}

/// The same, with flags beside those that all servers have.
pub(crate) fn load_with(args: &Args, more: Vec<Flag>) -> Result<Loaded> {
    let home = std::env::var_os("FUNCTION_STREAM_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let named = args.config.as_deref().filter(|path| !path.as_os_str().is_empty());
    // The home is the root of the variable's path, too; of a flag's it is not.
    let below_home = home.as_deref().zip(named).map(|(home, path)| home.join(path)).filter(|path| {
        let is_variables = std::env::var_os("FUNCTION_STREAM_CONF").as_deref() == named.map(Path::as_os_str);
        is_variables && path.exists()
    });
    let file = read_file(below_home.as_deref().or(named), home.as_deref())?;
    let name = file.as_ref().map_or_else(String::new, |(path, _)| path.display().to_string());
    // A variable whose text is no Unicode is none of ours.
    let variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let mut flags = args.flags();
    flags.extend(more.into_iter().filter(|flag| !flag.values.is_empty()));
    let sources = Sources {
        file: file.as_ref().map(|(_, bytes)| (name.as_str(), bytes.as_slice())),
        variables: &variables,
        flags: &flags,
        home: home.as_deref(),
    };
    let (settings, effective, notes) = server_config(&sources).map_err(Error::from)?;
    let notes = notes.iter().map(|note| note.line(&name)).collect();
    Ok(Loaded { settings, effective, file: file.map(|(path, _)| path), notes })
}

/// The data folder that a server would have with that file and that flag.
pub(crate) fn data_dir(config: Option<PathBuf>, data_dir: Option<String>) -> Result<PathBuf> {
    Ok(load(&Args { config, data_dir, ..Args::default() })?.settings.data_dir)
}

impl Args {
    fn flags(&self) -> Vec<Flag> {
        let one = |path, value: &Option<String>| Flag { path, values: value.iter().cloned().collect() };
        let flags = vec![
            one("rest.listen", &self.listen),
            one(GRPC_LISTEN, &self.grpc_listen),
            one("state_storage.base_dir", &self.data_dir),
            one("state_storage.durability", &self.durability),
            one("service.workers", &self.workers),
            one("memory.budget", &self.memory),
            one("service.safe_start", &self.safe_start),
            one("retention.max_age", &self.retention),
            one("retention.max_bytes", &self.retention_bytes),
            Flag { path: "service.allowed_hosts", values: self.allowed_hosts.clone() },
            Flag { path: "service.allowed_origins", values: self.allowed_origins.clone() },
            Flag { path: "allow.archive_dirs", values: self.archive_dirs.clone() },
            Flag { path: "allow.files_dirs", values: self.files_dirs.clone() },
            Flag { path: "allow.backup_dirs", values: self.backup_dirs.clone() },
            one("rest.max_produce_size", &self.max_produce_size),
            one("rest.max_artifact_size", &self.max_artifact_size),
            one("state_storage.dirty_keys", &self.state_dirty_keys),
            one("logging.level", &self.log_level),
        ];
        flags.into_iter().filter(|flag| !flag.values.is_empty()).collect()
    }
}

fn read_file(named: Option<&Path>, home: Option<&Path>) -> Result<Option<(PathBuf, Vec<u8>)>> {
    let candidates = match named {
        Some(path) if path.is_dir() => vec![path.join("config.yaml"), path.join("conf/config.yaml")],
        Some(path) => vec![path.to_owned()],
        None => vec![home.unwrap_or(Path::new("")).join("conf/config.yaml")],
    };
    for path in &candidates {
        match crate::files::read(path, crate::files::MOST_TEXT) {
            Ok(bytes) => return Ok(Some((path.clone(), bytes))),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let message = format!("the configuration file '{}' cannot be read: {error}", path.display());
                return Err(Failure::new(ErrorCode::InvalidConfig, message));
            }
        }
    }
    match named {
        None => Ok(None),
        Some(path) => {
            let what =
                if candidates.len() > 1 { "has neither config.yaml nor conf/config.yaml" } else { "is not there" };
            let message = format!("the configuration file: '{}' {what}", path.display());
            Err(Failure::new(ErrorCode::InvalidConfig, message))
        }
    }
}

/// What the server is told.
pub(crate) fn server(settings: &ServerSettings) -> ServerConfig {
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let multiplied = |times: u16| (times > 1).then(|| cores() * usize::from(times));
    let mut config = ServerConfig::new(&settings.data_dir);
    config.listen.clone_from(&settings.rest_listen);
    config.grpc_listen.clone_from(&settings.grpc_listen);
    config.access = if settings.group_reads { Access::Group } else { Access::Owner };
    config.durability = match settings.durability {
        DurabilitySetting::Sync => Durability::Sync,
        DurabilitySetting::Group => Durability::Group,
        DurabilitySetting::Os => Durability::Os,
    };
    config.workers = settings.workers.map(usize::from).or_else(|| multiplied(settings.worker_multiplier));
    config.state_dirty_keys = settings.dirty_keys.map(bytes);
    config.recovery_timeout = settings.recovery_timeout;
    config.scrub_rate = settings.scrub_rate;
    config.retention =
        Retention { max_age: settings.retention_age, max_bytes: settings.retention_bytes, ..Retention::default() };
    config.auto_create = match settings.auto_create {
        AutoCreateSetting::On => AutoCreate::On,
        AutoCreateSetting::Functions => AutoCreate::Functions,
        AutoCreateSetting::Off => AutoCreate::Off,
    };
    config.kafka = KafkaConfig { replication: settings.kafka.replication, partitions: settings.kafka.partitions };
    config.pulsar = PulsarConfig { partitions: settings.pulsar.partitions };
    config.allowed_hosts.clone_from(&settings.allowed_hosts);
    config.allowed_origins.clone_from(&settings.allowed_origins);
    config.local_paths = settings.local_paths;
    config.archive_dirs.clone_from(&settings.archive_dirs);
    config.files_dirs.clone_from(&settings.files_dirs);
    config.backup_dirs.clone_from(&settings.backup_dirs);
    config.network = network(&settings.network);
    if let Some(memory) = settings.memory {
        config.memory = bytes(memory);
    }
    config.safe_start = match settings.safe_start {
        SafeStartSetting::Auto => SafeStart::Auto,
        SafeStartSetting::Always => SafeStart::Always,
        SafeStartSetting::Never => SafeStart::Never,
    };
    config.max_produce_bytes = bytes(settings.max_produce_bytes);
    config.max_artifact_bytes = bytes(settings.max_artifact_bytes);
    config.cache_dir.clone_from(&settings.cache_dir);
    config.cache_bytes = settings.cache_bytes;
    config.engines = Engines::of_program()
        .with_folder(settings.engines_dir.clone())
        .with_file(Language::Python, settings.python_engine.clone());
    config.compiling = Compiling::in_children(settings.compile_time);
    config
}

fn network(settings: &NetworkSettings) -> Network {
    let number = |number: Option<u32>| number.map(|number| number as usize);
    Network {
        max_connections: number(settings.max_connections),
        max_waiting: number(settings.max_waiting),
        head_timeout: settings.head_timeout,
        body_timeout: settings.body_timeout,
        answer_timeout: settings.answer_timeout,
        idle_timeout: settings.idle_timeout,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fnstream_config::server::parse_server_config;
    use fnstream_server::memory;

    use super::*;

    #[test]
    fn every_setting_reaches_the_server() {
        let text = "
service: {port: 9090, workers: 3, safe_start: never, allowed_hosts: [a.example], allowed_origins: ['https://b.example'], local_paths: false}
memory: {budget: 400MiB}
rest: {listen: ':7400', max_produce_size: 1MiB, max_artifact_size: 2MiB}
network: {max_connections: 100, max_waiting_consumers: 50, head_timeout: 1s, body_timeout: 2s, answer_timeout: 3s, idle_timeout: 4s}
state_storage: {base_dir: /srv/fs, access: group, durability: sync, dirty_keys: 12, recovery_timeout: 7s, scrub_rate: 2MiB}
retention: {max_age: 7d, max_bytes: 10GiB}
topics: {auto_create: off}
kafka: {replication: 3, partitions: 6}
allow: {archive_dirs: [/a], files_dirs: [/c], backup_dirs: [/d]}
wasm: {cache_dir: /cache, max_cache_size: 1GiB, max_compile_time: 90s}
";
        let config = server(&parse_server_config(text.as_bytes()).unwrap().0);
        assert_eq!((config.listen.as_str(), config.grpc_listen.as_deref()), (":7400", Some("127.0.0.1:9090")));
        assert_eq!((config.workers, config.state_dirty_keys), (Some(3), Some(12)));
        assert_eq!((config.recovery_timeout.map(|time| time.as_secs()), config.scrub_rate), (Some(7), Some(2 << 20)));
        let network = &config.network;
        assert_eq!((network.max_connections, network.max_waiting), (Some(100), Some(50)));
        let times = [network.head_timeout, network.body_timeout, network.answer_timeout, network.idle_timeout];
        assert_eq!(times.map(|time| time.as_secs()), [1, 2, 3, 4]);
        assert_eq!((config.memory, config.safe_start), (400 << 20, SafeStart::Never));
        assert_eq!((config.max_produce_bytes, config.max_artifact_bytes), (1 << 20, 2 << 20));
        assert_eq!((config.data_dir.as_path(), config.durability), (Path::new("/srv/fs"), Durability::Sync));
        assert_eq!(config.auto_create, AutoCreate::Off);
        assert_eq!((config.kafka.replication, config.kafka.partitions), (Some(3), Some(6)));
        assert_eq!(
            (config.retention.max_age.map(|age| age.as_secs()), config.retention.max_bytes),
            (Some(604_800), Some(10 << 30))
        );
        assert_eq!(
            (config.allowed_hosts[0].as_str(), config.allowed_origins[0].as_str()),
            ("a.example", "https://b.example")
        );
        assert!(!config.local_paths);
        assert_eq!((config.archive_dirs, config.files_dirs), (vec![PathBuf::from("/a")], vec![PathBuf::from("/c")]));
        assert_eq!(config.backup_dirs, [PathBuf::from("/d")]);
        assert_eq!((config.cache_dir, config.cache_bytes), (Some(PathBuf::from("/cache")), 1 << 30));
        assert_eq!(config.compiling, Compiling::in_children(Duration::from_secs(90)));
        assert_eq!(config.access, Access::Group);
        let config = |text: &str| server(&parse_server_config(text.as_bytes()).unwrap().0);
        assert_eq!(config("wasm: {enable_cache: false}").cache_dir, None);
        assert_eq!(config("service: {worker_multiplier: 2}").workers.map(|workers| workers % 2), Some(0));
        assert_eq!(config("service: {grpc: false}").grpc_listen, None);
        assert_eq!(config("service: {safe_start: always}").safe_start, SafeStart::Always);
        assert_eq!(
            (config("").workers, config("").access, config("").safe_start),
            (None, Access::Owner, SafeStart::Auto)
        );
        assert_eq!(config("").memory, memory::usual());
    }
}
